"""Large bodies of a known length, which the kernel moves: to the octet, in order, and in every fault."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import random
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Self

import pytest

from gateway.proxy import splice as splice_module
from gateway.proxy import upstream_transport
from gateway.proxy.bulk import MIN_BYTES
from gateway.proxy.splice import Splice

from .faults import POST, answer_all, end, observe, reset, stall
from .gateway_harness import RawClient, bearer
from .loop import in_each_loop, in_loop, wait_until
from .upstream import OK, Peer

GET = b"GET / HTTP/1.1\r\nHost: gateway.example\r\n" + bearer() + b"\r\n"
SIZE = 12 * 1024 * 1024 + 3
SIZES = [MIN_BYTES - 1, MIN_BYTES, MIN_BYTES + 65536, 1024 * 1024, SIZE]
PIECE = 64 * 1024


class Recorded(Splice):
    """A splice that is remembered."""

    opened: list[Recorded]
    # Whose transport is looked at before anything is moved, and what it held then.
    watched: asyncio.Transport | None = None
    backlog = -1

    async def run(self) -> None:
        self.opened.append(self)
        if self.watched is not None:
            self.backlog = self.watched.get_write_buffer_size()
        await super().run()


@pytest.fixture(autouse=True)
def splices(monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    """Return the splices of a test."""
    monkeypatch.setattr(Recorded, "opened", [], raising=False)
    monkeypatch.setattr(Recorded, "watched", None)
    monkeypatch.setattr(upstream_transport, "Splice", Recorded)
    return Recorded.opened


def make_octets(size: int) -> bytes:
    return random.Random(size).randbytes(size)  # noqa: S311 - a body, not a secret


def check_same(received: bytes, sent: bytes) -> None:
    # Millions of octets that differ are no message.
    assert (len(received), hashlib.sha256(received).digest()) == (len(sent), hashlib.sha256(sent).digest())


def build_answer(body: bytes, size: int | None = None) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(body) if size is None else size) + body


def build_upload(body: bytes, size: int | None = None) -> bytes:
    return POST + bearer() + b"Content-Length: %d\r\n\r\n" % (len(body) if size is None else size) + body


# --- every octet, and no more ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("is_warm", [False, True], ids=["cold", "warm"])
@in_each_loop
async def test_a_download_is_what_was_sent(size: int, is_warm: bool) -> None:
    """And both connections serve what comes behind it."""
    octets = make_octets(size)

    async def script(peer: Peer) -> None:
        for _ in range(2):
            await peer.read_head()
            await peer.send(build_answer(octets))
        await answer_all(peer)

    async with observe(script, is_warm=is_warm) as gateway:
        async with RawClient(gateway.application) as client:
            for _ in range(2):
                check_same((await client.ask(GET)).body, octets)
            assert (await client.ask(GET)).body == b"ok"
        records = await gateway.wait_for_records(3)
        assert [record["bytes_out"] for record in records] == [size, size, 2]
        assert gateway.upstream.connections == 1


@pytest.mark.parametrize("behind", [0, 3], ids=["alone", "with requests behind"])
@pytest.mark.parametrize("size", SIZES)
@in_each_loop
async def test_an_upload_is_what_was_sent(size: int, behind: int) -> None:
    """And both connections serve what comes behind it, also if it was sent at once."""
    octets = make_octets(size)
    received = []

    async def script(peer: Peer) -> None:
        for _ in range(2):
            await peer.read_head()
            received.append(await peer.reader.readexactly(size))
            await peer.send(OK)
            for _ in range(behind):
                await peer.read_head()
                await peer.send(OK)
        await answer_all(peer)

    async with observe(script) as gateway:
        async with RawClient(gateway.application) as client:
            for _ in range(2):
                sending = asyncio.create_task(client.send(build_upload(octets) + GET * behind))
                for _ in range(1 + behind):
                    assert (await client.read_answer()).body == b"ok"
                await sending
            assert (await client.ask(GET)).body == b"ok"
        records = await gateway.wait_for_records(2 * (1 + behind) + 1)
        assert [record["bytes_in"] for record in records] == [size, *[0] * behind] * 2 + [0]
        assert gateway.upstream.connections == 1
    for each in received:
        check_same(each, octets)


@in_each_loop
async def test_the_kernel_moves_what_is_large(splices: list[Recorded]) -> None:
    """Nearly all of it, and nothing of what is small or has chunks."""
    splices.clear()

    async def script(peer: Peer) -> None:
        for size in (MIN_BYTES - 1, SIZE):
            await peer.read_head()
            await peer.reader.readexactly(size)
            await peer.send(build_answer(bytes(size)))
        await peer.read_head()
        await peer.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (SIZE, bytes(SIZE))
        )
        await peer.wait_for_end()

    async with observe(script) as gateway, RawClient(gateway.application) as client:
        for size, count in ((MIN_BYTES - 1, 0), (SIZE, 2)):
            await client.send(build_upload(bytes(size)))
            assert len((await client.read_answer()).body) == size
            assert len(splices) == count
        assert len((await client.ask(GET)).body) == SIZE
        assert len(splices) == 2
        assert all(splice.moved > SIZE - 4 * MIN_BYTES for splice in splices)


class NarrowClient(RawClient):
    """A client whose kernel takes little for it."""

    async def __aenter__(self) -> Self:
        connected = socket.socket()
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connected.connect((self._address.host, self._address.port))
        self.reader, self.writer = await asyncio.open_connection(sock=connected)
        return self


def shrink_buffer(transport: asyncio.Transport) -> None:
    """Have the kernel take little, so that the rest of what is written waits in the transport."""
    Recorded.watched = transport
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


@in_each_loop
async def test_the_beginning_of_a_download_is_never_overtaken(splices: list[Recorded]) -> None:
    """The kernel begins behind what still waits in the transport of a slow client."""
    splices.clear()
    octets = make_octets(1024 * 1024)

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(build_answer(octets[:20_000], len(octets)))
        await asyncio.sleep(0.1)
        await peer.send(octets[20_000:])

    async with observe(script, is_warm=True) as gateway:
        await wait_until(lambda: not gateway.application._server.connections)
        async with NarrowClient(gateway.application) as client:
            await wait_until(lambda: bool(gateway.application._server.connections))
            [connection] = gateway.application._server.connections
            assert connection.transport is not None
            shrink_buffer(connection.transport)
            client.writer.transport.pause_reading()
            await client.send(GET)
            await asyncio.sleep(0.2)
            client.writer.transport.resume_reading()
            check_same((await client.read_answer()).body, octets)
    assert [splice.backlog for splice in splices] == [0]


@in_each_loop
async def test_the_beginning_of_an_upload_is_never_overtaken(splices: list[Recorded]) -> None:
    """The same, of a slow upstream."""
    splices.clear()
    octets, received = make_octets(4 * 1024 * 1024), b""

    async def script(peer: Peer) -> None:
        nonlocal received
        peer.writer.transport.pause_reading()
        await asyncio.sleep(0.2)
        peer.writer.transport.resume_reading()
        await peer.read_head()
        received = await peer.reader.readexactly(len(octets))
        await peer.send(OK)

    async with observe(script, is_warm=True) as gateway, RawClient(gateway.application) as client:
        [connection] = gateway.application._pools[0]._open
        shrink_buffer(connection._transport)
        sending = asyncio.create_task(client.send(build_upload(octets)))
        assert (await client.read_answer()).body == b"ok"
        await sending
        check_same(received, octets)
    assert [splice.backlog for splice in splices] == [0]


@in_each_loop
async def test_both_ways_at_once() -> None:
    """An answer that begins while its request still comes."""
    octets = make_octets(SIZE)

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(build_answer(b"", SIZE))
        for position in range(0, SIZE, PIECE):
            await peer.send(await peer.reader.readexactly(min(PIECE, SIZE - position)))
        await answer_all(peer)

    async with observe(script) as gateway, RawClient(gateway.application) as client:
        sending = asyncio.create_task(client.send(build_upload(octets)))
        check_same((await client.read_answer()).body, octets)
        await sending
        assert (await client.ask(GET)).body == b"ok"


@pytest.mark.parametrize("cause", ["too many open files", "no such call", "the call is forbidden"])
@in_each_loop
async def test_without_the_kernel_s_help_all_goes_on(cause: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it has none to give, or no file is left for it."""

    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EPERM if cause == "the call is forbidden" else errno.EMFILE, cause)

    if cause == "no such call":
        monkeypatch.setattr(splice_module, "_CAN_SPLICE", False)
    else:
        monkeypatch.setattr(os, "splice" if cause == "the call is forbidden" else "pipe2", refuse)
    octets = make_octets(SIZE)

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(build_answer(await peer.reader.readexactly(SIZE)))
        await answer_all(peer)

    async with observe(script) as gateway, RawClient(gateway.application) as client:
        sending = asyncio.create_task(client.send(build_upload(octets)))
        check_same((await client.read_answer()).body, octets)
        await sending
        assert (await client.ask(GET)).body == b"ok"


@in_loop
async def test_a_late_octet_behind_a_large_answer_is_nobody_s() -> None:
    """It never becomes part of the next caller's answer, whenever it comes."""
    for delay in (0.0, 0.02):

        async def script(peer: Peer, delay: float = delay) -> None:
            await peer.read_head()
            await peer.send(build_answer(bytes(SIZE)) + (b"" if delay else build_answer(b"another's")))
            await asyncio.sleep(delay)
            await peer.send(build_answer(b"another's"))
            await peer.wait_for_end()

        async with observe(script) as gateway:
            async with RawClient(gateway.application) as client:
                assert len((await client.ask(GET)).body) == SIZE
            await asyncio.sleep(delay * 2)
            async with RawClient(gateway.application) as client:
                assert (await client.ask(GET)).body == b"ok"
            assert gateway.upstream.connections == 2


@in_loop
async def test_others_are_served_meanwhile() -> None:
    """A large body takes its turns."""

    asked = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        asked.set()
        for _ in range(4):
            await peer.send(bytes(SIZE) if _ else build_answer(bytes(SIZE), 4 * SIZE))

    async with (
        observe(script) as gateway,
        RawClient(gateway.application) as one,
        RawClient(gateway.application) as other,
    ):
        loading = asyncio.create_task(one.ask(GET))
        await asked.wait()
        answered = 0
        while not loading.done():
            assert (await other.ask(GET)).body == b"ok"
            answered += 1
        assert len((await loading).body) == 4 * SIZE
        assert answered > 3


@in_each_loop
async def test_a_long_upload_is_no_stall_of_its_answer(splices: list[Recorded]) -> None:
    """An answer that has begun may go on when its request has ended, however long that takes."""
    splices.clear()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(build_answer(b"o", 2))
        await peer.reader.readexactly(SIZE)
        await peer.send(b"k")
        await peer.wait_for_end()

    async with (
        observe(script, timeouts={"idle_stream_seconds": 0.4}) as gateway,
        RawClient(gateway.application) as client,
    ):
        await client.send(build_upload(bytes(SIZE - 10), SIZE))
        for _ in range(10):
            await asyncio.sleep(0.1)
            await client.send(b"x")
        assert (await client.read_answer()).body == b"ok"
        assert len(splices) == 1


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
