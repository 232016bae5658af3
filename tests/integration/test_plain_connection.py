"""Connections from which only plain requests come: until when they are, and how they end."""

from __future__ import annotations

import asyncio

import pytest

from gateway.proxy.account import Accounts
from gateway.proxy.listener import ClientProtocol
from gateway.proxy.plain_connection import PlainConnection

from .faults import POST, Observed, answer_all, observe
from .gateway_harness import RawClient, bearer
from .loop import in_loop, wait_until
from .upstream import OK, Peer, never_answer

GET = b"GET / HTTP/1.1\r\nHost: gateway.example\r\n" + bearer() + b"\r\n"
CHUNKED = POST + bearer() + b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"


def find_kind(gateway: Observed) -> type:
    [connection] = gateway.application._server.connections
    return type(connection)


@in_loop
async def test_one_that_is_not_plain_makes_it_aiohttp_s() -> None:
    """And what comes behind it is served as before, in order."""
    async with observe(answer_all, is_warm=True) as gateway:
        async with RawClient(gateway.application) as client:
            assert (await client.ask(GET)).status == 200
            assert find_kind(gateway) is PlainConnection
            assert (await client.ask(CHUNKED)).status == 200
            assert find_kind(gateway) is ClientProtocol
            for _ in range(2):
                assert (await client.ask(GET)).status == 200
            await client.send(GET * 2)
            assert [(await client.read_answer()).status for _ in range(2)] == [200, 200]
        await gateway.check_recovered(*[(200, None)] * 6)


@pytest.mark.parametrize("before", [b"", GET], ids=["silent", "idle"])
@in_loop
async def test_idle_one_is_ended(before: bytes) -> None:
    """Nobody keeps a connection for nothing, with or without a request on it."""
    async with observe(answer_all, is_warm=True, timeouts={"keep_alive_seconds": 0.2}) as gateway:
        async with RawClient(gateway.application) as client:
            if before:
                assert (await client.ask(before)).status == 200
            async with asyncio.timeout(2):
                assert await client.reader.read() == b""
        await wait_until(lambda: not gateway.application._server.connections)


@pytest.mark.parametrize("begun", [b"G", GET[:-2]], ids=["an octet", "all but its end"])
@pytest.mark.parametrize("before", [b"", GET], ids=["first", "second"])
@in_loop
async def test_half_a_head_has_its_deadline(before: bytes, begun: bytes) -> None:
    """Also where the connection was plain until it came."""
    async with observe(answer_all, is_warm=True, timeouts={"header_read_seconds": 0.2}) as gateway:
        async with RawClient(gateway.application) as client:
            if before:
                assert (await client.ask(before)).status == 200
            await client.send(begun)
            async with asyncio.timeout(2):
                assert (await client.read_answer()).status == 408
                assert await client.reader.read() == b""


@in_loop
async def test_a_head_begun_behind_one_that_waits_cuts_no_answer() -> None:
    """The deadline of a head is never that of the request before it."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await asyncio.sleep(0.6)
        await peer.send(OK)
        await answer_all(peer)

    async with observe(script, is_warm=True, timeouts={"header_read_seconds": 0.2}) as gateway:
        async with RawClient(gateway.application) as client:
            await client.send(GET)
            await wait_until(lambda: gateway.application._metrics.requests_in_flight == 1)
            await client.send(GET[:10])
            answer = await client.read_answer()
            assert (answer.status, answer.body) == (200, b"ok")
            await client.send(GET[10:])
            assert (await client.read_answer()).status == 200


@in_loop
async def test_a_stop_ends_idle_ones_and_lets_an_answer_come() -> None:
    """Who waits for the upstream gets the answer, and then the end."""
    release = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await release.wait()
        await peer.send(OK)

    async with observe(script, is_warm=True) as gateway, RawClient(gateway.application) as idle:
        async with RawClient(gateway.application) as client:
            await client.send(GET)
            await wait_until(lambda: gateway.application._metrics.requests_in_flight == 1)
            gateway.application._gateway.is_draining = True
            gateway.application._server.end_connections()
            async with asyncio.timeout(2):
                assert await idle.reader.read() == b""
                release.set()
                answer = await client.read_answer()
                assert (answer.status, answer.body) == (200, b"ok")
                assert await client.reader.read() == b""


@in_loop
async def test_a_stop_cuts_who_still_waits() -> None:
    """The last resort ends plain connections as it ends aiohttp's, and the request is counted."""
    async with observe(never_answer, is_warm=True) as gateway:
        async with RawClient(gateway.application) as client:
            await client.send(GET)
            await wait_until(lambda: gateway.application._metrics.requests_in_flight == 1)
            await gateway.application._server.shutdown(0.05)
            async with asyncio.timeout(2):
                assert await client.reader.read() == b""
        await wait_until(lambda: gateway.application._metrics.requests_in_flight == 0)
        assert not gateway.application._server.connections


@pytest.mark.parametrize("first", [GET, CHUNKED], ids=["plain", "aiohttp's"])
@pytest.mark.parametrize("is_whole", [True, False], ids=["whole", "in part"])
@in_loop
async def test_an_answer_for_who_is_just_leaving_goes_nowhere(first: bytes, is_whole: bool) -> None:
    """It comes after the connection began to end and before that is known here: the request is counted, once."""

    async def script(peer: Peer) -> None:
        head = await peer.read_head()
        if b"chunked" in head:
            await peer.reader.readuntil(b"0\r\n\r\n")
        await peer.send(OK)
        await peer.read_head()
        await answer_all(peer)

    async with observe(script, is_warm=True) as gateway:
        async with RawClient(gateway.application) as client:
            assert (await client.ask(first)).status == 200
            [connection] = gateway.application._server.connections
            client.writer.write(GET)
            await wait_until(lambda: connection.visit is not None and connection.visit.connection is not None)
            visit, transport = connection.visit, connection.transport
            assert visit is not None
            assert visit.connection is not None
            assert transport is not None
            transport.close()
            visit.connection.data_received(OK if is_whole else OK[:-1])
            visit.connection._read_arrived()
            assert connection.visit is None
            await wait_until(lambda: not gateway.application._server.connections)
        await gateway.check_recovered((200, None), (499, None))


@in_loop
async def test_a_connection_that_ends_is_not_handed_over() -> None:
    """Its end would be told to the protocol that it had before, and never to the new one."""
    async with observe(never_answer, is_warm=True) as gateway:
        async with RawClient(gateway.application) as client:
            await client.send(GET)
            await wait_until(lambda: gateway.application._metrics.requests_in_flight == 1)
            [connection] = gateway.application._server.connections
            assert connection.transport is not None
            connection.transport.close()
            connection.hand_over()
            assert [type(each) for each in gateway.application._server.connections] == [PlainConnection]
            await wait_until(lambda: not gateway.application._server.connections)
        await gateway.check_recovered((499, None))


@pytest.mark.parametrize("request_", [GET, GET.replace(bearer(), b"")], ids=["answered", "refused"])
@in_loop
async def test_a_defect_at_the_very_end_is_counted_once(request_: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a stop would wait for a request that is none."""
    async with observe(answer_all, is_warm=True) as gateway:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        with monkeypatch.context() as patch:
            patch.setattr(Accounts, "close", lambda *_: 1 / 0)
            async with RawClient(gateway.application) as client:
                await client.send(request_)
                await wait_until(lambda: not gateway.application._server.connections)
        assert gateway.application._metrics.requests_in_flight == 0
