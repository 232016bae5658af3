"""
YAML text -> a tree of nodes, every node with its place.

Scalars have the types of YAML 1.2's core schema, without its octal and hexadecimal numbers: to YAML 1.1, ``22:22`` is
the number 1342, ``on`` a boolean and ``012`` ten, and a gateway must not guess.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from gateway.config.problems import ConfigError, Problem, Severity

MAX_FILE_BYTES = 1024 * 1024
MAX_DEPTH = 40

_TAG = "tag:yaml.org,2002:"
STR, INT, FLOAT, BOOL, NULL, MAP, SEQ, MERGE = (
    _TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq", "merge")
)


class _Loader(yaml.SafeLoader):
    """SafeLoader with other scalar types and a bound on depth; only ever used to compose, never to construct."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose one node; bounded, for the composer recurses."""
        if self._depth >= MAX_DEPTH:
            raise yaml.MarkedYAMLError(None, None, "nested too deep", self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


# At most 18 digits: longer ones are identifiers, and nothing in the file counts that far.
SCALARS = {
    NULL: re.compile(r"~|null|Null|NULL|"),
    BOOL: re.compile(r"true|True|TRUE|false|False|FALSE"),
    INT: re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})"),
    FLOAT: re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})(?:[eE][-+]?[0-9]{1,2})?"),
}
for _tag, _pattern in SCALARS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern.pattern})\Z"), None)
_Loader.add_implicit_resolver(MERGE, re.compile(r"<<\Z"), ["<"])


def compose(text: str, name: str) -> yaml.Node | None:
    """
    Return the root node of the one document in a YAML text, or None for an empty one.

    Raises:
        ConfigError: Not YAML, or more than one document; just the first mistake, for nothing after it is certain.
    """
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        raise _refuse(text, name, line, column, _describe(error)) from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n"), len(before) - before.rfind("\n") - 1
        raise _refuse(text, name, line, column, "a character that YAML does not allow: remove it") from error


def _refuse(text: str, name: str, line: int, column: int, message: str) -> ConfigError:
    lines = text.splitlines()
    source = lines[line] if line < len(lines) else ""
    return ConfigError([Problem(name, line + 1, column + 1, Severity.ERROR, message, source)])


# What PyYAML says, and what a person can do about it.
_HINTS = {
    "mapping values are not allowed here": "a second ': ' on one line: put the value in quotes, or begin a new line",
    "expected a single document in the stream": "a second document: keep one and remove '---'",
    "found character '\\t' that cannot start any token": "a tab: indent with spaces",
    "found character '@' that cannot start any token": "a value cannot begin with '@': put it in quotes",
    "found character '`' that cannot start any token": "a value cannot begin with '`': put it in quotes",
    "found unexpected end of stream": "a quotation mark is not closed: close it",
    "could not find expected ':'": "a key without ': ': write 'key: value'",
}


def _describe(error: yaml.MarkedYAMLError) -> str:
    problem = str(error.problem or error.context)
    if problem.endswith("but got '{'"):
        return "not YAML: braces inside of [...] or {...}: put ${NAME} and {name} in quotes there"
    if problem in _HINTS:
        return f"not YAML: {_HINTS[problem]}"
    context = f" ({error.context})" if error.problem and error.context else ""
    return f"not YAML: {problem}{context}"
