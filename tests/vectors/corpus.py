"""
The vectors as data: files of what must come out for a token or a request, and the policy and keys that they name.

Each is ``{name, why, norm, token | request, policy, now, expect}``. ``policy`` holds ``providers`` with their key sets,
inline or by name in ``keys/``, and maybe ``routes``, ``default_access`` and ``headers``; ``expect`` holds a ``reason``,
or what must come out of ``identity``, ``fields``, ``access``, ``captures`` and ``target``; ``norm``, which may be
absent, the lines of ``norms.toml`` that it shows. The examples in ``signatures/`` sign what is no JSON, so all that
they show is the signature.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.core.decision import RequestHead
from gateway.core.identity import IdentitySettings
from gateway.core.jwks import KeySet, build_key_set, parse_key_set
from gateway.core.policy import Policy
from gateway.core.tokens import Provider
from tests.policies import RFC9068, make_head, make_policy, make_provider, make_route, make_routes

HERE = Path(__file__).parent


class Question(NamedTuple):
    """What a decision is made on."""

    head: RequestHead
    policy: Policy
    keys: Mapping[str, KeySet]
    now: float


def load(pattern: str) -> list[Any]:
    """Return the vectors of some files as parameters of a test."""
    vectors = [vector for file in sorted(HERE.glob(pattern)) for vector in json.loads(file.read_text("utf-8"))]
    return [pytest.param(vector, id=vector["name"], marks=_mark(vector.get("norm", ()))) for vector in vectors]


def _mark(norms: Iterable[str]) -> list[pytest.MarkDecorator]:
    return [pytest.mark.norm(*norms)] if norms else []


def _build_provider(entry: dict[str, Any]) -> Provider:
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


def _build_policy(entry: dict[str, Any]) -> Policy:
    routes = [make_route(**route) for route in entry.get("routes", [])]
    headers = tuple((name.encode(), claim) for name, claim in entry.get("headers", {}).items())
    return make_policy(
        *map(_build_provider, entry.get("providers", [])),
        routes=make_routes(*routes, default=entry.get("default_access", "required")),
        identity=IdentitySettings(headers=headers),
        keeps_encoded_slashes=entry.get("encoded_slashes") == "keep",
    )


def load_keys(jwks: str | dict[str, Any]) -> KeySet:
    """Return a key set that is named or written out."""
    return (
        parse_key_set((HERE / "keys" / f"{jwks}.json").read_bytes()) if isinstance(jwks, str) else build_key_set(jwks)
    )


def ask(vector: Mapping[str, Any]) -> Question:
    """Return the question of a vector."""
    policy, request = vector["policy"], vector.get("request", {})
    keys = {entry["name"]: load_keys(entry["jwks"]) for entry in policy.get("providers", [])}
    head = make_head(vector.get("token"), request.get("target", "/"), request.get("method", "GET"))
    return Question(head, _build_policy(policy), keys, vector["now"])
