"""Whatever the text, a file loads or is refused with problems; nothing else is ever raised."""

from __future__ import annotations

import json
from typing import Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.config.load import Loaded, parse_config
from gateway.config.problems import ConfigError, Problem
from gateway.config.show import render_config
from tests.unit.config.test_settings import EVERYTHING

WHOLE = yaml.safe_load(EVERYTHING)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["${A}", "${B}", "*", "{a}", "http://x", "unix:", "data:,{}", "file:", "10s", "none", "/**", "x\ny"]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def load(text: str) -> Loaded | None:
    try:
        return parse_config(text, "f.yaml", {"A": "a"})
    except ConfigError as error:
        problems = error.problems
    check_problems(text, problems)
    return None


def check_problems(text: str, problems: tuple[Problem, ...]) -> None:
    assert problems
    for problem in problems:
        assert 1 <= problem.line <= len(text.splitlines()) + 1
        assert problem.column >= 1
        assert str(problem).isprintable()
        assert "Value error" not in problem.message
        assert "pydantic" not in problem.render()


@given(st.text())
def test_any_text(text: str) -> None:
    """Also what is no YAML at all."""
    load(text)


@given(st.text(alphabet="ab:-[]{}&*!|>'\"%@`#?,<\n \t${}", max_size=40))
def test_any_punctuation(text: str) -> None:
    """Also what looks like YAML."""
    load(text)


def list_places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, member in members for place in list_places(member, (*path, key)))]


PLACES = list_places(WHOLE)[1:]


def change(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[path[0]] = change(value[path[0]], path[1:], new)
    return changed


@given(st.sampled_from(PLACES), VALUES)
@example(("limits",), {"\n": False})
@example(("limits",), {"\x1b[2J": False})
def test_any_value_at_any_place(place: tuple[Any, ...], value: Any) -> None:
    """A value of any type in the place of any other is refused in a sentence, or it is one."""
    loaded = load(json.dumps(change(WHOLE, place, value)))
    if loaded is not None:
        assert load(render_config(loaded)) is not None


@given(st.lists(st.tuples(st.sampled_from(PLACES), SCALARS), min_size=2, max_size=6))
def test_any_mistakes_together(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    """Several of them go through all stages."""
    data = WHOLE
    for place, value in changes:
        try:
            data = change(data, place, value)
        except (KeyError, IndexError, TypeError, ValueError):
            continue
    load(json.dumps(data))
