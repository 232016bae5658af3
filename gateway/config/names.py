"""Names that the file gives to things: headers, providers, scopes, methods, algorithms, types."""

from __future__ import annotations

import re
from difflib import get_close_matches

from gateway.config.scalars import parse_text
from gateway.core.fields import HOP_BY_HOP, TOKEN, fold_name
from gateway.core.jwks import ALGORITHMS, normalize_algorithm
from gateway.core.jwt import normalize_typ

# Fields that have a meaning of their own between client, gateway and upstream; the identity in one of them would
# either replace that meaning or take it away from every request.
_TAKEN = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"cookie",
        b"expect",
        b"forwarded",
        b"host",
        b"set-cookie",
        b"traceparent",
        b"tracestate",
        b"trailer",
        b"via",
        b"x-request-id",
    }
) | frozenset(map(fold_name, HOP_BY_HOP))
_TAKEN_PREFIXES = (b"x-forwarded-", b"sec-websocket-")

_PROVIDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# RFC 6749, section 3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
_SCOPE = re.compile(r"[!#-\[\]-~]+")
# RFC 9110, section 5.6.4: what a quoted-string holds without escapes.
_REALM = re.compile(r"[ !#-\[\]-~]+")
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+(?:/[a-z0-9!#$&^_.+-]+)?")
_USUAL_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


def parse_header_name(value: object) -> str:
    """Return the name of a header that the gateway may set."""
    text = parse_text(value)
    name = text.encode("utf-8", "replace")
    if not TOKEN.fullmatch(name):
        raise ValueError("not a header name: use letters, digits and -, such as X-Identity")
    folded = fold_name(name)
    if folded in _TAKEN or folded.startswith(_TAKEN_PREFIXES):
        raise ValueError("this header has a meaning of its own: choose another name, such as X-Identity")
    return text


def parse_provider_name(value: object) -> str:
    """Return the name of a provider: it stands in logs, in metrics and in the identity."""
    text = parse_text(value)
    if not _PROVIDER_NAME.fullmatch(text):
        raise ValueError("not a name: use up to 64 letters, digits, '.', '_' and '-'")
    return text


def parse_scope(value: object) -> str:
    """Return one scope (RFC 6749, section 3.3)."""
    text = parse_text(value)
    if " " in text:
        raise ValueError("more than one scope in one text: write a list")
    if not _SCOPE.fullmatch(text):
        raise ValueError("not a scope: use visible ASCII without double quotes and backslashes")
    return text


def parse_acr_value(value: object) -> str:
    """Return one value of ``acr``: a challenge lists them with spaces between them (RFC 9470, section 3)."""
    text = parse_text(value)
    if not _SCOPE.fullmatch(text):
        raise ValueError("not a value of acr: use visible ASCII without blanks, double quotes and backslashes")
    return text


def parse_tool(value: object) -> str:
    """Return a pattern of names of tools, in which ``*`` is any text."""
    text = parse_text(value)
    if not text.isprintable():
        raise ValueError("not the name of a tool: it has a control character")
    return text


def parse_method(value: object) -> str:
    """Return one method; methods are case-sensitive (RFC 9110, section 9.1)."""
    text = parse_text(value)
    if text.upper() in _USUAL_METHODS and text not in _USUAL_METHODS:
        raise ValueError(f"methods are case-sensitive: write {text.upper()}")
    if text == "*":
        raise ValueError("leave methods out for every method")
    if text.upper() in ("CONNECT", "TRACE"):
        raise ValueError("CONNECT and TRACE are never forwarded: remove it")
    if not TOKEN.fullmatch(text.encode("utf-8", "replace")):
        raise ValueError("not a method: write one such as GET")
    return text


def parse_algorithm(value: object) -> str:
    """Return the name of a signature algorithm that verifies with a public key."""
    text = parse_text(value)
    if normalize_algorithm(text) in ALGORITHMS:
        return text
    if text.lower() == "none":
        raise ValueError("none is no signature: anyone could write such a token; use RS256, ES256 or EdDSA")
    if re.fullmatch(r"(?i)HS(?:256|384|512)", text):
        raise ValueError("HMAC is symmetric: whoever can verify could sign; use RS256, ES256 or EdDSA")
    close = get_close_matches(text.upper(), {name.upper() for name in ALGORITHMS}, 1)
    names = {name.upper(): name for name in ALGORITHMS}
    hint = f"did you mean {names[close[0]]}? " if close else ""
    raise ValueError(f"not an algorithm that is supported: {hint}Supported are {', '.join(sorted(ALGORITHMS))}")


def parse_typ(value: object) -> str:
    """Return a header type (``typ``) of tokens; ``none`` is for tokens without one."""
    text = parse_text(value)
    if not _MEDIA_TYPE.fullmatch(normalize_typ(text)):
        raise ValueError("not a type of token: write one such as at+jwt, JWT, or none for an absent one")
    return text


def parse_realm(value: object) -> str:
    """Return a realm that needs no escapes in a challenge."""
    text = parse_text(value)
    if not _REALM.fullmatch(text):
        raise ValueError("a realm is ASCII without double quotes and backslashes")
    return text
