"""
What a token proves: the providers that its issuer stands for, tried in file order, and what each says of it.

RFC 8725, section 3.8: the issuer chooses the provider, and only that provider's keys are tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.core.errors import Attempt, GatewayError, Reason, TokenRefused, Unavailable
from gateway.core.jwks import KeySet, VerificationKey
from gateway.core.jwt import Token
from gateway.core.places import TokenPlace
from gateway.core.policy import Policy
from gateway.core.steps import Steps, run
from gateway.core.tokens import (
    Provider,
    VerifiedToken,
    check_algorithm,
    check_claims,
    check_typ,
    select_keys,
    verify_signature,
)

KEYS_RETRY_SECONDS = 5
NOBODY_ASKED: Mapping[str, bool] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class NeedKeys:
    """No decision before this provider was asked for its keys; ``kid`` is the one that is not known yet, if any."""

    provider: str
    kid: str | None


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
    outcome = run(verify_in_steps(token, policy, keys, now, asked))
    return outcome if isinstance(outcome, NeedKeys) else outcome[0]


def verify_in_steps(
    token: Token,
    policy: Policy,
    keys: Mapping[str, KeySet],
    now: float,
    asked: Mapping[str, bool],
    place: TokenPlace | None = None,
) -> Steps[tuple[VerifiedToken, KeySet | None] | NeedKeys]:
    """
    Return what a token proves, as ``verify`` does, and the keys that prove it.

    Each step ends with a signature that holds. With a ``place``, it is asked of the providers that take tokens from
    there. Without keys, it must be proven anew each time: a provider before this one, which refuses it now, may yet
    take it.
    """
    attempts: list[Attempt] = []
    wish: NeedKeys | None = None
    for provider in _select_providers(token, policy, place):
        try:
            chosen = _choose_keys(token, provider, keys.get(provider.name), asked)
            if isinstance(chosen, NeedKeys):
                wish = wish or chosen
                continue
            proven_by, candidates = chosen
            verify_signature(token, candidates)
            yield
            verified = check_claims(token, provider, now)
        except GatewayError as error:
            attempts.append(Attempt(provider.name, error))
        else:
            is_last_word = wish is None and all(attempt.error.reason in _LASTING for attempt in attempts)
            return verified, proven_by if is_last_word else None
    if wish is not None:
        return wish
    if not attempts:
        raise _build_unknown_issuer(token, policy, place)
    furthest = max(attempts, key=lambda attempt: attempt.error.reason.stage)
    furthest.error.attempts = tuple(attempts)
    furthest.error.context = {**describe_token(token), "provider": furthest.provider}
    raise furthest.error


def _select_providers(token: Token, policy: Policy, place: TokenPlace | None) -> tuple[Provider, ...]:
    providers = policy.select_providers(token.issuer) if token.issuer else ()
    return providers if place is None else tuple(each for each in providers if place in each.token_places)


# Refusals of a token that neither time nor keys can mend.
_LASTING = frozenset(
    {
        Reason.TYP_NOT_ACCEPTED,
        Reason.ALGORITHM_NOT_ACCEPTED,
        Reason.EXPIRED,
        Reason.LIFETIME_TOO_LONG,
        Reason.AUDIENCE_MISMATCH,
        Reason.CLAIM_MISSING,
        Reason.CLAIM_MISMATCH,
        Reason.ORGANIZATION_CONFLICT,
        Reason.ID_TOKEN,
    }
)


def _build_unknown_issuer(token: Token, policy: Policy, place: TokenPlace | None) -> TokenRefused:
    received: object = token.issuer
    expected = tuple(issuer for provider in policy.providers for issuer in provider.issuers)
    description = "The issuer of the token is not accepted." if token.issuer else "The token names no issuer."
    elsewhere = policy.select_providers(token.issuer) if token.issuer else ()
    if elsewhere:
        received, expected = str(place), tuple(str(other) for each in elsewhere for other in each.token_places)
        description = "Tokens of this issuer are not accepted from where this one stands."
    error = TokenRefused(Reason.UNKNOWN_ISSUER, description, received=received, expected=expected)
    error.context = describe_token(token)
    return error


def _choose_keys(
    token: Token, provider: Provider, keys: KeySet | None, asked: Mapping[str, bool]
) -> tuple[KeySet, tuple[VerificationKey, ...]] | NeedKeys:
    """Return the keys of a provider and those of them that may have signed, or a wish for keys."""
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
    return keys, select_keys(token, keys)


def describe_token(token: Token) -> dict[str, object]:
    """Return what the log says of a token that nothing is proven of."""
    return {
        "token_iss": token.issuer,
        "token_aud": token.claims.get("aud"),
        "token_alg": token.algorithm,
        "token_kid": token.kid,
    }
