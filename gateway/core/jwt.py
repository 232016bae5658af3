"""
A bearer token as it was read: one spelling, one meaning, not yet believed.

RFC 7515, section 5.2; RFC 7519, section 7.2. Whatever the octets are, ``parse_token`` returns a token or raises
``TokenRefused``, never another exception.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from gateway.core.claims import read_audiences
from gateway.core.errors import Reason, TokenRefused
from gateway.core.jwks import MAX_KID_LENGTH, normalize_algorithm

MAX_TOKEN_LENGTH = 16 * 1024

_MAX_JSON_DEPTH = 32
_JWS_PARTS, _JWE_PARTS = 3, 5
# Beyond it a double is no longer exact, and no clock gets there.
_MAX_NUMERIC_DATE = 2**53
# RFC 7519, section 2
_NUMERIC_DATE = "a JSON number of seconds since 1970 (NumericDate), below 2^53"


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it was read, not yet believed. ``typ`` is normalized, ``claims`` are the payload."""

    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    algorithm: str
    kid: str | None
    typ: str
    claims: Mapping[str, Any] = field(repr=False)

    @property
    def issuer(self) -> str | None:
        """The ``iss`` claim, which says whose rules apply and proves nothing."""
        return self.claims.get("iss")

    @property
    def expires_at(self) -> float:
        """The ``exp`` claim in seconds since the epoch; only for a token whose time was checked."""
        return float(self.claims["exp"])


def parse_token(text: str, *, max_length: int = MAX_TOKEN_LENGTH) -> Token:
    """
    Return what a JWS in compact serialization says (RFC 7515, section 5.2; RFC 7519, section 7.2).

    Raises:
        TokenRefused: ``token_too_large``, ``not_a_jwt``, ``encrypted_token``, ``malformed_token`` or
            ``critical_header``.
    """
    if len(text) > max_length:
        raise TokenRefused(Reason.TOKEN_TOO_LARGE, "The token is too large.", received=len(text), expected=max_length)
    parts = text.encode("utf-8", "replace").split(b".")
    if len(parts) == _JWE_PARTS:
        raise TokenRefused(Reason.ENCRYPTED_TOKEN, "The token is encrypted (JWE), and only signed tokens are read.")
    if len(parts) != _JWS_PARTS:
        raise TokenRefused(
            Reason.NOT_A_JWT, "The token is not a JWT: it does not have three parts.", received=f"{len(parts)} part(s)"
        )
    header = _parse_object(_decode_base64url(parts[0], "header"), "header")
    claims = _parse_object(_decode_base64url(parts[1], "payload"), "payload")
    signature = _decode_base64url(parts[2], "signature")
    _check_critical(header)
    _check_claim_types(claims)
    return Token(
        parts[0] + b"." + parts[1], signature, _read_algorithm(header), _read_kid(header), _read_typ(header), claims
    )


def _malformed(description: str) -> TokenRefused:
    return TokenRefused(Reason.MALFORMED_TOKEN, description)


# What a member is where it is something else than it must be; the value itself is the caller's.
_JSON_TYPES = {
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    list: "an array",
    dict: "an object",
    type(None): "nothing",
}


def _mistyped(description: str, name: str, value: object, expected: str) -> TokenRefused:
    """Return the refusal of a member that no copying damages so: whoever issues such tokens wrote it."""
    received = f"{name}: {_JSON_TYPES[type(value)]}"
    return TokenRefused(Reason.MALFORMED_TOKEN, description, received=received, expected=f"{name}: {expected}")


def _decode_base64url(part: bytes, name: str) -> bytes:
    try:
        octets = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        octets = None
    # Encoded again it must be the same: padding, foreign characters and stray bits in the last one would give one
    # token several spellings, and caches and revocation lists only know one.
    if octets is None or base64.urlsafe_b64encode(octets).rstrip(b"=") != part:
        raise _malformed(f"The {name} of the token is not base64url.")
    return octets


class _JSONRefused(ValueError):
    """JSON that two parsers could read differently."""


def _build_unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _JSONRefused("a member twice")
    return members


def _parse_finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _JSONRefused("a number that is not finite")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise _JSONRefused(name)


_JSON = json.JSONDecoder(object_pairs_hook=_build_unique, parse_float=_parse_finite, parse_constant=_refuse_constant)


def _parse_object(octets: bytes, name: str) -> dict[str, Any]:
    """Return a JSON object; strict UTF-8, no member twice, no NaN, at most 32 levels deep."""
    try:
        value = _JSON.decode(octets.decode("utf-8"))
    except _JSONRefused as error:
        raise _malformed(f"The {name} of the token is ambiguous JSON: {error}.") from error
    except (ValueError, RecursionError) as error:
        raise _malformed(f"The {name} of the token is not JSON in UTF-8.") from error
    if not isinstance(value, dict):
        raise _malformed(f"The {name} of the token is not a JSON object.")
    if octets.count(b"{") + octets.count(b"[") > _MAX_JSON_DEPTH and _measure_depth(value) > _MAX_JSON_DEPTH:
        raise _malformed(f"The {name} of the token is nested too deep.")
    return value


def _measure_depth(value: dict[str, Any]) -> int:
    """Return how many objects and arrays stand inside of each other, this one included."""
    level: list[dict[str, Any] | list[Any]] = [value]
    depth = 0
    while level:
        depth += 1
        members = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]
        level = [inner for inner in members if isinstance(inner, dict | list)]
    return depth


def _check_critical(header: Mapping[str, Any]) -> None:
    """Refuse extensions that must be understood (RFC 7515, section 4.1.11): we understand none.

    ``b64`` changes what is signed and has no place in a JWT (RFC 7797, section 7).
    """
    if "crit" in header or "b64" in header:
        raise TokenRefused(Reason.CRITICAL_HEADER, "The token has a critical header parameter that is not supported.")


def _read_algorithm(header: Mapping[str, Any]) -> str:
    algorithm = header.get("alg")
    if not isinstance(algorithm, str):
        raise _mistyped("The header of the token has no alg.", "alg", algorithm, "a string such as ES256")
    return normalize_algorithm(algorithm)


def _read_kid(header: Mapping[str, Any]) -> str | None:
    if "kid" not in header:
        return None
    kid = header["kid"]
    if not isinstance(kid, str) or len(kid) > MAX_KID_LENGTH:
        expected = f"a string of at most {MAX_KID_LENGTH} characters"
        raise _mistyped(f"The kid of the token is not {expected}.", "kid", kid, expected)
    return kid


def normalize_typ(typ: str) -> str:
    """Return a media type as ``typ`` is compared: lower case, without ``application/`` (RFC 7515, section 4.1.9)."""
    return typ.lower().removeprefix("application/")


def _read_typ(header: Mapping[str, Any]) -> str:
    if "typ" not in header:
        return "none"
    typ = header["typ"]
    # A token that literally says "none" has a type, so it is not what stands for the absent one.
    if not isinstance(typ, str) or normalize_typ(typ) == "none":
        raise _mistyped("The typ of the token is not a media type.", "typ", typ, "a media type such as at+jwt")
    return normalize_typ(typ)


def _check_claim_types(claims: Mapping[str, Any]) -> None:
    """Refuse registered claims of a wrong type, which are never taken for absent (RFC 7519, section 4.1)."""
    for name in ("iss", "sub", "jti"):
        if name in claims and not isinstance(claims[name], str):
            raise _mistyped(f"The claim {name} is not a string.", name, claims[name], "a string")
    for name in ("exp", "nbf", "iat"):
        if name in claims and not _is_numeric_date(claims[name]):
            raise _mistyped(f"The claim {name} is not a number of seconds.", name, claims[name], _NUMERIC_DATE)
    if "aud" in claims and read_audiences(claims, "aud") is None:
        description = "The claim aud is neither a string nor an array of strings."
        raise _mistyped(description, "aud", claims["aud"], "a string, or an array of strings")


def _is_numeric_date(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value < _MAX_NUMERIC_DATE  # type: ignore[operator]
