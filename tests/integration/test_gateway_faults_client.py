"""Clients that go, stall or read slowly, in each phase: the upstream learns of it, and nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from .faults import POST, answer_all, observe
from .gateway_harness import RawClient, bearer
from .loop import in_loop, wait_until
from .upstream import OK, Peer, never_answer

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: g\r\n{token}\r\n"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{token}\r\n"
)


@dataclass(frozen=True)
class Phase:
    """How far an exchange has come: what the client sent, what the upstream said, until what the client has read."""

    request: bytes
    answer: bytes = b""
    until: bytes = b""
    # What is written down.
    status: int = 499


PHASES = {
    "waiting": Phase(GET),
    "upload by length": Phase(POST + b"Content-Length: 100\r\n{token}\r\nhalf"),
    "upload in chunks": Phase(POST + b"Transfer-Encoding: chunked\r\n{token}\r\n4\r\nhalf\r\n"),
    "wait for the 100": Phase(
        POST + b"Expect: 100-continue\r\nContent-Length: 9\r\n{token}\r\n", until=b"HTTP/1.1 100 Continue\r\n\r\n"
    ),
    "after a 103": Phase(GET, b"HTTP/1.1 103 Early\r\n\r\n", b"Early\r\n\r\n"),
    "answer by length": Phase(GET, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"half", 200),
    "answer in chunks": Phase(GET, CHUNKED + b"4\r\nhalf\r\n", b"half\r\n", 200),
    "answer during the upload": Phase(
        POST + b"Content-Length: 100\r\n{token}\r\nhalf", CHUNKED + b"4\r\nhalf\r\n", b"half\r\n", 200
    ),
    "events": Phase(GET, EVENTS + b"4\r\n:x\n\n\r\n", b":x\n\n\r\n", 200),
    "WebSocket": Phase(UPGRADE, SWITCHING + b"\x81\x02hi", b"\x81\x02hi", 101),
    "in a frame": Phase(UPGRADE, SWITCHING + b"\x81\x7dhi", b"\x81\x7dhi", 101),
}


def leave(client: RawClient) -> None:
    client.writer.close()


def reset(client: RawClient) -> None:
    linger = struct.pack("ii", 1, 0)
    client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    client.writer.transport.abort()


def half_close(client: RawClient) -> None:
    client.writer.write_eof()


WAYS = {"FIN": leave, "RST": reset, "FIN of one side": half_close}


@pytest.mark.parametrize("is_warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", PHASES)
@in_loop
async def test_a_client_that_goes_is_written_down_once(name: str, way: str, is_warm: bool) -> None:
    """
    The upstream's connection ends within a second, and the record says what the client got of an answer, or 499.

    A client that closes its sending half counts as gone: who means to read on does not close.
    """
    phase = PHASES[name]
    ended = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(phase.answer)
        reached.set()
        await peer.wait_for_end()
        ended.set()

    reached = asyncio.Event()
    async with observe(script, is_warm=is_warm) as gateway, RawClient(gateway.application) as client:
        await client.send(phase.request.replace(b"{token}", bearer()))
        await asyncio.wait_for(reached.wait(), 5)
        if phase.until:
            await asyncio.wait_for(client.reader.readuntil(phase.until), 5)
        WAYS[way](client)
        async with asyncio.timeout(1):
            await ended.wait()
        await gateway.check_recovered((phase.status, None))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sent", [b"", b"GE", b"GET / HTTP/1.1\r\nHos", b"GET / HTTP/1.1\r\nHost: g\r\n"])
@in_loop
async def test_a_client_that_goes_in_its_head_is_none(sent: bytes, way: str) -> None:
    """What never became a request is not written down."""

    async def script(peer: Peer) -> None:
        await peer.wait_for_end()

    async with observe(script) as gateway:
        async with RawClient(gateway.application) as client:
            await client.send(sent)
            await wait_until(lambda: len(gateway.application._server.connections) == 1)
            WAYS[way](client)
            await wait_until(lambda: not gateway.application._server.connections)
        assert gateway.read_records() == []
        assert gateway.upstream.connections == 0


@pytest.mark.parametrize("count", [200])
@in_loop
async def test_many_that_go_leave_nothing(count: int) -> None:
    """Two hundred clients that go in every phase: a record each, no connection, no gauge."""

    phases = [phase for phase in PHASES.values() if not phase.answer]
    ways: list[Callable[[RawClient], None]] = list(WAYS.values())

    async def visit(number: int) -> None:
        async with RawClient(gateway.application) as client:
            await client.send(phases[number % len(phases)].request.replace(b"{token}", token))
            for _ in range(number % 7):
                await asyncio.sleep(0)
            ways[number % len(ways)](client)

    token = bearer()
    async with observe(never_answer, limits={"upstream_connections": 1000}) as gateway:
        await asyncio.gather(*map(visit, range(count)))
        await gateway.check_at_rest()
        records = gateway.read_records()
        assert len(records) <= count
        # Those that were answered were answered in time.
        assert {record["status"] for record in records} <= {200, 499}


SIZE = 32 * 1024 * 1024


@pytest.mark.parametrize("framing", ["length", "chunks"])
@in_loop
async def test_a_client_that_does_not_read_is_let_go(framing: str) -> None:
    """Who takes nothing of an answer for the idle time has gone, and the upstream with him."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(CHUNKED if framing == "chunks" else b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
        while True:
            await peer.send(b"10000\r\n" + bytes(65536) + b"\r\n" if framing == "chunks" else bytes(65536))

    async with observe(script, timeouts={"idle_stream_seconds": 0.2}) as gateway:
        async with RawClient(gateway.application) as client:
            await client.send(GET.replace(b"{token}", bearer()))
            await client.reader.readuntil(b"\r\n\r\n")
            client.writer.transport.pause_reading()
            await gateway.wait_for_records(1)
            await wait_until(lambda: not gateway.upstream.open_connections)
        await gateway.check_recovered((200, None))


@in_loop
async def test_a_slow_reader_gets_all() -> None:
    """A client that reads now and then is not idle, however long the whole takes."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE + bytes(SIZE))
        await answer_all(peer)

    async with observe(script, timeouts={"idle_stream_seconds": 0.4}) as gateway:
        async with RawClient(gateway.application) as client:
            await client.send(GET.replace(b"{token}", bearer()))
            await client.reader.readuntil(b"\r\n\r\n")
            received = 0
            while received < SIZE:
                received += len(await client.reader.readexactly(min(SIZE - received, SIZE // 8)))
                await asyncio.sleep(0.1)
        await gateway.check_recovered((200, None))


@in_loop
async def test_a_slow_writer_is_served() -> None:
    """An upload that comes octet by octet is one, however long it takes."""
    bodies = []

    async def script(peer: Peer) -> None:
        await peer.read_head()
        bodies.append(await peer.reader.readexactly(12))
        await peer.send(OK)
        await answer_all(peer)

    timeouts = {"idle_stream_seconds": 0.2, "response_headers_seconds": 0.2}
    async with observe(script, timeouts=timeouts) as gateway:
        async with RawClient(gateway.application) as client:
            await client.send(POST + b"Content-Length: 12\r\n" + bearer() + b"\r\n")
            for octet in b"hello, world":
                await client.send(bytes((octet,)))
                await asyncio.sleep(0.05)
            assert (await client.read_answer()).status == 200
        assert bodies == [b"hello, world"]
        await gateway.check_recovered((200, None))


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 9\r\n", b"Transfer-Encoding: chunked\r\n"], ids=["length", "chunks"]
)
@in_loop
async def test_a_writer_that_stalls_is_408(framing: bytes) -> None:
    """An upload that stops is refused, and the upstream never takes it for whole."""
    got = []

    async def script(peer: Peer) -> None:
        await peer.read_head()
        got.append(await peer.wait_for_end())

    async with observe(script, timeouts={"idle_stream_seconds": 0.1}) as gateway:
        async with RawClient(gateway.application) as client:
            await client.send(
                POST + framing + bearer() + b"\r\n" + (b"4\r\nhalf\r\n" if b"chunked" in framing else b"half")
            )
            answer = await client.read_answer()
            assert (answer.status, json.loads(answer.body)["reason"]) == (408, "request_timeout")
            assert answer.fields(b"connection") == [b"close"]
        await wait_until(lambda: bool(got))
        assert b"half" in got[0]
        assert b"0\r\n" not in got[0]
        await gateway.check_recovered((408, "request_timeout"))


@in_loop
async def test_a_malformed_upload_is_400() -> None:
    """Chunks that are none are refused, and the upstream never takes them for a body."""
    got = []

    async def script(peer: Peer) -> None:
        await peer.read_head()
        got.append(await peer.wait_for_end())

    async with observe(script) as gateway:
        async with RawClient(gateway.application) as client:
            await client.send(POST + b"Transfer-Encoding: chunked\r\n" + bearer() + b"\r\n4\r\nhalf\r\n")
            await wait_until(lambda: gateway.upstream.connections == 1)
            await client.send(b"zz\r\nGET /smuggled HTTP/1.1\r\nHost: g\r\n\r\n")
            answer = await client.read_answer()
            assert (answer.status, json.loads(answer.body)["reason"]) == (400, "malformed_request")
            assert await client.reader.read() == b""
        await wait_until(lambda: bool(got))
        assert b"smuggled" not in got[0]
        await gateway.check_recovered((400, "malformed_request"))
