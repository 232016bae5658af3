"""YAML to data, with places."""

from __future__ import annotations

import pytest

from gateway.config.document import MAX_NODES, Document, parse_document
from gateway.config.nodes import MAX_FILE_BYTES
from gateway.config.problems import ConfigError


def read(text: str) -> Document:
    return parse_document(text, "f.yaml", {})


def refuse(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_document(text, "f.yaml", {})
    return [str(problem).removeprefix("f.yaml:") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("22:22", "22:22"),
        ("on", "on"),
        ("yes", "yes"),
        ("y", "y"),
        ("012", "012"),
        ("0o12", "0o12"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("1e3", "1e3"),
        ("2026-01-01", "2026-01-01"),
        (".inf", ".inf"),
        ("true", True),
        ("False", False),
        ("12", 12),
        ("-3", -3),
        ("1.5", 1.5),
        ("1.5e2", 150.0),
        ("'12'", "12"),
        ('"true"', "true"),
        ("1234567890123456789012345", "1234567890123456789012345"),
        ("!!str 5", "5"),
        ("!!int 5", 5),
        ("=", "="),
    ],
)
def test_scalars_are_those_of_yaml_1_2(written: str, value: object) -> None:
    """What YAML 1.1 reads as sexagesimal, octal, a boolean or a date is the text that stands there."""
    document = read(f"a: {written}")
    assert document.problems == []
    assert document.data == {"a": value}
    assert type(document.data["a"]) is type(value)


def test_keys_are_text() -> None:
    """A key is never a number or a boolean."""
    assert read("on: 1\n1: 2\ntrue: 3\n").data == {"on": 1, "1": 2, "true": 3}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1:1: error: the file is empty: begin with 'version: 1'"),
        ("# a comment\n---\n", "1:1: error: the file is empty: begin with 'version: 1'"),
        ("- a", "1:1: error: not a mapping: begin with 'version: 1'"),
        ("a", "1:1: error: not a mapping: begin with 'version: 1'"),
        ("a: b: c", "1:5: error: not YAML: a second ': ' on one line: put the value in quotes, or begin a new line"),
        (
            "a: 1\nb: [1",
            "2:6: error: not YAML: expected ',' or ']', but got '<stream end>' (while parsing a flow sequence)",
        ),
        ("a:\n\t- b", "2:1: error: not YAML: a tab: indent with spaces"),
        ("a: @b", "1:4: error: not YAML: a value cannot begin with '@': put it in quotes"),
        ("a: 'b", "1:6: error: not YAML: a quotation mark is not closed: close it"),
        ("a: *b", "1:4: error: not YAML: found undefined alias 'b'"),
        ("a: [${B}]", "1:6: error: not YAML: braces inside of [...] or {...}: put ${NAME} and {name} in quotes there"),
        ("a: \x01", "1:4: error: a character that YAML does not allow: remove it"),
        ("a: 1\nb: é\x02", "2:5: error: a character that YAML does not allow: remove it"),
        ("a: " + "[" * 50, "1:43: error: not YAML: nested too deep"),
        ("a: &a [*a]", "1:1: error: aliases nest too deep, or one holds itself: write them out"),
        ("a: &a {<<: *a}", "1:1: error: aliases nest too deep, or one holds itself: write them out"),
    ],
)
def test_what_is_no_document(text: str, problem: str) -> None:
    """The one mistake of the syntax, with its place and a way out."""
    assert refuse(text) == [problem]


def test_one_document_only() -> None:
    """Of two, nobody could say which is in force."""
    [problem] = refuse("a: 1\n---\nb: 2\n")
    assert problem.startswith("2:1: error: not YAML: ")


def test_the_size_is_bounded() -> None:
    """A mebibyte, in bytes."""
    assert refuse("a: " + "é" * (MAX_FILE_BYTES // 2)) == [
        "1:1: error: larger than 1 MiB: leave out what is no configuration"
    ]


def test_aliases_are_bounded() -> None:
    """A few lines that stand for millions of values are refused before they are built."""
    lines = ["x-0: &a0 [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"]
    lines += [f"x-{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert refuse("\n".join([*lines, "routes: *a8"])) == [
        f"1:1: error: more than {MAX_NODES} values, those of aliases included: write fewer of them"
    ]


def test_merges_are_bounded_too() -> None:
    """Merging is expanding."""
    lines = ["x-0: &a0 {a: 1}"]
    lines += [f"x-{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 9)]
    assert refuse("\n".join([*lines, "routes: *a8"]))[0].startswith("1:1: error: more than")


def test_merged_keys_yield() -> None:
    """A mapping's own keys come first, then those of the earlier of the merged ones."""
    document = read("x-a: &a {k: 1, l: 1}\nx-b: &b {<<: *a, l: 2, m: 2}\nr: {<<: [*b, *a], m: 3}\ns: {<<: *a}\n")
    assert document.problems == []
    assert document.data == {"r": {"m": 3, "l": 2, "k": 1}, "s": {"k": 1, "l": 1}}


def test_free_keys_are_not_data() -> None:
    """``x-*`` at the top is for anchors; deeper it is a key like any other."""
    assert read("x-a: 1\nb: {x-c: 2}").data == {"b": {"x-c": 2}}


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("a: 1\nb: 2\na: 3", ["3:1: error: duplicate key 'a': it is on line 1 already, remove one of the two"]),
        ("a:\n  b: 1\n  b: 2", ["3:3: error: duplicate key 'b': it is on line 2 already, remove one of the two"]),
        ("a: {b: 1, 'b': 2}", ["1:11: error: duplicate key 'b': it is on line 1 already, remove one of the two"]),
        ("a:", ["1:3: error: no value: write one, or remove the key"]),
        (
            "a: ~\nb: [null]",
            [
                "1:4: error: no value: write one, or remove the key",
                "2:5: error: no value: write one, or remove the key",
            ],
        ),
        ("a: !env B", ["1:4: error: a tag that is not known: leave tags out, types are known here"]),
        ("a: !!binary eHg=", ["1:4: error: a tag that is not known: leave tags out, types are known here"]),
        (
            "a: !!python/object:os.system {}",
            ["1:4: error: a tag that is not known: leave tags out, types are known here"],
        ),
        (
            "a: !!set {b}",
            [
                "1:4: error: a tag that is not known: leave tags out, types are known here",
                "1:12: error: no value: write one, or remove the key",
            ],
        ),
        ("a: !!int x", ["1:4: error: the text does not fit its tag: leave the tag out"]),
        ("? [a]\n: 1", ["1:3: error: a key that is no text: put it in quotes"]),
        ("<<: 1", ["1:5: error: << merges mappings only: give it an alias of one"]),
    ],
)
def test_what_is_noted_on_the_way(text: str, problems: list[str]) -> None:
    """Mistakes that leave a tree are all found, each at its place."""
    assert [str(problem).removeprefix("f.yaml:") for problem in read(text).problems] == problems


def test_places() -> None:
    """A path leads to its value, a block to its key, and what is not there to what is around it."""
    document = read("a: 1\nb:\n  - c: 2\n    d:\n      - 3\n  - {e: 4}\n")
    places = {
        path: (document.locate(*path).line, document.locate(*path).column)
        for path in [
            (),
            ("a",),
            ("b",),
            ("b", 0),
            ("b", 0, "c"),
            ("b", 0, "d"),
            ("b", 0, "d", 0),
            ("b", 1, "e"),
            ("b", 0, "none"),
            ("b", 7),
            ("none", "at", "all"),
        ]
    }
    assert places == {
        (): (1, 1),
        ("a",): (1, 4),
        ("b",): (2, 1),
        ("b", 0): (3, 5),
        ("b", 0, "c"): (3, 8),
        ("b", 0, "d"): (4, 5),
        ("b", 0, "d", 0): (5, 9),
        ("b", 1, "e"): (6, 9),
        ("b", 0, "none"): (3, 5),
        ("b", 7): (2, 1),
        ("none", "at", "all"): (1, 1),
    }


def test_places_of_keys_and_lines() -> None:
    """The place of a key is its own; a position brings the line along."""
    position = read("# first\na: {bb: 1}\n").locate("a", "bb", is_key=True)
    assert (position.line, position.column, position.source) == (2, 5, "a: {bb: 1}")


def test_the_second_name_is_found_by_the_first() -> None:
    """Who asks for applicationID finds the audience that was written instead."""
    assert read("p:\n  - audience: x\n").locate("p", 0, "applicationID").line == 2
