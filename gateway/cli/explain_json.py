"""An explanation as JSON for programs. The members of ``schema`` 1 only ever get company."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.cli.explanation import CheckResult, Explanation, ProviderResult
from gateway.cli.near_misses import find_near_misses
from gateway.core.claims import read_audiences
from gateway.core.decision import Allow
from gateway.core.jwt import Token


def build_document(explanation: Explanation, notes: Sequence[str]) -> dict[str, Any]:
    """Return an explanation as a JSON object; it never holds the token or its signature."""
    error, decisive, outcome = explanation.error, explanation.decisive, explanation.outcome
    fields = outcome.fields if isinstance(outcome, Allow) else ()
    return {
        "verdict": explanation.verdict.value,
        "reason": error.reason.word if error else None,
        "status": error.reason.status if error else None,
        "description": error.description if error else None,
        "provider": decisive.provider.name if decisive else None,
        "token": _build_token(explanation.token) if explanation.token else None,
        "providers": [_build_provider(each) for each in explanation.providers],
        "request": {"method": explanation.situation.head.method, "target": explanation.situation.head.target},
        "route": _build_route(explanation),
        "upstream_fields": [{"name": name.decode("ascii"), "value": value.decode("ascii")} for name, value in fields],
        "notes": list(notes),
        "hints": list(find_near_misses(explanation)),
    }


def _build_token(token: Token) -> dict[str, Any]:
    return {
        "typ": None if token.typ == "none" else token.typ,
        "alg": token.algorithm,
        "kid": token.kid,
        "iss": token.issuer,
        "sub": token.claims.get("sub"),
        "aud": list(read_audiences(token.claims, "aud") or ()),
        "iat": token.claims.get("iat"),
        "nbf": token.claims.get("nbf"),
        "exp": token.claims.get("exp"),
    }


def _build_provider(result: ProviderResult) -> dict[str, Any]:
    return {
        "name": result.provider.name,
        "where": result.where,
        "accepted": result.error is None,
        "reason": result.error.reason.word if result.error else None,
        "checks": [_build_check(each) for each in result.checks],
    }


def _build_check(each: CheckResult) -> dict[str, Any]:
    return {
        "check": each.check.title,
        "result": each.result.value,
        "received": list(each.sides.received),
        "accepted": list(each.sides.accepted),
        "where": each.where,
    }


def _build_route(explanation: Explanation) -> dict[str, Any] | None:
    match = explanation.match
    if match is None:
        return None
    path = match.route.pattern.text if match.route else None
    return {"path": path, "where": explanation.route_where, "access": match.access.value}
