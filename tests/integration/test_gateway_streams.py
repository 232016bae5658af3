"""Streams: events, WebSockets, bodies in both directions, and their ends."""

from __future__ import annotations

import asyncio
import time

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.app.application import Application

from .gateway_harness import API, RawClient, ask_once, bearer, make_token, open_gateway
from .loop import in_loop, wait_until
from .upstream import Peer, Upstream

EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@in_loop
async def test_an_event_arrives_before_the_next_is_sent() -> None:
    """Nothing of a stream is held back, its head included."""
    got = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(EVENTS)
        for number in (b"1", b"2"):
            await got.wait()
            got.clear()
            await peer.send(chunk(b"data: " + number + b"\n\n"))
        await peer.send(b"0\r\n\r\n")
        await peer.wait_for_end()

    async with (
        Upstream(script) as upstream,
        open_gateway(upstream.port) as application,
        RawClient(application) as client,
    ):
        await client.send(b"GET /events HTTP/1.1\r\nHost: g\r\n" + bearer() + b"\r\n")
        for expected in (b"\r\n\r\n", b"data: 1\n\n\r\n", b"data: 2\n\n\r\n"):
            async with asyncio.timeout(5):
                await client.reader.readuntil(expected)
            got.set()
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"


@in_loop
async def test_an_event_stream_ends_with_the_token() -> None:
    """At the token's exp, events end cleanly, within a second."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(EVENTS + chunk(b"data: 1\n\n"))
        await peer.wait_for_end()

    async with Upstream(script) as upstream, open_gateway(upstream.port) as application:
        expiry = int(time.time()) + 2
        answer = await ask_once(application, b"GET / HTTP/1.1\r\nHost: g\r\n" + bearer(exp=expiry) + b"\r\n")
        assert 0 <= time.time() - expiry < 1
        assert answer.body == b"data: 1\n\n"


@in_loop
async def test_the_upstream_learns_that_the_client_has_gone() -> None:
    """A client that leaves a silent stream ends it upstream too."""
    ended = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(EVENTS + chunk(b"data: 1\n\n"))
        await peer.wait_for_end()
        ended.set()

    async with Upstream(script) as upstream, open_gateway(upstream.port) as application:
        async with RawClient(application) as client:
            await client.send(b"GET / HTTP/1.1\r\nHost: g\r\n" + bearer() + b"\r\n")
            await client.reader.readuntil(b"data: 1\n\n")
        async with asyncio.timeout(1):
            await ended.wait()


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        if message == "close":
            await connection.close(4321, "as asked")
            return
        if message == "die":
            connection.transport.abort()
            return
        await connection.send(message)


def open_websocket(application: Application, token: str | None = None, **options: object) -> connect:
    headers = {"Authorization": f"Bearer {token or make_token()}"}
    return connect(f"ws://{application.listen}/ws", additional_headers=headers, proxy=None, max_size=None, **options)


async def read_close(client: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed):
        async with asyncio.timeout(5):
            await client.recv()
    return client.close_code


@pytest.mark.parametrize("compression", [None, "deflate"])
@in_loop
async def test_a_websocket_echoes(compression: str | None) -> None:
    """Text, binary, ten megabytes, a ping and a close code pass, with the upstream's subprotocol and extensions."""
    async with (
        serve(echo, "127.0.0.1", 0, max_size=None, compression=compression, subprotocols=["chat"]) as server,
        open_gateway(server.sockets[0].getsockname()[1]) as application,
        open_websocket(application, compression=compression, subprotocols=["x", "chat"]) as client,
    ):
        assert client.subprotocol == "chat"
        assert bool(client.protocol.extensions) == bool(compression)
        for message in ("text \N{SNOWMAN}", b"\x00\xff", bytes(10 * 1024 * 1024)):
            await client.send(message)
            assert await client.recv() == message
        await (await client.ping())
        await client.send("close")
        assert await read_close(client) == 4321
        assert client.close_reason == "as asked"


@in_loop
async def test_a_close_of_the_client_arrives() -> None:
    """A close code goes upstream as the client sent it."""
    codes: list[int | None] = []

    async def note_close(connection: ServerConnection) -> None:
        await connection.wait_closed()
        codes.append(connection.close_code)

    async with serve(note_close, "127.0.0.1", 0) as server:
        async with open_gateway(server.sockets[0].getsockname()[1]) as application:
            async with open_websocket(application) as client:
                await client.close(3999)
            await wait_until(lambda: codes == [3999])


@in_loop
async def test_a_websocket_is_refused_before_the_101() -> None:
    """No token, no upgrade: a plain 401, and the upstream hears of nothing."""
    opened = []
    async with serve(opened.append, "127.0.0.1", 0) as server:
        async with open_gateway(server.sockets[0].getsockname()[1]) as application:
            with pytest.raises(InvalidStatus) as refusal:
                async with open_websocket(application, make_token("urn:other")):
                    pass
    assert refusal.value.response.status_code == 401
    assert not opened


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"GET", b"POST"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"Version: 13", b"Version: 8"),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"short"),
        (b"Sec-WebSocket-Key", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key"),
        (b"Upgrade: w", b"Content-Length: 1\r\nUpgrade: w"),
    ],
    ids=["method", "HTTP/1.0", "version", "key", "two keys", "body"],
)
@in_loop
async def test_a_malformed_handshake_is_refused(old: bytes, new: bytes) -> None:
    """A handshake that is not the RFC's is 400 (RFC 6455, section 4.2.1)."""
    request = (
        b"GET / HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + bearer() + b"\r\n"
    )
    assert old in request
    async with open_gateway(1) as application:
        answer = await ask_once(application, request.replace(old, new, 1))
    assert answer.status == 400


@pytest.mark.parametrize("code", [3000, 1008])
@in_loop
async def test_a_websocket_ends_with_the_token(code: int) -> None:
    """At the token's exp both sides get a close frame, within a second."""
    codes: list[int | None] = []

    async def note_close(connection: ServerConnection) -> None:
        await connection.wait_closed()
        codes.append(connection.close_code)

    async with serve(note_close, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with open_gateway(port, streams={"expiry_close_code": code}) as application:
            expiry = int(time.time()) + 2
            async with open_websocket(application, make_token(API, exp=expiry)) as client:
                assert await read_close(client) == code
                assert 0 <= time.time() - expiry < 1
            await wait_until(lambda: codes == [code])


@in_loop
async def test_a_websocket_outlives_the_token_where_the_file_says_so() -> None:
    """``streams.end_at_expiry: false`` leaves it to the upstream."""
    async with serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with open_gateway(port, streams={"end_at_expiry": False}) as application:
            expiry = int(time.time()) + 1
            async with open_websocket(application, make_token(API, exp=expiry)) as client:
                await asyncio.sleep(expiry + 0.5 - time.time())
                await client.send("still here")
                assert await client.recv() == "still here"


@in_loop
async def test_a_dead_upstream_is_1014() -> None:
    """An upstream that dies without a close frame has one sent for it."""
    async with serve(echo, "127.0.0.1", 0) as server:
        async with open_gateway(server.sockets[0].getsockname()[1]) as application:
            async with open_websocket(application) as client:
                await client.send("die")
                assert await read_close(client) == 1014


@in_loop
async def test_a_stopping_gateway_says_1001() -> None:
    """On a stop every WebSocket is closed as going away, and the stop does not wait for it."""
    async with serve(echo, "127.0.0.1", 0) as server:
        async with open_gateway(server.sockets[0].getsockname()[1]) as application:
            client = await open_websocket(application)
            closing = asyncio.create_task(read_close(client))
            await asyncio.sleep(0)
            began = time.monotonic()
        assert await closing == 1001
        assert time.monotonic() - began < 1.5
        await client.close()


@in_loop
async def test_a_slow_reader_slows_the_upstream() -> None:
    """A client that does not read holds the upstream back: what is under way stays bounded."""
    sent = 0
    size = 64 * 1024 * 1024

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            await peer.send(bytes(65536))
            sent += 65536
        await peer.wait_for_end()

    async with (
        Upstream(script) as upstream,
        open_gateway(upstream.port) as application,
        RawClient(application) as client,
    ):
        await client.send(b"GET / HTTP/1.1\r\nHost: g\r\n" + bearer() + b"\r\n")
        await client.reader.readuntil(b"\r\n\r\n")
        seen = -1
        while seen != sent:
            seen = sent
            await asyncio.sleep(0.3)
        assert sent < size / 2
        received = 0
        while received < size:
            received += len(await client.reader.read(1 << 20))
        assert received == size
