"""Upstreams that end, break or stall anywhere in an answer: the right status or a cut, and a gateway that goes on."""

from __future__ import annotations

import asyncio
import json

import pytest

from .faults import end, observe, reset, stall
from .gateway_harness import RawClient, bearer
from .loop import in_loop, wait_until
from .upstream import OK, Peer

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

# Where in its answer the upstream may stop.
BEFORE_THE_HEAD = {
    "before the head": b"",
    "in the status line": b"HTTP/1.1 20",
    "in the fields": b"HTTP/1.1 200 OK\r\nContent-Le",
    "after a 103": b"HTTP/1.1 103 Early Hints\r\n\r\n",
}
AFTER_THE_HEAD = {
    "before the body": LENGTH,
    "in the body": LENGTH + b"abc",
    "before the chunks": CHUNKED,
    "in a chunk size": CHUNKED + b"1",
    "in a chunk": CHUNKED + b"a\r\nabc",
    "between chunks": CHUNKED + b"3\r\nabc\r\n",
    "before the last line": CHUNKED + b"3\r\nabc\r\n0\r\n",
    "in the trailers": CHUNKED + b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n",
    "in events": CHUNKED.replace(b"OK\r\n", b"OK\r\nContent-Type: text/event-stream\r\n") + b"3\r\n:\n\n\r\n",
}
ENDS = {"FIN": end, "RST": reset, "stall": stall}
TIMES = {"timeouts": {"response_headers_seconds": 0.1, "idle_stream_seconds": 0.1}}


@pytest.mark.parametrize("is_warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("ending", ENDS)
@pytest.mark.parametrize("place", BEFORE_THE_HEAD)
@in_loop
async def test_a_fault_before_the_head_is_an_answer(place: str, ending: str, is_warm: bool) -> None:
    """Nothing was said yet, so the client is told what happened, and its connection goes on."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(BEFORE_THE_HEAD[place])
        await ENDS[ending](peer)

    expected = (504, "upstream_timeout") if ending == "stall" else (502, "upstream_bad_response")
    # Not repeated on another connection, as a GET would be.
    request = b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 0\r\n" + bearer() + b"\r\n"
    async with observe(script, is_warm=is_warm, **TIMES) as gateway:
        async with RawClient(gateway.application) as client:
            answer = await client.ask(request)
            if answer.status == 103:
                answer = await client.read_answer()
            assert (answer.status, json.loads(answer.body)["reason"]) == expected
            assert (await client.get(b"/again", bearer())).body == b"ok"
        await gateway.check_recovered(expected, (200, None))


@pytest.mark.parametrize("is_warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("version", [b"1.1", b"1.0"], ids=["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("ending", ENDS)
@pytest.mark.parametrize("place", AFTER_THE_HEAD)
@in_loop
async def test_a_fault_behind_the_head_is_a_cut(place: str, ending: str, version: bytes, is_warm: bool) -> None:
    """
    An answer that has begun and is not whole is cut, and never looks whole.

    To a client of HTTP/1.0, which knows no chunks, an orderly end of the connection would be the end of the body: it
    gets an RST.
    """
    sent = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(AFTER_THE_HEAD[place])
        await sent.wait()
        await ENDS[ending](peer)

    async with observe(script, is_warm=is_warm, **TIMES) as gateway:
        async with RawClient(gateway.application) as client:
            await client.send(b"GET / HTTP/" + version + b"\r\nHost: g\r\n" + bearer() + b"\r\n")
            head = await client.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            sent.set()
            received = b""
            try:
                while piece := await client.reader.read(1000):
                    received += piece
                assert b"Content-Length: 10\r\n" in head or b"Transfer-Encoding: chunked\r\n" in head
            except ConnectionResetError:
                pass
            assert len(received) < 10
            assert b"0\r\n" not in received
        reason = "upstream_timeout" if ending == "stall" else "upstream_bad_response"
        await gateway.check_recovered((200, reason))


@pytest.mark.parametrize("ending", ["RST", "stall"])
@in_loop
async def test_a_fault_in_a_body_without_end_is_a_cut(ending: str) -> None:
    """Of a body that ends with its connection, only an orderly end is the end."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nabc")
        await asyncio.sleep(0.05)
        await ENDS[ending](peer)

    async with observe(script, **TIMES) as gateway:
        async with RawClient(gateway.application) as client:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                await client.get(b"/", bearer())
        await gateway.check_recovered((200, "upstream_timeout" if ending == "stall" else "upstream_bad_response"))


@pytest.mark.parametrize("ending", ["FIN", "RST"])
@in_loop
async def test_an_idle_connection_that_ends_costs_nothing(ending: str) -> None:
    """What lies idle and ends is forgotten, whatever the method of the next request."""
    idle = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(OK)
        await idle.wait()
        await ENDS[ending](peer)

    async with observe(script) as gateway:
        async with RawClient(gateway.application) as client:
            assert (await client.get(b"/", bearer())).status == 200
            idle.set()
            await wait_until(lambda: not gateway.upstream.open_connections)
            answer = await client.ask(b"POST / HTTP/1.1\r\nHost: g\r\n" + bearer() + b"\r\n")
            assert answer.status == 200
        await gateway.check_recovered((200, None), (200, None))


@pytest.mark.parametrize("method", [b"GET", b"POST", b"PATCH", b"PUT"], ids=bytes.decode)
@pytest.mark.parametrize("ending", ENDS)
@in_loop
async def test_a_kept_connection_that_ends_on_the_next_request(ending: str, method: bytes) -> None:
    """Only what may be done twice is tried again, and never after a timeout (RFC 9110, section 9.2.2)."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(OK)
        await peer.read_head()
        await ENDS[ending](peer)

    if ending == "stall":
        expected: tuple[int, str | None] = (504, "upstream_timeout")
    else:
        expected = (200, None) if method in (b"GET", b"PUT") else (502, "upstream_bad_response")
    async with observe(script, **TIMES) as gateway:
        async with RawClient(gateway.application) as client:
            assert (await client.get(b"/", bearer())).status == 200
            answer = await client.ask(method + b" / HTTP/1.1\r\nHost: g\r\n" + bearer() + b"\r\n")
            assert answer.status == expected[0]
        await gateway.check_recovered((200, None), expected)


@in_loop
async def test_a_dripping_upstream_is_not_waited_for() -> None:
    """A head that comes octet by octet has the time of a head, and no more."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            await peer.send(b"A: b\r\n")
            await asyncio.sleep(0.02)

    async with observe(script, **TIMES) as gateway:
        async with RawClient(gateway.application) as client:
            assert (await client.get(b"/", bearer())).status == 504
        await gateway.check_recovered((504, "upstream_timeout"))
