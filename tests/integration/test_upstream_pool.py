"""Which connection is used again, which never, and who waits: one upstream script a rule."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.errors import Reason, Unavailable, UpstreamFailed
from gateway.proxy.connection import UpstreamConnection
from gateway.proxy.pool import UpstreamPool
from tests.integration.loop import in_loop, wait_until
from tests.integration.upstream import OK, Peer, Upstream, exchange, open_pool, play, play_and_wait


@in_loop
async def test_connection_is_used_again() -> None:
    """Many exchanges, one connection; the first finds it fresh, the others reused."""
    async with Upstream(play_and_wait(OK, OK, OK)) as upstream, open_pool(upstream.address) as pool:
        for number in range(3):
            connection = await pool.acquire()
            assert connection.is_reused is bool(number)
            pool.release(await run_exchange(connection))
        assert upstream.connections == 1


async def run_exchange(connection: UpstreamConnection, method: bytes = b"GET") -> UpstreamConnection:
    connection.begin(method)
    connection.write(method + b" / HTTP/1.1\r\nHost: upstream\r\n\r\n")
    connection.finish()
    await connection.read_head()
    while await connection.read_body():
        pass
    return connection


@in_loop
async def test_connection_used_last_is_used_next() -> None:
    """So that those not needed can reach their end."""
    async with Upstream(play_and_wait(OK, OK)) as upstream, open_pool(upstream.address) as pool:
        first, second = await pool.acquire(), await pool.acquire()
        pool.release(await run_exchange(second))
        pool.release(await run_exchange(first))
        assert await pool.acquire() is first
        assert await pool.acquire() is second


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
@in_loop
async def test_connection_that_the_upstream_will_close_is_not_kept(answer: bytes) -> None:
    """RFC 9112, section 9.6, whether or not it has closed yet."""
    async with Upstream(play_and_wait(answer)) as upstream, open_pool(upstream.address) as pool:
        for _ in range(2):
            assert (await exchange(pool))[1] == b"ok"
        assert upstream.connections == 2
        await wait_until(lambda: upstream.open_connections == 0)


@in_loop
async def test_unfinished_exchange_is_not_kept() -> None:
    """Neither half read, nor half written, nor not even begun."""
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok"

    async def script(peer: Peer) -> None:
        await play_and_wait(half if not peer.number else OK)(peer)

    async with Upstream(script) as upstream, open_pool(upstream.address) as pool:
        half_read = await pool.acquire()
        half_read.begin(b"GET")
        half_read.write(b"GET / HTTP/1.1\r\n\r\n")
        half_read.finish()
        assert (await half_read.read_head(), await half_read.read_body())[1] == b"ok"
        half_written = await pool.acquire()
        half_written.begin(b"POST")
        half_written.write(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
        assert (await half_written.read_head(), await half_written.read_body())[1] == b"ok"
        for connection in (half_read, half_written, await pool.acquire()):
            pool.release(connection)
        await wait_until(lambda: upstream.open_connections == 0)
        await exchange(pool)
        assert upstream.connections == 4


@in_loop
async def test_end_of_an_idle_connection_drops_it() -> None:
    """An upstream that closes idle connections costs the next caller nothing."""
    async with Upstream(play(OK)) as upstream, open_pool(upstream.address) as pool:
        for _ in range(3):
            assert (await exchange(pool))[1] == b"ok"
            await wait_until(lambda: upstream.open_connections == 0)
        assert upstream.connections == 3


@in_loop
async def test_reset_of_an_idle_connection_drops_it() -> None:
    """As its end does."""

    async def script(peer: Peer) -> None:
        await play(OK)(peer)
        peer.reset()

    async with Upstream(script) as upstream, open_pool(upstream.address) as pool:
        for _ in range(3):
            assert (await exchange(pool))[1] == b"ok"
            await wait_until(lambda: upstream.open_connections == 0)


@in_loop
async def test_idle_connection_expires() -> None:
    """After its time it is closed by us, so that no upstream closes it under the next request."""
    async with (
        Upstream(play_and_wait(OK)) as upstream,
        open_pool(upstream.address, idle_connection_seconds=0.05) as pool,
    ):
        await exchange(pool)
        assert (upstream.open_connections, len(pool._idle)) == (1, 1)
        await wait_until(lambda: upstream.open_connections == 0)
        assert not pool._idle
        await exchange(pool)
        assert upstream.connections == 2


async def close_at_second_request(peer: Peer) -> None:
    await play(OK)(peer)
    if not peer.number:
        await peer.read_head()
        return
    await play(OK)(peer)


@in_loop
async def test_stale_connection_is_told_from_a_failed_one() -> None:
    """Closed under the request, reused, and not a byte came: only this may be tried again."""
    async with Upstream(close_at_second_request) as upstream, open_pool(upstream.address) as pool:
        await exchange(pool)
        connection = await pool.acquire()
        with pytest.raises(UpstreamFailed):
            await run_exchange(connection)
        assert connection.is_stale
        pool.release(connection)
        assert (await exchange(pool))[1] == b"ok"


@pytest.mark.parametrize("partial", [b"", b"HTTP/1.1 2"])
@in_loop
async def test_fresh_or_answering_connection_is_not_stale(partial: bytes) -> None:
    """A fresh one that is closed, a reused one of which a byte has come: never send the request twice."""

    async def script(peer: Peer) -> None:
        if partial:
            await play(OK)(peer)
        await peer.read_head()
        await peer.send(partial)

    async with Upstream(script) as upstream, open_pool(upstream.address) as pool:
        if partial:
            await exchange(pool)
        connection = await pool.acquire()
        with pytest.raises(UpstreamFailed):
            await run_exchange(connection)
        assert (connection.is_reused, connection.has_received) == (bool(partial), bool(partial))
        assert not connection.is_stale
        pool.release(connection)


@in_loop
async def test_timeout_is_not_stale() -> None:
    """A slow upstream may be working on the request."""
    async with (
        Upstream(play_and_wait(OK)) as upstream,
        open_pool(upstream.address, head_seconds=0.05) as pool,
    ):
        await exchange(pool)
        connection = await pool.acquire()
        with pytest.raises(UpstreamFailed) as caught:
            await run_exchange(connection)
        assert caught.value.reason is Reason.UPSTREAM_TIMEOUT
        assert (connection.is_reused, connection.is_stale) == (True, False)
        pool.release(connection)


@in_loop
async def test_connections_are_bounded_and_callers_wait_in_line() -> None:
    """First come, first served, on the very connection that came free."""
    async with (
        Upstream(play_and_wait(*[OK] * 5)) as upstream,
        open_pool(upstream.address, max_connections=1) as pool,
    ):
        served: list[int] = []

        async def call(number: int) -> None:
            await exchange(pool)
            served.append(number)

        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(call(number))
        assert served == [0, 1, 2, 3, 4]
        assert upstream.connections == 1


@in_loop
async def test_full_line_is_overload() -> None:
    """One more than may wait is refused at once, and told when to come back."""
    async with Upstream(play_and_wait(OK)) as upstream, open_pool(upstream.address, **TIGHT) as pool:
        held = await pool.acquire()
        waiting = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
        with pytest.raises(Unavailable) as caught:
            await pool.acquire()
        assert (caught.value.reason, caught.value.retry_after_seconds) == (Reason.OVERLOADED, 1)
        pool.release(held)
        pool.release(await waiting)


TIGHT = {"max_connections": 1, "max_waiting": 1}


@in_loop
async def test_turn_that_does_not_come_is_overload() -> None:
    """Nobody waits longer in line than for a connection."""
    async with (
        Upstream(play_and_wait(OK)) as upstream,
        open_pool(upstream.address, connect_seconds=0.05, **TIGHT) as pool,
    ):
        held = await pool.acquire()
        with pytest.raises(Unavailable) as caught:
            await pool.acquire()
        assert caught.value.reason is Reason.OVERLOADED
        pool.release(held)
        pool.release(await pool.acquire())


@in_loop
async def test_lost_connection_gives_its_room_to_the_first_in_line() -> None:
    """Whoever waits dials anew when the one before him fails."""
    async with Upstream(play_and_wait(OK)) as upstream, open_pool(upstream.address, **TIGHT) as pool:
        held = await pool.acquire()
        waiting = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
        pool.release(held)
        fresh = await waiting
        assert (fresh is held, fresh.is_reused, upstream.connections) == (False, False, 2)
        pool.release(fresh)


@in_loop
async def test_failed_dial_gives_its_room_back() -> None:
    """An upstream that is down must not use the pool up."""
    async with Upstream(play(OK)) as upstream:
        address = upstream.address
    async with open_pool(address, **TIGHT) as pool:
        for _ in range(3):
            with pytest.raises(UpstreamFailed) as caught:
                await pool.acquire()
            assert caught.value.reason is Reason.UPSTREAM_UNREACHABLE


@pytest.mark.parametrize("is_reusable", [True, False])
@in_loop
async def test_caller_who_leaves_with_his_turn_passes_it_on(is_reusable: bool) -> None:
    """Cancelled in the moment in which his turn came: the connection, or the room, goes to the next or back."""
    async with Upstream(play_and_wait(OK, OK, OK)) as upstream, open_pool(upstream.address, **TIGHT) as pool:
        held = await pool.acquire()
        if is_reusable:
            await run_exchange(held)
        leaving = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
        pool.release(held)
        if not is_reusable:
            pool._forget(held)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert (await exchange(pool))[1] == b"ok"


@in_loop
async def test_cancelled_caller_leaves_the_line() -> None:
    """His place is free for another."""
    async with Upstream(play_and_wait(OK)) as upstream, open_pool(upstream.address, **TIGHT) as pool:
        held = await pool.acquire()
        for _ in range(3):
            leaving = asyncio.create_task(pool.acquire())
            await asyncio.sleep(0)
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
        pool.release(held)


@in_loop
async def test_cancelled_exchange_closes_its_connection() -> None:
    """A client that has gone is seen by the upstream, and the pool is as before."""
    async with Upstream(play_and_wait()) as upstream, open_pool(upstream.address, **TIGHT) as pool:
        for number in range(3):
            task = asyncio.create_task(exchange(pool))
            await wait_until(lambda number=number: upstream.connections == number + 1)  # type: ignore[misc]
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await wait_until(lambda: upstream.open_connections == 0)


@in_loop
async def test_closed_pool_refuses_and_leaves_nothing() -> None:
    """In use, idle, in line and being dialed: all end."""

    async def start(pool: UpstreamPool) -> list[asyncio.Task[UpstreamConnection]]:
        tasks = [asyncio.create_task(pool.acquire()) for _ in range(2)]
        await asyncio.sleep(0)
        return tasks

    async with (
        Upstream(play_and_wait(OK)) as upstream,
        open_pool(upstream.address, max_connections=3) as pool,
    ):
        idle, used = await pool.acquire(), await pool.acquire()
        pool.release(await run_exchange(idle))
        assert await pool.acquire() is idle
        dialing, waiting = await start(pool)
        await pool.close()
        with pytest.raises(Unavailable) as caught:
            await waiting
        assert caught.value.reason is Reason.DRAINING
        with pytest.raises(Unavailable):
            await pool.acquire()
        used.begin(b"GET")
        with pytest.raises(UpstreamFailed):
            await used.read_head()
        pool.release(await dialing)
        await wait_until(lambda: upstream.open_connections == 0)
