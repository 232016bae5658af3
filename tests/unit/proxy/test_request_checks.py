"""What aiohttp's parser lets pass and a gateway must not."""

from __future__ import annotations

import pytest
from aiohttp.http import HttpVersion, HttpVersion10, HttpVersion11

from gateway.core.errors import RequestRefused
from gateway.core.fields import Fields, FieldSet
from gateway.proxy.request_checks import (
    asks_websocket,
    check_fields,
    check_size,
    check_version,
    choose_request_id,
    expects_continue,
    find_trace_id,
)

CHUNKED = (b"Transfer-Encoding", b"chunked")
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
        (HttpVersion10, (CHUNKED,)),
    ],
)
def test_another_version_is_refused_and_what_it_does_not_have(version: HttpVersion, fields: Fields) -> None:
    """RFC 9112, sections 2.3 and 6.1."""
    with pytest.raises(RequestRefused, match="malformed_request"):
        check_version(FieldSet(fields), version)


@pytest.mark.parametrize(
    ("version", "fields"), [(HttpVersion10, ((b"Host", b"a"),)), (HttpVersion11, ()), (HttpVersion11, (CHUNKED,))]
)
def test_a_version_that_we_speak_passes(version: HttpVersion, fields: Fields) -> None:
    """The negative twin: 1.0, and 1.1 with all that it has."""
    check_version(FieldSet(fields), version)


@pytest.mark.parametrize(
    "fields",
    [
        ((b"Transfer-Encoding", b"gzip, chunked"),),
        ((b"Transfer-Encoding", b", chunked"),),
        (CHUNKED, (b"transfer-encoding", b"chunked")),
        ((b"Content-Length", b"0" * 20),),
        ((b"Content-Length", b"1" * 5000),),
        ((b"Expect", b"200-ok"),),
        ((b"Expect", b"100-continue"), (b"Expect", b"x")),
        ((b"Host", b"a, b"),),
        ((b"Host", b"u@a"),),
        ((b"Host", b"a/b"),),
        ((b"Host", b"a b"),),
        ((b"Host", b"a#b"),),
        ((b"Host", b"[::1"),),
        ((b"Host", b"a:1:2"),),
        ((b"Host", b"\xe9"),),
        ((b"Host", b"a"), (b"Host", b"a b")),
    ],
)
def test_what_two_servers_could_read_differently_is_refused(fields: Fields) -> None:
    """RFC 9112, sections 3.2 and 6.1; also when it was refused before, as verdicts on hosts are remembered."""
    for _ in range(2):
        with pytest.raises(RequestRefused, match="malformed_request"):
            check_fields(FieldSet(fields))


@pytest.mark.parametrize("host", [b"a", b"a.b:80", b"127.0.0.1", b"[::1]:8080", b"", b"a_b"])
def test_a_plain_request_passes(host: bytes) -> None:
    """The negative twin: what everybody sends is taken."""
    check_fields(FieldSet(((b"Host", host), (b"Transfer-Encoding", b"Chunked"), (b"Expect", b"100-Continue"))))
    check_fields(FieldSet(((b"Host", host), (b"Content-Length", b"9" * 19))))


def test_the_whole_header_is_bounded() -> None:
    """All fields together count, with what stands between them on the wire."""
    fields = ((b"a", b"b" * 10),) * 10
    check_size(fields, 150)
    with pytest.raises(RequestRefused, match="headers_too_large"):
        check_size(fields, 149)


def test_a_handshake_is_one() -> None:
    """RFC 6455, section 4.2.1."""
    assert asks_websocket("GET", FieldSet(tuple(HANDSHAKE.items())), is_http_1_1=True)


@pytest.mark.parametrize("missing", [b"Connection", b"Upgrade"])
def test_without_connection_and_upgrade_it_is_a_plain_request(missing: bytes) -> None:
    """Other upgrades are declined by serving the request as it is (RFC 9110, section 7.8)."""
    fields = {**HANDSHAKE, missing: b"h2c"}
    assert not asks_websocket("GET", FieldSet(tuple(fields.items())), is_http_1_1=True)


@pytest.mark.parametrize(
    ("method", "changes", "is_http_1_1"),
    [
        ("POST", {}, True),
        ("GET", {}, False),
        ("GET", {b"Sec-WebSocket-Version": b"8"}, True),
        ("GET", {b"Sec-WebSocket-Key": b"short"}, True),
        ("GET", {b"Content-Length": b"0"}, True),
        ("GET", {b"Transfer-Encoding": b"chunked"}, True),
    ],
    ids=["method", "HTTP/1.0", "version", "key", "length", "coding"],
)
def test_a_faulty_handshake_is_refused(method: str, changes: dict[bytes, bytes], is_http_1_1: bool) -> None:
    """RFC 6455, section 4.1: some upstreams would say 101 to it all the same."""
    with pytest.raises(RequestRefused, match="malformed_request"):
        asks_websocket(method, FieldSet(tuple({**HANDSHAKE, **changes}.items())), is_http_1_1=is_http_1_1)


@pytest.mark.parametrize("given", [b"a", b"A-b_c.9", b"x" * 128])
def test_a_plain_request_id_is_kept(given: bytes) -> None:
    """Whoever traces a request by the id that it came with finds it under that."""
    assert choose_request_id((given,)) == given


@pytest.mark.parametrize(
    "given", [(), (b"",), (b"x" * 129,), (b"a b",), (b"\xe9",), (b"a\n",), (b"a", b"b"), (b"eyJhbGciOiJFUzI1NiJ9.eyJ",)]
)
def test_any_other_request_id_is_made_anew(given: tuple[bytes, ...]) -> None:
    """None, two or none that is plain: an id of ours, another one each time."""
    first, second = choose_request_id(given), choose_request_id(given)
    assert first != second
    assert not {first, second} & set(given)
    assert len(first) == len(second) == 32
    int(first, 16)


@pytest.mark.parametrize(
    ("fields", "is_http_1_1", "expected"),
    [(((b"Expect", b"100-continue"),), True, True), (((b"Expect", b"100-continue"),), False, False), ((), True, False)],
)
def test_only_http_1_1_waits_for_a_100(fields: Fields, is_http_1_1: bool, expected: bool) -> None:
    """RFC 9110, section 10.1.1."""
    assert expects_continue(FieldSet(fields), is_http_1_1=is_http_1_1) is expected


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
