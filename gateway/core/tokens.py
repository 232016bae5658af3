"""
The rules of one provider, applied to one token: type, algorithm, key, signature, times, audience, claims.

RFC 7519, 8725, 9068. ``verify_signature`` is the only cryptography; the checks run in the order of ``errors.Reason``.
Nothing that a token says is ever used to find a key or an address: ``jku``, ``x5u``, ``jwk`` and ``x5c`` are never
looked at (RFC 8725, section 3.10).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.jws import JWSRegistry

from gateway.core.audience import AudienceMatch, AudiencePattern, match_audiences
from gateway.core.claims import (
    ClaimRequirement,
    find_claim,
    is_claim_met,
    read_audiences,
    read_first_string,
    read_scopes,
)
from gateway.core.errors import Reason, TokenRefused
from gateway.core.jwks import ALGORITHMS, KeySet, VerificationKey
from gateway.core.jwt import Token

# RFC 9068, section 2.2
_RFC9068_CLAIMS = ("iss", "exp", "aud", "sub", "client_id", "iat", "jti")
# OpenID Connect Core, sections 2 and 3.3.2.11: hashes of other artifacts, which only an ID token carries.
_ID_TOKEN_CLAIMS = ("at_hash", "c_hash", "s_hash")
# joserfc knows the curve-specific name only (RFC 9864) without a deprecation warning for each token.
_VERIFIERS = {name: JWSRegistry.algorithms["Ed25519" if name == "EdDSA" else name] for name in ALGORITHMS}


def normalize_issuer(issuer: str) -> str:
    """Return an issuer without its trailing slashes, which IdPs and people add and drop at will."""
    return issuer.rstrip("/")


@dataclass(frozen=True, slots=True)
class Provider:
    """
    One entry of ``providers``, compiled: whose tokens it takes and what they must look like.

    ``issuers`` hold the text of the file; ``types`` are lower-case media subtypes, ``none`` for an absent ``typ``.
    """

    name: str
    kind: str
    issuers: tuple[str, ...]
    algorithms: frozenset[str]
    audiences: tuple[AudiencePattern, ...] = ()
    allow_any_audience: bool = False
    audience_claim: str = "aud"
    types: frozenset[str] = frozenset({"jwt", "at+jwt", "none"})
    is_rfc9068: bool = False
    required_claims: tuple[ClaimRequirement, ...] = ()
    leeway_seconds: float = 5.0
    max_lifetime_seconds: float | None = None
    scope_claims: tuple[str, ...] = ("scope", "scp")
    organization_claims: tuple[str, ...] = ("organization_id", "org_id")
    client_claims: tuple[str, ...] = ("client_id", "azp")

    def has_issuer(self, issuer: str) -> bool:
        """
        Return whether tokens of this issuer are this provider's.

        Trailing slashes are ignored on both sides, nothing else is; under RFC 9068 nothing at all (its section 4).
        """
        if self.is_rfc9068:
            return issuer in self.issuers
        return normalize_issuer(issuer) in map(normalize_issuer, self.issuers)


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token that holds now, with what its provider's rules read from it. ``audience`` is all that it names."""

    token: Token
    provider: Provider
    audience: tuple[str, ...]
    organization: str | None
    scopes: tuple[str, ...]
    client_id: str | None


def check_typ(token: Token, provider: Provider) -> None:
    """
    Refuse a token of another kind (RFC 8725, section 3.11; RFC 9068, section 4).

    Raises:
        TokenRefused: ``typ_not_accepted``.
    """
    if token.typ not in provider.types:
        raise TokenRefused(
            Reason.TYP_NOT_ACCEPTED,
            "The type (typ) of the token is not accepted.",
            received=token.typ,
            expected=tuple(sorted(provider.types)),
        )


def check_algorithm(token: Token, provider: Provider) -> None:
    """
    Refuse an algorithm that the file does not list; ``none`` and HMAC cannot be listed (RFC 8725, section 3.1).

    Raises:
        TokenRefused: ``algorithm_not_accepted``.
    """
    if token.algorithm not in provider.algorithms:
        raise TokenRefused(
            Reason.ALGORITHM_NOT_ACCEPTED,
            "The signature algorithm (alg) of the token is not accepted.",
            received=token.algorithm,
            expected=tuple(sorted(provider.algorithms)),
        )


def select_keys(token: Token, keys: KeySet) -> tuple[VerificationKey, ...]:
    """
    Return the keys that may have signed the token.

    Raises:
        TokenRefused: ``unknown_key``.
    """
    candidates = keys.select_candidates(token.algorithm, token.kid)
    if not candidates:
        raise TokenRefused(
            Reason.UNKNOWN_KEY,
            "The issuer publishes no key that fits the token's kid and algorithm.",
            received=token.kid,
            expected=tuple(key.kid for key in keys.keys),
        )
    return candidates


def verify_signature(token: Token, candidates: tuple[VerificationKey, ...]) -> VerificationKey:
    """
    Return the key that signed the token (RFC 7515, section 5.2).

    Raises:
        TokenRefused: ``bad_signature``.
    """
    verifier = _VERIFIERS[token.algorithm]
    for candidate in candidates:
        if verifier.verify(token.signing_input, token.signature, candidate.key):
            return candidate
    raise TokenRefused(Reason.BAD_SIGNATURE, "The signature of the token is not valid.")


def check_claims(token: Token, provider: Provider, now: float) -> VerifiedToken:
    """
    Check what a token of this provider must say at this time, and read what the rest of the gateway wants to know.

    ``now`` is in seconds since the epoch.

    Raises:
        TokenRefused: ``expired`` to ``id_token`` of the closed set, the first that applies.
    """
    claims = token.claims
    matched = check_standing(token, provider, now)
    _check_required(claims, provider)
    organization = _resolve_organization(claims, provider, matched)
    if provider.is_rfc9068 and any(name in claims for name in _ID_TOKEN_CLAIMS):
        raise TokenRefused(Reason.ID_TOKEN, "The token is an ID token; an access token is needed.")
    return VerifiedToken(
        token,
        provider,
        read_audiences(claims, provider.audience_claim) or (),
        organization,
        read_scopes(claims, provider.scope_claims),
        read_first_string(claims, provider.client_claims),
    )


def check_standing(token: Token, provider: Provider, now: float) -> AudienceMatch | None:
    """
    Check what is never believed from before: times and audience; return what the audience matched.

    Raises:
        TokenRefused: ``expired`` to ``audience_mismatch`` of the closed set.
    """
    _check_times(token.claims, provider, now)
    return _check_audience(token.claims, provider)


def _check_times(claims: Mapping[str, Any], provider: Provider, now: float) -> None:
    """RFC 7519, sections 4.1.4 to 4.1.6: valid before ``exp``, from ``nbf`` on, and issued in the past."""
    leeway = provider.leeway_seconds
    expiry = claims.get("exp")
    if expiry is None:
        raise _missing("exp")
    if now >= expiry + leeway:
        raise TokenRefused(Reason.EXPIRED, "The token has expired.", received=expiry, expected=now)
    if now < claims.get("nbf", now) - leeway:
        raise TokenRefused(Reason.NOT_YET_VALID, "The token is not valid yet.", received=claims["nbf"], expected=now)
    if now < claims.get("iat", now) - leeway:
        raise TokenRefused(
            Reason.ISSUED_IN_FUTURE, "The token was issued in the future.", received=claims["iat"], expected=now
        )
    if provider.max_lifetime_seconds is None:
        return
    if "iat" not in claims:
        raise _missing("iat")
    if expiry - claims["iat"] > provider.max_lifetime_seconds:
        raise TokenRefused(
            Reason.LIFETIME_TOO_LONG,
            "The token is valid for longer than is accepted.",
            received=expiry - claims["iat"],
            expected=provider.max_lifetime_seconds,
        )


def _missing(name: str) -> TokenRefused:
    return TokenRefused(Reason.CLAIM_MISSING, f"The token has no claim {name}.", expected=name)


def _check_audience(claims: Mapping[str, Any], provider: Provider) -> AudienceMatch | None:
    """RFC 7519, section 4.1.3: a token that does not name us is for somebody else."""
    if provider.allow_any_audience:
        return None
    audiences = read_audiences(claims, provider.audience_claim) or ()
    matched = match_audiences(provider.audiences, audiences)
    if matched is None:
        raise TokenRefused(
            Reason.AUDIENCE_MISMATCH,
            "The token is for another audience." if audiences else "The token names no audience.",
            received=audiences,
            expected=tuple(pattern.text for pattern in provider.audiences),
        )
    return matched


def _check_required(claims: Mapping[str, Any], provider: Provider) -> None:
    for name in _RFC9068_CLAIMS if provider.is_rfc9068 else ("sub",):
        if claims.get(name) in (None, ""):
            raise _missing(name)
    for requirement in provider.required_claims:
        value = find_claim(claims, requirement.path)
        if value is None:
            raise _missing(requirement.path)
        if not is_claim_met(value, requirement.values):
            raise TokenRefused(
                Reason.CLAIM_MISMATCH,
                f"The claim {requirement.path} does not have the required value.",
                received=value,
                expected=requirement.values,
            )


def _resolve_organization(claims: Mapping[str, Any], provider: Provider, matched: AudienceMatch | None) -> str | None:
    """Return the one organization that audience and claims name; two of them is nobody's request to decide."""
    captured = matched.captures.get("organization", frozenset()) if matched else frozenset()
    claimed = {value for path in provider.organization_claims if isinstance(value := find_claim(claims, path), str)}
    organizations = (captured | claimed) - {""}
    if len(organizations) > 1:
        raise TokenRefused(
            Reason.ORGANIZATION_CONFLICT,
            "The token names more than one organization.",
            received=tuple(sorted(organizations)),
        )
    return next(iter(organizations), None)
