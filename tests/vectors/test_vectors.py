"""The decision on each vector is what stands there; ``corpus`` says what a vector is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core.decision import Allow, decide
from gateway.core.errors import GatewayError, Reason, TokenRefused
from gateway.core.jwt import Token
from gateway.core.tokens import select_keys, verify_signature
from tests.signing import decode

from .corpus import ask, load, load_keys


def run(vector: dict[str, Any]) -> dict[str, Any]:
    head, policy, keys, now = ask(vector)
    try:
        outcome = decide(head, policy, keys, now, dict.fromkeys(keys, True))
    except GatewayError as error:
        return {"reason": error.reason.word}
    assert isinstance(outcome, Allow)
    fields = {name.decode(): value.decode() for name, value in outcome.fields}
    return {
        "identity": json.loads(fields.pop("X-Identity")),
        "fields": fields,
        "captures": dict(outcome.match.captures),
        "access": outcome.match.access.value,
        "target": outcome.target,
    }


@pytest.mark.parametrize("vector", load("*.json"))
def test_vector(vector):
    """What comes out is what stands there; what does not stand there may be anything."""
    outcome = run(vector)
    assert {name: outcome.get(name) for name in vector["expect"]} == vector["expect"], vector["why"]


@pytest.mark.parametrize("vector", load("rfc*.json"))
def test_a_changed_example_is_refused(vector):
    """The negative twin of each example of a standard: one bit of the signature, and it is bad."""
    signing_input, _, signature = vector["token"].rpartition(".")
    changed = ("B" if signature[0] == "A" else "A") + signature[1:]
    assert run({**vector, "token": f"{signing_input}.{changed}"}) == {"reason": "bad_signature"}


def test_names_are_unique_and_reasons_are_given():
    """A vector is found by its name, and nobody knows why it is there but itself."""
    vectors = [parameter.values[0] for parameter in load("*.json")]
    assert len({vector["name"] for vector in vectors}) == len(vectors)
    assert all(vector["why"] and vector["expect"] for vector in vectors)


@pytest.mark.parametrize("vector", load("signatures/*.json"))
def test_signature(vector):
    """The signature holds over the octets as they stand there, and not over one other bit."""
    signing_input, _, signature = vector["token"].rpartition(".")
    key_set = load_keys(vector["jwks"])
    kid = key_set.keys[0].kid
    token = Token(signing_input.encode("ascii"), decode(signature), vector["algorithm"], kid, "none", {})
    assert verify_signature(token, select_keys(token, key_set)) is key_set.keys[0]
    changed = token._replace(signing_input=token.signing_input[:-1] + b"_")
    with pytest.raises(TokenRefused) as refused:
        verify_signature(changed, key_set.keys)
    assert refused.value.reason is Reason.BAD_SIGNATURE
