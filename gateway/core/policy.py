"""
The file, compiled: immutable, and swapped whole.

A request keeps the policy that it began with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType

from gateway.core.fields import build_lines
from gateway.core.identity import IdentitySettings, build_identity_fields
from gateway.core.jwt import MAX_TOKEN_LENGTH
from gateway.core.memory import Memory
from gateway.core.organizations import OrganizationRules
from gateway.core.places import AUTHORIZATION, PlaceKind, TokenPlace
from gateway.core.resource import Resource, build_metadata
from gateway.core.routes import Access, Match, RouteTable
from gateway.core.tokens import Provider, normalize_issuer

Network = IPv4Network | IPv6Network

# Paths are the callers', so the memory of them is bounded.
_MAX_MATCHES = 1024
_NO_RULES = RouteTable((), Access.OPTIONAL)


@dataclass(frozen=True, slots=True)
class Forwarding:
    """
    Where on the upstream requests go, and what it is told about the client.

    ``host`` is the Host field, or None to pass the client's on; ``base_path`` stands before each path, without a slash
    at its end.
    """

    host: bytes | None
    has_via: bool = True
    forward_token: bool = False
    trusted_proxies: tuple[Network, ...] = ()
    base_path: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """
    Whom the gateway believes, what it lets them do, and what it tells the upstream.

    ``error_detail`` is ``none``, ``reason`` or ``full``; ``realm`` is the realm of challenges. ``allowed_origins`` are
    those whose pages may do more than read with a token in a cookie. ``organizations`` None
    lets every one of them call.
    """

    providers: tuple[Provider, ...]
    forwarding: Forwarding
    routes: RouteTable = field(default_factory=RouteTable)
    identity: IdentitySettings = field(default_factory=IdentitySettings)
    keeps_encoded_slashes: bool = False
    max_token_length: int = MAX_TOKEN_LENGTH
    error_detail: str = "reason"
    realm: str = "auth-gateway"
    allowed_origins: frozenset[bytes] = frozenset()
    # Where the providers' tokens may stand, or None where that is the Authorization field alone.
    token_places: tuple[TokenPlace, ...] | None = field(init=False, repr=False, compare=False)
    organizations: OrganizationRules | None = None
    # Who we are to OAuth clients, where no route says otherwise.
    resource: Resource | None = None
    # Whether browsers may ask, without a token, what another origin may send.
    passes_preflights: bool = False
    # Whether refusals are only written down.
    is_observed: bool = False
    # Whether the path decides anything: which rule applies, or, below a base path, what is reached. Dot segments would
    # lead out of it.
    has_decisive_path: bool = field(init=False, repr=False, compare=False)
    anonymous_lines: bytes = field(init=False, repr=False, compare=False)
    # The same policy with no rule on any path, for what is only observed: who calls is told, and may be nobody.
    unguarded: Policy = field(init=False, repr=False, compare=False)
    # Metadata of resources, by request-target.
    documents: Mapping[str, bytes] = field(init=False, repr=False, compare=False)
    # The rule of a method and a path that were asked for before: to find it anew is a third of what a request costs.
    matches: Memory[tuple[str, str], Match] = field(init=False, repr=False, compare=False)
    # By the issuer as the file spells it, and by its normalized form.
    _by_issuer: Mapping[str, tuple[Provider, ...]] = field(init=False, repr=False, compare=False)
    _by_spelling: Mapping[str, tuple[Provider, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make ready what each request asks for; by issuer, a thousand providers cost as little as one."""
        index: dict[str, tuple[Provider, ...]] = {}
        for provider in self.providers:
            for issuer in dict.fromkeys(map(normalize_issuer, provider.issuers)):
                index[issuer] = (*index.get(issuer, ()), provider)
        object.__setattr__(self, "_by_issuer", MappingProxyType(index))
        spelled = {issuer: self._find_providers(issuer) for provider in self.providers for issuer in provider.issuers}
        object.__setattr__(self, "_by_spelling", MappingProxyType(spelled))
        places = tuple(dict.fromkeys(place for provider in self.providers for place in provider.token_places))
        object.__setattr__(self, "token_places", None if places in ((), (AUTHORIZATION,)) else places)
        object.__setattr__(self, "has_decisive_path", bool(self.routes or self.forwarding.base_path))
        observes = self.is_observed or any(route.is_observed for route in self.routes)
        unguarded = replace(self, routes=_NO_RULES, organizations=None, is_observed=False) if observes else self
        object.__setattr__(self, "unguarded", unguarded)
        object.__setattr__(self, "documents", MappingProxyType(self._build_documents()))
        object.__setattr__(self, "matches", Memory(_MAX_MATCHES))
        object.__setattr__(self, "anonymous_lines", build_lines(build_identity_fields(None, self.identity)))

    @property
    def passes_authorization(self) -> bool:
        """Whether the Authorization field goes on: one that nobody looks at must not, beside a token that was."""
        return self.forwarding.forward_token and (self.token_places is None or AUTHORIZATION in self.token_places)

    def _build_documents(self) -> dict[str, bytes]:
        resources = dict.fromkeys(
            resource for resource in (self.resource, *(route.resource for route in self.routes)) if resource is not None
        )
        return {resource.metadata_target: self._build_document(resource) for resource in resources}

    def _build_document(self, resource: Resource) -> bytes:
        routes = [route for route in self.routes if (route.resource or self.resource) == resource]
        takes_all = resource == self.resource or any(route.providers is None for route in routes)
        taken = {name for route in routes for name in route.providers or ()}
        return build_metadata(
            resource,
            (issuer for each in self.providers if takes_all or each.name in taken for issuer in each.issuers),
            (scope for route in routes for scope in (*route.scopes, *route.any_scope)),
            _list_bearer_methods(self.token_places),
        )

    def select_providers(self, issuer: str) -> tuple[Provider, ...]:
        """Return the providers whose tokens this issuer signs, in file order."""
        providers = self._by_spelling.get(issuer)
        return self._find_providers(issuer) if providers is None else providers

    def _find_providers(self, issuer: str) -> tuple[Provider, ...]:
        candidates = self._by_issuer.get(normalize_issuer(issuer), ())
        return tuple(provider for provider in candidates if provider.has_issuer(issuer))


def _list_bearer_methods(places: tuple[TokenPlace, ...] | None) -> list[str]:
    """Return the places that RFC 6750, section 2, has a word for; None is the Authorization field alone."""
    words = {PlaceKind.AUTHORIZATION: "header", PlaceKind.QUERY: "query"}
    return list(dict.fromkeys(words[place.kind] for place in places or (AUTHORIZATION,) if place.kind in words))
