"""Exchanges as they should be: streamed both ways, with back-pressure, early answers and interim heads."""

from __future__ import annotations

import asyncio
import resource

import pytest

from gateway.proxy.connection import HIGH_WATER_BYTES, UpstreamConnection
from tests.integration.loop import in_each_loop, in_loop, wait_until
from tests.integration.upstream import OK, Peer, Upstream, exchange, open_pool, play, play_and_wait

MEBIBYTE = 1 << 20
POST = b"POST / HTTP/1.1\r\nHost: upstream\r\nContent-Length: %d\r\n\r\n"


def begin(connection: UpstreamConnection, method: bytes = b"GET", *, asks_upgrade: bool = False) -> None:
    connection.begin(method, asks_upgrade=asks_upgrade)
    connection.write(method + b" / HTTP/1.1\r\nHost: upstream\r\n\r\n")
    connection.finish()


async def read_all(connection: UpstreamConnection) -> bytes:
    pieces = []
    while piece := await connection.read_body():
        pieces.append(piece)
    return b"".join(pieces)


@in_each_loop
async def test_request_bytes_arrive_as_written() -> None:
    """The connection adds nothing and changes nothing."""
    request = b"Get /%zz//a?;= HTTP/1.1\r\nhOST: x\r\nX-Odd: \xe9\r\n\r\n"
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        heads.append(await peer.read_head())
        await peer.send(OK)

    async with Upstream(script) as upstream, open_pool(upstream.address) as pool:
        connection = await pool.acquire()
        connection.begin(b"Get")
        connection.write(request)
        connection.finish()
        await connection.read_head()
        pool.release(connection)
        assert heads == [request]


@in_each_loop
async def test_interim_heads_come_as_they_come() -> None:
    """A 103 is there before the upstream has an answer (RFC 8297)."""
    may_answer = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        await may_answer.wait()
        await peer.send(OK)
        await peer.wait_for_end()

    async with Upstream(script) as upstream, open_pool(upstream.address) as pool:
        connection = await pool.acquire()
        begin(connection)
        hints = await connection.read_head()
        assert (hints.status, hints.is_interim, hints.fields) == (103, True, b"\r\nLink: </a.css>")
        may_answer.set()
        assert (await connection.read_head()).status == 200
        assert await read_all(connection) == b"ok"
        assert connection.is_reusable
        pool.release(connection)


@in_each_loop
async def test_body_streams_unbuffered() -> None:
    """Each event is there before the upstream has written the next one."""
    may_go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            await peer.send(b"7\r\ndata: x\r\n")
            await may_go_on.wait()
            may_go_on.clear()
        await peer.send(b"0\r\nX-Sum: 1\r\n\r\n")
        await peer.wait_for_end()

    async with Upstream(script) as upstream, open_pool(upstream.address) as pool:
        connection = await pool.acquire()
        begin(connection)
        await connection.read_head()
        for _ in range(3):
            assert await connection.read_body() == b"data: x"
            may_go_on.set()
        assert await connection.read_body() == b""
        assert connection.response.trailers == ((b"X-Sum", b"1"),)
        assert connection.is_reusable
        pool.release(connection)


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified", b"200 OK"])
@in_loop
async def test_bodiless_answers_leave_the_connection_usable(method: bytes, status: bytes) -> None:
    """RFC 9112, section 6.3: nobody waits for the body that the length of a HEAD or a 304 speaks of."""
    has_body = method == b"GET" and status == b"200 OK"
    answer = b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\n" + (b"hello" if has_body else b"")
    async with Upstream(play_and_wait(answer, OK)) as upstream, open_pool(upstream.address) as pool:
        head, body = await exchange(pool, method)
        assert (head.length, body) == (5, b"hello" if has_body else b"")
        assert (await exchange(pool))[1] == b"ok"
        assert upstream.connections == 1


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@in_each_loop
async def test_body_until_close(version: bytes) -> None:
    """The end of the connection is the end of the body, and it is not reset under us."""
    size = 3 * MEBIBYTE
    answer = b"HTTP/" + version + b" 200 OK\r\n\r\n" + b"x" * size
    async with Upstream(play(answer)) as upstream, open_pool(upstream.address) as pool:
        head, body = await exchange(pool)
        assert (head.status, len(body)) == (200, size)


@in_each_loop
async def test_early_answer_ends_the_upload() -> None:
    """An upstream that refuses a large body and goes: its answer is what counts, not the broken upload."""
    refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(refusal)

    async with Upstream(script) as upstream, open_pool(upstream.address) as pool:
        connection = await pool.acquire()
        connection.begin(b"POST")
        connection.write(POST % (1 << 40))
        reading = asyncio.create_task(connection.read_head())
        while not reading.done():
            connection.write(b"x" * 65536)
            await connection.drain()
            await asyncio.sleep(0)
        assert (await reading).status == 413
        assert await read_all(connection) == b"big"
        connection.write(b"x" * 65536)
        await connection.drain()
        assert not connection.is_reusable
        pool.release(connection)


@in_each_loop
async def test_slow_upstream_makes_the_writer_wait() -> None:
    """An upload that the upstream does not read is not kept in our memory."""
    may_read = asyncio.Event()
    size = 64 * MEBIBYTE

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await may_read.wait()
        left = size
        while left:
            left -= len(await peer.reader.read(MEBIBYTE))
        await peer.send(OK)
        await peer.wait_for_end()

    async with Upstream(script) as upstream, open_pool(upstream.address) as pool:
        connection = await pool.acquire()
        connection.begin(b"POST")
        connection.write(POST % size)
        sent = 0

        async def upload() -> None:
            nonlocal sent
            while sent < size:
                connection.write(b"x" * 65536)
                sent += 65536
                await connection.drain()
            connection.finish()

        uploading = asyncio.create_task(upload())
        await wait_until(lambda: connection._is_writing_paused)
        assert sent < size // 2
        may_read.set()
        await uploading
        assert (await connection.read_head()).status == 200
        assert await read_all(connection) == b"ok"
        assert connection.is_reusable
        pool.release(connection)


@pytest.mark.parametrize("is_chunked", [False, True])
@in_each_loop
async def test_slow_reader_makes_the_upstream_wait(is_chunked: bool) -> None:
    """A download that nobody reads is not kept in our memory, and is whole in the end."""
    size = 64 * MEBIBYTE
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.read_head()
        fields = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % size
        await peer.send(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n")
        while sent < size:
            await peer.send(b"10000\r\n" + b"x" * 65536 + b"\r\n" if is_chunked else b"x" * 65536)
            sent += 65536
        if is_chunked:
            await peer.send(b"0\r\n\r\n")
        await peer.wait_for_end()

    async with Upstream(script) as upstream, open_pool(upstream.address) as pool:
        connection = await pool.acquire()
        begin(connection)
        await connection.read_head()
        await wait_until(lambda: connection._is_reading_paused)
        assert connection._reader is not None
        assert connection._reader.buffered < 4 * HIGH_WATER_BYTES
        assert sent < size // 2
        received = 0
        while piece := await connection.read_body():
            received += len(piece)
        assert (received, connection.is_reusable) == (size, True)
        pool.release(connection)


@pytest.mark.slow
@in_loop
async def test_large_body_takes_no_memory() -> None:
    """A gibibyte passes through a few hundred kibibytes."""
    size = 1024 * MEBIBYTE
    piece = b"x" * MEBIBYTE

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // MEBIBYTE):
            await peer.send(piece)
        await peer.wait_for_end()

    async with Upstream(script) as upstream, open_pool(upstream.address) as pool:
        connection = await pool.acquire()
        begin(connection)
        await connection.read_head()
        received = len(await connection.read_body())
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        while data := await connection.read_body():
            received += len(data)
        assert received == size
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024
        pool.release(connection)
