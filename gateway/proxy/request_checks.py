"""
What aiohttp's parser lets pass and a gateway must not. Pure.

RFC 9112, sections 3.2 and 6.1; RFC 6455, section 4.2.1.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from aiohttp.http import HttpVersion, HttpVersion10, HttpVersion11

from gateway.core.errors import Reason, RequestRefused
from gateway.core.fields import FieldSet, split_list

_CONTINUE_EXPECTATION = b"100-continue"
_FIELD_OVERHEAD_BYTES = 4
_MAX_LENGTH_DIGITS = 19
_FRAMING = frozenset({b"content-length", b"expect", b"transfer-encoding"})
# RFC 3986, section 3.2.2, without user information: a host of letters, an IPv4 or a bracketed address, and a port.
_HOST = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+,;=\-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
# 16 octets in base64 (RFC 6455, section 4.1).
_WEBSOCKET_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._\-]{1,128}")
# W3C Trace Context, section 3.2
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


def check_fields(version: HttpVersion, fields: FieldSet, max_bytes: int) -> None:
    """
    Refuse what aiohttp lets pass and a gateway must not.

    Raises:
        RequestRefused: ``malformed_request`` or ``headers_too_large``.
    """
    if fields.size + len(fields.pairs) * _FIELD_OVERHEAD_BYTES > max_bytes:
        raise RequestRefused(Reason.HEADERS_TOO_LARGE, "The header is too large.", expected=max_bytes)
    if version not in (HttpVersion10, HttpVersion11):
        raise _malformed("The request is neither HTTP/1.0 nor HTTP/1.1.")
    hosts = fields.values(b"host")
    if not all(map(_HOST.fullmatch, hosts)):
        raise _malformed("The Host field is not a host.")
    if fields.has_any(_FRAMING):
        _check_framing(version, fields)


def _check_framing(version: HttpVersion, fields: FieldSet) -> None:
    codings = fields.values(b"transfer-encoding")
    # RFC 9112, section 6.1: codings that we do not undo, or that HTTP/1.0 does not know, hide where a body ends.
    if codings and ([value.lower() for value in codings] != [b"chunked"] or version != HttpVersion11):
        raise _malformed("The Transfer-Encoding is not chunked.")
    # llhttp takes any number of zeros, and Python refuses to read more than 4300 digits.
    if any(len(value) > _MAX_LENGTH_DIGITS for value in fields.values(b"content-length")):
        raise _malformed("The Content-Length is not a length.")
    expectations = fields.values(b"expect")
    if any(value.lower() != _CONTINUE_EXPECTATION for value in expectations):
        raise _malformed("The expectation is not supported.")


def _malformed(description: str) -> RequestRefused:
    return RequestRefused(Reason.MALFORMED_REQUEST, description)


def asks_websocket(method: str, version: HttpVersion, fields: FieldSet) -> bool:
    """
    Return whether a request asks for a WebSocket (RFC 6455, section 4.1).

    Raises:
        RequestRefused: It does, but not as the RFC has it; some upstreams would say 101 all the same.
    """
    if not fields.values(b"upgrade"):
        return False
    upgrades = split_list(fields.values(b"upgrade"))
    options = split_list(fields.values(b"connection"))
    # Any other protocol, h2c above all, is declined by not passing the request for it on; so is a choice of several.
    if upgrades != [b"websocket"] or b"upgrade" not in options:
        return False
    versions = fields.values(b"sec-websocket-version")
    keys = fields.values(b"sec-websocket-key")
    has_key = len(keys) == 1 and _WEBSOCKET_KEY.fullmatch(keys[0]) is not None
    has_body = bool(fields.values(b"content-length") or fields.values(b"transfer-encoding"))
    if method != "GET" or list(versions) != [b"13"] or not has_key or has_body or version != HttpVersion11:
        raise _malformed("The request is not a WebSocket handshake of version 13.")
    return True


def choose_request_id(given: Sequence[bytes]) -> str:
    """Return the id that a request came with, if it is one and plain, else a new one."""
    if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
        return given[0].decode("ascii")
    # It tells requests apart and keeps no secret.
    return f"{random.getrandbits(128):032x}"


def expects_continue(version: HttpVersion, fields: FieldSet) -> bool:
    """Return whether the client waits for a 100 before the body; HTTP/1.0 cannot (RFC 9110, section 10.1.1)."""
    return version == HttpVersion11 and bool(fields.values(b"expect"))


def find_trace_id(fields: FieldSet) -> str | None:
    """Return the trace id of a valid ``traceparent``, which itself passes untouched."""
    values = fields.values(b"traceparent")
    found = _TRACEPARENT.fullmatch(values[0]) if len(values) == 1 else None
    return found[1].decode("ascii") if found else None
