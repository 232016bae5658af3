"""Variables in scalars."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.interpolation import InterpolationError, interpolate
from tests.unit.config.conftest import Complain, Load

ENVIRON = {"A": "one", "EMPTY": "", "YAML": "{evil: [1]}", "NESTED": "${A}"}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("${A}", "one"),
        ("x${A}y${A}", "xoneyone"),
        ("${EMPTY}", ""),
        ("${A:-other}", "one"),
        ("${EMPTY:-other}", "other"),
        ("${NONE:-}", ""),
        ("${NONE:-a:-b?c d}", "a:-b?c d"),
        ("${A:?must be}", "one"),
        ("$${A}", "${A}"),
        ("$$$${A}", "$${A}"),
        ("$$${A}", "$one"),
        ("^a$", "^a$"),
        ("$A costs 5$", "$A costs 5$"),
        ("${NESTED}", "${A}"),
        ("no reference", "no reference"),
    ],
)
def test_references(text: str, expanded: str) -> None:
    """As Compose has them; what a variable holds is not looked at again."""
    assert interpolate(text, ENVIRON) == expanded


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("${NONE}", [(0, "the variable NONE is not set: set it, or write ${NONE:-default}")]),
        ("a${X}${A}${Y}", [(1, "the variable X is not set"), (9, "the variable Y is not set")]),
        ("${NONE:?where the API is}", [(0, "the variable NONE is not set or empty: where the API is")]),
        ("${EMPTY:?}", [(0, "the variable EMPTY is not set or empty: set it")]),
        ("${", [(0, "not a reference")]),
        ("${}", [(0, "not a reference")]),
        ("${1A}", [(0, "not a reference")]),
        ("${A-b}", [(0, "not a reference")]),
        ("${A:+b}", [(0, "not a reference")]),
        ("${NONE:-${A}}", [(0, "not a reference")]),
    ],
)
def test_references_to_nothing(text: str, mistakes: list[tuple[int, str]]) -> None:
    """All of a scalar at once, each with its place; a form of the shell that is not known is not passed over."""
    with pytest.raises(InterpolationError) as caught:
        interpolate(text, ENVIRON)
    assert [place for place, _ in caught.value.mistakes] == [place for place, _ in mistakes]
    for (_, message), (_, expected) in zip(caught.value.mistakes, mistakes, strict=True):
        assert message.startswith(expected)


@given(st.text(alphabet="${}A:-?x"), st.dictionaries(st.sampled_from(["A", "AA"]), st.text(max_size=3)))
def test_any_text_is_expanded_or_refused(text: str, environ: dict[str, str]) -> None:
    """No other exception, whatever the text."""
    with suppress(InterpolationError):
        interpolate(text, environ)


@given(st.text())
def test_what_is_escaped_stays(text: str) -> None:
    """Every text can be written."""
    assert interpolate(text.replace("$", "$$"), {}) == text


def test_a_value_is_never_structure(load: Load) -> None:
    """The file is parsed first: a variable that holds YAML is a text with braces in it."""
    text = "version: 1\nupstream: http://b\nproviders:\n  - domain: https://i.example\n    applicationID: x${YAML}\n"
    loaded = load(text, environ={"YAML": ", allow_any_audience: true"})
    assert loaded.config.providers[0].application_id == ("x, allow_any_audience: true",)


def test_types_come_from_the_key(load: Load) -> None:
    """A variable is text; numbers, switches, durations and sizes are read from it where the key wants one."""
    loaded = load(
        tail="limits: {header_count: '${COUNT}', body: '${SIZE}'}\n"
        "forward_token: ${FLAG}\ndrain_delay: ${SECONDS}\nstreams: {expiry_close_code: '${CODE}'}\n",
        environ={"COUNT": "7", "SIZE": "1KiB", "FLAG": "true", "SECONDS": "1.5", "CODE": "1008"},
    )
    assert loaded.settings.limits.header_count == 7
    assert loaded.settings.limits.body_bytes == 1024
    assert loaded.settings.policy.forwarding.forward_token
    assert loaded.settings.timeouts.drain_delay_seconds == 1.5
    assert loaded.settings.streams.expiry_close_code == 1008


def test_an_application_id_of_digits_stays_text(load: Load) -> None:
    """A client id of digits in a variable is text; written out it needs quotes, and the report says so."""
    text = "version: 1\nupstream: http://b\nproviders:\n  - domain: https://i.example\n    applicationID: ${ID}\n"
    assert load(text, environ={"ID": "012"}).config.providers[0].application_id == ("012",)


def test_all_unset_variables_at_once(complain: Complain) -> None:
    """One run names each of them at its place, one alias of it once, and none of those that nobody uses."""
    text = (
        "x-unused: ${UNUSED}\n"
        "x-base: &base\n"
        "  issuer: ${ISSUER}/oidc\n"
        "  applicationID: x\n"
        "version: 1\n"
        "upstream: http://${HOST}:${PORT}\n"
        "providers:\n"
        "  - {<<: *base, type: customJwt, jwks: 'https://i.example/${TENANT}'}\n"
        "  - {<<: *base, type: customJwt, jwks: 'https://j.example'}\n"
    )
    assert complain(text) == [
        "3:11: error: the variable ISSUER is not set: set it, or write ${ISSUER:-default}",
        "6:18: error: the variable HOST is not set: set it, or write ${HOST:-default}",
        "6:26: error: the variable PORT is not set: set it, or write ${PORT:-default}",
        "8:59: error: the variable TENANT is not set: set it, or write ${TENANT:-default}",
    ]


def test_an_empty_variable_permits_nothing(complain: Complain) -> None:
    """A variable that is set to nothing is not an audience that is left out."""
    text = "version: 1\nupstream: http://b\nproviders:\n  - domain: https://i.example\n    applicationID: ${ID}\n"
    assert complain(text, environ={"ID": ""}) == [
        "5:20: error: providers[0].applicationID[0]: the text is empty: write a value, or remove the key"
    ]
