"""The token that somebody pasted -> the token that they meant, and what was taken off it."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

import click

_HEADER = re.compile(r"(?i)authorization:\s*")
_SCHEME = re.compile(r"(?i)bearer\s+")
_QUOTES = "\"'`"


class LeftOut(Enum):
    """What came along with a token when it was copied."""

    QUOTES = "quotes around the token"
    HEADER = "'Authorization:' around the token"
    SCHEME = "'Bearer' around the token"
    SPACES = "spaces or line breaks inside of the token"


# For a client that sends it too.
_REMEDIES = {
    LeftOut.QUOTES: (
        "A request with quotes around its token is refused (malformed_credentials). If the client sends them, let it "
        "send Authorization: Bearer, a space and the bare token."
    ),
    LeftOut.SCHEME: (
        "A request with Bearer twice is refused (malformed_credentials). If the client adds Bearer by itself, give it "
        "the bare token."
    ),
    LeftOut.SPACES: (
        "A request with spaces or line breaks inside of its token is refused (malformed_credentials). If the client "
        "sends them, let it send the token in one piece."
    ),
}


def read_token_argument(argument: str) -> str:
    """
    Return the text that an argument stands for: itself, standard input for ``-``, a file for ``@file``.

    Raises:
        click.UsageError: The file cannot be read, there is no text, or it is the name of a file.
    """
    if argument == "-":
        text = sys.stdin.buffer.read().decode("utf-8", "replace")
    elif argument.startswith("@"):
        try:
            text = Path(argument[1:]).read_text("utf-8", "replace")
        except OSError as error:
            raise click.UsageError(f"{argument[1:]} cannot be read: {error.strerror}.") from error
    elif _is_file(argument):
        raise click.UsageError(f"{argument} is a file: write @{argument} to take the token from it.")
    else:
        text = argument
    if not text.strip():
        raise click.UsageError("There is no token: give one as argument, on standard input (-), or in a file (@file).")
    return text


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except OSError:
        # A token is longer than a name may be.
        return False


def clean_token(text: str) -> tuple[str, tuple[LeftOut, ...]]:
    """Return the token without what came along when it was copied, and each thing that was left out."""
    left_out = []
    token = text.strip()
    for what, pattern in (
        (LeftOut.QUOTES, None),
        (LeftOut.HEADER, _HEADER),
        (LeftOut.SCHEME, _SCHEME),
        (LeftOut.QUOTES, None),
    ):
        stripped = token.strip(_QUOTES) if pattern is None else pattern.sub("", token, count=1)
        is_at_start = pattern is None or pattern.match(token) is not None
        if is_at_start and stripped != token:
            token = stripped.strip()
            left_out.append(what)
    joined = "".join(token.split())
    if joined != token:
        left_out.append(LeftOut.SPACES)
    return joined, tuple(dict.fromkeys(left_out))


def list_remedies(left_out: Sequence[LeftOut]) -> tuple[str, ...]:
    """Return what to do if a request has its token as it was pasted."""
    # Where the whole field was copied, the scheme is in its place.
    harmless = LeftOut.SCHEME if LeftOut.HEADER in left_out else None
    return tuple(_REMEDIES[each] for each in left_out if each in _REMEDIES and each is not harmless)
