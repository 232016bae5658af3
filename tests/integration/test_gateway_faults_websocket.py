"""WebSockets that end in every way: what was said last arrives, and no frame is invented inside of another."""

from __future__ import annotations

import asyncio
import struct

import pytest

from .faults import Observed, end, observe, reset
from .gateway_harness import RawClient, bearer
from .loop import in_each_loop, in_loop
from .upstream import Peer

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
SIZE = 4 * 1024 * 1024
TEXT = b"\x81\x02hi"
BIG = b"\x82\x7f" + struct.pack("!Q", SIZE) + bytes(SIZE)
BIG_MASKED = b"\x82\xff" + struct.pack("!Q", SIZE) + bytes(4) + bytes(SIZE)
CLOSE = b"\x88\x02\x0f\xa1"
CLOSE_MASKED = b"\x88\x82\x00\x00\x00\x00\x0f\xa1"
BAD_GATEWAY = b"\x88\x02\x03\xf6"


async def open_websocket(gateway: Observed, client: RawClient) -> None:
    await client.send(HANDSHAKE + bearer() + b"\r\n")
    assert (await client.read_answer()).status == 101


async def fill(gateway: Observed, client: RawClient) -> int:
    """Send frames until the kernels are full and the last of it waits in the gateway; return how many octets."""
    frame = b"\x82\xfe\x40\x00" + bytes(4) + bytes(0x4000)
    [connection] = gateway.application._pools[0]._open
    sent = 0
    while not connection._transport.get_write_buffer_size():
        await client.send(frame)
        sent += len(frame)
        await asyncio.sleep(0.001)
    return sent


async def read_rest(client: RawClient) -> bytes:
    """Return what comes until the end, in order or not."""
    received = b""
    try:
        while piece := await asyncio.wait_for(client.reader.read(65536), 5):
            received += piece
    except ConnectionResetError:
        pass
    return received


@pytest.mark.parametrize("ending", [end, reset], ids=["FIN", "RST"])
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"", BAD_GATEWAY),
        (TEXT, TEXT + BAD_GATEWAY),
        (TEXT + b"\x82\x05ab", TEXT + b"\x82\x05ab"),
        (TEXT + b"\x82", TEXT + b"\x82"),
        (TEXT + b"\x82\x7e\x01", TEXT + b"\x82\x7e\x01"),
        (TEXT + CLOSE, TEXT + CLOSE),
        (TEXT + CLOSE[:3], TEXT + CLOSE[:3]),
    ],
    ids=["at once", "between frames", "in a frame", "in a header", "in a length", "after a close", "in a close"],
)
@in_loop
async def test_an_upstream_that_dies(said: bytes, expected: bytes, ending: object) -> None:
    """Between two frames the client is told 1014; inside of one, and behind a close, nothing may be said."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(SWITCHING + said)
        await asyncio.sleep(0.02)
        await ending(peer)  # type: ignore[operator] # a coroutine function

    async with observe(script) as gateway:
        async with RawClient(gateway.application) as client:
            await open_websocket(gateway, client)
            assert await read_rest(client) == expected
        await gateway.check_recovered((101, None))


@in_each_loop
async def test_what_the_upstream_said_last_arrives() -> None:
    """A client that reads slowly gets all that came before the upstream's end."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(SWITCHING + BIG + CLOSE)
        peer.writer.close()

    async with observe(script) as gateway:
        async with RawClient(gateway.application) as client:
            await open_websocket(gateway, client)
            client.writer.transport.pause_reading()
            await asyncio.sleep(0.1)
            client.writer.transport.resume_reading()
            assert await read_rest(client) == BIG + CLOSE
        await gateway.check_recovered((101, None))


@in_each_loop
async def test_what_the_client_said_last_arrives() -> None:
    """An upstream that reads slowly gets all that the client said before it went, a close frame above all."""
    received = asyncio.get_running_loop().create_future()
    may_read = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(SWITCHING)
        peer.writer.transport.pause_reading()
        await may_read.wait()
        peer.writer.transport.resume_reading()
        received.set_result(await peer.wait_for_end())

    async with observe(script) as gateway:
        async with RawClient(gateway.application) as client:
            await open_websocket(gateway, client)
            sent = await fill(gateway, client)
            await client.send(CLOSE_MASKED)
        await gateway.wait_for_records(1)
        may_read.set()
        got = await asyncio.wait_for(received, 5)
        assert len(got) == sent + len(CLOSE_MASKED)
        assert got.endswith(CLOSE_MASKED)
        await gateway.check_recovered((101, None))


@in_each_loop
async def test_an_upstream_that_does_not_take_the_last_words_is_cut() -> None:
    """What a client said last is waited for, but not for ever."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(SWITCHING)
        peer.writer.transport.pause_reading()
        await asyncio.sleep(60)

    async with observe(script) as gateway:
        async with RawClient(gateway.application) as client:
            await open_websocket(gateway, client)
            await fill(gateway, client)
        await gateway.check_recovered((101, None))


@pytest.mark.parametrize("side", ["client", "upstream"])
@in_loop
async def test_who_reads_nothing_is_let_go(side: str) -> None:
    """A tunnel in which nothing moves for the idle time ends, whoever holds it up."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(SWITCHING)
        if side == "upstream":
            peer.writer.transport.pause_reading()
            await asyncio.sleep(60)
        while True:
            await peer.send(b"\x82\x7e\xff\xff" + bytes(65535))

    async with observe(script, timeouts={"idle_stream_seconds": 0.3}) as gateway:
        async with RawClient(gateway.application) as client:
            await open_websocket(gateway, client)
            if side == "client":
                client.writer.transport.pause_reading()
                sending = None
            else:
                sending = asyncio.create_task(client.send(BIG_MASKED * 8))
            await gateway.check_recovered((101, None))
            if sending is not None:
                sending.cancel()
                await asyncio.wait([sending])
