"""
What aiohttp's parser lets pass and a gateway must not. Pure.

RFC 9112, sections 3.2 and 6.1; RFC 6455, section 4.2.1.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from functools import lru_cache

from aiohttp.http import HttpVersion, HttpVersion10, HttpVersion11

from gateway.core.errors import Reason, RequestRefused
from gateway.core.fields import Fields, FieldSet, asks_for_websocket

_CONTINUE_EXPECTATION = b"100-continue"
_FIELD_OVERHEAD_BYTES = 4
_MAX_LENGTH_DIGITS = 19
# RFC 3986, section 3.2.2, without user information: a host of letters, an IPv4 or a bracketed address, and a port.
_HOST = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+,;=\-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
# 16 octets in base64 (RFC 6455, section 4.1).
_WEBSOCKET_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")
# Not one that begins as a token does, for it is written down.
_REQUEST_ID = re.compile(rb"(?!eyJ)[A-Za-z0-9._\-]{1,128}")
# W3C Trace Context, section 3.2
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


def check_version(fields: FieldSet, version: HttpVersion) -> None:
    """
    Refuse versions other than 1.0 and 1.1, and in 1.0 what only 1.1 has.

    Raises:
        RequestRefused: ``malformed_request``.
    """
    if version not in (HttpVersion10, HttpVersion11):
        raise malformed("The request is neither HTTP/1.0 nor HTTP/1.1.")
    # RFC 9112, section 6.1: HTTP/1.0 does not know it, so that others on the way may see another end of the body.
    if fields.transfer_encoding and version != HttpVersion11:
        raise malformed("The Transfer-Encoding is not chunked.")


def check_size(fields: Fields, max_bytes: int) -> None:
    """
    Refuse a header that is larger than that many bytes, the ends of its lines included.

    Raises:
        RequestRefused: ``headers_too_large``.
    """
    if sum(len(name) + len(value) + _FIELD_OVERHEAD_BYTES for name, value in fields) > max_bytes:
        raise RequestRefused(Reason.HEADERS_TOO_LARGE, "The header is too large.", expected=max_bytes)


def check_fields(fields: FieldSet) -> None:
    """
    Refuse what parsers let pass and a gateway must not.

    Raises:
        RequestRefused: ``malformed_request``.
    """
    for host in fields.host:
        if not _is_host(host):
            raise malformed("The Host field is not a host.")
    if fields.content_length or fields.transfer_encoding or fields.expect:
        _check_framing(fields)


# Callers name few hosts, and each of them on every request.
@lru_cache(maxsize=1024)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


def _check_framing(fields: FieldSet) -> None:
    codings = fields.transfer_encoding
    # RFC 9112, section 6.1: codings that we do not undo hide where a body ends.
    if codings and [value.lower() for value in codings] != [b"chunked"]:
        raise malformed("The Transfer-Encoding is not chunked.")
    # llhttp takes any number of zeros, and Python refuses to read more than 4300 digits.
    if any(len(value) > _MAX_LENGTH_DIGITS for value in fields.content_length):
        raise malformed("The Content-Length is not a length.")
    expectations = fields.expect
    if any(value.lower() != _CONTINUE_EXPECTATION for value in expectations):
        raise malformed("The expectation is not supported.")


def malformed(description: str) -> RequestRefused:
    """Return the refusal of a request that is not well-formed, or not only in one way."""
    return RequestRefused(Reason.MALFORMED_REQUEST, description)


def asks_websocket(method: str, fields: FieldSet, *, is_http_1_1: bool) -> bool:
    """
    Return whether a request asks for a WebSocket (RFC 6455, section 4.1).

    Raises:
        RequestRefused: It does, but not as the RFC has it; some upstreams would say 101 all the same.
    """
    # Any other protocol, h2c above all, is declined by not passing the request for it on; so is a choice of several.
    if not asks_for_websocket(fields):
        return False
    versions = fields.sec_websocket_version
    keys = fields.sec_websocket_key
    has_key = len(keys) == 1 and _WEBSOCKET_KEY.fullmatch(keys[0]) is not None
    has_body = bool(fields.content_length or fields.transfer_encoding)
    if method != "GET" or list(versions) != [b"13"] or not has_key or has_body or not is_http_1_1:
        raise malformed("The request is not a WebSocket handshake of version 13.")
    return True


def choose_request_id(given: Sequence[bytes]) -> bytes:
    """Return the id that a request came with, if it is one and plain, else a new one."""
    if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
        return given[0]
    # It tells requests apart and keeps no secret.
    return b"%032x" % random.getrandbits(128)


def expects_continue(fields: FieldSet, *, is_http_1_1: bool) -> bool:
    """Return whether the client waits for a 100 before the body; HTTP/1.0 cannot (RFC 9110, section 10.1.1)."""
    return is_http_1_1 and bool(fields.expect)


def find_trace_id(fields: FieldSet) -> str | None:
    """Return the trace id of a valid ``traceparent``, which itself passes untouched."""
    values = fields.traceparent
    found = _TRACEPARENT.fullmatch(values[0]) if len(values) == 1 else None
    return found[1].decode("ascii") if found else None
