"""Plain requests: what is read at once, and all that is left to aiohttp."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser
from aiohttp.http_exceptions import HttpProcessingError

from gateway.config.settings import Limits
from gateway.core.fields import split_list
from gateway.core.policy import Forwarding, Policy
from gateway.proxy.plain import PlainReader, PlainRequest, is_persistent
from gateway.proxy.request_head import Client, RequestRewriter

CLIENT = Client("192.0.2.1", "http")
HEAD = b"GET /a?b=c HTTP/1.1\r\nHost: api.example\r\n"
PLAIN = HEAD + b"\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: api.example\r\nContent-Length: 3\r\n"

# Parts of a head, and octets, that someone must have a closer look at.
FIELDS = {
    "chunked": b"Transfer-Encoding: chunked\r\n",
    "another coding": b"transfer-encoding: gzip\r\n",
    "upgrade": b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "upgrade alone": b"upgrade: h2c\r\n",
    "expectation": b"Expect: 100-continue\r\n",
    "another expectation": b"EXPECT: x\r\n",
    "second host": b"host: api.example\r\n",
    "two tokens": b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
    "two ids": b"X-Request-ID: a\r\nX-Request-ID: a\r\n",
    "length without body": b"Content-Length: 1\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 0\r\n",
    "list of lengths": b"Content-Length: 0, 0\r\n",
    "odd length": b"Content-Length: 00\r\n",
    "signed length": b"Content-Length: +0\r\n",
    "empty length": b"Content-Length:\r\n",
    "bare LF": b"A: b\nC: d\r\n",
    "bare CR": b"A: b\rC: d\r\n",
    "CR CR LF": b"A: b\r\r\n",
    "obs-fold": b"A: b\r\n c\r\n",
    "obs-fold with tab": b"A: b\r\n\tc\r\n",
    "folded length": b"Content-Length:\r\n 0\r\n",
    "hidden by a fold": b"A: b\r\n Transfer-Encoding: chunked\r\n",
    "blank before the colon": b"A : b\r\n",
    "blank before the name": b" A: b\r\n",
    "no colon": b"No colon\r\n",
    "no name": b": b\r\n",
    "octet in a name": b"\xe9: b\r\n",
    "NUL in a name": b"A\x00: b\r\n",
    "NUL": b"A: b\x00c\r\n",
    "control octet": b"A: b\x01c\r\n",
    "DEL": b"A: b\x7fc\r\n",
    "request behind bare LFs": b"A: b\n\nGET /c HTTP/1.1\r\n",
}
MESSAGES = {
    "nothing": b"",
    "empty lines": b"\r\n\r\n",
    "empty line before it": b"\r\n" + PLAIN,
    "empty line behind it": PLAIN + b"\r\n",
    "pipelined": PLAIN + PLAIN,
    "pipelined, partial": PLAIN + PLAIN[:9],
    "pipelined behind a body": POST + b"\r\nabc" + PLAIN,
    "body without length": HEAD.replace(b"GET", b"POST") + b"\r\nabc",
    "body incomplete": POST + b"\r\nab",
    "body too long": POST + b"\r\nabcd",
    "chunks": HEAD.replace(b"GET", b"POST") + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "length and chunks": POST + b"Transfer-Encoding: chunked\r\n\r\nabc",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "HTTP/1.0": PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/2.0": PLAIN.replace(b"HTTP/1.1", b"HTTP/2.0"),
    "HTTP/1.10": PLAIN.replace(b"HTTP/1.1", b"HTTP/1.10"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n",
    "CONNECT": b"CONNECT api.example:443 HTTP/1.1\r\nHost: api.example\r\n\r\n",
    "TRACE": PLAIN.replace(b"GET", b"TRACE"),
    "unknown method": PLAIN.replace(b"GET", b"BREW"),
    "method in lower case": PLAIN.replace(b"GET", b"get"),
    "method and more": PLAIN.replace(b"GET", b"GETS"),
    "whole address": PLAIN.replace(b"/a", b"http://api.example/a"),
    "the server itself": b"OPTIONS * HTTP/1.1\r\nHost: api.example\r\n\r\n",
    "blank in the target": PLAIN.replace(b"/a", b"/a b"),
    "octet in the target": PLAIN.replace(b"/a", b"/\xc3\xa9"),
    "control octet in the target": PLAIN.replace(b"/a", b"/\x01"),
    "two blanks": PLAIN.replace(b"GET ", b"GET  "),
    "tab": PLAIN.replace(b"GET ", b"GET\t"),
    "blank behind the version": PLAIN.replace(b"HTTP/1.1", b"HTTP/1.1 "),
    "bare LF behind the line": PLAIN.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\n"),
    "bare LFs alone": PLAIN.replace(b"\r\n", b"\n"),
    "bare LF at the end": HEAD + b"\n",
    **{name: HEAD + lines + b"\r\n" for name, lines in FIELDS.items()},
}


def make_reader(**limits: int) -> PlainReader:
    policy = Policy((), Forwarding(host=b"backend:3000"))
    return PlainReader(RequestRewriter(policy), replace(Limits(), **limits))


def read(reader: PlainReader, data: bytes) -> PlainRequest | None:
    return reader.read(data, CLIENT)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.mark.parametrize("method", ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"])
@pytest.mark.parametrize("target", ["/", '/a/b%2fc?d=["e"]&f=\'~'])
@pytest.mark.parametrize("body", [b"", b"abc", b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", b"\xff\x01\x00" * 50_000])
def test_plain_request_is_read_at_once(method: str, target: str, body: bytes) -> None:
    """Each part as it came, and a header like any other's."""
    fields = b"\r\nhOST: api.example\r\nA:caf\xe9\t \r\nCookie: a\r\nCookie: b\r\nAuthorization: Bearer x"
    fields += b"\r\ncontent-length: \t%d" % len(body) if body else b""
    reader = make_reader()
    for _ in range(3):
        plain = read(reader, f"{method} {target} HTTP/1.1".encode("ascii") + fields + b"\r\n\r\n" + body)
        assert plain is not None
        header = plain[2]
        assert (plain[0], plain[1], plain[3]) == (method, target, body)
        assert (header.octets, header.host, header.authorization) == (fields, (b"api.example",), (b"Bearer x",))
        assert header.passed == [b"Host: backend:3000", b"A:caf\xe9\t \r\nCookie: a\r\nCookie: b"]


@pytest.mark.parametrize("line", [b"Content-Length: 0\r\n", b"Connection: keep-alive\r\n", b"Connection: close\r\n"])
def test_what_says_nothing_unusual_is_plain(line: bytes) -> None:
    """An empty body may be announced, and the end of the connection too."""
    plain = read(make_reader(), HEAD + line + b"\r\n")
    assert plain is not None
    assert plain[3] == b""


@pytest.mark.parametrize("name", MESSAGES)
def test_anything_else_is_left_alone_and_forgotten(name: str) -> None:
    """Nothing is decided about it here; and whoever comes next, on any connection, gets nothing of it."""
    reader = make_reader()
    assert read(reader, PLAIN) is not None
    for _ in range(2):
        assert read(reader, MESSAGES[name]) is None
        plain = read(reader, POST + b"\r\nabc")
        assert plain is not None
        assert (plain[0], plain[1], plain[3]) == ("POST", "/a", b"abc")


@pytest.mark.parametrize("whole", [PLAIN, POST + b"\r\nabc"], ids=["head", "body"])
def test_part_of_a_request_is_left_alone_and_forgotten(whole: bytes) -> None:
    """Wherever it was cut, the rest comes later, to someone else; neither part is a request."""
    reader = make_reader()
    for length in range(len(whole)):
        assert read(reader, whole[:length]) is None
        assert read(reader, whole) is not None
    for length in range(1, len(whole)):
        assert read(reader, whole[length:]) is None
        assert read(reader, whole) is not None


@pytest.mark.parametrize("limit", ["request_line_bytes", "header_field_bytes", "headers_bytes"])
def test_head_that_may_be_too_large_is_left_alone(limit: str) -> None:
    """One within the smallest of the limits is within each, whatever it is made of; a body has no part in it."""
    fitting = POST + b"A: " + b"x" * (200 - len(POST) - 3)
    assert len(fitting) == 200
    reader = make_reader(**{limit: 200})
    assert read(reader, fitting + b"\r\n\r\nabc") is not None
    assert read(reader, fitting + b"x\r\n\r\nabc") is None
    assert read(reader, fitting + b"\r\n\r\nabc") is not None


def test_too_many_fields_are_left_alone() -> None:
    """The limit is exact."""
    reader = make_reader(header_count=10)
    assert read(reader, HEAD + b"A: b\r\n" * 9 + b"\r\n") is not None
    assert read(reader, HEAD + b"A: b\r\n" * 10 + b"\r\n") is None


def test_request_that_ends_its_connection_ends_no_other() -> None:
    """Behind one that says so llhttp reads no more; the parser is everybody's, and is there again at once or anew."""
    reader = make_reader()
    for _ in range(3):
        assert read(reader, HEAD + b"Connection: close\r\n\r\n") is not None
        read(reader, PLAIN)
        assert read(reader, PLAIN) is not None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (b"", True),
        (b"\r\nConnection: keep-alive", True),
        (b"\r\nConnection: closed", True),
        (b"\r\nConnection: CLOSE", False),
        (b"\r\nConnection: x, close ", False),
    ],
)
def test_connection_outlives_a_request_that_does_not_say_otherwise(fields: bytes, expected: bool) -> None:
    """RFC 9112, section 9.3, for HTTP/1.1."""
    policy = Policy((), Forwarding(host=None))
    assert is_persistent(RequestRewriter(policy).read(fields, CLIENT)) is expected


# What aiohttp makes of a message: method, target, field lines, whether it is the last one, body.
Message = tuple[str, str, bytes, bool, bytes]


def read_with_aiohttp(data: bytes, loop: asyncio.AbstractEventLoop) -> Message | None:
    """Return the one whole request that aiohttp sees in these bytes, if it does."""
    parser = HttpRequestParser(
        BaseProtocol(loop),
        loop,
        2**16,
        max_line_size=8192,
        max_field_size=16384,
        payload_exception=ValueError,
        auto_decompress=False,
    )
    try:
        messages, is_upgraded, rest = parser.feed_data(data)
    except HttpProcessingError:
        return None
    if len(messages) != 1 or is_upgraded or rest:
        return None
    message, payload = messages[0]
    body = b"" if payload.is_eof() and not payload.total_bytes else payload.read_nowait()
    lines = b"".join([b"\r\n%b: %b" % pair for pair in message.raw_headers])
    return (message.method, message.path, lines, message.should_close, body) if payload.is_eof() else None


def normalize(octets: bytes) -> bytes:
    """Return field lines with the one blank that aiohttp's are written with here."""
    lines = [line.partition(b":") for line in octets.split(b"\r\n")[1:]]
    return b"".join([b"\r\n%b: %b" % (name, value.strip(b" \t")) for name, _, value in lines])


@pytest.mark.parametrize("place", range(3))
def test_what_is_taken_is_what_aiohttp_would_read(place: int, loop: asyncio.AbstractEventLoop) -> None:
    """Any octet in any place, added, changed or left out: if it is taken, aiohttp has the same request in the end."""
    whole = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: x\r\nA: b\r\n\r\nabc"
    reader = make_reader()
    taken = 0
    # An octet of each kind that some grammar tells apart.
    octets = [b"", *(bytes((octet,)) for octet in b'\x00\x01\t\n\r !"#%,-./0139:;AZ_az\x7f\x80\xe9\xff')]
    for index in range(len(whole)):
        for octet in octets:
            data = whole[:index] + octet + whole[index + (place > 0) :] if place < 2 else whole[:index] + octet
            plain = read(reader, data)
            if plain is None:
                continue
            taken += 1
            method, target, header, body = plain
            is_last = not is_persistent(header)
            assert read_with_aiohttp(data, loop) == (method, target, normalize(header.octets), is_last, body)
            assert not split_list(header.transfer_encoding)
    assert (taken > 100) == (place < 2)
