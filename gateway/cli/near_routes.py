"""
Requests that a route does not take, or not from this caller: what to ask for instead, or what to change in the file.

Each function is given one refusal and yields sentences. None of them decides anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gateway.cli.explanation import Explanation, Situation
from gateway.core.decision import REFUSED_METHODS, RequestHead, find_match
from gateway.core.errors import GatewayError, Reason
from gateway.core.routes import Match


def _find_path(explanation: Explanation, _error: GatewayError) -> Iterator[str]:
    where = explanation.situation.locate("encoded_slashes")
    yield (
        "Two servers could read this path differently, so no rule is asked: build it with one / at its start and "
        "between segments, without . and .. and without backslashes, and name this host or none. Where %2F is data to "
        f"your backend, write encoded_slashes: keep ({where})."
    )


def _find_route(explanation: Explanation, _error: GatewayError) -> Iterator[str]:
    situation = explanation.situation
    yield (
        f"No rule under {situation.locate('routes')} matches this path, and default_access is deny: add a rule for it, "
        "or ask for another path."
    )
    if not situation.has_path:
        yield "This is about GET /, as no request is named: name the one that was refused with --method and --path."
    other = _swap_slash(situation.head.target)
    match = _match(other, situation)
    if match is not None and match.route is not None:
        where = situation.locate_route(match.route)
        yield (
            f"Only the slash at the end differs: {other} is matched by {match.route.pattern.text} ({where}). Ask for "
            "that path, or add a rule for this one."
        )


def _swap_slash(target: str) -> str:
    path, mark, query = target.partition("?")
    return (path.removesuffix("/") if path.endswith("/") else f"{path}/") + mark + query


def _match(target: str, situation: Situation) -> Match | None:
    return find_match(RequestHead(situation.head.method, target, situation.head.fields), situation.policy)


def _find_method(explanation: Explanation, error: GatewayError) -> Iterator[str]:
    method, allowed = explanation.situation.head.method, ", ".join(error.allowed_methods)
    if method in REFUSED_METHODS:
        yield f"{method} is never passed on, whatever the rules say: ask with {allowed}."
        return
    yield (
        f"The rules of this path allow other methods only: ask with {allowed}, or add {method} to methods of the rule "
        f"under {explanation.situation.locate('routes')} that takes this path."
    )


def _find_provider(explanation: Explanation, error: GatewayError) -> Iterator[str]:
    wanted = " or ".join(error.expected) if isinstance(error.expected, tuple) else ""
    yield (
        f"The route takes tokens of {wanted} only, and this one is of {error.received}: send one of those, or add "
        f"{error.received} to providers at {explanation.route_where}."
    )


def _find_scope(explanation: Explanation, error: GatewayError) -> Iterator[str]:
    received = error.received if isinstance(error.received, tuple) else ()
    missing = [scope for scope in error.scopes if scope not in received]
    yield (
        f"Missing scope: {' '.join(missing)}. The client must ask for it, and the issuer must grant it to this user or "
        "client (role, permission or consent)."
    )
    decisive = explanation.decisive
    if not received and decisive is not None:
        claims = ", ".join(decisive.provider.scope_claims)
        yield (
            f"It has no scope at all in {claims}: if its scopes stand in another claim, name that in scope_claims at "
            f"{decisive.where}."
        )


def _find_organization(explanation: Explanation, error: GatewayError) -> Iterator[str]:
    if error.received != "organization (none)":
        yield (
            f"The token has {error.received}, the route wants {error.expected}. Use the path of the token's "
            "organization, or ask for a token of the other one."
        )
        return
    decisive = explanation.decisive
    where = decisive.where if decisive else explanation.route_where
    yield (
        f"The token is of no organization, and the route wants {error.expected}: ask the issuer for a token of that "
        "organization (Logto: organization_id=...). If yours name it in another claim, write organization_claim at "
        f"{where}."
    )


def _find_requirement(explanation: Explanation, error: GatewayError) -> Iterator[str]:
    yield (
        f"The route requires {error.expected}; the caller has {error.received}. Send the token of a caller that has "
        f"it, have the issuer put it in, or change require at {explanation.route_where}."
    )


# What the route says, be the token what it may.
ROUTE_FINDERS: dict[Reason, Callable[[Explanation, GatewayError], Iterator[str]]] = {
    Reason.AMBIGUOUS_PATH: _find_path,
    Reason.NO_ROUTE: _find_route,
    Reason.METHOD_NOT_ALLOWED: _find_method,
    Reason.PROVIDER_NOT_ALLOWED: _find_provider,
    Reason.INSUFFICIENT_SCOPE: _find_scope,
    Reason.ORGANIZATION_MISMATCH: _find_organization,
    Reason.REQUIREMENT_NOT_MET: _find_requirement,
}
