"""The token that somebody pasted -> the token that they meant, and what was taken off it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

_HEADER = re.compile(r"(?i)authorization:\s*")
_SCHEME = re.compile(r"(?i)bearer\s+")
_QUOTES = "\"'`"


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


def clean_token(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the token without what came along when it was copied, and a note for each thing left out."""
    notes = []
    token = text.strip()
    for what, pattern in (("quotes", None), ("'Authorization:'", _HEADER), ("'Bearer'", _SCHEME), ("quotes", None)):
        stripped = token.strip(_QUOTES) if pattern is None else pattern.sub("", token, count=1)
        is_at_start = pattern is None or pattern.match(token) is not None
        if is_at_start and stripped != token:
            token = stripped.strip()
            notes.append(f"{what} around the token left out.")
    joined = "".join(token.split())
    if joined != token:
        notes.append("spaces or line breaks inside of the token left out.")
    return joined, tuple(dict.fromkeys(notes))
