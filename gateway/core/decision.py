"""
The decision: a request, a policy, keys and a time in; an identity to forward, a wish, or a refusal out.

The order is fixed: target, route, credentials, provider, key, signature, claims, authorization, identity. Nothing of
an unverified token decides anything but which provider's rules apply to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from gateway.core.credentials import extract_bearer_token, peek_bearer_token
from gateway.core.errors import GatewayError, Reason, RequestRefused, RouteRefused, TokenRefused
from gateway.core.fields import Field, FieldSet, build_lines, split_lines
from gateway.core.identity import build_identity, build_identity_fields
from gateway.core.jwks import KeySet
from gateway.core.jwt import Token, parse_token
from gateway.core.mcp import find_tool_scopes
from gateway.core.organizations import NeedStanding, Standing, Standings, check_standing
from gateway.core.places import Credentials, PlaceKind, TokenPlace, check_origin, check_page, find_credentials
from gateway.core.policy import Policy
from gateway.core.preflight import find_preflight_method
from gateway.core.proofs import Proof, ProofCache, name_token
from gateway.core.routes import NO_RULE, Access, Match, authorize
from gateway.core.steps import Steps, run
from gateway.core.target import cut_parameters, get_path, parse_target, split_segments
from gateway.core.tokens import VerifiedToken, forget_text, stands
from gateway.core.verification import NOBODY_ASKED, NeedKeys, describe_token, verify_in_steps

# CONNECT asks for a tunnel past every rule, TRACE echoes credentials and the fields that we add.
REFUSED_METHODS = frozenset({"CONNECT", "TRACE"})
_PLAIN_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")

# Paths are kept as the log has them, without their query. Longer ones are rare, and a few would weigh as much as all
# others.
_MAX_REMEMBERED_LENGTH = 256

NOTHING_KNOWN: Mapping[str, Standing] = MappingProxyType({})


class RequestHead:
    """The head of a request as received: ``target`` is the request-target."""

    __slots__ = ("fields", "method", "target")

    def __init__(self, method: str, target: str, fields: FieldSet) -> None:
        self.method = method
        self.target = target
        self.fields = fields


# One is made of each request, and this is a third of what the class's own way to make one costs.
_new_tuple = tuple.__new__


class Allow(NamedTuple):
    """
    A request that goes on: to this target, with these ready lines of fields.

    ``verified`` is None for an anonymous one.
    """

    target: str
    match: Match
    lines: bytes
    verified: VerifiedToken | None

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields that the lines are."""
        return split_lines(self.lines)

    @property
    def expires_at(self) -> float | None:
        """The time in seconds since the epoch at which the caller's token ends, leeway included."""
        return None if self.verified is None else self.verified.ends


def decide(
    head: RequestHead,
    policy: Policy,
    keys: Mapping[str, KeySet],
    now: float,
    asked: Mapping[str, bool] = NOBODY_ASKED,
    proofs: ProofCache | None = None,
    standings: Standings = NOTHING_KNOWN,
) -> Allow | NeedKeys | NeedStanding:
    """
    Decide on one request.

    ``keys`` maps a provider's name to its usable set; one without an entry has no keys now. ``now`` is in seconds
    since the epoch. ``asked`` names the providers that were asked for keys on behalf of this request already, and says
    whether the issuer's last word was an answer: if so, no key is the last word, else it is an outage. ``proofs`` are
    those of this policy; the decision is the same without them. ``standings`` are those of organizations that are known
    without asking again.

    Raises:
        GatewayError: The refusal; of several providers' the one that got furthest, with all ``attempts``.
    """
    begun = begin(head, policy, keys, now, proofs, standings)
    if isinstance(begun, Unproven):
        return run(prove_in_steps(head, begun, policy, keys, now, asked, proofs, standings))
    return begun


class Unproven(NamedTuple):
    """
    A request whose rule is known and whose token is not.

    ``place`` is where the token stands, None where that is the one place there is; ``name`` is by what the token is
    known once it is proven, empty for one that is not kept.
    """

    target: str
    match: Match
    token: Token
    place: TokenPlace | None
    name: bytes


def begin(
    head: RequestHead,
    policy: Policy,
    keys: Mapping[str, KeySet],
    now: float,
    proofs: ProofCache | None,
    standings: Standings,
) -> Allow | NeedStanding | Unproven:
    """
    Decide on a request as ``decide`` does, if that takes no proof of a token.

    Raises:
        GatewayError: As ``decide`` does.
    """
    target, match = match_route(head, policy)
    if match.access is Access.PUBLIC:
        return Allow(target, match, policy.anonymous_lines, None)
    is_default = policy.token_places is None
    authorization, place = (head.fields.authorization, None) if is_default else _find_credentials(head, policy)
    peeked = name = b""
    if proofs is not None and (peeked := peek_bearer_token(authorization)):
        # A provider that takes it from there may be another one than the first that takes it from here.
        name = name_token(peeked if place is None else f"{place} ".encode("ascii") + peeked)
        proof = proofs.find(name)
        # Proven by this very set of keys: a key that has left it takes along what it proved.
        if proof is not None and proof.keys is keys.get(proof.verified.provider.name) and stands(proof.verified, now):
            need = _authorize(proof.verified, match, policy, now, standings, head)
            return need or _new_tuple(Allow, (target, match, proof.lines, proof.verified))
    text = extract_bearer_token(authorization)
    if text is None:
        if match.access is Access.REQUIRED:
            raise TokenRefused(Reason.MISSING_TOKEN, "A bearer token is needed.", scopes=_list_scopes(match))
        return Allow(target, match, policy.anonymous_lines, None)
    token = parse_token(text, max_length=policy.max_token_length)
    return _new_tuple(Unproven, (target, match, token, place, name if peeked == text.encode("ascii") else b""))


def prove_in_steps(
    head: RequestHead,
    begun: Unproven,
    policy: Policy,
    keys: Mapping[str, KeySet],
    now: float,
    asked: Mapping[str, bool],
    proofs: ProofCache | None,
    standings: Standings,
) -> Steps[Allow | NeedKeys | NeedStanding]:
    """
    Go on with what ``begin`` began; each step ends with a signature that holds.

    Raises:
        GatewayError: As ``decide`` does.
    """
    target, match, token, place, name = begun
    outcome = yield from verify_in_steps(token, policy, keys, now, asked, place)
    if isinstance(outcome, NeedKeys):
        return outcome
    verified, proven_by = outcome
    need = _authorize(verified, match, policy, now, standings, head)
    lines = _build_identity_lines(verified, policy)
    if proofs is not None and proven_by is not None and name:
        proofs.keep(name, Proof(forget_text(verified), proven_by, lines))
    return need or Allow(target, match, lines, verified)


def _find_credentials(head: RequestHead, policy: Policy) -> Credentials:
    """Return the token of a request where it may stand in other places than the Authorization field."""
    found = find_credentials(policy.token_places or (), head.target, head.fields)
    if found.place is not None and found.place.kind is PlaceKind.COOKIE:
        check_origin(head.method, head.fields, policy.allowed_origins)
    return found


def _authorize(
    verified: VerifiedToken, match: Match, policy: Policy, now: float, standings: Standings, head: RequestHead
) -> NeedStanding | None:
    """Check what the route and the file want of a caller; return the wish for what only a service knows."""
    organizations = policy.organizations
    if match.route is None and organizations is None:
        return None
    route = match.route or NO_RULE
    try:
        tool_scopes: tuple[str, ...] = ()
        if route.tools is not None:
            check_page(head.fields, policy.allowed_origins)
            tool_scopes = find_tool_scopes(head.method, head.fields, route.tools)
        authorize(verified, route, match.captures, now, organizations, tool_scopes)
        if organizations is None:
            return None
        # At last: nobody else is asked about a caller who is refused anyway.
        return check_standing(verified.organization, organizations, standings)
    except GatewayError as error:
        error.context = _describe_caller(verified)
        raise


def _build_identity_lines(verified: VerifiedToken, policy: Policy) -> bytes:
    try:
        return build_lines(build_identity_fields(build_identity(verified, policy.identity), policy.identity))
    except GatewayError as error:
        error.context = _describe_caller(verified)
        raise


def _describe_caller(verified: VerifiedToken) -> dict[str, object]:
    return {
        **describe_token(verified.token),
        "provider": verified.provider.name,
        "subject": verified.token.claims["sub"],
        "organization": verified.organization,
        "client_id": verified.client_id,
    }


def match_route(head: RequestHead, policy: Policy) -> tuple[str, Match]:
    """
    Return what a request asks for, and the rule that it falls under.

    Raises:
        RequestRefused: ``ambiguous_path`` or ``malformed_request``.
        RouteRefused: ``method_not_allowed`` or ``no_route``.
    """
    method, hosts = head.method, head.fields.host
    if method in REFUSED_METHODS:
        raise _build_refused_method(method)
    # RFC 9112, section 3.2: none or several is for 400; upstreams differ on which of two they believe.
    if len(hosts) > 1:
        raise RequestRefused(Reason.MALFORMED_REQUEST, "The request has more than one Host field.")
    target = parse_target(method, head.target, hosts)
    if method == "OPTIONS" and policy.passes_preflights:
        wanted = find_preflight_method(head.fields)
        if wanted is not None and wanted not in REFUSED_METHODS and target != "*":
            # It asks whether another request may come, so it falls under the rule of that one; nobody calls yet.
            return target, _match_path(target, wanted, policy)._replace(access=Access.PUBLIC)
    return target, _match_path(target, method, policy)


def find_match(head: RequestHead, policy: Policy) -> Match | None:
    """Return the rule that a request falls under, or None where it is refused before one is found, or by one."""
    try:
        return match_route(head, policy)[1]
    except GatewayError:
        return None


def _match_path(target: str, method: str, policy: Policy) -> Match:
    # Where the path decides nothing, no path is ambiguous; "OPTIONS *" is about the server.
    if not policy.has_decisive_path:
        return policy.routes.default
    if target == "*":
        return policy.routes.match(method, ())
    path = get_path(target)
    match = policy.matches[method, path]
    if match is None:
        match = _find_rule(path, method, policy)
        if len(path) + len(method) <= _MAX_REMEMBERED_LENGTH:
            policy.matches[method, path] = match
    return match


def _find_rule(path: str, method: str, policy: Policy) -> Match:
    segments = split_segments(path, keep_encoded_slashes=policy.keeps_encoded_slashes)
    # "%3" begins an encoded semicolon.
    if (";" in path or "%3" in path) and not policy.routes.is_same(segments, cut_parameters(segments)):
        raise RequestRefused(Reason.AMBIGUOUS_PATH, "The path falls under another rule without its parameters.")
    return policy.routes.match(method, segments)


def _build_refused_method(method: str) -> RouteRefused:
    return RouteRefused(
        Reason.METHOD_NOT_ALLOWED,
        "The method is not supported.",
        received=method,
        expected=_PLAIN_METHODS,
        allowed_methods=_PLAIN_METHODS,
    )


def _list_scopes(match: Match) -> tuple[str, ...]:
    return match.route.scopes if match.route else ()
