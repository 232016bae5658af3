"""
A tree of YAML nodes -> plain data, and for every path of it the place in the file.

Variables are put in here, scalar by scalar. Refused: keys twice, keys without a value, tags, and aliases that expand
without bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import yaml

from gateway.config.interpolation import InterpolationError, interpolate
from gateway.config.nodes import (
    BOOL,
    FLOAT,
    INT,
    MAP,
    MAX_DEPTH,
    MAX_FILE_BYTES,
    MERGE,
    NULL,
    SCALARS,
    SEQ,
    STR,
    compose,
)
from gateway.config.problems import ConfigError, Finding, Path, Position, Problem, Severity

# Aliases make a kilobyte of YAML a gigabyte of data; no honest file comes near.
MAX_NODES = 100_000

# A name of the file that has another one.
_ALIASES = {"applicationID": "audience"}


@dataclass(frozen=True, slots=True)
class _Place:
    """The marks of one value: of itself, and of its key where it has one; ``is_block`` begins on a line of its own."""

    value: yaml.Mark
    key: yaml.Mark | None
    is_block: bool


@dataclass(slots=True)
class Document:
    """A file as plain data, with its places and the problems that were met on the way."""

    name: str
    text: str = field(repr=False)
    data: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    broken: set[Path] = field(default_factory=set)
    places: dict[Path, _Place] = field(default_factory=dict, repr=False)
    lines: list[str] = field(default_factory=list, repr=False)

    def locate(self, *path: str | int, is_key: bool = False) -> Position:
        """Return the place of a path, or of the nearest one around it that is in the file."""
        steps = path
        while steps not in self.places and steps:
            alias = _ALIASES.get(str(steps[-1]))
            steps = (*steps[:-1], alias) if alias and (*steps[:-1], alias) in self.places else steps[:-1]
        place = self.places.get(steps)
        if place is None:
            return self.position_of(0, 0)
        mark = place.key if place.key and (is_key or place.is_block) else place.value
        return self.position_of(mark.line, mark.column)

    def lend(self, origins: Mapping[Path, Path]) -> None:
        """Give settings that stand nowhere in the file the places of those that they come from."""
        for path, origin in origins.items():
            self.places.setdefault(path, self.places[origin])

    def position_of(self, line: int, column: int) -> Position:
        """Return a position for a line and a column from 0."""
        return Position(line + 1, column + 1, self.lines[line] if line < len(self.lines) else "")

    def build_problem(self, finding: Finding) -> Problem:
        """Return a finding with its position."""
        position = self.locate(*finding.path, is_key=finding.is_key)
        return Problem(self.name, position.line, position.column, finding.severity, finding.message, position.source)

    def note(self, mark: yaml.Mark, message: str, offset: int = 0) -> None:
        """Note a mistake at a mark."""
        position = self.position_of(mark.line, mark.column + offset)
        problem = Problem(self.name, position.line, position.column, Severity.ERROR, message, position.source)
        # An alias shows one mistake at many paths.
        if problem not in self.problems:
            self.problems.append(problem)

    def refuse(self, node: yaml.Node, path: Path, message: str, offset: int = 0) -> None:
        """Note a mistake in the value at a path, of which nothing more can be said."""
        self.note(node.start_mark, message, offset)
        self.broken.add(path)


def parse_document(text: str, name: str, environ: Mapping[str, str]) -> Document:
    """
    Return the data of a YAML text with its variables in place; mistakes that leave a tree are in ``problems``.

    Raises:
        ConfigError: Too large, not YAML, empty, no mapping, or without bound: there is no data.
    """
    document = Document(name, text, lines=text.splitlines())
    if len(text.encode("utf-8", "replace")) > MAX_FILE_BYTES:
        raise _refuse_all(document, "larger than 1 MiB: leave out what is no configuration")
    root = compose(text, name)
    if root is None or (isinstance(root, yaml.ScalarNode) and not root.value):
        raise _refuse_all(document, "the file is empty: begin with 'version: 1'")
    if not isinstance(root, yaml.MappingNode):
        raise _refuse_all(document, "not a mapping: begin with 'version: 1'")
    document.places[()] = _Place(root.start_mark, None, is_block=True)
    try:
        document.data = _Builder(document, environ).build_mapping(root, ())
    except _UnboundedError as error:
        raise _refuse_all(document, str(error)) from error
    return document


def _refuse_all(document: Document, message: str) -> ConfigError:
    return ConfigError([document.build_problem(Finding((), message))])


class _UnboundedError(Exception):
    pass


class _Builder:
    """The walk over one tree."""

    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self._document = document
        self._environ = environ
        self._count = 0

    def build(self, node: yaml.Node, path: Path, key: yaml.Mark | None) -> Any:
        """Return the data of a node."""
        self._enter(len(path))
        is_block = isinstance(node, yaml.CollectionNode) and not node.flow_style
        self._document.places[path] = _Place(node.start_mark, key, is_block)
        if isinstance(node, yaml.MappingNode):
            return self.build_mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            self._has_tag(node, path, SEQ)
            return [self.build(item, (*path, index), None) for index, item in enumerate(node.value)]
        return self._build_scalar(node, path)

    def _enter(self, depth: int) -> None:
        self._count += 1
        if depth > MAX_DEPTH:
            raise _UnboundedError("aliases nest too deep, or one holds itself: write them out")
        if self._count > MAX_NODES:
            raise _UnboundedError(f"more than {MAX_NODES} values, those of aliases included: write fewer of them")

    def _has_tag(self, node: yaml.Node, path: Path, *expected: str) -> bool:
        if node.tag in expected:
            return True
        self._document.refuse(node, path, "a tag that is not known: leave tags out, types are known here")
        return False

    def build_mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        """Return the data of a mapping; merged keys (``<<``) yield to its own."""
        self._has_tag(node, path, MAP)
        data: dict[str, Any] = {}
        for key, value in chain(self._select_own(node), self._select_merged(node, len(path))):
            is_free = not path and key.value.startswith("x-")
            if key.value not in data and not is_free:
                data[key.value] = self.build(value, (*path, key.value), key.start_mark)
        return data

    def _select_own(self, node: yaml.MappingNode) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        first: dict[str, int] = {}
        for key, value in node.value:
            if key.tag == MERGE:
                continue
            if not isinstance(key, yaml.ScalarNode):
                self._document.note(key.start_mark, "a key that is no text: put it in quotes")
            elif key.value in first:
                at = f"it is on line {first[key.value]} already"
                self._document.note(key.start_mark, f"duplicate key {key.value!r}: {at}, remove one of the two")
            else:
                first[key.value] = key.start_mark.line + 1
                yield key, value

    def _select_merged(self, node: yaml.MappingNode, depth: int) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        for key, value in node.value:
            if key.tag != MERGE:
                continue
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                self._enter(depth)
                if isinstance(source, yaml.MappingNode):
                    yield from self._select_own(source)
                    yield from self._select_merged(source, depth + 1)
                else:
                    self._document.note(source.start_mark, "<< merges mappings only: give it an alias of one")

    def _build_scalar(self, node: yaml.Node, path: Path) -> Any:
        if not self._has_tag(node, path, STR, INT, FLOAT, BOOL, NULL):
            return None
        if node.tag == NULL:
            # A key with nothing after it reads as "none", and would be taken for "all" sooner or later.
            self._document.refuse(node, path, "no value: write one, or remove the key")
            return None
        if node.tag != STR:
            return self._convert(node, path)
        try:
            return interpolate(node.value, self._environ)
        except InterpolationError as error:
            for reference, message in error.mistakes:
                self._document.refuse(node, path, message, self._find_offset(node, reference))
            return ""

    def _find_offset(self, node: yaml.Node, reference: int) -> int:
        """Return how far after its mark a place in a scalar is, or 0 where its text is not on that line as it is."""
        line = self._document.position_of(node.start_mark.line, 0).source
        quote = line[node.start_mark.column : node.start_mark.column + 1] in ("'", '"')
        is_there = line.startswith(node.value[: reference + 2], node.start_mark.column + quote)
        return quote + reference if is_there else 0

    def _convert(self, node: yaml.Node, path: Path) -> Any:
        if not SCALARS[node.tag].fullmatch(node.value):
            self._document.refuse(node, path, "the text does not fit its tag: leave the tag out")
            return None
        if node.tag == BOOL:
            return node.value.lower() == "true"
        return int(node.value) if node.tag == INT else float(node.value)
