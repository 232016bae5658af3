"""
The vectors: what must come out for a token or a request, as data.

Each is ``{name, why, token | request, policy, now, expect}``. ``policy`` holds ``providers`` with their key sets,
inline or by name in ``keys/``, and maybe ``routes``, ``default_access`` and ``headers``; ``expect`` holds a ``reason``,
or what must come out of ``identity``, ``fields``, ``access``, ``captures`` and ``target``. The examples in
``signatures/`` sign what is no JSON, so all that they show is the signature.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.core.decision import Allow, decide
from gateway.core.errors import GatewayError, Reason, TokenRefused
from gateway.core.identity import IdentitySettings
from gateway.core.jwks import KeySet, build_key_set, parse_key_set
from gateway.core.jwt import Token
from gateway.core.policy import Policy
from gateway.core.tokens import Provider, select_keys, verify_signature
from tests.policies import RFC9068, make_head, make_policy, make_provider, make_route, make_routes
from tests.signing import decode

HERE = Path(__file__).parent


def load(pattern: str) -> list[Any]:
    files = sorted(HERE.glob(pattern))
    return [pytest.param(vector, id=vector["name"]) for file in files for vector in json.loads(file.read_text("utf-8"))]


def build_provider(entry: dict[str, Any]) -> Provider:
    audiences = entry.get("audience", [])
    profile = RFC9068 if entry.get("profile") == "rfc9068" else {}
    return make_provider(
        *audiences,
        name=entry["name"],
        kind=entry.get("type", "customJwt"),
        issuers=(entry["issuer"],),
        algorithms=frozenset(entry["algorithm"]),
        allow_any_audience=not audiences,
        leeway_seconds=entry.get("leeway", 0.0),
        **profile,
    )


def build_policy(entry: dict[str, Any]) -> Policy:
    routes = [make_route(**route) for route in entry.get("routes", [])]
    headers = tuple((name.encode(), claim) for name, claim in entry.get("headers", {}).items())
    return make_policy(
        *map(build_provider, entry.get("providers", [])),
        routes=make_routes(*routes, default=entry.get("default_access", "required")),
        identity=IdentitySettings(headers=headers),
        keeps_encoded_slashes=entry.get("encoded_slashes") == "keep",
    )


def load_keys(jwks: str | dict[str, Any]) -> KeySet:
    return (
        parse_key_set((HERE / "keys" / f"{jwks}.json").read_bytes()) if isinstance(jwks, str) else build_key_set(jwks)
    )


def run(vector: dict[str, Any]) -> dict[str, Any]:
    policy = vector["policy"]
    keys = {entry["name"]: load_keys(entry["jwks"]) for entry in policy.get("providers", [])}
    request = vector.get("request", {})
    head = make_head(vector.get("token"), request.get("target", "/"), request.get("method", "GET"))
    try:
        outcome = decide(head, build_policy(policy), keys, vector["now"], dict.fromkeys(keys, True))
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
