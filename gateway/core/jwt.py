"""
A bearer token as it was read: one spelling, one meaning, not yet believed.

RFC 7515, section 5.2; RFC 7519, section 7.2. Whatever the octets are, ``parse_token`` returns a token or raises
``TokenRefused``, never another exception.
"""

from __future__ import annotations

import json
import math
from binascii import Error as BinasciiError
from binascii import a2b_base64
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

from gateway.core.claims import read_audiences
from gateway.core.errors import Reason, TokenRefused
from gateway.core.jwks import MAX_KID_LENGTH, normalize_algorithm

MAX_TOKEN_LENGTH = 16 * 1024

_MAX_JSON_DEPTH = 32
_JWS_PARTS, _JWE_PARTS = 3, 5
# Longer ones, with a certificate perhaps, are too rare to be remembered.
_MAX_KNOWN_HEADER = 512
# The alphabet of base64url in that of base64, whose own two and padding are nothing there (RFC 4648, sections 4 and 5).
_TO_BASE64 = bytes.maketrans(b"-_+/=", b"+/\0\0\0")
_PADDING = {0: b"", 1: b"", 2: b"==", 3: b"="}
# What may stand last in a group of so many characters: those whose unused bits are zero.
_LAST_CHARACTERS = {1: b"", 2: b"AQgw", 3: b"AEIMQUYcgkosw048"}
# One is made of each new token, and this is a third of what the class's own way to make one costs.
_new_tuple = tuple.__new__
# Beyond it a double is no longer exact, and no clock gets there.
_MAX_NUMERIC_DATE = 2**53
# RFC 7519, section 2
_NUMERIC_DATE = "a JSON number of seconds since 1970 (NumericDate), below 2^53"


# A named tuple, as one is made of each new token: half of what a frozen dataclass costs.
class Token(NamedTuple):
    """
    A token as it was read, not yet believed. ``typ`` is normalized, ``claims`` are the payload.

    ``exp``, ``nbf`` and ``iat`` are the claims of that name in seconds since the epoch, None where there is none.
    """

    signing_input: bytes
    signature: bytes
    algorithm: str
    kid: str | None
    typ: str
    claims: Mapping[str, Any]
    exp: float | None = None
    nbf: float | None = None
    iat: float | None = None

    def __repr__(self) -> str:
        """Show what is no secret: neither signature nor claims."""
        return f"Token(algorithm={self.algorithm!r}, kid={self.kid!r}, typ={self.typ!r})"

    @property
    def issuer(self) -> str | None:
        """The ``iss`` claim, which says whose rules apply and proves nothing."""
        return self.claims.get("iss")


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
    header, payload, signature = parts
    read_header = _read_known_header if len(header) <= _MAX_KNOWN_HEADER else _read_header
    algorithm, kid, typ = read_header(header)
    claims = _parse_object(_decode_base64url(payload, "payload"), "payload")
    octets = _decode_base64url(signature, "signature")
    _check_claim_types(claims)
    get = claims.get
    return _new_tuple(
        Token,
        (b"%b.%b" % (header, payload), octets, algorithm, kid, typ, claims, get("exp"), get("nbf"), get("iat")),
    )


def _read_header(part: bytes) -> tuple[str, str | None, str]:
    """Return algorithm, ``kid`` and ``typ``."""
    header = _parse_object(_decode_base64url(part, "header"), "header")
    _check_critical(header)
    return _read_algorithm(header), _read_kid(header), _read_typ(header)


# All tokens that one key signs have one header.
_read_known_header = lru_cache(maxsize=256)(_read_header)


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
    # One token must have one spelling, as caches and revocation lists know one only: no padding, no foreign character,
    # no line break, and no stray bits in the last character (RFC 4648, section 3.5).
    tail = len(part) % 4
    try:
        octets = a2b_base64(part.translate(_TO_BASE64) + _PADDING[tail], strict_mode=True)
    except BinasciiError:
        raise _malformed(f"The {name} of the token is not base64url.") from None
    if tail and part[-1] not in _LAST_CHARACTERS[tail]:
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


def _decode_json(text: str) -> Any:
    # Without white space around it, which costs as much to look for as the rest.
    if text.startswith("{"):
        value, end = _JSON.raw_decode(text)
        if end == len(text):
            return value
    return _JSON.decode(text)


def _parse_object(octets: bytes, name: str) -> dict[str, Any]:
    """Return a JSON object; strict UTF-8, no member twice, no NaN, at most 32 levels deep."""
    try:
        value = _decode_json(octets.decode("utf-8"))
    except _JSONRefused as error:
        # No copying did this, so whoever issues such tokens is to look for it.
        raise TokenRefused(
            Reason.MALFORMED_TOKEN,
            f"The {name} of the token is ambiguous JSON: {error}.",
            received=f"{name}: {error}",
            expected=f"{name}: JSON with each member once and with finite numbers only",
        ) from error
    except (ValueError, RecursionError) as error:
        raise _malformed(f"The {name} of the token is not JSON in UTF-8.") from error
    if not isinstance(value, dict):
        raise _malformed(f"The {name} of the token is not a JSON object.")
    if octets.count(b"{") + octets.count(b"[") > _MAX_JSON_DEPTH and _measure_depth(value) > _MAX_JSON_DEPTH:
        raise TokenRefused(
            Reason.MALFORMED_TOKEN,
            f"The {name} of the token is nested too deep.",
            received=f"{name}: more than {_MAX_JSON_DEPTH} levels of objects and arrays",
            expected=f"{name}: at most {_MAX_JSON_DEPTH}",
        )
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
    get = claims.get
    for name in _STRING_CLAIMS:
        text = get(name, "")
        if type(text) is not str:
            raise _mistyped(f"The claim {name} is not a string.", name, text, "a string")
    for name in _DATE_CLAIMS:
        value = get(name, 0)
        if type(value) not in _NUMBERS or not 0 <= value < _MAX_NUMERIC_DATE:
            raise _mistyped(f"The claim {name} is not a number of seconds.", name, value, _NUMERIC_DATE)
    audience = get("aud", "")
    if not isinstance(audience, str) and read_audiences(claims, "aud") is None:
        description = "The claim aud is neither a string nor an array of strings."
        raise _mistyped(description, "aud", audience, "a string, or an array of strings")


# In this order, as the first that is wrong is the one that is named.
_STRING_CLAIMS = ("iss", "sub", "jti")
_DATE_CLAIMS = ("exp", "nbf", "iat")
# Not bool, which is an int.
_NUMBERS = frozenset({int, float})
