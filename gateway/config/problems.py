"""
What is wrong with a file and where: ``path:line:col: error: what: how to fix it``, the source line, and a caret.

Nothing here shows a value that came from the environment: the source line is the file's own text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

# What stays in the file, for reports are pasted into tickets: passwords and parameters of URLs, data: URIs, and the
# members of a key that nobody should have written there.
_SECRETS = (
    re.compile(r"(?P<before>://)(?P<secret>[^/@\s]+)(?=@)"),
    re.compile(r"(?P<before>[?&][^=&#\s]*=)(?P<secret>[^&#\s\"']+)"),
    re.compile(r"(?P<before>(?i:data):[^,\s]*,)(?P<secret>[^\s\"']+)"),
    re.compile(r"(?P<before>\b(?:[kdpq]|d[pq]|qi)[\"']?\s*:\s*[\"']?)(?P<secret>[\w-]{8,})"),
)
_MAX_SOURCE_WIDTH = 160

Path = tuple[str | int, ...]


class Severity(Enum):
    """Whether a problem stops the file from being used."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a file: ``line`` and ``column`` from 1, and the text of that line."""

    line: int
    column: int
    source: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake at a path of the file, before its position is looked up; ``is_key`` is for the key, not its value."""

    path: Path
    message: str
    severity: Severity = Severity.ERROR
    is_key: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake at its position; ``path`` is the file's name, ``message`` says what and how to fix it."""

    path: str
    line: int
    column: int
    severity: Severity
    message: str
    source: str = ""

    def __str__(self) -> str:
        """Return the one line that editors and CI understand; nothing in it steers a terminal."""
        text = f"{self.path}:{self.line}:{self.column}: {self.severity.value}: {self.message}"
        return _replace_controls(text, "?")

    def render(self) -> str:
        """Return the line with the source and a caret beneath."""
        source, column = _cut_source(self.source, self.column)
        number = str(self.line)
        caret = " " * (column - 1) + "^"
        return f"{self}\n  {number} | {source}".rstrip() + f"\n  {' ' * len(number)} | {caret}"


def take_strictly(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return problems with every warning among them made an error."""
    return tuple(replace(problem, severity=Severity.ERROR) for problem in problems)


def _cut_source(source: str, column: int) -> tuple[str, int]:
    """Return a line short enough to read, with the column in it; secrets starred, tabs and controls as a space."""
    for pattern in _SECRETS:
        source = pattern.sub(lambda found: found["before"] + "*" * len(found["secret"]), source)
    source = _replace_controls(source, " ")
    start = max(0, column - _MAX_SOURCE_WIDTH // 2) if len(source) > _MAX_SOURCE_WIDTH else 0
    cut = source[start : start + _MAX_SOURCE_WIDTH]
    return ("…" + cut[1:] if start else cut).rstrip(), column - start


def _replace_controls(text: str, by: str) -> str:
    return "".join(character if character.isprintable() else by for character in text)


def format_path(path: Path) -> str:
    """Return a path as people write it: ``providers[0].algorithm``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


class ConfigError(Exception):
    """A file that cannot be used, with everything that is wrong with it in the order of its lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    def render(self) -> str:
        """Return all problems with their source lines."""
        return "\n".join(problem.render() for problem in self.problems)
