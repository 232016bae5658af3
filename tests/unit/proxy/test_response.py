"""The head of an upstream's response: what is read, and what is refused."""

from __future__ import annotations

import pytest

from gateway.core.errors import Reason, UpstreamFailed
from gateway.proxy.response import (
    MAX_FIELDS,
    MAX_HEAD_BYTES,
    Framing,
    ResponseHead,
    check_start,
    parse_response_head,
)

OK = b"HTTP/1.1 200 OK\r\n"


def parse(head: bytes, method: bytes = b"GET") -> ResponseHead:
    return parse_response_head(head, method)


def refuse(head: bytes, method: bytes = b"GET") -> UpstreamFailed:
    with pytest.raises(UpstreamFailed) as caught:
        parse_response_head(head, method)
    assert caught.value.reason is Reason.UPSTREAM_BAD_RESPONSE
    return caught.value


def test_fields_are_kept_as_they_came() -> None:
    """Names in their casing, values octet by octet, equal names apart, all in order (RFC 9110, section 5.3)."""
    first = b"X-ODD-case: caf\xe9 \xff\r\nSet-Cookie: a=1\r\nset-cookie:b=2\r\nEmpty:\r\nTab: \ta\tb \t"
    head = parse(OK + first + b"\r\nContent-Length: 0\r\nContent-Encoding: gzip\r\n\r\n")
    assert head.fields == b"\r\n" + first + b"\r\nContent-Encoding: gzip"


@pytest.mark.parametrize("lines", [b"", b"Content-Length: 0\r\n", b"connection: close\r\n"])
def test_without_fields_for_the_client_there_are_none(lines: bytes) -> None:
    """No line, no octet."""
    assert parse(OK + lines + b"\r\n").fields == b""


@pytest.mark.parametrize(
    "line",
    [
        b"Connection: keep-alive",
        b"CONNECTION:close",
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: close",
        b"Proxy-Authenticate: Basic",
        b"TE: trailers",
        b"Transfer-Encoding: chunked",
        b"upgrade: h2c",
        b"Content-Length:  3 ",
        b"x-request-id: theirs",
    ],
)
def test_what_is_not_for_the_client_is_taken_out(line: bytes) -> None:
    """RFC 9110, section 7.6.1: about this connection or the framing; and the id, which is ours to write."""
    for lines in ((line, b"A: b", b"C: d"), (b"A: b", line, b"C: d"), (b"A: b", b"C: d", line)):
        assert parse(OK + b"\r\n".join(lines) + b"\r\n\r\n").fields == b"\r\nA: b\r\nC: d"


def test_what_only_begins_or_ends_alike_stays() -> None:
    """The negative twin: a name is taken as a whole, and a value is no name."""
    fields = b"\r\nTEA: a\r\nX-TE: b\r\nContent-Length-X: 5\r\nUpgrade-Insecure: 1\r\nA: Connection: close"
    assert parse(OK + fields[2:] + b"\r\n\r\n").fields == fields


@pytest.mark.parametrize("option", [b"x-hop", b"X-HOP, close", b"keep-alive , X-Hop", b"z\r\nConnection: X-Hop"])
def test_what_connection_names_is_taken_out(option: bytes) -> None:
    """RFC 9110, section 7.6.1: each of these fields, and no other."""
    lines = b"X-Hop: 1\r\nA: X-Hop\r\nConnection: %b\r\nx-hop: 2\r\nX-Hop-2: b\r\nX-HOP: 3\r\n" % option
    assert parse(OK + lines + b"\r\n").fields == b"\r\nA: X-Hop\r\nX-Hop-2: b"


def test_blanks_around_a_value_are_not_of_it() -> None:
    """RFC 9112, section 5: optional whitespace belongs to the line; what is read of a response is without it."""
    head = parse(OK + b"Content-Length: \t 3 \t\r\nConnection: \tclose \r\n\r\n")
    assert (head.fields, head.length, head.keep_alive) == (b"", 3, False)
    # Zeros that llhttp takes count, blanks do not.
    assert parse(OK + b"Content-Length: %b3%b\r\n\r\n" % (b" " * 30, b" " * 30)).length == 3
    assert parse(OK + b"Content-Length: %019d\r\n\r\n" % 3).length == 3
    refuse(OK + b"Content-Length: %020d\r\n\r\n" % 3)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (b"Content-Type: text/event-stream\r\n", True),
        (b"A: b\r\ncontent-type:\tTEXT/Event-Stream ;charset=utf-8\r\nC: d\r\n", True),
        (b"Content-Type: text/event-stream \r\nTransfer-Encoding: chunked\r\n", True),
        (b"Content-Type: text/event-stream\r\nContent-Length: 3\r\n", False),
        (b"Content-Type: text/event-streams\r\n", False),
        (b"Content-Type: text/plain; a=text/event-stream\r\n", False),
        (b"X-Content-Type: text/event-stream\r\n", False),
        (b"A: Content-Type: text/event-stream\r\n", False),
        (b"", False),
    ],
)
def test_events_are_known_by_their_type(lines: bytes, expected: bool) -> None:
    """An event stream lasts as long as it is wanted; one with a length ends by itself."""
    assert parse(OK + lines + b"\r\n").is_event_stream is expected


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"HTTP/1.1 200 OK", b"OK"),
        (b"HTTP/1.1 404 Nothing \xe0 here\t(yet)", b"Nothing \xe0 here\t(yet)"),
        (b"HTTP/1.1 200 ", b""),
        (b"HTTP/1.1 200", b""),
    ],
    ids=["plain", "obs-text", "empty", "left out"],
)
def test_reason_is_kept(line: bytes, reason: bytes) -> None:
    """The reason phrase passes octet by octet (RFC 9112, section 4)."""
    assert parse(line + b"\r\n\r\n").reason == reason


@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/2.0 200 OK",
        b"HTTP/0.9 200 OK",
        b"HTTP/1.2 200 OK",
        b"HTTP/1.10 200 OK",
        b"http/1.1 200 OK",
        b"ICY 200 OK",
        b"RTSP/1.0 200 OK",
        b"HTTP/1.1 000 OK",
        b"HTTP/1.1 099 OK",
        b"HTTP/1.1 600 OK",
        b"HTTP/1.1 999 OK",
        b"HTTP/1.1 99 OK",
        b"HTTP/1.1 1000 OK",
        b"HTTP/1.1 2x0 OK",
        b"HTTP/1.1 +20 OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1\t200 OK",
        b"HTTP/1.1 200\tOK",
        b"HTTP/1.1 200 a\x00b",
        b"HTTP/1.1 200 a\x01b",
        b"HTTP/1.1 200 a\x7fb",
        b"HTTP/1.1 200 a\rb",
        b"HTTP/1.1 200 a\nb",
        b"\r\nHTTP/1.1 200 OK",
        b"\nHTTP/1.1 200 OK",
        b"HTTP/1.1 101 Switching",
    ],
)
def test_malformed_status_line_is_refused(line: bytes) -> None:
    """RFC 9112, section 4: HTTP/1.0 or 1.1, a status of 100 to 599, no control octet; a 101 names its protocol."""
    refuse(line + b"\r\n\r\n")


@pytest.mark.parametrize(
    "lines",
    [
        b"A: b\nC: d\r\n",
        b"A: b\r\n\n",
        b"A: b\r\n folded\r\n",
        b" A: b\r\n",
        b"A: b\rc\r\n",
        b"A: b\r\r\n",
        b"A: b\x00c\r\n",
        b"A: b\x01c\r\n",
        b"A: b\x7fc\r\n",
        b"A : b\r\n",
        b"A\t: b\r\n",
        b"A b: c\r\n",
        b"No colon\r\n",
        b": b\r\n",
        b"\xe9: b\r\n",
        b"A\x00: b\r\n",
    ],
)
def test_malformed_field_is_refused(lines: bytes) -> None:
    """RFC 9112, section 5: bare LF, bare CR, NUL, folds and whatever is no token before the colon."""
    refuse(OK + lines + b"Content-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        b"Content-Length: 3\r\nContent-Length: 4\r\n",
        b"Content-Length: 3\r\ncontent-length: 3\r\n",
        b"Content-Length: 3, 3\r\n",
        b"Content-Length: +3\r\n",
        b"Content-Length: -3\r\n",
        b"Content-Length: 0x3\r\n",
        b"Content-Length: 3 4\r\n",
        b"Content-Length: 3.0\r\n",
        b"Content-Length: 1_0\r\n",
        b"Content-Length: \xb2\r\n",
        b"Content-Length:\r\n",
        b"Content-Length: 99999999999999999999999\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked, gzip\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: identity\r\nContent-Length: 3\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked;q=1\r\n",
        b'Transfer-Encoding: "chunked"\r\n',
        b"Transfer-Encoding: , chunked\r\n",
        b"Transfer-Encoding:\r\n",
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_ambiguous_framing_is_refused(lines: bytes, method: bytes) -> None:
    """RFC 9112, section 6.3: of two readings of where a body ends, none is right; to a HEAD too."""
    refuse(OK + lines + b"\r\n", method)


def test_transfer_encoding_with_http_1_0_is_refused() -> None:
    """RFC 9112, section 6.1: the framing is faulty."""
    error = refuse(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert "HTTP/1.0" in error.description


@pytest.mark.parametrize(
    ("head", "method", "framing", "length"),
    [
        (OK + b"Content-Length: 7\r\n", b"GET", Framing.LENGTH, 7),
        (OK + b"Content-Length: 0007\r\n", b"GET", Framing.LENGTH, 7),
        (OK + b"Content-Length: 0\r\n", b"GET", Framing.NONE, 0),
        (OK + b"Content-Length: 7\r\n", b"HEAD", Framing.NONE, 7),
        (OK + b"transfer-encoding: Chunked \r\n", b"GET", Framing.CHUNKED, None),
        (OK + b"Transfer-Encoding: chunked\r\n", b"HEAD", Framing.NONE, None),
        (OK, b"GET", Framing.CLOSE, None),
        (OK, b"HEAD", Framing.NONE, None),
        (b"HTTP/1.0 200 OK\r\n", b"GET", Framing.CLOSE, None),
        (b"HTTP/1.1 204 No Content\r\n", b"GET", Framing.NONE, None),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n", b"GET", Framing.NONE, 7),
        (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n", b"GET", Framing.NONE, None),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n", b"GET", Framing.NONE, 7),
        (b"HTTP/1.1 205 Reset Content\r\nContent-Length: 7\r\n", b"GET", Framing.LENGTH, 7),
        (b"HTTP/1.1 103 Early Hints\r\nContent-Length: 7\r\n", b"GET", Framing.NONE, 7),
        (b"HTTP/1.1 101 S\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n", b"GET", Framing.CLOSE, None),
    ],
)
def test_framing(head: bytes, method: bytes, framing: Framing, length: int | None) -> None:
    """RFC 9112, section 6.3: HEAD, 1xx, 204 and 304 have no body whatever their fields say."""
    parsed = parse(head + b"\r\n", method)
    assert (parsed.framing, parsed.length) == (framing, length)


@pytest.mark.parametrize(
    ("version", "options", "keep_alive"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: close\r\n", False),
        (b"1.1", b"Connection: X-A, CLOSE\r\n", False),
        (b"1.1", b"Connection: keep-alive\r\nConnection: close\r\n", False),
        (b"1.1", b"Connection: X-A\r\n", True),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: Keep-Alive\r\n", True),
        (b"1.0", b"Connection: keep-alive, close\r\n", False),
    ],
)
def test_keep_alive(version: bytes, options: bytes, keep_alive: bool) -> None:
    """RFC 9112, section 9.3: 1.1 unless closed, 1.0 if asked for; `close` wins."""
    assert parse(b"HTTP/" + version + b" 200 OK\r\nContent-Length: 1\r\n" + options + b"\r\n").keep_alive is keep_alive


def test_body_until_close_is_never_kept_alive() -> None:
    """The end of such a body is the end of the connection, whatever ``Connection`` says."""
    assert not parse(OK + b"Connection: keep-alive\r\n\r\n").keep_alive


def test_upgrade_offer_beside_an_answer_is_no_upgrade() -> None:
    """Apache offers ``Upgrade: h2,h2c`` with its answers; only a 101 is a switch."""
    head = parse(OK + b"Upgrade: h2,h2c\r\nConnection: Upgrade, Keep-Alive\r\nContent-Length: 3\r\n\r\n")
    assert (head.framing, head.keep_alive, head.is_interim) == (Framing.LENGTH, True, False)


@pytest.mark.parametrize(("status", "is_interim"), [(100, True), (102, True), (103, True), (101, False), (200, False)])
def test_interim(status: int, is_interim: bool) -> None:
    """RFC 9110, section 15.2: after a 1xx another head follows; after a 101 another protocol."""
    fields = b"Upgrade: websocket\r\nConnection: upgrade\r\n"
    assert parse(b"HTTP/1.1 %d X\r\n" % status + fields + b"\r\n").is_interim is is_interim


@pytest.mark.parametrize(
    "lines",
    [
        b"Upgrade: x\r\nConnection: upgrade\r\n",
        b"Upgrade: websocket, h2c\r\nConnection: upgrade\r\n",
        b"Upgrade: websocket\r\nUpgrade: h2c\r\nConnection: upgrade\r\n",
        b"Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 0\r\n",
        b"Upgrade: websocket\r\nConnection: upgrade\r\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_switch_to_anything_but_a_websocket_is_refused(lines: bytes) -> None:
    """RFC 9110, sections 7.8 and 8.6: whom we told of a WebSocket must not talk to something else."""
    assert "switched" in refuse(b"HTTP/1.1 101 S\r\n" + lines + b"\r\n").description


@pytest.mark.parametrize("line", [b"A: b\r\n", b"a:\r\n"], ids=["usual", "shortest"])
def test_too_many_fields_are_refused(line: bytes) -> None:
    """The limit is exact, and counts the fields that are not for the client."""
    assert parse(OK + line * MAX_FIELDS + b"\r\n").fields == b"\r\n" + (line * MAX_FIELDS)[:-2]
    assert "too many" in refuse(OK + line * (MAX_FIELDS + 1) + b"\r\n").description
    assert "too many" in refuse(OK + line * MAX_FIELDS + b"Connection: close\r\n\r\n").description


def test_too_large_head_is_refused() -> None:
    """The limit is exact, and counts every octet."""
    fitting = OK + b"A: " + b"x" * (MAX_HEAD_BYTES - len(OK) - 7) + b"\r\n\r\n"
    assert len(fitting) == MAX_HEAD_BYTES
    parse(fitting)
    refuse(fitting.replace(b"A:", b"AA:"))


@pytest.mark.parametrize("start", [b"", b"H", b"HTTP/1.", b"HTTP/1.1 200 OK\r\nA: b\r", b"HTTP/1.1 200 OK\r\nA"])
def test_start_of_a_head_is_waited_for(start: bytes) -> None:
    """What may still become a head is not refused."""
    check_start(start)


@pytest.mark.parametrize(
    "start",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x03\x00\x02\x02\x46",
        b"<html>",
        b"HTTP/2",
        b"HTTP/1.1 200 OK\nA: b\n\n",
        b"HTTP/1.1 200 OK\r\nA: b\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * MAX_HEAD_BYTES,
    ],
    ids=["ssh", "tls alert", "html", "http/2", "lf only", "one lf", "endless"],
)
def test_start_of_anything_else_is_refused_at_once(start: bytes) -> None:
    """An upstream that will never answer in HTTP/1 is not waited for until the timeout."""
    with pytest.raises(UpstreamFailed) as caught:
        check_start(start)
    assert caught.value.reason is Reason.UPSTREAM_BAD_RESPONSE


USUAL = OK + b"Server: a\r\nDate: Fri, 27 Nov 2026 10:00:00 GMT\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n"


def is_kept(head: bytes, method: bytes = b"GET") -> bool:
    return parse(head, method) is parse(head, method)


def test_usual_head_is_read_once() -> None:
    """What came before is known, as the answer to that method; a head with another octet is not that one."""
    assert is_kept(USUAL)
    assert parse(USUAL).framing is Framing.LENGTH
    assert parse(USUAL, b"HEAD").framing is Framing.NONE
    assert parse(USUAL.replace(b"5", b"6")).length == 6
    assert parse(USUAL.replace(b"keep-alive", b"close")).keep_alive is False
    refuse(USUAL.replace(b"\r\nDate", b"\nDate"))
    refuse(USUAL.replace(b"5", b"5 6"))
    assert refuse(USUAL.replace(b"200", b"999")).__context__ is None
    assert parse(USUAL).length == 5


@pytest.mark.parametrize(
    "lines",
    [
        b"Set-Cookie: session=a\r\n",
        b"ETag: a\r\n",
        b"X-Session: a\r\n",
        b"Location: /?code=a\r\n",
        b"Server: " + b"x" * 1024 + b"\r\n",
    ],
)
def test_head_that_may_have_a_secret_or_is_long_is_not_kept(lines: bytes) -> None:
    """What may be for one caller alone is read anew, and forgotten."""
    assert not is_kept(OK + lines + b"\r\n")
    assert parse(OK + lines + b"\r\n") == parse(OK + lines + b"\r\n")


def test_memory_of_heads_is_bounded() -> None:
    """An upstream that answers with another head each time makes the first ones go."""
    first = OK + b"Server: bounded\r\n\r\n"
    kept = parse(first)
    for number in range(512):
        assert is_kept(OK + b"Server: %d\r\n\r\n" % number)
    assert parse(first) == kept
    assert parse(first) is not kept
