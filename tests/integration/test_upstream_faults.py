"""Upstreams that misbehave, one oddity each: the reason, the cut, and a pool that works afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from gateway.core.errors import Reason, UpstreamFailed
from gateway.proxy.pool import UpstreamPool
from gateway.proxy.reader import MAX_INTERIM_HEADS
from tests.integration.loop import in_each_loop, in_loop, wait_until
from tests.integration.upstream import OK, Peer, Script, Upstream, exchange, open_pool, play_and_wait

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

# Where in its answer an upstream may stop, and how much of the body has come until then.
PLACES = {
    "before the head": (b"", None),
    "in the status line": (b"HTTP/1.1 20", None),
    "in the fields": (b"HTTP/1.1 200 OK\r\nContent-Le", None),
    "after an interim head": (CONTINUE, None),
    "before the body": (LENGTH, b""),
    "in the body": (LENGTH + b"abc", b"abc"),
    "before the chunks": (CHUNKED, b""),
    "in a chunk size": (CHUNKED + b"1", b""),
    "in a chunk": (CHUNKED + b"a\r\nabc", b"abc"),
    "between chunks": (CHUNKED + b"3\r\nabc\r\n", b"abc"),
    "before the last line": (CHUNKED + b"3\r\nabc\r\n0\r\n", b"abc"),
    "in the trailers": (CHUNKED + b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n", b"abc"),
}


def then(answer: bytes, end: Callable[[Peer], Awaitable[object]], *, may_end: asyncio.Event | None = None) -> Script:
    """Answer the first connection with these bytes and that end, and any other in good order."""

    async def script(peer: Peer) -> None:
        if peer.number:
            await play_and_wait(OK)(peer)
            return
        await peer.read_head()
        await peer.send(answer)
        if may_end is not None:
            await may_end.wait()
        await end(peer)

    return script


async def close(peer: Peer) -> None:
    peer.writer.close()


async def reset(peer: Peer) -> None:
    peer.reset()


async def stall(peer: Peer) -> None:
    await peer.wait_for_end()


async def read_until_failure(pool: UpstreamPool, may_end: asyncio.Event | None = None) -> tuple[bytes | None, Reason]:
    """Return what came of a body, None without a head, and the reason of the failure that must follow."""
    body: bytes | None = None
    connection = await pool.acquire()
    connection.begin(b"GET")
    connection.write(b"GET / HTTP/1.1\r\nHost: upstream\r\n\r\n")
    connection.finish()
    try:
        while (await connection.read_head()).is_interim:
            pass
        body = b""
        while piece := await connection.read_body():
            body += piece
    except UpstreamFailed as error:
        return body, error.reason
    finally:
        assert not connection.is_reusable
        pool.release(connection)
    pytest.fail(f"a cut body was taken for a whole one: {body!r}")


@pytest.mark.parametrize("place", PLACES)
@in_each_loop
async def test_early_end_is_a_failure(place: str) -> None:
    """Wherever the upstream closes, nobody takes what came for a whole response."""
    answer, body = PLACES[place]
    async with Upstream(then(answer, close)) as upstream, open_pool(upstream.address) as pool:
        assert await read_until_failure(pool) == (body, Reason.UPSTREAM_BAD_RESPONSE)
        assert (await exchange(pool))[1] == b"ok"


@pytest.mark.parametrize("place", PLACES)
@in_each_loop
async def test_reset_is_a_failure(place: str) -> None:
    """The same, with RST; what had arrived before may or may not have been read."""
    answer, body = PLACES[place]
    async with Upstream(then(answer, reset)) as upstream, open_pool(upstream.address) as pool:
        received, reason = await read_until_failure(pool)
        assert reason is Reason.UPSTREAM_BAD_RESPONSE
        assert received is None or (body or b"").startswith(received)
        assert (await exchange(pool))[1] == b"ok"


@in_each_loop
async def test_reset_of_a_body_until_close_is_a_cut() -> None:
    """Only an orderly end is the end of such a body; an RST is what a crash looks like."""
    may_end = asyncio.Event()
    script = then(UNTIL_CLOSE + b"abc", reset, may_end=may_end)
    async with Upstream(script) as upstream, open_pool(upstream.address) as pool:
        connection = await pool.acquire()
        connection.begin(b"GET")
        connection.write(b"GET / HTTP/1.1\r\n\r\n")
        connection.finish()
        await connection.read_head()
        assert await connection.read_body() == b"abc"
        may_end.set()
        with pytest.raises(UpstreamFailed) as caught:
            await connection.read_body()
        assert caught.value.reason is Reason.UPSTREAM_BAD_RESPONSE
        pool.release(connection)


@pytest.mark.parametrize("place", PLACES)
@in_loop
async def test_stall_is_a_timeout(place: str) -> None:
    """Before the final head its own time is counted, then idleness."""
    answer, body = PLACES[place]
    times = {"idle_stream_seconds": 0.05} if body is not None else {"head_seconds": 0.05}
    async with Upstream(then(answer, stall)) as upstream, open_pool(upstream.address, **times) as pool:
        assert await read_until_failure(pool) == (body, Reason.UPSTREAM_TIMEOUT)
        await wait_until(lambda: upstream.open_connections == 0)
        assert (await exchange(pool))[1] == b"ok"


@in_loop
async def test_dripping_head_is_a_timeout() -> None:
    """A byte now and then does not lengthen the time for a head."""

    async def drip(peer: Peer) -> None:
        while True:
            await peer.send(b"A: b\r\n")
            await asyncio.sleep(0.01)

    async with (
        Upstream(then(b"HTTP/1.1 200 OK\r\n", drip)) as upstream,
        open_pool(upstream.address, head_seconds=0.1) as pool,
    ):
        assert await read_until_failure(pool) == (None, Reason.UPSTREAM_TIMEOUT)


@in_loop
async def test_dripping_body_is_none() -> None:
    """A stream that is alive is never too long: each byte begins a new time."""

    async def drip(peer: Peer) -> None:
        for _ in range(10):
            await peer.send(b"x")
            await asyncio.sleep(0.03)

    async with (
        Upstream(then(LENGTH, drip)) as upstream,
        open_pool(upstream.address, idle_stream_seconds=0.1) as pool,
    ):
        assert (await exchange(pool))[1] == b"x" * 10


@in_loop
async def test_time_for_the_head_begins_with_the_end_of_the_request() -> None:
    """A long upload is no slowness of the upstream."""
    async with (
        Upstream(play_and_wait(OK)) as upstream,
        open_pool(upstream.address, head_seconds=0.05, idle_stream_seconds=0.05) as pool,
    ):
        connection = await pool.acquire()
        connection.begin(b"POST")
        connection.write(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n")
        reading = asyncio.create_task(connection.read_head())
        started = time.monotonic()
        while time.monotonic() - started < 0.2:
            await asyncio.sleep(0.01)
            assert not reading.done()
        connection.write(b"\r\nhello")
        connection.finish()
        assert (await reading).status == 200
        pool.release(connection)


@in_loop
async def test_upload_that_nobody_takes_is_a_timeout() -> None:
    """An upstream that neither reads nor answers: the writer is let go, the reader is told."""
    async with (
        Upstream(then(b"", lambda _: asyncio.sleep(60))) as upstream,
        open_pool(upstream.address, idle_stream_seconds=0.05) as pool,
    ):
        connection = await pool.acquire()
        connection.begin(b"POST")
        connection.write(b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n" + b"x" * (1 << 24))
        await connection.drain()
        with pytest.raises(UpstreamFailed) as caught:
            await connection.read_head()
        assert caught.value.reason is Reason.UPSTREAM_TIMEOUT
        pool.release(connection)


@in_loop
async def test_slow_client_is_not_the_upstreams_idleness() -> None:
    """While nobody reads the body, the upstream waits for us, not we for it."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n" + b"x" * 8000000
    async with (
        Upstream(play_and_wait(answer)) as upstream,
        open_pool(upstream.address, idle_stream_seconds=0.05) as pool,
    ):
        connection = await pool.acquire()
        connection.begin(b"GET")
        connection.write(b"GET / HTTP/1.1\r\n\r\n")
        connection.finish()
        await connection.read_head()
        await wait_until(lambda: connection._is_reading_paused)
        await asyncio.sleep(0.2)
        received = 0
        while piece := await connection.read_body():
            received += len(piece)
        assert (received, connection.is_reusable) == (8000000, True)
        pool.release(connection)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 600 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70000,
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 101 + b"\r\n",
        CONTINUE * (MAX_INTERIM_HEADS + 1) + OK,
    ],
    ids=[
        *("garbage", "bare LF", "length and coding", "two lengths", "fold", "NUL"),
        *("status 600", "HTTP/2", "unasked 101", "large", "many fields", "1xx spam"),
    ],
)
@in_loop
async def test_bad_head_is_refused_and_the_connection_closed(answer: bytes) -> None:
    """Nothing of it reaches the client; the next caller gets another connection."""
    async with Upstream(then(answer, stall)) as upstream, open_pool(upstream.address) as pool:
        assert await read_until_failure(pool) == (None, Reason.UPSTREAM_BAD_RESPONSE)
        await wait_until(lambda: upstream.open_connections == 0)
        assert (await exchange(pool))[1] == b"ok"


@pytest.mark.parametrize(
    "chunk", [b"zz\r\n", b"+3\r\nabc\r\n", b"3\nabc\r\n", b"3\r\nabcd\r\n", b"0\r\nA: b\nC: d\r\n\r\n"]
)
@in_loop
async def test_bad_chunk_cuts_the_body(chunk: bytes) -> None:
    """What came in order is passed on, and then the cut."""
    async with Upstream(then(CHUNKED + b"2\r\nhi\r\n" + chunk, stall)) as upstream, open_pool(upstream.address) as pool:
        body, reason = await read_until_failure(pool)
        assert (body is not None and body.startswith(b"hi"), reason) == (True, Reason.UPSTREAM_BAD_RESPONSE)
        await wait_until(lambda: upstream.open_connections == 0)


@in_each_loop
async def test_answer_without_a_request_is_nobodys() -> None:
    """An upstream that speaks first (SMTP, a 408 of a proxy that waited) answers no request of ours."""

    async def script(peer: Peer) -> None:
        if peer.number:
            await play_and_wait(OK)(peer)
            return
        await peer.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await peer.wait_for_end()

    async with Upstream(script) as upstream, open_pool(upstream.address) as pool:
        connection = await pool.acquire()
        connection.begin(b"GET")
        with pytest.raises(UpstreamFailed) as caught:
            await connection.read_head()
        assert caught.value.reason is Reason.UPSTREAM_BAD_RESPONSE
        pool.release(connection)
        assert (await exchange(pool))[1] == b"ok"


@in_loop
async def test_a_thousand_cancelled_exchanges_leave_nothing() -> None:
    """Clients that go in each phase: no task, no socket, and the pool works."""
    async with (
        Upstream(play_and_wait(CHUNKED + b"3\r\nabc\r\n")) as upstream,
        open_pool(upstream.address, max_connections=8, max_waiting=1000) as pool,
    ):
        for iterations in range(20):
            tasks = [asyncio.create_task(exchange(pool)) for _ in range(50)]
            for _ in range(iterations):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await wait_until(lambda: not pool._open and not upstream.open_connections)
