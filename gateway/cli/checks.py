"""
The checks of a token as ``explain`` shows them: their order, which one a refusal comes from, what stands on both sides.

Only words: what passes is decided in ``core.tokens`` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from gateway.cli.times import describe_duration, describe_times
from gateway.core.claims import find_claim, read_audiences
from gateway.core.errors import GatewayError, Reason
from gateway.core.jwks import KeySet
from gateway.core.jwt import Token
from gateway.core.tokens import Provider

# OpenID Connect Core, sections 2 and 3.3.2.11: what only an ID token carries.
ID_TOKEN_CLAIMS = ("nonce", "at_hash", "c_hash", "s_hash")


class Check(Enum):
    """
    What is checked of a token, in the core's order; ``setting`` is the provider's key that it is about.

    ``KIND`` is checked under ``profile: rfc9068`` only.
    """

    title: str
    setting: str

    def __init__(self, title: str, setting: str) -> None:
        self.title = title
        self.setting = setting

    ISSUER = "issuer", "issuer"
    TYPE = "type", "typ"
    ALGORITHM = "algorithm", "algorithm"
    KEY = "key", "jwks"
    SIGNATURE = "signature", "jwks"
    TIME = "time", "leeway"
    AUDIENCE = "audience", "applicationID"
    CLAIMS = "claims", "required_claims"
    ORGANIZATION = "organization", "organization_claim"
    KIND = "kind", "profile"


_FAILED_CHECK = {
    Reason.UNKNOWN_ISSUER: Check.ISSUER,
    Reason.TYP_NOT_ACCEPTED: Check.TYPE,
    Reason.ALGORITHM_NOT_ACCEPTED: Check.ALGORITHM,
    Reason.KEYS_UNAVAILABLE: Check.KEY,
    Reason.UNKNOWN_KEY: Check.KEY,
    Reason.BAD_SIGNATURE: Check.SIGNATURE,
    Reason.EXPIRED: Check.TIME,
    Reason.NOT_YET_VALID: Check.TIME,
    Reason.ISSUED_IN_FUTURE: Check.TIME,
    Reason.LIFETIME_TOO_LONG: Check.TIME,
    Reason.AUDIENCE_MISMATCH: Check.AUDIENCE,
    Reason.CLAIM_MISSING: Check.CLAIMS,
    Reason.CLAIM_MISMATCH: Check.CLAIMS,
    Reason.ORGANIZATION_CONFLICT: Check.ORGANIZATION,
    Reason.ID_TOKEN: Check.KIND,
}


def find_failed_check(error: GatewayError, provider: Provider) -> Check:
    """Return the check of a token that a provider's refusal comes from."""
    # These two are missed when the times are checked, and that is before the audience.
    is_time = error.expected == "exp" or (error.expected == "iat" and provider.max_lifetime_seconds is not None)
    if error.reason is Reason.CLAIM_MISSING and is_time:
        return Check.TIME
    return _FAILED_CHECK[error.reason]


def is_about_token(reason: Reason) -> bool:
    """Return whether a reason is one provider's word on a token, not on the request or the route."""
    return reason in _FAILED_CHECK


@dataclass(frozen=True, slots=True)
class Sides:
    """What the token has and what the file accepts, as words."""

    received: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()


def describe_sides(check: Check, token: Token, provider: Provider, keys: KeySet | None, now: float) -> Sides:
    """Return both sides of a check; ``keys`` is None where they could not be had."""
    if check in (Check.KEY, Check.SIGNATURE):
        received = token.kid or "no kid" if check is Check.KEY else "a signature that none of these keys made"
        return Sides((received,), _describe_keys(keys))
    if check is Check.TIME:
        return _describe_time(token, provider, now)
    return _DESCRIBE[check](token, provider)


def _describe_keys(keys: KeySet | None) -> tuple[str, ...]:
    if keys is None:
        return ("keys that could not be had",)
    return tuple(f"{key.kid or 'no kid'} ({'/'.join(sorted(key.algorithms))})" for key in keys.keys) or ("no key",)


def _describe_time(token: Token, provider: Provider, now: float) -> Sides:
    accepted = [f"leeway {describe_duration(provider.leeway_seconds)}"]
    if provider.max_lifetime_seconds is not None:
        accepted.append(f"lifetime of at most {describe_duration(provider.max_lifetime_seconds)}")
    return Sides((describe_times(token.claims, now),), tuple(accepted))


def _describe_issuer(token: Token, provider: Provider) -> Sides:
    return Sides((token.issuer or "none",), provider.issuers)


def _describe_type(token: Token, provider: Provider) -> Sides:
    return Sides((token.typ,), tuple(sorted(provider.types)))


def _describe_algorithm(token: Token, provider: Provider) -> Sides:
    return Sides((token.algorithm,), tuple(sorted(provider.algorithms)))


def _describe_kind(token: Token, _provider: Provider) -> Sides:
    return Sides(tuple(name for name in ID_TOKEN_CLAIMS if name in token.claims) or ("none",), ("an access token",))


def _describe_audience(token: Token, provider: Provider) -> Sides:
    accepted = ("any",) if provider.allow_any_audience else tuple(pattern.text for pattern in provider.audiences)
    return Sides(read_audiences(token.claims, provider.audience_claim) or ("none",), accepted)


def _describe_claims(token: Token, provider: Provider) -> Sides:
    wanted = {"sub": None, **{each.path: each.values for each in provider.required_claims}}
    accepted = [path if values is None else f"{path}: {_join(values)}" for path, values in wanted.items()]
    if provider.is_rfc9068:
        accepted.append("the claims of RFC 9068, section 2.2")
    return Sides(tuple(f"{path}: {_join((find_claim(token.claims, path),))}" for path in wanted), tuple(accepted))


def _join(values: tuple[object, ...]) -> str:
    return " or ".join("absent" if value is None else str(value) for value in values)


def _describe_organization(token: Token, provider: Provider) -> Sides:
    named = [
        f"{captured['organization']} (from the audience)"
        for audience in read_audiences(token.claims, provider.audience_claim) or ()
        for pattern in provider.audiences
        if "organization" in (captured := pattern.match(audience) or {})
    ]
    for path in provider.organization_claims:
        value = find_claim(token.claims, path)
        named += [] if value is None else [f"{value} (from {path})"]
    return Sides(tuple(dict.fromkeys(named)) or ("none",), ("at most one",))


_DESCRIBE: dict[Check, Callable[[Token, Provider], Sides]] = {
    Check.ISSUER: _describe_issuer,
    Check.TYPE: _describe_type,
    Check.ALGORITHM: _describe_algorithm,
    Check.AUDIENCE: _describe_audience,
    Check.CLAIMS: _describe_claims,
    Check.ORGANIZATION: _describe_organization,
    Check.KIND: _describe_kind,
}
