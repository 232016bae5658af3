"""Large bodies that the kernel moves, and every way in which that ends too early."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.app.application import Application
from gateway.config.served import Served
from gateway.config.settings import UpstreamSettings
from gateway.proxy.bulk import MIN_BYTES

from .bodies import (
    GET,
    MIB,
    PIECE,
    SIZE,
    Recorded,
    build_answer,
    build_upload,
    open_stalled,
    shrink_buffer,
)
from .faults import POST, answer_all, end, observe, reset, stall
from .gateway_harness import RawClient, bearer, make_settings, open_output
from .loop import in_each_loop, in_loop, wait_until
from .upstream import Peer, Upstream

# --- faults ----------------------------------------------------------------------------------------------------------

ENDS: dict[str, tuple[Callable[[Peer], Awaitable[None]], str]] = {
    "FIN": (end, "upstream_bad_response"),
    "RST": (reset, "upstream_bad_response"),
    "stall": (stall, "upstream_timeout"),
}


@pytest.mark.parametrize("ending", ENDS)
@in_each_loop
async def test_an_upstream_that_fails_in_its_answer(ending: str, splices: list[Recorded]) -> None:
    """The client is cut off, and the record says why."""
    splices.clear()
    act, reason = ENDS[ending]

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(build_answer(bytes(SIZE - 1), SIZE))
        await act(peer)

    async with observe(script, timeouts={"idle_stream_seconds": 1.0}) as gateway:
        async with RawClient(gateway.application) as client:
            async with asyncio.timeout(1.9):
                with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                    await client.ask(GET)
        assert len(splices) == 1
        await gateway.check_recovered((200, reason))


@in_each_loop
async def test_a_malformed_upload_ends_a_download(splices: list[Recorded]) -> None:
    """The exchange is over for both ways, and nobody waits for the other."""
    splices.clear()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(build_answer(bytes(SIZE - 1), SIZE))
        await peer.wait_for_end()

    async with observe(script) as gateway:
        async with RawClient(gateway.application) as client:
            await client.send(POST + bearer() + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
            await client.reader.readuntil(b"\r\n\r\n")
            await client.reader.readexactly(SIZE - 1)
            await client.send(b"zz\r\n")
            async with asyncio.timeout(3):
                assert await client.reader.read() == b""
        assert len(splices) == 1
        await gateway.check_recovered((200, "malformed_request"))


@pytest.mark.parametrize("leaving", ["FIN", "RST", "reads no more"])
@in_each_loop
async def test_a_client_that_leaves_a_download(leaving: str, splices: list[Recorded]) -> None:
    """The upstream's connection is closed soon, as nobody wants the rest."""
    splices.clear()
    ended = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        try:
            await peer.send(build_answer(b"", SIZE * 8))
            while True:
                await peer.send(bytes(PIECE))
        except ConnectionError:
            ended.set()

    async with observe(script, timeouts={"idle_stream_seconds": 0.3}) as gateway:
        async with RawClient(gateway.application) as client:
            await client.send(GET)
            await client.reader.readexactly(SIZE)
            if leaving == "FIN":
                client.writer.close()
            elif leaving == "RST":
                client.writer.transport.abort()
            else:
                client.writer.transport.pause_reading()
            async with asyncio.timeout(3):
                await ended.wait()
            [record] = await gateway.wait_for_records(1)
            assert SIZE - PIECE < record["bytes_out"] < SIZE * 8
        assert len(splices) == 1
        await gateway.check_at_rest()


@pytest.mark.parametrize(("leaving", "status"), [("FIN", 499), ("RST", 499), ("stall", 408)])
@in_each_loop
async def test_a_client_that_leaves_an_upload(leaving: str, status: int, splices: list[Recorded]) -> None:
    """The upstream sees the request cut, never one that is whole."""
    splices.clear()
    received = bytearray()
    ended = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        try:
            while piece := await peer.reader.read(PIECE):
                received.extend(piece)
        finally:
            ended.set()

    async with observe(script, timeouts={"idle_stream_seconds": 0.3}) as gateway:
        async with RawClient(gateway.application) as client:
            await client.send(build_upload(bytes(SIZE - 1), SIZE))
            await wait_until(lambda: len(received) == SIZE - 1)
            if leaving == "FIN":
                client.writer.close()
            elif leaving == "RST":
                client.writer.transport.abort()
            else:
                assert (await client.read_answer()).status == status
                assert await client.reader.read() == b""
            async with asyncio.timeout(3):
                await ended.wait()
        assert (len(received), len(splices)) == (SIZE - 1, 1)
        await gateway.check_recovered((status, "request_timeout" if status == 408 else None))


@pytest.mark.parametrize("direction", ["down", "up"])
@in_each_loop
async def test_a_stop_of_the_gateway_cuts_what_takes_too_long(direction: str, splices: list[Recorded]) -> None:
    """And leaves nothing behind."""
    splices.clear()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        if direction == "down":
            await peer.send(build_answer(bytes(SIZE - 1), SIZE))
        await peer.wait_for_end()

    async with AsyncExitStack() as stack:
        async with observe(script, timeouts={"shutdown_seconds": 0.3}) as gateway:
            client = await stack.enter_async_context(RawClient(gateway.application))
            await client.send(GET if direction == "down" else build_upload(bytes(SIZE - 1), SIZE))
            reading = asyncio.create_task(client.reader.read())
            await wait_until(lambda: bool(splices) and splices[0].moved > MIN_BYTES)
        async with asyncio.timeout(3):
            await asyncio.wait([reading])


# --- two directions, and what one means to the other -----------------------------------------------------------------


@in_each_loop
async def test_a_slow_upload_is_no_stall_of_a_large_answer() -> None:
    """The upstream is busy with the request: its answer, which has begun, may wait."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(build_answer(bytes(1000), 2 * MIB))
        await peer.reader.readexactly(100)
        await peer.send(bytes(2 * MIB - 1000))
        await answer_all(peer)

    async with observe(script, timeouts={"idle_stream_seconds": 0.5}) as gateway:
        async with RawClient(gateway.application) as client:
            await client.send(build_upload(b"", 100))
            for _ in range(10):
                await asyncio.sleep(0.1)
                await client.send(bytes(10))
            assert len((await client.read_answer()).body) == 2 * MIB
        await gateway.check_recovered((200, None))


@in_each_loop
async def test_an_answer_that_flows_is_not_cut_for_an_upload_that_does_not() -> None:
    """An upstream may answer and read nothing: what it sends is a sign of life too."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        peer.writer.transport.pause_reading()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(10):
            await peer.send(b"1\r\nx\r\n")
            await asyncio.sleep(0.1)
        await peer.send(b"0\r\n\r\n")
        await asyncio.sleep(0.2)

    async with observe(script, timeouts={"idle_stream_seconds": 0.5}) as gateway:
        async with RawClient(gateway.application) as client:
            sending = asyncio.create_task(client.send(build_upload(bytes(40 * MIB), 60 * MIB)))
            assert (await client.read_answer()).body == b"x" * 10
            sending.cancel()
            await asyncio.wait([sending])
        [record] = await gateway.wait_for_records(1)
        assert (record["status"], record["reason"]) == (200, None)


@in_loop
async def test_an_upstream_that_takes_no_more_and_says_nothing(tmp_path: Path) -> None:
    """Only a Unix socket can be shut for reading alone; the client is told, and its leaving would be noticed."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.reader.readexactly(MIB)
        with socket.socket(fileno=os.dup(peer.writer.get_extra_info("socket").fileno())) as own:
            own.shutdown(socket.SHUT_RD)
        await asyncio.sleep(60)

    path = str(tmp_path / "upstream")
    async with Upstream(script, path=path):
        settings = make_settings(UpstreamSettings("http", "localhost", 80, socket_path=path))
        served = Served("gateway.yaml", settings, b"")
        with open_output() as output:
            async with Application(served, output) as application, RawClient(application) as client:
                sending = asyncio.create_task(client.send(build_upload(bytes(30 * MIB), 60 * MIB)))
                async with asyncio.timeout(3):
                    assert (await client.read_answer()).status == 502
                sending.cancel()
                await asyncio.wait([sending])


@pytest.mark.parametrize("cause", ["an urgent octet", "a failing call"])
@in_each_loop
async def test_what_cannot_be_moved_is_never_a_request(
    cause: str, monkeypatch: pytest.MonkeyPatch, splices: list[Recorded]
) -> None:
    """Behind a body that ended in the middle, aiohttp's parser would count on: such a client is cut."""
    splices.clear()
    received = bytearray()
    moved = os.splice

    async def script(peer: Peer) -> None:
        await peer.read_head()
        while piece := await peer.reader.read(PIECE):
            received.extend(piece)

    def fail(source: int, *arguments: Any, **options: Any) -> int:
        if splices and source == splices[0]._source and splices[0].moved:
            raise OSError(errno.ENOMEM, "no memory")
        return moved(source, *arguments, **options)

    async with observe(script) as gateway, RawClient(gateway.application) as client:
        if cause == "a failing call":
            monkeypatch.setattr(os, "splice", fail)
        await client.send(build_upload(bytes(MIB), 2 * MIB))
        await wait_until(lambda: len(received) == MIB)
        if cause == "an urgent octet":
            with socket.socket(fileno=os.dup(client.writer.get_extra_info("socket").fileno())) as own:
                own.send(b"!", socket.MSG_OOB)
        with suppress(ConnectionError):
            await client.send(bytes(MIB) + build_upload(b"secret"))
        with suppress(ConnectionError):
            async with asyncio.timeout(3):
                assert await client.reader.read() == b""
        assert len(received) < 2 * MIB
        assert b"POST" not in received
        [record] = await gateway.wait_for_records(1)
        assert record["status"] == 499


@in_loop
async def test_nothing_is_sent_out_of_order_to_an_upstream_that_has_said_all() -> None:
    """Of an upload behind the end of the upstream's side, it gets the beginning or nothing, and never a hole."""
    received = bytearray()
    octets = b"".join(number.to_bytes(4, "big") for number in range(3 * MIB))

    async def script(peer: Peer) -> None:
        await peer.read_head()
        peer.writer.transport.pause_reading()
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
        await peer.send(head + bytes(200_000))
        peer.writer.write_eof()
        await asyncio.sleep(0.3)
        peer.writer.transport.resume_reading()
        with suppress(ConnectionError):
            while piece := await peer.reader.read(PIECE):
                received.extend(piece)

    async with observe(script, is_warm=True) as gateway:
        [upstream] = gateway.application._pools[0]._open
        shrink_buffer(upstream._transport)
        async with open_stalled(gateway.application) as client:
            sending = asyncio.create_task(client.send(build_upload(octets)))
            await asyncio.sleep(1.5)
            sending.cancel()
            await asyncio.wait([sending])
            client.writer.transport.abort()
    assert octets.startswith(received)
