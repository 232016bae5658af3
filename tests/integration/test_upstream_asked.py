"""
Answers to whoever asked past a task.

What arrives in one turn of the loop is read at its end, and before all that would end it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.core.errors import Reason, UpstreamFailed
from gateway.proxy.connection import UpstreamConnection, Whole
from gateway.proxy.pool import UpstreamPool

from .loop import in_loop, wait_until
from .upstream import OK, Upstream, never_answer, open_pool

GET = b"GET / HTTP/1.1\r\nHost: upstream.example\r\n\r\n"


class Asked:
    """A connection on which something was asked, and what was answered, None for what was not whole."""

    def __init__(self, pool: UpstreamPool, connection: UpstreamConnection) -> None:
        self.pool = pool
        self.connection = connection
        self.answers: list[bytes | None] = []

    def answer(self, whole: Whole | None) -> None:
        """Take an answer, and give back the connection as whoever relays it does."""
        self.answers.append(None if whole is None else whole[1])
        if whole is not None:
            self.pool.release(self.connection)

    async def check_timed_out(self) -> None:
        """Check that the answer was not whole, and that whoever goes on with it is told why."""
        assert self.answers == [None]
        with pytest.raises(UpstreamFailed) as failure:
            await self.connection.read_head()
        assert failure.value.reason is Reason.UPSTREAM_TIMEOUT


@asynccontextmanager
async def ask(**changed: Any) -> AsyncIterator[Asked]:
    """Ask an upstream that never answers by itself."""
    async with Upstream(never_answer) as upstream, open_pool(upstream.address, **changed) as pool:
        connection = await pool.acquire()
        asked = Asked(pool, connection)
        connection.ask(b"GET", GET, Asked.answer, asked)
        yield asked
        connection.abort()


@pytest.mark.parametrize("cut", [None, 1, 20, len(OK) - 1])
@in_loop
async def test_what_comes_in_one_turn_is_read_at_its_end(cut: int | None) -> None:
    """In one piece or in two: it is one answer, and the connection is as good as new."""
    async with ask() as asked:
        for piece in (OK,) if cut is None else (OK[:cut], OK[cut:]):
            assert asked.answers == []
            asked.connection.data_received(piece)
        await wait_until(lambda: bool(asked.answers))
        assert asked.answers == [b"ok"]
        assert asked.pool.take() is asked.connection


@in_loop
async def test_a_late_byte_costs_the_connection() -> None:
    """Behind a whole answer, in the same turn: it is never the beginning of another answer."""
    async with ask() as asked:
        asked.connection.data_received(OK)
        asked.connection.data_received(OK)
        await wait_until(lambda: bool(asked.answers))
        assert asked.answers == [b"ok"]
        assert asked.pool.take() is None


@pytest.mark.parametrize("error", [None, ConnectionResetError()], ids=["FIN", "RST"])
@in_loop
async def test_an_end_behind_an_answer_takes_nothing_of_it(error: Exception | None) -> None:
    """And nobody is given the connection, not even who waits for one."""
    async with ask(max_connections=1) as asked:
        waiting = asyncio.create_task(asked.pool.acquire())
        await asyncio.sleep(0)
        asked.connection.data_received(OK)
        if error is None:
            asked.connection.eof_received()
        else:
            asked.connection.connection_lost(error)
        assert asked.answers == [b"ok"]
        another = await waiting
        assert another is not asked.connection
        another.abort()


@in_loop
async def test_an_end_in_an_answer_is_told() -> None:
    """Whoever goes on with it gets what there is, and then why there is no more."""
    async with ask() as asked:
        asked.connection.data_received(OK[:-1])
        asked.connection.eof_received()
        assert asked.answers == [None]
        await asked.connection.read_head()
        assert await asked.connection.read_body() == b"o"
        with pytest.raises(UpstreamFailed) as failure:
            await asked.connection.read_body()
        assert failure.value.reason is Reason.UPSTREAM_BAD_RESPONSE


@in_loop
async def test_who_takes_over_gets_what_has_arrived() -> None:
    """Nobody is called any more: a task reads."""
    async with ask() as asked:
        asked.connection.data_received(OK)
        asked.connection.stop_asking()
        assert (await asked.connection.read_head()).status == 200
        assert await asked.connection.read_body() == b"ok"
        await asyncio.sleep(0)
        assert asked.answers == []


@pytest.mark.parametrize("arrived", [b"H", OK[:30]], ids=["an octet", "half a head"])
@in_loop
async def test_half_an_answer_at_the_last_moment_is_not(arrived: bytes) -> None:
    """Else nobody would ever end what the upstream does not."""
    async with ask() as asked:
        asked.connection.data_received(arrived)
        asked.connection._time_out()
        await asked.check_timed_out()


@in_loop
async def test_an_answer_at_the_last_moment_is_in_time() -> None:
    """The time is over when it has arrived and was not read yet."""
    async with ask() as asked:
        asked.connection.data_received(OK)
        asked.connection._time_out()
        assert asked.answers == [b"ok"]
        assert asked.pool.take() is asked.connection
    async with ask(head_seconds=0.05) as asked:
        await wait_until(lambda: bool(asked.answers))
        await asked.check_timed_out()
