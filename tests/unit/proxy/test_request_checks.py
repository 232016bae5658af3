"""What aiohttp's parser lets pass and a gateway must not."""

from __future__ import annotations

import pytest
from aiohttp.http import HttpVersion, HttpVersion10, HttpVersion11

from gateway.core.errors import RequestRefused
from gateway.core.fields import FieldSet
from gateway.proxy.request_checks import asks_websocket, check_fields, find_trace_id

HOST = (b"Host", b"g")
HANDSHAKE = {
    b"Connection": b"keep-alive, Upgrade",
    b"Upgrade": b"WebSocket",
    b"Sec-WebSocket-Version": b"13",
    b"Sec-WebSocket-Key": b"dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize(
    ("version", "fields"),
    [
        (HttpVersion(0, 9), ()),
        (HttpVersion(2, 0), ()),
        (HttpVersion(1, 2), ()),
        (HttpVersion10, ((b"Transfer-Encoding", b"chunked"),)),
        (HttpVersion11, ((b"Transfer-Encoding", b"gzip, chunked"),)),
        (HttpVersion11, ((b"Transfer-Encoding", b", chunked"),)),
        (HttpVersion11, ((b"Transfer-Encoding", b"chunked"), (b"transfer-encoding", b"chunked"))),
        (HttpVersion11, ((b"Expect", b"100-continue"), (b"Expect", b"x"))),
        (HttpVersion11, ((b"Host", b"a, b"),)),
        (HttpVersion11, ((b"Host", b"u@a"),)),
        (HttpVersion11, ((b"Host", b"a/b"),)),
        (HttpVersion11, ((b"Host", b"a b"),)),
        (HttpVersion11, ((b"Host", b"a#b"),)),
        (HttpVersion11, ((b"Host", b"[::1"),)),
        (HttpVersion11, ((b"Host", b"a:1:2"),)),
        (HttpVersion11, ((b"Host", b"\xe9"),)),
    ],
)
def test_what_two_servers_could_read_differently_is_refused(
    version: HttpVersion, fields: tuple[tuple[bytes, bytes], ...]
) -> None:
    """RFC 9112, sections 2.3, 3.2 and 6.1."""
    with pytest.raises(RequestRefused, match="malformed_request"):
        check_fields(version, FieldSet(fields), 1000)


@pytest.mark.parametrize("host", [b"a", b"a.b:80", b"127.0.0.1", b"[::1]:8080", b"", b"a_b"])
def test_a_plain_request_passes(host: bytes) -> None:
    """The negative twin: what everybody sends is taken."""
    pairs = ((b"Host", host), (b"Transfer-Encoding", b"Chunked"), (b"Expect", b"100-Continue"))
    check_fields(HttpVersion11, FieldSet(pairs), 1000)


def test_the_whole_header_is_bounded() -> None:
    """All fields together count, with what stands between them on the wire."""
    fields = ((b"a", b"b" * 10),) * 10
    check_fields(HttpVersion11, FieldSet(fields), 150)
    with pytest.raises(RequestRefused, match="headers_too_large"):
        check_fields(HttpVersion11, FieldSet(fields), 149)


def test_a_handshake_is_one() -> None:
    """RFC 6455, section 4.2.1."""
    assert asks_websocket("GET", HttpVersion11, FieldSet(tuple(HANDSHAKE.items())))


@pytest.mark.parametrize("missing", [b"Connection", b"Upgrade"])
def test_without_connection_and_upgrade_it_is_a_plain_request(missing: bytes) -> None:
    """Other upgrades are declined by serving the request as it is (RFC 9110, section 7.8)."""
    fields = {**HANDSHAKE, missing: b"h2c"}
    assert not asks_websocket("GET", HttpVersion11, FieldSet(tuple(fields.items())))


@pytest.mark.parametrize(
    ("traceparent", "expected"),
    [
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "4bf92f3577b34da6a3ce929d0e0e4736"),
        (b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", None),
        (b"nonsense", None),
    ],
)
def test_a_trace_id_is_found(traceparent: bytes, expected: str | None) -> None:
    """W3C Trace Context, section 3.2: lower-case hexadecimal, or none at all."""
    assert find_trace_id(FieldSet(((b"traceparent", traceparent),))) == expected
    assert find_trace_id(FieldSet(((b"traceparent", traceparent),) * 2)) is None
