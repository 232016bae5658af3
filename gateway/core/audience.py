"""
Audience patterns: which values of ``aud`` name us, and what a value tells beyond that.

``*`` stands for one non-empty run of characters other than ``:`` and ``/``, ``{name}`` for the same, captured. The
pattern is only ever in the file: in a token, ``*`` is an asterisk. RFC 7519, section 4.1.3: values are compared by
code point, case-sensitively.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import re2

_WILDCARD = re.compile(r"\*|\{([^{}]*)\}")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class PatternError(ValueError):
    """A pattern in the file that cannot be used; the text says why and what to write instead."""


@dataclass(frozen=True, slots=True)
class AudiencePattern:
    """One audience that the file accepts; ``text`` is how it stands there."""

    text: str
    _regex: Any = field(default=None, repr=False, compare=False)

    @property
    def is_literal(self) -> bool:
        """Whether this is the text of the one audience that it matches."""
        return self._regex is None

    def match(self, value: str) -> Mapping[str, str] | None:
        """Return what the pattern captures from one audience, or None where the audience does not match."""
        if self._regex is None:
            return {} if value == self.text else None
        try:
            found = self._regex.fullmatch(value)
        except UnicodeEncodeError:
            # A lone surrogate has no UTF-8; nothing in the file can mean it.
            return None
        return None if found is None else {name: text for name, text in found.groupdict().items() if text is not None}


def parse_audience_pattern(text: str) -> AudiencePattern:
    """
    Return the pattern that a text of the file stands for.

    Raises:
        PatternError: No literal text, two wildcards side by side, or a bad or repeated capture name.
    """
    _check_encodable(text)
    wildcards = list(_WILDCARD.finditer(text))
    engine = _ENGINES[len(wildcards) == 1]
    pieces: list[str] = []
    names: set[str] = set()
    position = 0
    literal = ""
    for wildcard in wildcards:
        literal += (between := text[position : wildcard.start()])
        # Side by side, it would be arbitrary which of the two takes what.
        if pieces and not between:
            raise PatternError("two wildcards need literal text between them")
        pieces += [engine.escape(between), _build_run(wildcard[1], names, engine.run)]
        position = wildcard.end()
    literal += (rest := text[position:])
    if "{" in literal or "}" in literal:
        raise PatternError("a brace that does not enclose a capture name, as in {organization}")
    if not literal:
        raise PatternError("a pattern without literal text accepts every audience; write what yours begins with")
    if not pieces:
        return AudiencePattern(text)
    return AudiencePattern(text, engine.compile("".join([*pieces, engine.escape(rest)])))


def _build_run(name: str | None, names: set[str], run: str) -> str:
    if name is None:
        return run
    if not _NAME.fullmatch(name):
        raise PatternError(f"{name!r} is not a capture name; use lower-case letters, digits and _")
    if name in names:
        raise PatternError(f"{{{name}}} is captured twice")
    names.add(name)
    return f"(?P<{name}>{run})"


def parse_audience_regex(expression: str) -> AudiencePattern:
    """
    Return the pattern for a regular expression that is matched whole, by an engine whose time is linear in its input.

    Raises:
        PatternError: The engine refuses the expression, or the expression accepts the empty audience.
    """
    _check_encodable(expression)
    regex = _compile(expression)
    if regex.fullmatch("") is not None:
        raise PatternError("the expression accepts the empty audience")
    return AudiencePattern(f"regex {expression}", regex)


def _check_encodable(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PatternError("a lone surrogate, which is no text") from error


def _compile(expression: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(expression, options)
    except re2.error as error:
        why = str(error.args[0], "utf-8", "replace")
        raise PatternError(f"not a regular expression that RE2 accepts: {why}") from error


@dataclass(frozen=True, slots=True)
class _Engine:
    """What matches patterns; ``run`` is a wildcard in its words, without lone surrogates, which are no text."""

    escape: Callable[[str], str]
    compile: Callable[[str], Any]
    run: str


# Where there is one wildcard, there is one way to match, and Python's engine is as linear as RE2, each call of which
# costs ten times as much. With several wildcards it would try all ways in which they can share the text.
_ENGINES = {False: _Engine(re2.escape, _compile, "[^:/]+"), True: _Engine(re.escape, re.compile, "[^:/\ud800-\udfff]+")}


@dataclass(frozen=True, slots=True)
class AudienceMatch:
    """The audiences of a token that were accepted, and each capture with all the values that it took."""

    accepted: tuple[str, ...]
    captures: Mapping[str, frozenset[str]]


def match_audiences(patterns: Iterable[AudiencePattern], audiences: Iterable[str]) -> AudienceMatch | None:
    """Return what the patterns accept of a token's audiences, or None where they accept none of them."""
    accepted: dict[str, None] = {}
    captures: dict[str, set[str]] = {}
    patterns = tuple(patterns)
    for audience in audiences:
        for pattern in patterns:
            captured = pattern.match(audience)
            if captured is None:
                continue
            accepted[audience] = None
            for name, value in captured.items():
                captures.setdefault(name, set()).add(value)
    if not accepted:
        return None
    return AudienceMatch(tuple(accepted), {name: frozenset(values) for name, values in captures.items()})
