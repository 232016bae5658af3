"""No connection to the upstream is to be had: too many hold one, nobody answers, or there is no such name."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from .faults import answer_all, observe
from .gateway_harness import RawClient, ask_once, bearer, open_gateway
from .loop import in_loop, wait_until
from .upstream import OK, Peer, Upstream

TIMES = {"limits": {"upstream_connections": 1}, "timeouts": {"connect_seconds": 0.2}}


@contextmanager
def listen_deafly() -> Iterator[int]:
    """Listen on a port where no connection comes about: the kernel takes one more than the backlog, and no others."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])


@in_loop
async def test_a_full_pool_is_503_after_the_wait() -> None:
    """Who finds every connection taken waits as long as for a connection, and is then told to come again."""
    may_answer = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await may_answer.wait()
        await peer.send(OK)
        await answer_all(peer)

    async with observe(script, **TIMES) as gateway:
        async with RawClient(gateway.application) as first, RawClient(gateway.application) as second:
            await first.send(b"GET / HTTP/1.1\r\nHost: g\r\n" + bearer() + b"\r\n")
            await wait_until(lambda: gateway.upstream.connections == 1)
            began = time.monotonic()
            answer = await second.get(b"/", bearer())
            assert 0.1 < time.monotonic() - began < 2
            assert (answer.status, json.loads(answer.body)["reason"]) == (503, "overloaded")
            assert answer.fields(b"retry-after")
            may_answer.set()
            assert (await first.read_answer()).status == 200
            # The connection of a refused request goes on.
            assert (await second.get(b"/", bearer())).status == 200
        await gateway.check_recovered((503, "overloaded"), (200, None), (200, None))
        assert gateway.upstream.connections == 1


@pytest.mark.parametrize("ending", ["answered", "left"])
@in_loop
async def test_who_waits_gets_the_next_connection(ending: str) -> None:
    """A connection that becomes free goes to the first in line, also where the one before him left."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        if ending == "answered":
            await peer.send(OK)
            await answer_all(peer)
        await peer.wait_for_end()

    async with observe(script, limits={"upstream_connections": 1}) as gateway:
        async with RawClient(gateway.application) as first, RawClient(gateway.application) as second:
            [pool] = gateway.application._pools
            await first.send(b"GET / HTTP/1.1\r\nHost: g\r\n" + bearer() + b"\r\n")
            await wait_until(lambda: gateway.upstream.connections == 1)
            await second.send(b"GET / HTTP/1.1\r\nHost: g\r\n" + bearer() + b"\r\n")
            if ending == "left":
                await wait_until(lambda: len(pool._line) == 1)
                first.writer.transport.abort()
            assert (await second.read_answer()).status == 200
        await gateway.check_recovered((200 if ending == "answered" else 499, None), (200, None))


@in_loop
async def test_who_leaves_the_line_takes_no_connection() -> None:
    """A client that goes while it waits for a connection is written down, and holds no place in the line."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await may_answer.wait()
        await peer.send(OK)
        await answer_all(peer)

    may_answer = asyncio.Event()
    async with observe(script, limits={"upstream_connections": 1}) as gateway:
        [pool] = gateway.application._pools
        async with RawClient(gateway.application) as first:
            await first.send(b"GET / HTTP/1.1\r\nHost: g\r\n" + bearer() + b"\r\n")
            await wait_until(lambda: gateway.upstream.connections == 1)
            async with RawClient(gateway.application) as second:
                await second.send(b"GET / HTTP/1.1\r\nHost: g\r\n" + bearer() + b"\r\n")
                await wait_until(lambda: len(pool._line) == 1)
            await wait_until(lambda: not pool._line)
            may_answer.set()
            assert (await first.read_answer()).status == 200
        await gateway.check_recovered((499, None), (200, None))
        assert gateway.upstream.connections == 1


@in_loop
async def test_an_upstream_that_does_not_accept_is_504() -> None:
    """A connection that does not come about in time is 504, each time anew."""
    with listen_deafly() as port:
        async with open_gateway(port, timeouts={"connect_seconds": 0.2}) as application:
            for _ in range(2):
                answer = await ask_once(application, b"GET / HTTP/1.1\r\nHost: g\r\n" + bearer() + b"\r\n")
                assert (answer.status, json.loads(answer.body)["reason"]) == (504, "upstream_timeout")
            [pool] = application._pools
            assert not pool._open
            assert application._metrics.requests_in_flight == 0


@in_loop
async def test_a_client_that_goes_while_we_connect_leaves_nothing() -> None:
    """The attempt to connect ends with the client."""
    with listen_deafly() as port:
        async with open_gateway(port) as application:
            [pool] = application._pools
            async with RawClient(application) as client:
                await client.send(b"GET / HTTP/1.1\r\nHost: g\r\n" + bearer() + b"\r\n")
                await wait_until(lambda: bool(pool._open))
            await wait_until(lambda: not pool._open)
            assert application._metrics.requests_in_flight == 0


@in_loop
async def test_a_name_that_is_none_is_502() -> None:
    """A host that cannot be looked up is 502, each time anew. This name fails before anybody is asked for it."""
    async with open_gateway(80, host="a" * 64 + ".invalid") as application, RawClient(application) as client:
        for _ in range(2):
            answer = await client.get(b"/", bearer())
            assert (answer.status, json.loads(answer.body)["reason"]) == (502, "upstream_unreachable")
        assert not application._pools[0]._open


@in_loop
async def test_an_upstream_that_comes_back_is_found() -> None:
    """Down is 502, and up again is 200, on the same client connection."""
    async with Upstream(answer_all) as upstream:
        port = upstream.port
    async with open_gateway(port) as application, RawClient(application) as client:
        answer = await client.get(b"/", bearer())
        assert (answer.status, json.loads(answer.body)["reason"]) == (502, "upstream_unreachable")
        server = await asyncio.start_server(_answer_one, "127.0.0.1", port)
        async with server:
            assert (await client.get(b"/", bearer())).status == 200


async def _answer_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    await writer.drain()
    writer.close()
    await writer.wait_closed()
