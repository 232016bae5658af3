"""Large bodies of a known length, which the kernel moves: every octet, in order, and no more."""

from __future__ import annotations

import asyncio
import errno
import os

import pytest

from gateway.proxy import splice as splice_module
from gateway.proxy.bulk import MIN_BYTES

from .bodies import (
    GET,
    MIB,
    PIECE,
    SIZE,
    Recorded,
    build_answer,
    build_upload,
    check_same,
    make_octets,
    open_stalled,
    shrink_buffer,
)
from .faults import answer_all, observe
from .gateway_harness import RawClient
from .loop import in_each_loop, in_loop
from .upstream import OK, Peer, Script

SIZES = [MIN_BYTES - 1, MIN_BYTES, MIN_BYTES + 65536, MIB, SIZE]


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
        async with open_stalled(gateway.application) as client:
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


async def check_echo(script: Script) -> None:
    """Check that a large body comes back from an upstream that echoes it, and that all goes on behind it."""
    octets = make_octets(SIZE)
    async with observe(script) as gateway, RawClient(gateway.application) as client:
        sending = asyncio.create_task(client.send(build_upload(octets)))
        check_same((await client.read_answer()).body, octets)
        await sending
        assert (await client.ask(GET)).body == b"ok"


@in_each_loop
async def test_both_ways_at_once() -> None:
    """An answer that begins while its request still comes."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(build_answer(b"", SIZE))
        for position in range(0, SIZE, PIECE):
            await peer.send(await peer.reader.readexactly(min(PIECE, SIZE - position)))
        await answer_all(peer)

    await check_echo(script)


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

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(build_answer(await peer.reader.readexactly(SIZE)))
        await answer_all(peer)

    await check_echo(script)


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
