"""Providers and policies for tests: the defaults of the file, and what a test changes of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.core.audience import parse_audience_pattern
from gateway.core.decision import RequestHead
from gateway.core.fields import FieldSet
from gateway.core.policy import Forwarding, Policy
from gateway.core.routes import Access, Requirement, Route, RouteTable, parse_path_pattern
from gateway.core.step_up import StepUp
from gateway.core.tokens import Provider
from tests.signing import ALGORITHMS, AUDIENCE, ISSUER

RFC9068 = {"is_rfc9068": True, "types": frozenset({"at+jwt"})}


def make_provider(*audiences: str, **changes: Any) -> Provider:
    """Return a provider for these audience patterns; every algorithm, custom kind, no leeway."""
    return Provider(
        **{
            "name": "main",
            "kind": "customJwt",
            "issuers": (ISSUER,),
            "algorithms": frozenset(ALGORITHMS),
            "audiences": tuple(map(parse_audience_pattern, audiences or (AUDIENCE,))),
            "leeway_seconds": 0.0,
            **changes,
        }
    )


def make_policy(*providers: Provider, **changes: Any) -> Policy:
    """Return a policy of these providers, or of the default one."""
    return Policy(**{"providers": providers or (make_provider(),), "forwarding": Forwarding(host=None), **changes})


def make_route(path: str, access: str = "required", **changes: Any) -> Route:
    """Return a route as the file would give it; ``require`` maps a claim to a value or to ``{capture}``."""
    methods = changes.pop("methods", None)
    require = changes.pop("require", {})
    step_up = StepUp(changes.pop("max_age", None), tuple(changes.pop("acr_values", ())))
    return Route(
        pattern=parse_path_pattern(path),
        access=Access(access),
        methods=None if methods is None else frozenset(methods),
        requirements=tuple(_make_requirement(claim, wanted) for claim, wanted in require.items()),
        step_up=None if step_up == StepUp() else step_up,
        **{name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()},
    )


def _make_requirement(claim: str, wanted: Any) -> Requirement:
    if isinstance(wanted, str) and wanted.startswith("{"):
        return Requirement(claim, capture=wanted.strip("{}"))
    return Requirement(claim, values=tuple(wanted) if isinstance(wanted, list) else (wanted,))


def make_routes(*routes: Route, default: str = "required") -> RouteTable:
    """Return the table of these routes."""
    return RouteTable(routes, Access(default))


def make_head(
    token: str | None = None, target: str = "/", method: str = "GET", fields: Iterable[tuple[bytes, bytes]] = ()
) -> RequestHead:
    """Return a request for this target, with this bearer token."""
    credentials = [] if token is None else [(b"Authorization", b"Bearer " + token.encode("utf-8", "replace"))]
    return RequestHead(method, target, FieldSet(((b"Host", b"api.example"), *credentials, *fields)))
