"""After a 101 the connection is another protocol's: every byte once, in order, with back-pressure, to its end."""

from __future__ import annotations

import asyncio

from gateway.proxy.connection import UpstreamConnection
from tests.integration.loop import in_each_loop, wait_until
from tests.integration.upstream import Peer, Upstream, open_pool, play

MEBIBYTE = 1 << 20
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def begin(connection: UpstreamConnection) -> None:
    connection.begin(b"GET", asks_upgrade=True)
    connection.write(b"GET / HTTP/1.1\r\nHost: upstream\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    connection.finish()


class Recorder:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.data = b""
        self.events: list[str] = []

    def feed_data(self, data: bytes) -> None:
        self.data += data

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost" if exc is None else "broken")


@in_each_loop
async def test_switch_gives_everything_that_follows_to_the_sink() -> None:
    """Bytes in the 101's segment, bytes of later, bytes back, the end: all once and in order."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(SWITCHING + b"HTTP/1.1 first ")
        assert await peer.reader.readexactly(4) == b"ping"
        await peer.send(b"second")

    async with Upstream(script) as upstream, open_pool(upstream.address) as pool:
        connection = await pool.acquire()
        begin(connection)
        assert (await connection.read_head()).status == 101
        sink = Recorder()
        connection.take_over(sink)
        connection.write(b"ping")
        await wait_until(lambda: "lost" in sink.events)
        assert (sink.data, sink.events) == (b"HTTP/1.1 first second", ["lost"])
        assert not connection.is_reusable
        pool.release(connection)


@in_each_loop
async def test_end_before_the_take_over_is_told_once() -> None:
    """The upstream may be gone before the client has got the 101."""
    async with Upstream(play(SWITCHING + b"bye")) as upstream, open_pool(upstream.address) as pool:
        connection = await pool.acquire()
        begin(connection)
        await connection.read_head()
        await wait_until(lambda: connection._is_lost)
        sink = Recorder()
        connection.take_over(sink)
        pool.release(connection)
        await wait_until(lambda: not pool._open)
        assert (sink.data, sink.events) == (b"bye", ["lost"])


@in_each_loop
async def test_switch_has_back_pressure_both_ways() -> None:
    """The sink is told when the upstream does not read, and can make it wait."""
    may_read = asyncio.Event()
    size = 16 * MEBIBYTE
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.read_head()
        await peer.send(SWITCHING)
        await may_read.wait()
        await peer.reader.readexactly(size)
        while sent < size:
            await peer.send(b"y" * 65536)
            sent += 65536
        await peer.wait_for_end()

    async with Upstream(script) as upstream, open_pool(upstream.address) as pool:
        connection = await pool.acquire()
        begin(connection)
        await connection.read_head()
        sink = Recorder()
        connection.take_over(sink)
        connection.write(b"x" * size)
        assert sink.events == ["pause"]
        connection.pause_reading()
        may_read.set()
        await wait_until(lambda: sink.events == ["pause", "resume"])
        await wait_until(lambda: sent > 0)
        assert sink.data == b""
        connection.resume_reading()
        await wait_until(lambda: len(sink.data) == size)
        connection.close(5.0)
        await wait_until(lambda: sink.events == ["pause", "resume", "lost"])
        pool.release(connection)


@in_each_loop
async def test_close_sends_what_was_written() -> None:
    """A close frame written just before the end reaches the upstream."""
    received: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(SWITCHING)
        received.append(await peer.wait_for_end())

    async with Upstream(script) as upstream, open_pool(upstream.address) as pool:
        connection = await pool.acquire()
        begin(connection)
        await connection.read_head()
        connection.take_over(Recorder())
        connection.write(b"goodbye")
        connection.close(5.0)
        await wait_until(lambda: received == [b"goodbye"])
