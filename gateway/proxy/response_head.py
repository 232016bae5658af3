"""
The head of an answer on its way to the client. Pure: bytes in, bytes out.

All fields pass as they came, in order and casing, ``Set-Cookie`` never joined, but for hop-by-hop fields, the framing
and the request id (RFC 9110, section 7.6.1).
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.core.fields import HOP_BY_HOP, Fields
from gateway.proxy.response import Framing, ResponseHead

# What must not stand in a trailer section, whatever it was meant to say (RFC 9110, section 6.5.1).
_NOT_IN_TRAILERS = HOP_BY_HOP | {b"content-length", b"x-request-id"}
_NO_CONTENT = 204
# One is made of each answer, and this is a third of what the class's own way to make one costs.
_new_tuple = tuple.__new__


class AnswerHead(NamedTuple):
    """A ready head, and how the body after it is framed; ``keep_alive`` is whether the connection outlives it."""

    octets: bytes
    is_chunked: bool
    keep_alive: bool


def build_answer_head(head: ResponseHead, request_id: bytes, *, is_http_1_1: bool, keep_alive: bool) -> AnswerHead:
    """Return the head of the answer to a client of that version for a final head of the upstream."""
    is_chunked, framing, persistence = False, b"", b""
    if head.framing is Framing.CHUNKED or head.framing is Framing.CLOSE:
        # A body without length ends where the connection does, for whoever does not know chunks.
        is_chunked, keep_alive = is_http_1_1, keep_alive and is_http_1_1
    if is_chunked:
        framing = b"Transfer-Encoding: chunked\r\n"
    elif head.length is not None and head.status != _NO_CONTENT:
        framing = b"Content-Length: %d\r\n" % head.length
    if not keep_alive:
        persistence = b"Connection: close\r\n"
    elif not is_http_1_1:
        persistence = b"Connection: keep-alive\r\n"
    octets = b"HTTP/1.1 %d %b%b\r\nX-Request-ID: %b\r\n%b%b\r\n" % (
        head.status,
        head.reason,
        head.fields,
        request_id,
        framing,
        persistence,
    )
    return _new_tuple(AnswerHead, (octets, is_chunked, keep_alive))


def build_informational_head(head: ResponseHead) -> bytes:
    """Return an interim head, such as 103, for the client (RFC 9110, section 15.2)."""
    return b"HTTP/1.1 %d %b%b\r\n\r\n" % (head.status, head.reason, head.fields)


def build_upgrade_head(head: ResponseHead, request_id: bytes) -> bytes:
    """Return the head that accepts a WebSocket; its extensions and subprotocol are the upstream's choice."""
    start = b"HTTP/1.1 %d %b\r\nConnection: Upgrade\r\nUpgrade: websocket" % (head.status, head.reason)
    return b"%b%b\r\nX-Request-ID: %b\r\n\r\n" % (start, head.fields, request_id)


def build_chunk(data: bytes) -> bytes:
    """Return a chunk of a body (RFC 9112, section 7.1); none of no data, which would be the last one."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def build_trailers(fields: Fields) -> bytes:
    """Return the end of a chunked body (RFC 9112, section 7.1): the last chunk and the trailer fields."""
    lines = [b"%b: %b\r\n" % (name, value) for name, value in fields if name.lower() not in _NOT_IN_TRAILERS]
    return b"".join([b"0\r\n", *lines, b"\r\n"])
