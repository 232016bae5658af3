"""
Tokens inside of something else: a cookie, a query, the subprotocols of a WebSocket.

RFC 6265, section 4.2; RFC 6750, section 2.3; RFC 6455, section 4.1. Each is read strictly, and beside it as a careless
server might: where the two differ there could be a second token, and the request is refused. What remains when a token
is taken out is the same octets in the same order.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_plus

from gateway.core.errors import Reason, RequestRefused

# The subprotocol that says "a token follows", and the one to name when the upstream names none.
MARKER = b"bearer"
# The form of Kubernetes, with or without its own name in it.
_CARRYING = re.compile(rb"base64url\.bearer\.authorization\.(?:k8s\.io\.)?(.*)")
_BASE64URL = re.compile(rb"[A-Za-z0-9_-]+")
# A semicolon separated parameters once (HTML 4.01, appendix B.2.2), and does so still for some servers.
_SEPARATOR = re.compile(r"([&;])")


# --- cookies ---------------------------------------------------------------------------------------------------------


def read_cookie(values: Sequence[bytes], name: bytes) -> bytes | None:
    """
    Return the value of the one cookie of that name in the ``Cookie`` fields, or None where there is none.

    Raises:
        RequestRefused: ``multiple_credentials`` for two of that name; ``malformed_credentials`` for one that not every
            server reads: inside of another cookie's quotes, with a blank before its ``=``, or in one of two fields.
    """
    mentions = sum(len(_compile_mention(name).findall(value)) for value in values)
    if not mentions:
        return None
    if mentions > 1:
        raise RequestRefused(Reason.MULTIPLE_CREDENTIALS, "The request has more than one cookie with a token.")
    pairs = [pair.strip(b" \t").partition(b"=") for value in values for pair in value.split(b";")]
    found = [value for key, _, value in pairs if key == name]
    # RFC 6265, section 5.4: a user agent sends one Cookie field.
    if len(values) > 1 or not found:
        raise RequestRefused(Reason.MALFORMED_CREDENTIALS, "The cookie with the token is not written plainly.")
    return found[0]


# Names are those of the file.
@lru_cache(maxsize=256)
def _compile_mention(name: bytes) -> re.Pattern[bytes]:
    """Return what finds a cookie wherever some server would: behind quotes and commas too (RFC 2109, section 4.2.2)."""
    return re.compile(rb'(?:\A|[;,"\s])%b\s*=' % re.escape(name))


def remove_cookies(value: bytes, names: Collection[bytes]) -> bytes:
    """Return the value of a ``Cookie`` field without the cookies of these names, empty where they cannot be cut out."""
    pairs = value.split(b";")
    kept = [pair for pair in pairs if pair.partition(b"=")[0].strip(b" \t") not in names]
    rest = value if len(kept) == len(pairs) else b";".join(kept).strip(b" \t")
    # Where it stands as only some servers see it, nothing of the field goes on.
    return b"" if any(_compile_mention(name).search(rest) for name in names) else rest


# --- queries ---------------------------------------------------------------------------------------------------------


def read_parameter(target: str, name: str) -> bytes | None:
    """
    Return the value, as it is written, of the one parameter of that name in a target's query, or None without one.

    Raises:
        RequestRefused: ``multiple_credentials`` for two of that name; ``malformed_credentials`` for one whose name has
            escapes, or that stands behind a semicolon.
    """
    query = target.partition("?")[2]
    mentions = [part for part in _SEPARATOR.split(query)[::2] if _decode_name(part) == name]
    if not mentions:
        return None
    if len(mentions) > 1:
        raise RequestRefused(Reason.MULTIPLE_CREDENTIALS, "The query has more than one parameter with a token.")
    pairs = (part.partition("=") for part in query.split("&"))
    found = [value for key, _, value in pairs if key == name]
    if not found:
        raise RequestRefused(Reason.MALFORMED_CREDENTIALS, "The parameter with the token is not written plainly.")
    return found[0].encode("utf-8", "replace")


def _decode_name(part: str) -> str:
    return unquote_plus(part.partition("=")[0])


def remove_parameters(target: str, names: Collection[str]) -> str:
    """Return a target without the parameters of these names, however they are escaped."""
    path, mark, query = target.partition("?")
    pieces = ["&", *_SEPARATOR.split(query)]
    pairs = list(zip(pieces[::2], pieces[1::2], strict=True))
    kept = [pair for pair in pairs if _decode_name(pair[1]) not in names]
    if not mark or len(kept) == len(pairs):
        return target
    return f"{path}?{''.join(map(''.join, kept))[1:]}" if kept else path


# --- subprotocols ----------------------------------------------------------------------------------------------------


class Offer(NamedTuple):
    """The subprotocols that a client offers: the ``tokens`` in them, the others, and how many are the marker."""

    tokens: tuple[bytes, ...]
    rest: tuple[bytes, ...]
    markers: int


def read_offer(values: Sequence[bytes]) -> Offer:
    """
    Take the ``Sec-WebSocket-Protocol`` fields of a handshake apart.

    A token stands behind the marker, ``bearer, <token>``, or in base64url without padding behind
    ``base64url.bearer.authorization.``; one that is not base64url is empty here, and so no token.
    """
    tokens, rest, markers, before = [], [], 0, b""
    # Empty elements are none (RFC 9110, section 5.6.1).
    for element in filter(None, (part.strip(b" \t") for value in values for part in value.split(b","))):
        carrying = _CARRYING.fullmatch(element)
        if carrying is not None:
            tokens.append(_decode_base64url(carrying[1]))
        elif element == MARKER:
            markers += 1
        elif before == MARKER:
            tokens.append(element)
        else:
            rest.append(element)
        before = element
    return Offer(tuple(tokens), tuple(rest), markers)


def _decode_base64url(text: bytes) -> bytes:
    if not _BASE64URL.fullmatch(text):
        return b""
    try:
        return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        return b""


def read_protocol(values: Sequence[bytes]) -> bytes | None:
    """
    Return the one token among the subprotocols of a handshake, or None where there is none.

    Raises:
        RequestRefused: ``multiple_credentials`` for two; ``malformed_credentials`` for a marker without a token.
    """
    offer = read_offer(values)
    if len(offer.tokens) > 1:
        raise RequestRefused(Reason.MULTIPLE_CREDENTIALS, "The subprotocols have more than one token.")
    if offer.markers > len(offer.tokens):
        raise RequestRefused(Reason.MALFORMED_CREDENTIALS, "No token stands behind the subprotocol 'bearer'.")
    return offer.tokens[0] if offer.tokens else None
