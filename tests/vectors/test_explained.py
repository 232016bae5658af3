"""``explain`` on each vector: it says what the gateway decides, in every part, and ends with what to do."""

from __future__ import annotations

import json
import re

import pytest

from gateway.cli.explain_json import build_document
from gateway.cli.explain_text import render_text
from gateway.cli.explanation import Situation, build_explanation
from gateway.core.decision import Allow, decide
from gateway.core.errors import GatewayError
from gateway.core.proofs import ProofCache

from .corpus import ask, load

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def explain(vector):
    """Return the explanation of a vector, as the command makes it of a file with these providers and routes."""
    head, policy, keys, now = ask(vector)
    places = {"locate": lambda *_: "gateway.yaml:1", "locate_route": lambda _: "gateway.yaml:2"}
    # Spaces between the scheme and the token are none of the token's (RFC 9110, section 11.4).
    return build_explanation(Situation(head, vector.get("token", "").lstrip(" "), policy, keys, now, **places))


def decide_live(vector):
    """Return what the proxy decides, the second time that it meets the token: from its proof, where there is one."""
    head, policy, keys, now = ask(vector)
    proofs = ProofCache(100)
    for _ in range(2):
        try:
            outcome = decide(head, policy, keys, now, dict.fromkeys(keys, True), proofs)
        except GatewayError as error:
            outcome = error
    return outcome


@pytest.mark.parametrize("vector", load("*.json"))
def test_explanation_is_the_decision(vector):
    """One function decides for both; what is told of the parts never contradicts the whole."""
    explanation, live = explain(vector), decide_live(vector)
    document = build_document(explanation, ())
    expected = vector["expect"].get("reason")
    if isinstance(live, GatewayError):
        assert explanation.error is not None
        assert document["reason"] == live.reason.word == expected
        assert (document["status"], document["description"]) == (live.reason.status, live.description)
    else:
        assert isinstance(explanation.outcome, Allow)
        assert (document["verdict"], document["reason"], expected) == ("accepted", None, None)
        assert explanation.outcome.lines == live.lines
        assert explanation.outcome.match == live.match
    accepted = [provider["name"] for provider in document["providers"] if provider["accepted"]]
    if not isinstance(live, GatewayError) and live.verified is not None:
        assert document["provider"] == accepted[0] == live.verified.provider.name


@pytest.mark.parametrize("vector", load("*.json"))
def test_explanation_can_be_shown(vector):
    """Whatever a token says, its explanation is plain ASCII for a terminal, and JSON that any parser reads."""
    explanation = explain(vector)
    lines = [_COLOURS.sub("", line) for line in render_text(explanation, ())]
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert json.loads(json.dumps(build_document(explanation, ())))["providers"] is not None


@pytest.mark.parametrize("vector", load("*.json"))
def test_refusal_ends_with_a_remedy(vector):
    """A refusal of a token, or of a request before its token is looked at, names what to do about it."""
    if "reason" in vector["expect"] and vector["expect"]["reason"] != "missing_token":
        assert build_document(explain(vector), ())["hints"]
