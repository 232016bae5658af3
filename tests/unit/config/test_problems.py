"""How a problem looks."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from gateway.config.messages import _MODELS
from gateway.config.models import GatewayFile
from gateway.config.problems import ConfigError, Problem, Severity, format_path


def make(source: str, column: int = 1, line: int = 7) -> Problem:
    return Problem("a.yaml", line, column, Severity.ERROR, "a.b: wrong: mend it", source)


def test_a_line_for_editors() -> None:
    """``path:line:col: severity: message`` is what editors and CI make a link of."""
    assert str(make("x", 3)) == "a.yaml:7:3: error: a.b: wrong: mend it"


def test_the_source_and_a_caret() -> None:
    """The caret stands under the column, however wide the number of the line."""
    assert make("  key: value", 8, 123).render() == (
        "a.yaml:123:8: error: a.b: wrong: mend it\n  123 |   key: value\n      |        ^"
    )


def test_a_line_that_is_empty() -> None:
    """No trailing blanks."""
    assert make("").render() == "a.yaml:7:1: error: a.b: wrong: mend it\n  7 |\n    | ^"


def test_tabs_and_controls_do_not_move_the_caret() -> None:
    """A character is a column, and none of them reaches the terminal."""
    assert make("\ta\x1b[31m: b", 4).render().splitlines()[1:] == ["  7 |  a [31m: b", "    |    ^"]


def test_long_lines_are_cut_around_the_column() -> None:
    """A key set on one line does not bury the mistake in it."""
    source = "a" * 500 + "HERE" + "b" * 500
    line, caret = make(source, 501).render().splitlines()[1:]
    assert len(line) < 180
    assert line[caret.index("^") :].startswith("HERE")


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("url: http://user:hunter2@host/", "url: http://************@host/"),
        ("url: http://host/?key=hunter2&b=c", "url: http://host/?key=*******&b=*"),
        ("jwks: data:;base64,aHVudGVyMg", "jwks: data:;base64,**********"),
        ('- {kty: oct, "k": "aHVudGVyMg"}', '- {kty: oct, "k": "**********"}'),
        ("    d: aHVudGVyMg", "    d: **********"),
        ("path: /a/b", "path: /a/b"),
        ("applicationID: https://api.example/a", "applicationID: https://api.example/a"),
    ],
)
def test_secrets_in_the_source_are_starred(source: str, shown: str) -> None:
    """Reports are pasted into tickets; the columns stay."""
    assert make(source).render().splitlines()[1] == f"  7 | {shown}"


def test_paths() -> None:
    """As people write them."""
    assert format_path(("providers", 0, "jwks_options", "ttl")) == "providers[0].jwks_options.ttl"
    assert format_path(()) == ""


def test_an_error_holds_all_of_them() -> None:
    """One exception a file."""
    error = ConfigError([make("x"), make("y", line=8)])
    assert str(error).splitlines() == [str(make("x")), str(make("y", line=8))]
    assert error.render().count("^") == 2


def list_models(model: type[BaseModel]) -> set[str]:
    """Return the names of a model and of all models in it, as its schema tells."""
    return {model.__name__, *model.model_json_schema()["$defs"]}


def test_every_mapping_knows_its_keys() -> None:
    """Each section of the file is in the table by which a misspelt key is told what was meant."""
    assert list_models(GatewayFile) == {model.__name__ for model in _MODELS.values()}
