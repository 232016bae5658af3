"""
The head of an answer on its way to the client. Pure: bytes in, bytes out.

All fields pass as they came, in order and casing, ``Set-Cookie`` never joined, but for hop-by-hop fields, the framing
and the request id (RFC 9110, section 7.6.1).
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.core.fields import HOP_BY_HOP, Fields, select_values, split_list
from gateway.proxy.response import Framing, ResponseHead

_REMADE = HOP_BY_HOP | {b"content-length", b"x-request-id"}
_NO_CONTENT = 204


class ClientConnection(NamedTuple):
    """What an answer must know of the connection that it goes to."""

    is_http_1_1: bool
    keep_alive: bool


class AnswerHead(NamedTuple):
    """A ready head, and how the body after it is framed; ``keep_alive`` is whether the connection outlives it."""

    octets: bytes
    is_chunked: bool
    keep_alive: bool


def build_answer_head(head: ResponseHead, connection: ClientConnection, request_id: bytes) -> AnswerHead:
    """Return the head of the answer to the client for a final head of the upstream."""
    has_no_end = head.framing in (Framing.CHUNKED, Framing.CLOSE)
    is_chunked = has_no_end and connection.is_http_1_1
    # A body without length ends where the connection does, for whoever does not know chunks.
    keep_alive = connection.keep_alive and (is_chunked or not has_no_end)
    lines = [
        b"HTTP/1.1 %d %b\r\n" % (head.status, head.reason),
        *_build_lines(head.fields),
        b"X-Request-ID: %b\r\n" % request_id,
    ]
    if is_chunked:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    elif head.length is not None and head.status != _NO_CONTENT:
        lines.append(b"Content-Length: %d\r\n" % head.length)
    if not keep_alive:
        lines.append(b"Connection: close\r\n")
    elif not connection.is_http_1_1:
        lines.append(b"Connection: keep-alive\r\n")
    lines.append(b"\r\n")
    return AnswerHead(b"".join(lines), is_chunked, keep_alive)


def build_informational_head(head: ResponseHead) -> bytes:
    """Return an interim head, such as 103, for the client (RFC 9110, section 15.2)."""
    return b"".join([b"HTTP/1.1 %d %b\r\n" % (head.status, head.reason), *_build_lines(head.fields), b"\r\n"])


def build_upgrade_head(head: ResponseHead, request_id: bytes) -> bytes:
    """Return the head that accepts a WebSocket; its extensions and subprotocol are the upstream's choice."""
    return b"".join(
        [
            b"HTTP/1.1 %d %b\r\n" % (head.status, head.reason),
            b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
            *_build_lines(head.fields),
            b"X-Request-ID: %b\r\n\r\n" % request_id,
        ]
    )


def build_trailers(fields: Fields) -> bytes:
    """Return the end of a chunked body (RFC 9112, section 7.1): the last chunk and the trailer fields."""
    return b"".join([b"0\r\n", *_build_lines(fields), b"\r\n"])


def _build_lines(fields: Fields) -> list[bytes]:
    listed = split_list(select_values(fields, b"connection"))
    return [
        b"%b: %b\r\n" % (name, value)
        for name, value in fields
        if (lower := name.lower()) not in _REMADE and lower not in listed
    ]
