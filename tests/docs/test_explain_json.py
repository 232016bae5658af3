"""The table of ``explain -o json`` has every member that the command prints, with its types, and no other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli.checks import Check
from gateway.cli.explanation import Result, Verdict
from gateway.cli.group import cli

from .pages import ROOT, cut_section, list_code, list_rows, read_page

SECTION = cut_section(read_page(ROOT / "docs" / "troubleshooting.md"), "## For programs")
ROWS = {list_code(row[0])[0]: row for row in list_rows(SECTION, "member", "type", "what it is")}

_TYPES = {
    "text": str,
    "texts": str,
    "number": int,
    "true": bool,
    "false": bool,
    "list": list,
    "mapping": dict,
    "mappings": dict,
    "null": type(None),
}

# Between them they have each member with each of its types.
SITUATIONS = [
    ("@organization.jwt", "--path", "/organizations/org_1/members"),
    ("@slash.jwt",),
    ("@few-scopes.jwt", "--path", "/organizations/org_1/members"),
    ("@bare.jwt",),
    ("@opaque.txt",),
    ("@api.jwt", "--path", "/organizations/../x"),
]


@pytest.fixture
def documents(folder) -> list[dict[str, Any]]:
    """What the command prints in several situations; ``bare.jwt`` says as little as a token can."""
    (folder / "bare.jwt").write_text("eyJhbGciOiJFUzM4NCJ9.e30.AA")
    printed = []
    for token, *arguments in SITUATIONS:
        words = ["explain", token, "--at", "2027-01-15T08:00:00Z", "-o", "json", *arguments]
        printed.append(json.loads(CliRunner().invoke(cli, words, catch_exceptions=False).stdout))
    return printed


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each member of a document with its path, ``[]`` standing for the entries of a list."""
    if isinstance(value, dict):
        for name, member in value.items():
            inner = f"{path}.{name}" if path else name
            yield inner, member
            yield from walk(member, inner)
    elif isinstance(value, list):
        for entry in value:
            if isinstance(entry, dict):
                yield from walk(entry, f"{path}[]")


def test_every_member_is_in_the_table(documents):
    """No member is printed that is not explained, and none is explained that is not printed."""
    assert {path for document in documents for path, _ in walk(document)} == ROWS.keys()


def test_members_have_the_types_of_the_table(documents):
    """Each value is of a type that is named, and a list holds what is said."""
    for path, value in (pair for document in documents for pair in walk(document)):
        outer, _, inner = ROWS[path][1].partition(" of ")
        types = [_TYPES[word] for word in re.findall(r"[a-z]+", outer) if word != "or"]
        assert type(value) in types, path
        if isinstance(value, list):
            assert {type(entry) for entry in value} <= {_TYPES[inner]}, path


def test_members_are_always_there(documents):
    """A program need not ask whether there is one, and finds them in the same order."""
    top = [path for path in ROWS if "." not in path]
    assert [list(document) for document in documents] == [top] * len(documents)


def test_words_of_the_table_are_those_of_the_command():
    """Words that a program compares are all there."""
    assert {each.title for each in Check} == set(list_code(ROWS["providers[].checks[].check"][2])) - {
        "profile: rfc9068"
    }
    assert {each.value for each in Result} == set(list_code(ROWS["providers[].checks[].result"][2]))
    assert {each.value for each in Verdict} == set(list_code(ROWS["verdict"][2]))
