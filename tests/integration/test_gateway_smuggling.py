"""
Requests of two readings, with another request behind them: the one behind is never served.

RFC 9112, section 9.6, and the rules of sections 2 to 7 that smuggling lives on. Each case goes with a marker behind it,
in one segment and in single octets; if the case is refused, the upstream must never see ``/smuggled``.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from .gateway_harness import Answer, RawClient, bearer, open_gateway
from .loop import in_loop
from .upstream import OK, Peer, Upstream

START = b"POST /first HTTP/1.1\r\n"
HOST = b"Host: gateway.example\r\n"
MARKER = b"GET /smuggled HTTP/1.1\r\nHost: gateway.example\r\n{token}\r\n"


def post(fields: bytes, body: bytes = b"") -> bytes:
    return START + HOST + fields + b"{token}\r\n" + body


def chunks(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked\r\n", body)


# Refused, each with its connection.
REFUSED = {
    # Host (section 3.2)
    "no Host": START + b"{token}\r\n",
    "two Hosts": START + HOST + HOST + b"{token}\r\n",
    "two Hosts that differ": START + HOST + b"Host: other\r\n{token}\r\n",
    "Host with a user": START + b"Host: a@gateway.example\r\n{token}\r\n",
    "Host with a path": START + b"Host: gateway.example/x\r\n{token}\r\n",
    "Host with a comma": START + b"Host: a, b\r\n{token}\r\n",
    "Host beyond ASCII": START + b"Host: g\xe9\r\n{token}\r\n",
    # Lines (sections 2.2, 3 and 5)
    "a space before the colon": post(b"Content-Length : 5\r\n", b"hello"),
    "a tab before the colon": post(b"Content-Length\t: 5\r\n", b"hello"),
    "a fold": post(b"X: a\r\n b\r\n"),
    "a folded length": post(b"Content-Length:\r\n 5\r\n", b"hello"),
    "a folded coding": post(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n"),
    "a fold behind the request line": START + b" X: a\r\n" + HOST + b"{token}\r\n",
    "a bare CR in a value": post(b"X: a\rContent-Length: 5\r\n", b"hello"),
    "a bare CR at the end": post(b"X: a\r\r\n"),
    "a bare LF": post(b"X: a\nContent-Length: 5\r\n", b"hello"),
    "a bare LF behind the head": post(b"Content-Length: 5\r\nX: a\n\nhello"),
    "NUL in a value": post(b"X: a\0b\r\n"),
    "a control octet in a value": post(b"X: a\x01b\r\n"),
    "NUL in a name": post(b"Content-Length\0: 5\r\n", b"hello"),
    "an empty name": post(b": x\r\n"),
    "no colon": post(b"Content-Length\r\n"),
    "a bracket in a name": post(b"X[0]: a\r\n"),
    "no version": b"GET /first\r\n" + HOST + b"{token}\r\n",
    "HTTP/0.9": b"GET /first HTTP/0.9\r\n" + HOST + b"{token}\r\n",
    "HTTP/1.2": b"GET /first HTTP/1.2\r\n" + HOST + b"{token}\r\n",
    "HTTP/2.0": b"GET /first HTTP/2.0\r\n" + HOST + b"{token}\r\n",
    "http in lower case": b"GET /first http/1.1\r\n" + HOST + b"{token}\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\n" + HOST + b"{token}\r\n",
    "a tab for a space": b"GET\t/first HTTP/1.1\r\n" + HOST + b"{token}\r\n",
    # Content-Length (section 6.2)
    "a length of +5": post(b"Content-Length: +5\r\n", b"hello"),
    "a length of -5": post(b"Content-Length: -5\r\n", b"hello"),
    "a length of 0x5": post(b"Content-Length: 0x5\r\n", b"hello"),
    "a length of 5.0": post(b"Content-Length: 5.0\r\n", b"hello"),
    "a length of 5 5": post(b"Content-Length: 5 5\r\n", b"hello"),
    "a length of 5_0": post(b"Content-Length: 5_0\r\n", b"hello"),
    "a list of lengths": post(b"Content-Length: 5, 5\r\n", b"hello"),
    "a list of two lengths": post(b"Content-Length: 5, 6\r\n", b"hello"),
    "an empty length": post(b"Content-Length:\r\n"),
    "a quoted length": post(b'Content-Length: "5"\r\n', b"hello"),
    "digits of another script": post("Content-Length: ٥\r\n".encode(), b"hello"),
    "two lengths": post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello"),
    "the same length twice": post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"),
    "a length beyond all": post(b"Content-Length: 99999999999999999999\r\n", b"hello"),
    # Transfer-Encoding (sections 6.1 and 7)
    "a length and chunks": post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "chunks and a length": post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"),
    "chunks and length 0": post(b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", b"0\r\n\r\n"),
    "chunked twice": post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "chunked, chunked": post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"),
    "gzip": post(b"Transfer-Encoding: gzip\r\n", b"0\r\n\r\n"),
    "gzip, chunked": post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
    "chunked, gzip": post(b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n"),
    "identity": post(b"Transfer-Encoding: identity\r\n", b""),
    "identity, chunked": post(b"Transfer-Encoding: identity, chunked\r\n", b"0\r\n\r\n"),
    "xchunked": post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
    "chunked;q=1": post(b"Transfer-Encoding: chunked;q=1\r\n", b"0\r\n\r\n"),
    "a vertical tab before chunked": post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"),
    "a Kelvin sign": post("Transfer-Encoding: chunKed\r\n".replace("K", "\u212a").encode(), b"0\r\n\r\n"),
    "an empty coding": post(b"Transfer-Encoding:\r\n", b"0\r\n\r\n"),
    ", chunked": post(b"Transfer-Encoding: , chunked\r\n", b"0\r\n\r\n"),
    "chunks in HTTP/1.0": chunks(b"0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"),
    # Chunks (section 7.1)
    "a chunk size that is none": chunks(b"zz\r\nhello\r\n0\r\n\r\n"),
    "a chunk size with a sign": chunks(b"+5\r\nhello\r\n0\r\n\r\n"),
    "a chunk size of 0x5": chunks(b"0x5\r\nhello\r\n0\r\n\r\n"),
    "a chunk size with _": chunks(b"0_5\r\nhello\r\n0\r\n\r\n"),
    "a chunk size behind a space": chunks(b" 5\r\nhello\r\n0\r\n\r\n"),
    "a chunk size before a space": chunks(b"5 \r\nhello\r\n0\r\n\r\n"),
    "an empty chunk size": chunks(b"\r\nhello\r\n0\r\n\r\n"),
    "a chunk size beyond all": chunks(b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    "a chunk line that ends with LF": chunks(b"5\nhello\r\n0\r\n\r\n"),
    "a chunk that ends with LF": chunks(b"5\r\nhello\n0\r\n\r\n"),
    "a chunk that is too long": chunks(b"5\r\nhello!!\r\n0\r\n\r\n"),
    "a bare LF in an extension": chunks(b"5;a\nx\r\nhello\r\n0\r\n\r\n"),
    "a bare CR in an extension": chunks(b"5;a\rx\r\nhello\r\n0\r\n\r\n"),
    "NUL in an extension": chunks(b"5;a\0\r\nhello\r\n0\r\n\r\n"),
    "a trailer without a colon": chunks(b"0\r\nbad\r\n\r\n"),
    "a folded trailer": chunks(b"0\r\nX: a\r\n b\r\n\r\n"),
    "a length for a trailer": chunks(b"0\r\nContent-Length: 5\r\n\r\n"),
    "a coding for a trailer": chunks(b"0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    # Methods and protocols
    "CONNECT": b"CONNECT gateway.example:80 HTTP/1.1\r\nHost: gateway.example:80\r\n{token}\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an unknown method": b"FOO /first HTTP/1.1\r\n" + HOST + b"{token}\r\n",
}
# Refused by a rule of ours, and unambiguous: the body is read, or the connection ends.
DENIED = {
    "no token": (START + HOST + b"Content-Length: 5\r\n\r\n", b"hello"),
    "no token, chunks": (START + HOST + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    "a bad expectation": (post(b"Expect: x\r\nContent-Length: 5\r\n"), b"hello"),
    "TRACE": (b"TRACE / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n{token}\r\n", b"hello"),
}


class Listener:
    """An upstream that keeps what it got, to the octet, and answers each head."""

    def __init__(self) -> None:
        self.received = b""

    async def __call__(self, peer: Peer) -> None:
        while piece := await peer.reader.read(65536):
            self.received += piece
            for _ in range(piece.count(b"\r\n\r\n")):
                await peer.send(OK)


async def read_answers(client: RawClient) -> list[Answer]:
    answers = []
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            answers.append(await client.read_answer())
    return answers


@in_loop
async def test_the_marker_is_served_behind_a_sound_request() -> None:
    """What the other tests look for is seen where nothing is refused."""
    listener = Listener()
    async with (
        Upstream(listener) as upstream,
        open_gateway(upstream.port) as application,
        RawClient(application) as client,
    ):
        sound = post(b"Content-Length: 5\r\n", b"hello") + MARKER
        await client.send(sound.replace(b"{token}\r\n", bearer() + b"\r\n"))
        assert [(await client.read_answer()).status for _ in range(2)] == [200, 200]
    assert b"GET /smuggled" in listener.received


@pytest.mark.parametrize("cut", [False, True], ids=["in one segment", "in two"])
@pytest.mark.parametrize("name", REFUSED)
@in_loop
async def test_nothing_is_served_behind_what_was_refused(name: str, cut: bool) -> None:
    """After a framing error no further octet of a connection means anything (RFC 9112, section 6.3)."""
    token = bearer()
    first, behind = (octets.replace(b"{token}\r\n", token + b"\r\n") for octets in (REFUSED[name], MARKER))
    listener = Listener()
    async with (
        Upstream(listener) as upstream,
        open_gateway(upstream.port, timeouts={"idle_stream_seconds": 0.5}) as application,
        RawClient(application) as client,
    ):
        with suppress(ConnectionError):
            await client.send(first if cut else first + behind)
            if cut:
                await asyncio.sleep(0.02)
                await client.send(behind)
        answers = await read_answers(client)
    assert b"/smuggled" not in listener.received
    assert [answer.status for answer in answers] in ([400], [405], [408]), answers
    assert b"Connection: close\r\n" in answers[0].head


@pytest.mark.parametrize("is_whole", [True, False], ids=["the body at once", "the body later"])
@pytest.mark.parametrize("name", DENIED)
@in_loop
async def test_the_body_of_a_denied_request_is_no_request(name: str, is_whole: bool) -> None:
    """Whoever is denied has his body read to its end, or his connection closed; it is never parsed as a request."""
    head, body = DENIED[name]
    token = bearer()
    head = head.replace(b"{token}\r\n", token + b"\r\n")
    inner = MARKER.replace(b"{token}\r\n", token + b"\r\n")
    if b"chunked" in head:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner)
    else:
        head, body = head.replace(b"Content-Length: 5", b"Content-Length: %d" % len(inner)), inner
    listener = Listener()
    async with (
        Upstream(listener) as upstream,
        open_gateway(upstream.port) as application,
        RawClient(application) as client,
    ):
        await client.send(head + body if is_whole else head)
        answer = await client.read_answer()
        assert answer.status in (400, 401, 405)
        if not is_whole:
            assert answer.fields(b"connection") == [b"close"]
            with suppress(ConnectionError):
                await client.send(body)
        client.writer.write_eof()
        assert await read_answers(client) == []
    assert listener.received == b""
