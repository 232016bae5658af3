"""
The rules of one provider, applied to one token: type, algorithm, key, signature, times, audience, claims.

RFC 7519, 8725, 9068. ``verify_signature`` is the only cryptography; the checks run in the order of ``errors.Reason``.
Nothing that a token says is ever used to find a key or an address: ``jku``, ``x5u``, ``jwk`` and ``x5c`` are never
looked at (RFC 8725, section 3.10).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from joserfc.jws import JWSRegistry

from gateway.core.audience import AudiencePattern, match_audiences
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
from gateway.core.places import AUTHORIZATION, TokenPlace

# RFC 9068, section 2.2
_RFC9068_CLAIMS = ("iss", "exp", "aud", "sub", "client_id", "iat", "jti")
# OpenID Connect Core, sections 2 and 3.3.2.11: hashes of other artifacts, which only an ID token carries.
_ID_TOKEN_CLAIMS = ("at_hash", "c_hash", "s_hash")
# joserfc knows the curve-specific name only (RFC 9864) without a deprecation warning for each token.
_VERIFIERS = {name: JWSRegistry.algorithms["Ed25519" if name == "EdDSA" else name] for name in ALGORITHMS}


# One is made of each new token, and this is a third of what the class's own way to make one costs.
_new_tuple = tuple.__new__


def normalize_issuer(issuer: str) -> str:
    """Return an issuer without its trailing slashes, which IdPs and people add and drop at will."""
    return issuer.rstrip("/")


@dataclass(frozen=True, slots=True)
class Provider:
    """
    One entry of ``providers``, compiled: whose tokens it takes and what they must look like.

    ``issuers`` hold the text of the file; ``types`` are lower-case media subtypes, ``none`` for an absent ``typ``. A
    token that stands elsewhere than in ``token_places`` is not its.
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
    token_places: tuple[TokenPlace, ...] = (AUTHORIZATION,)
    # The audiences that are no patterns: most tokens have one of them, and are spared the patterns.
    literal_audiences: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make ready what each request asks for."""
        literals = frozenset(pattern.text for pattern in self.audiences if pattern.is_literal)
        object.__setattr__(self, "literal_audiences", literals)

    def has_issuer(self, issuer: str) -> bool:
        """
        Return whether tokens of this issuer are this provider's.

        Trailing slashes are ignored on both sides, nothing else is; under RFC 9068 nothing at all (its section 4).
        """
        if self.is_rfc9068:
            return issuer in self.issuers
        return normalize_issuer(issuer) in map(normalize_issuer, self.issuers)


# A named tuple, as one is made of each new token: half of what a frozen dataclass costs.
class VerifiedToken(NamedTuple):
    """
    A token that holds, with what its provider's rules read from it.

    ``audience`` is all that it names. It holds from ``begins`` on and before ``ends``, both in seconds since the epoch
    and with leeway.
    """

    token: Token
    provider: Provider
    audience: tuple[str, ...]
    organization: str | None
    scopes: tuple[str, ...]
    client_id: str | None
    begins: float
    ends: float


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
    begins, ends = check_times(token, provider, now)
    audience = read_audiences(claims, provider.audience_claim) or ()
    captured = _capture_organizations(audience, provider)
    _check_required(claims, provider)
    organization = _resolve_organization(claims, provider, captured)
    if provider.is_rfc9068 and any(name in claims for name in _ID_TOKEN_CLAIMS):
        raise TokenRefused(Reason.ID_TOKEN, "The token is an ID token; an access token is needed.")
    scopes = read_scopes(claims, provider.scope_claims)
    client_id = read_first_string(claims, provider.client_claims)
    return _new_tuple(VerifiedToken, (token, provider, audience, organization, scopes, client_id, begins, ends))


def stands(verified: VerifiedToken, now: float) -> bool:
    """Return whether what is never believed from before still holds: times and audience."""
    if not verified.begins <= now < verified.ends:
        return False
    provider, audience = verified.provider, verified.audience
    if provider.allow_any_audience or not provider.literal_audiences.isdisjoint(audience):
        return True
    return any(pattern.match(each) is not None for each in audience for pattern in provider.audiences)


def forget_text(verified: VerifiedToken) -> VerifiedToken:
    """Return a token without the text that was signed and its signature, which weigh as much as all that they said."""
    token = _new_tuple(Token, (b"", b"", *verified.token[2:]))
    return _new_tuple(VerifiedToken, (token, *verified[1:]))


def check_times(token: Token, provider: Provider, now: float) -> tuple[float, float]:
    """
    Check that a token is valid before ``exp``, from ``nbf`` on, and issued in the past; return when that is so.

    RFC 7519, sections 4.1.4 to 4.1.6.

    Raises:
        TokenRefused: ``claim_missing``, ``expired``, ``not_yet_valid``, ``issued_in_future`` or ``lifetime_too_long``.
    """
    leeway, expiry = provider.leeway_seconds, token.exp
    if expiry is None:
        raise _missing("exp")
    ends = expiry + leeway
    if now >= ends:
        raise TokenRefused(Reason.EXPIRED, "The token has expired.", received=expiry, expected=now)
    begins = (token.nbf or 0) - leeway
    if now < begins:
        raise TokenRefused(Reason.NOT_YET_VALID, "The token is not valid yet.", received=token.nbf, expected=now)
    issued = (token.iat or 0) - leeway
    if now < issued:
        raise TokenRefused(
            Reason.ISSUED_IN_FUTURE, "The token was issued in the future.", received=token.iat, expected=now
        )
    if provider.max_lifetime_seconds is not None:
        _check_lifetime(expiry, token.iat, provider.max_lifetime_seconds)
    return max(begins, issued), ends


def _check_lifetime(expiry: float, issued_at: float | None, longest_seconds: float) -> None:
    if issued_at is None:
        raise _missing("iat")
    if expiry - issued_at > longest_seconds:
        raise TokenRefused(
            Reason.LIFETIME_TOO_LONG,
            "The token is valid for longer than is accepted.",
            received=expiry - issued_at,
            expected=longest_seconds,
        )


def _missing(name: str) -> TokenRefused:
    return TokenRefused(Reason.CLAIM_MISSING, f"The token has no claim {name}.", expected=name)


def _capture_organizations(audience: tuple[str, ...], provider: Provider) -> frozenset[str]:
    """
    Return the organizations that an audience of ours names.

    RFC 7519, section 4.1.3: a token that does not name us is for somebody else.
    """
    if provider.allow_any_audience:
        return frozenset()
    literals = provider.literal_audiences
    if len(literals) == len(provider.audiences) and not literals.isdisjoint(audience):
        return frozenset()
    matched = match_audiences(provider.audiences, audience)
    if matched is None:
        raise _build_audience_mismatch(audience, provider)
    return matched.captures.get("organization", frozenset())


def _build_audience_mismatch(audience: tuple[str, ...], provider: Provider) -> TokenRefused:
    return TokenRefused(
        Reason.AUDIENCE_MISMATCH,
        "The token is for another audience." if audience else "The token names no audience.",
        received=audience,
        expected=tuple(pattern.text for pattern in provider.audiences),
    )


def _check_required(claims: Mapping[str, Any], provider: Provider) -> None:
    for name in _RFC9068_CLAIMS if provider.is_rfc9068 else ("sub",):
        if claims.get(name) in (None, ""):
            raise _missing(name)
    # RFC 9068, section 2.2, as RFC 8693, section 4.3, defines it; the other six have their types from RFC 7519.
    if provider.is_rfc9068 and not isinstance(claims["client_id"], str):
        raise TokenRefused(
            Reason.CLAIM_MISMATCH,
            "The claim client_id is not a string.",
            received=claims["client_id"],
            expected="a string",
        )
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


def _resolve_organization(claims: Mapping[str, Any], provider: Provider, captured: frozenset[str]) -> str | None:
    """Return the one organization that audience and claims name; two of them is nobody's request to decide."""
    # An expression of the file may capture nothing.
    organizations = set(captured - {""})
    for path in provider.organization_claims:
        value = find_claim(claims, path)
        if isinstance(value, str) and value:
            organizations.add(value)
    if len(organizations) > 1:
        raise TokenRefused(
            Reason.ORGANIZATION_CONFLICT,
            "The token names more than one organization.",
            received=tuple(sorted(organizations)),
        )
    return organizations.pop() if organizations else None
