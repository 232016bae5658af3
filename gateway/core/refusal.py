"""What becomes of a refusal: whether it holds or is only observed, and where the caller learns how to get a token."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.decision import Allow, RequestHead, decide, find_match, match_route
from gateway.core.errors import GatewayError, Reason
from gateway.core.jwks import KeySet
from gateway.core.organizations import NeedStanding
from gateway.core.policy import Policy
from gateway.core.resource import Resource
from gateway.core.verification import NeedKeys

# What the file says of everyone; a route that is observed does not undo it.
_OF_THE_FILE = frozenset({Reason.ORGANIZATION_DENIED, Reason.AUTHORIZATION_UNAVAILABLE})


def observe(
    error: GatewayError,
    head: RequestHead,
    policy: Policy,
    keys: Mapping[str, KeySet],
    now: float,
    asked: Mapping[str, bool],
) -> Allow | NeedKeys | NeedStanding:
    """
    Return how a refused request goes on where the file says ``mode: observe``.

    It goes on with the identity that its token proves, whatever its route demands of that; without one, or where the
    file lets nobody of its organization call, as anonymous.
    The other parameters are those of ``decide``.

    Raises:
        GatewayError: The refusal, where it holds: refusals are enforced, or the request could not be sent on at all.
    """
    match = find_match(head, policy)
    if not (policy.is_observed or (match is not None and match.route is not None and match.route.is_observed)):
        raise error
    try:
        target, default = match_route(head, policy.unguarded)
    except GatewayError:
        # There is nothing that could be sent.
        raise error from None
    match = match or default
    if error.reason in _OF_THE_FILE:
        if not policy.is_observed:
            raise error
        return Allow(target, match, policy.anonymous_lines, None)
    try:
        outcome = decide(head, policy.unguarded, keys, now, asked)
    except GatewayError:
        return Allow(target, match, policy.anonymous_lines, None)
    return outcome._replace(match=match) if isinstance(outcome, Allow) else outcome


def find_resource(head: RequestHead, policy: Policy) -> Resource | None:
    """Return the resource that a request was for, to be named in a challenge (RFC 9728, section 5.1)."""
    match = find_match(head, policy)
    return (match.route.resource if match is not None and match.route is not None else None) or policy.resource
