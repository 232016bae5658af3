"""
The claims of a verified token -> the identity that the upstream reads, and its header fields.

The shape is Convex's ``UserIdentity`` with four more names. Those names are ours: no claim of a token replaces them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from gateway.core.claims import find_claim
from gateway.core.errors import Reason, RequestRefused, TokenRefused
from gateway.core.fields import Field, fold_name
from gateway.core.tokens import VerifiedToken

RESERVED_NAMES = frozenset({"tokenIdentifier", "issuer", "subject", "audience", "organization", "scopes", "provider"})

# What a client must never set, whatever the file calls the header: backends get renamed, old names stay trusted.
IDENTITY_PREFIX = b"x-identity"

_CUSTOM_DROPPED = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "fva"})

# OpenID Connect Core, section 5.1, and the names that Convex gives these claims.
_OIDC_RENAMED = {
    "name": "name",
    "given_name": "givenName",
    "family_name": "familyName",
    "nickname": "nickname",
    "preferred_username": "preferredUsername",
    "profile": "profileUrl",
    "picture": "pictureUrl",
    "website": "websiteUrl",
    "email": "email",
    "email_verified": "emailVerified",
    "gender": "gender",
    "birthdate": "birthday",
    "zoneinfo": "timezone",
    "locale": "language",
    "phone_number": "phoneNumber",
    "phone_number_verified": "phoneNumberVerified",
    "updated_at": "updatedAt",
}
_OIDC_DROPPED = _CUSTOM_DROPPED | frozenset(
    {"auth_time", "nonce", "acr", "amr", "azp", "at_hash", "c_hash", "middle_name", "birthday"}
)
_OIDC_STANDARD = frozenset(_OIDC_RENAMED) | {"address", "middle_name"}

# Made once: json.dumps makes one a call.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_VISIBLE_ASCII = "".join(map(chr, range(0x21, 0x7F))).replace("%", "")


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """
    How the identity is sent upstream.

    ``headers`` are pairs of a field name and the identity's member that it carries; ``include`` and ``exclude`` name
    the token's own claims as the identity shows them.
    """

    header: bytes = b"X-Identity"
    is_base64url: bool = False
    max_size_bytes: int = 8 * 1024
    headers: tuple[tuple[bytes, str], ...] = ()
    include: frozenset[str] | None = None
    exclude: frozenset[str] = frozenset()

    @property
    def owned_names(self) -> frozenset[bytes]:
        """The folded names of the fields that only we may set."""
        return frozenset(map(fold_name, [self.header, *(name for name, _ in self.headers)]))


_ONLY_OURS = IdentitySettings(include=frozenset())


def build_identity(verified: VerifiedToken, settings: IdentitySettings) -> dict[str, Any]:
    """Return the identity of a caller as a JSON object."""
    claims = verified.token.claims
    issuer, subject = claims["iss"], claims["sub"]
    own = _build_oidc_claims(claims) if verified.provider.kind == "oidc" else _build_custom_claims(claims)
    if settings.include is not None or settings.exclude or not RESERVED_NAMES.isdisjoint(own):
        own = {name: value for name, value in own.items() if _is_carried(name, settings)}
    identity = {
        "tokenIdentifier": f"{issuer}|{subject}",
        "issuer": issuer,
        "subject": subject,
        **own,
        "audience": list(verified.audience),
        "scopes": list(verified.scopes),
        "provider": verified.provider.name,
    }
    if verified.organization is not None:
        identity["organization"] = verified.organization
    return identity


def find_member(verified: VerifiedToken, name: str) -> Any:
    """Return what an identity has under a name: ours mean what was resolved, whatever the token's own claims say."""
    if name not in RESERVED_NAMES:
        return find_claim(verified.token.claims, name)
    return build_identity(verified, _ONLY_OURS).get(name)


def _is_carried(name: str, settings: IdentitySettings) -> bool:
    if name in RESERVED_NAMES or name in settings.exclude:
        return False
    return settings.include is None or name in settings.include


def _build_custom_claims(claims: Mapping[str, Any]) -> dict[str, Any]:
    own = {name: value for name, value in claims.items() if name not in _CUSTOM_DROPPED}
    if dict not in map(type, own.values()):
        return own
    flat: dict[str, Any] = {}
    for name, value in own.items():
        _flatten(name, value, flat)
    return flat


def _flatten(name: str, value: object, flat: dict[str, Any]) -> None:
    if not isinstance(value, dict):
        flat[name] = value
        return
    for inner, member in value.items():
        _flatten(f"{name}.{inner}", member, flat)


def _build_oidc_claims(claims: Mapping[str, Any]) -> dict[str, Any]:
    own: dict[str, Any] = {}
    for name, value in claims.items():
        base = name.partition("#")[0]
        # OpenID Connect Core, section 5.2: "given_name#ja" is a spelling of a standard claim, not a claim of its own.
        if name in _OIDC_DROPPED or (base != name and base in _OIDC_STANDARD):
            continue
        if name == "address":
            formatted = value.get("formatted") if isinstance(value, dict) else value
            own.update({} if formatted is None else {"address": formatted})
        elif name not in _OIDC_STANDARD:
            # Named like one of the renamed claims, it would pass for it.
            own.setdefault(name, value)
        elif value is not None:
            own[_OIDC_RENAMED[name]] = _format_time(value) if name == "updated_at" else value
    return own


def _format_time(value: object) -> object:
    """Return seconds since the epoch as RFC 3339; anything else as it is: a mistyped claim harms nobody."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return value
    try:
        return datetime.fromtimestamp(value, UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return value


def build_identity_fields(identity: Mapping[str, Any] | None, settings: IdentitySettings) -> tuple[Field, ...]:
    """
    Return the fields that carry an identity, or, for None, those of an anonymous request.

    Raises:
        TokenRefused: ``identity_unsafe`` for a claim that no JSON text can carry.
        RequestRefused: ``identity_too_large``.
    """
    value = _build_json(identity)
    if settings.is_base64url:
        value = base64.urlsafe_b64encode(value).rstrip(b"=")
    fields = [(settings.header, value)]
    for name, claim in settings.headers:
        text = _build_text(find_claim(identity or {}, claim))
        if text:
            fields.append((name, text.encode("ascii")))
    for name, value in fields:
        # That nobody is known can always be said.
        if identity is not None and len(value) > settings.max_size_bytes:
            raise RequestRefused(
                Reason.IDENTITY_TOO_LARGE,
                "The identity is too large to be sent to the upstream.",
                received=f"{len(value)} bytes in {name.decode()}",
                expected=settings.max_size_bytes,
            )
    return tuple(fields)


def _build_json(value: object) -> bytes:
    """Return compact JSON in visible ASCII and spaces, so that it is one field value to every parser."""
    try:
        text = _ENCODER.encode(value)
        octets = text.encode("utf-8")
    except UnicodeEncodeError as error:
        # A lone surrogate: writers drop or replace it, and "ad\ud800min" arrives as "admin".
        raise TokenRefused(Reason.IDENTITY_UNSAFE, "A claim of the token holds text that cannot be sent on.") from error
    if not text.isascii():
        octets = json.dumps(value, separators=(",", ":")).encode("ascii")
    # JSON leaves DEL as it is, and a field value may not hold it (RFC 9110, section 5.5).
    return octets.replace(b"\x7f", b"\\u007f")


def _build_text(value: object) -> str | None:
    """Return a claim as a field value: percent-encoded where it is not plain, lists joined with spaces."""
    if value is None:
        return None
    if isinstance(value, list):
        # A space inside of a member is encoded, or two lists would have one text; an empty member has none to give.
        return " ".join(quote(_build_plain(member), safe=_VISIBLE_ASCII) for member in value if member != "")
    text = quote(_build_plain(value), safe=_VISIBLE_ASCII + " ")
    inner = text.strip(" ")
    start = text.index(inner)
    return "%20" * start + inner + "%20" * (len(text) - start - len(inner))


def _build_plain(value: object) -> str:
    return value if isinstance(value, str) else _build_json(value).decode("ascii")
