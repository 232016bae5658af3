"""
The decision: a request, a policy, keys and a time in; an identity to forward, a wish for keys, or a refusal out.

The order is fixed: target, route, credentials, provider, key, signature, claims, authorization, identity. Nothing of
an unverified token decides anything but which provider's rules apply to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from gateway.core.credentials import extract_bearer_token
from gateway.core.errors import Attempt, GatewayError, Reason, RequestRefused, RouteRefused, TokenRefused, Unavailable
from gateway.core.fields import Field, FieldSet
from gateway.core.identity import build_identity, build_identity_fields
from gateway.core.jwks import KeySet
from gateway.core.jwt import Token, parse_token
from gateway.core.policy import Policy
from gateway.core.proofs import Accepted, KnownToken, ProofCache
from gateway.core.routes import Access, Match, authorize
from gateway.core.target import Target, parse_target, split_segments
from gateway.core.tokens import (
    Provider,
    VerifiedToken,
    check_algorithm,
    check_claims,
    check_standing,
    check_typ,
    select_keys,
    verify_signature,
)

# CONNECT asks for a tunnel past every rule, TRACE echoes credentials and the fields that we add.
REFUSED_METHODS = frozenset({"CONNECT", "TRACE"})
_PLAIN_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")

KEYS_RETRY_SECONDS = 5
NOBODY_ASKED: Mapping[str, bool] = MappingProxyType({})


# These are made for each request, and a named tuple costs half of what a frozen dataclass does.
class RequestHead(NamedTuple):
    """The head of a request as received: ``target`` is the request-target."""

    method: str
    target: str
    fields: FieldSet


class Allow(NamedTuple):
    """A request that goes on: to this target, with these fields. ``verified`` is None for an anonymous one."""

    target: Target
    match: Match
    fields: tuple[Field, ...]
    verified: VerifiedToken | None

    @property
    def expires_at(self) -> float | None:
        """The time in seconds since the epoch at which the caller's token ends, leeway included."""
        if self.verified is None:
            return None
        return self.verified.token.expires_at + self.verified.provider.leeway_seconds


@dataclass(frozen=True, slots=True)
class NeedKeys:
    """No decision before this provider was asked for its keys; ``kid`` is the one that is not known yet, if any."""

    provider: str
    kid: str | None


def decide(
    head: RequestHead,
    policy: Policy,
    keys: Mapping[str, KeySet],
    now: float,
    asked: Mapping[str, bool] = NOBODY_ASKED,
    proofs: ProofCache | None = None,
) -> Allow | NeedKeys:
    """
    Decide on one request.

    ``keys`` maps a provider's name to its usable set; one without an entry has no keys now. ``now`` is in seconds
    since the epoch. ``asked`` names the providers that were asked for keys on behalf of this request already, and says
    whether the issuer's last word was an answer: if so, no key is the last word, else it is an outage. ``proofs`` are
    those of this policy; the decision is the same without them.

    Raises:
        GatewayError: The refusal; of several providers' the one that got furthest, with all ``attempts``.
    """
    target, match = match_route(head, policy)
    text = None if match.access is Access.PUBLIC else extract_bearer_token(head.fields.values(b"authorization"))
    if text is None:
        if match.access is Access.REQUIRED:
            raise TokenRefused(Reason.MISSING_TOKEN, "A bearer token is needed.", scopes=_list_scopes(match))
        return Allow(target, match, build_identity_fields(None, policy.identity), None)
    known = proofs.find(text) if proofs is not None else None
    if known is not None:
        return _decide_known(known, target, match, policy, keys, now, asked)
    known = _read(parse_token(text, max_length=policy.max_token_length), policy)
    try:
        return _decide_known(known, target, match, policy, keys, now, asked)
    finally:
        if proofs is not None:
            proofs.keep(text, known)


def _decide_known(
    known: KnownToken,
    target: Target,
    match: Match,
    policy: Policy,
    keys: Mapping[str, KeySet],
    now: float,
    asked: Mapping[str, bool],
) -> Allow | NeedKeys:
    verified = _verify_known(known, policy, keys, now, asked)
    if isinstance(verified, NeedKeys):
        return verified
    try:
        fields = _authorize(known, verified, policy, match)
    except GatewayError as error:
        error.context = {
            **_describe_token(verified.token),
            "provider": verified.provider.name,
            "subject": verified.token.claims["sub"],
            "organization": verified.organization,
            "client_id": verified.client_id,
        }
        raise
    return Allow(target, match, fields, verified)


def _read(token: Token, policy: Policy) -> KnownToken:
    return KnownToken(token, policy.select_providers(token.issuer) if token.issuer else ())


def _authorize(known: KnownToken, verified: VerifiedToken, policy: Policy, match: Match) -> tuple[Field, ...]:
    accepted = known.accepted.get(verified.provider.name)
    identity = build_identity(verified, policy.identity) if accepted is None else accepted.identity
    authorize(verified, identity, match)
    if accepted is None:
        fields = build_identity_fields(identity, policy.identity)
        accepted = known.accepted[verified.provider.name] = Accepted(verified, identity, fields)
    return accepted.fields


def _describe_token(token: Token) -> dict[str, object]:
    return {
        "token_iss": token.issuer,
        "token_aud": token.claims.get("aud"),
        "token_alg": token.algorithm,
        "token_kid": token.kid,
    }


def _read_target(head: RequestHead) -> Target:
    if head.method in REFUSED_METHODS:
        raise RouteRefused(
            Reason.METHOD_NOT_ALLOWED,
            "The method is not supported.",
            received=head.method,
            expected=_PLAIN_METHODS,
            allowed_methods=_PLAIN_METHODS,
        )
    hosts = head.fields.values(b"host")
    # RFC 9112, section 3.2: none or several is for 400; upstreams differ on which of two they believe.
    if len(hosts) > 1:
        raise RequestRefused(Reason.MALFORMED_REQUEST, "The request has more than one Host field.")
    return parse_target(head.method, head.target, hosts[0].decode("latin-1") if hosts else None)


def match_route(head: RequestHead, policy: Policy) -> tuple[Target, Match]:
    """
    Return what a request asks for, and the rule that it falls under.

    Raises:
        RequestRefused: ``ambiguous_path`` or ``malformed_request``.
        RouteRefused: ``method_not_allowed`` or ``no_route``.
    """
    target = _read_target(head)
    # "OPTIONS *" is about the server, and where the path decides nothing, no path is ambiguous. Below a base path it
    # decides: dot segments would lead out.
    if target.path == "*" or not (policy.routes or policy.forwarding.base_path):
        return target, policy.routes.match(head.method, ())
    segments = split_segments(target.path, keep_encoded_slashes=policy.keeps_encoded_slashes)
    return target, policy.routes.match(head.method, segments)


def _list_scopes(match: Match) -> tuple[str, ...]:
    return match.route.scopes if match.route else ()


def verify(
    token: Token,
    policy: Policy,
    keys: Mapping[str, KeySet],
    now: float,
    asked: Mapping[str, bool] = NOBODY_ASKED,
) -> VerifiedToken | NeedKeys:
    """
    Return what a token proves by the rules of the first provider, in file order, that takes it.

    Raises:
        TokenRefused: What the provider that got furthest says, with all ``attempts``.
        Unavailable: ``keys_unavailable``, where a provider without keys might have taken the token.
    """
    return _verify_known(_read(token, policy), policy, keys, now, asked)


def _verify_known(
    known: KnownToken, policy: Policy, keys: Mapping[str, KeySet], now: float, asked: Mapping[str, bool]
) -> VerifiedToken | NeedKeys:
    if not known.providers:
        raise _build_unknown_issuer(known.token, policy)
    attempts: list[Attempt] = []
    wish: NeedKeys | None = None
    for provider in known.providers:
        try:
            outcome = _verify_for(known, provider, keys.get(provider.name), now, asked)
        except GatewayError as error:
            attempts.append(Attempt(provider.name, error))
            continue
        if isinstance(outcome, VerifiedToken):
            return outcome
        wish = wish or outcome
    if wish is not None:
        return wish
    furthest = max(attempts, key=lambda attempt: attempt.error.reason.stage)
    furthest.error.attempts = tuple(attempts)
    furthest.error.context = {**_describe_token(known.token), "provider": furthest.provider}
    raise furthest.error


def _build_unknown_issuer(token: Token, policy: Policy) -> TokenRefused:
    error = TokenRefused(
        Reason.UNKNOWN_ISSUER,
        "The issuer of the token is not accepted." if token.issuer else "The token names no issuer.",
        received=token.issuer,
        expected=tuple(issuer for provider in policy.providers for issuer in provider.issuers),
    )
    error.context = _describe_token(token)
    return error


def _verify_for(
    known: KnownToken, provider: Provider, keys: KeySet | None, now: float, asked: Mapping[str, bool]
) -> VerifiedToken | NeedKeys:
    # Proven by this very set of keys: a key that has left it takes along what it proved.
    if keys is None or known.proven.get(provider.name) is not keys:
        need = _prove(known, provider, keys, asked)
        if need is not None:
            return need
    accepted = known.accepted.get(provider.name)
    if accepted is None:
        return check_claims(known.token, provider, now)
    check_standing(known.token, provider, now)
    return accepted.verified


def _prove(known: KnownToken, provider: Provider, keys: KeySet | None, asked: Mapping[str, bool]) -> NeedKeys | None:
    token = known.token
    check_typ(token, provider)
    check_algorithm(token, provider)
    if keys is None or (token.kid is not None and not keys.has_kid(token.kid)):
        if provider.name not in asked:
            return NeedKeys(provider.name, token.kid)
        # The issuer may have rotated its keys; that we cannot ask it is not the caller's fault.
        if keys is None or not asked[provider.name]:
            raise Unavailable(
                Reason.KEYS_UNAVAILABLE,
                "The keys of the token's issuer are not available.",
                retry_after_seconds=KEYS_RETRY_SECONDS,
            )
    verify_signature(token, select_keys(token, keys))
    known.proven[provider.name] = keys
    return None
