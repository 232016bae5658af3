"""The end of a connection whose client still sends: it reads its answer, and the gateway does not wait for ever."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest

from gateway.proxy import listener

from .faults import POST, Observed, answer_all, observe
from .gateway_harness import RawClient, bearer
from .loop import in_loop, wait_until
from .upstream import Peer

MALFORMED = b"GET /first http/1.1\r\nHost: gateway.example\r\n\r\n"
UPLOAD = POST + bearer() + b"Content-Length: 10000000\r\n\r\n"
DENIED = POST + b"Content-Length: 10000000\r\n\r\n"


async def answer_early(peer: Peer) -> None:
    await peer.read_head()
    await peer.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    await peer.reader.read()


ENDED = {
    "a malformed request": (MALFORMED, 400),
    "a malformed body": (POST + bearer() + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    "half a head": (b"GET / HTTP/1.1\r\n", 408),
    "an upload that is answered early": (UPLOAD, 413),
    "an upload that is denied": (DENIED, 401),
}


def open_observed(name: str) -> AbstractAsyncContextManager[Observed]:
    script = answer_early if name == "an upload that is answered early" else answer_all
    return observe(script, timeouts={"header_read_seconds": 0.1})


@pytest.mark.parametrize("name", ENDED)
@in_loop
async def test_who_still_sends_reads_the_answer(name: str) -> None:
    """What comes behind the last answer is let go by, and is no reason for a reset."""
    begun, status = ENDED[name]
    async with open_observed(name) as gateway, RawClient(gateway.application) as client:
        await client.send(begun)
        await asyncio.sleep(0.2)
        for _ in range(10):
            await client.send(b"x" * 1000)
            await asyncio.sleep(0.01)
        assert (await client.read_answer()).status == status
        assert await client.reader.read() == b""


@pytest.mark.parametrize("name", ENDED)
@in_loop
async def test_nobody_lingers_for_ever(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not end its side has the connection ended for it."""
    monkeypatch.setattr(listener, "_LINGERING_SECONDS", 0.3)
    begun, status = ENDED[name]
    async with open_observed(name) as gateway, RawClient(gateway.application) as client:
        async with asyncio.timeout(5):
            assert (await client.ask(begun)).status == status
            assert await client.reader.read() == b""
        await wait_until(lambda: not gateway.application._server.connections)


@pytest.mark.parametrize("name", ENDED)
@in_loop
async def test_a_stop_does_not_wait_for_who_lingers(name: str) -> None:
    """The connection is ended with the gateway, and leaves nothing behind."""
    begun, status = ENDED[name]
    async with open_observed(name) as gateway, RawClient(gateway.application) as client:
        assert (await client.ask(begun)).status == status
        assert gateway.application._server.connections
        async with asyncio.timeout(1):
            await gateway.application._server.shutdown()
        await wait_until(lambda: not gateway.application._server.connections)
