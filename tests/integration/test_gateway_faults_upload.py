"""Upstreams that answer early, end, break or stall while the client uploads."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Awaitable, Callable

import pytest

from gateway.proxy.exchange import Exchange

from .faults import POST, end, observe, reset, stall
from .gateway_harness import RawClient, bearer, open_gateway
from .loop import in_each_loop, in_loop, wait_until
from .upstream import OK, Peer

SIZE = 16 * 1024 * 1024
REFUSAL = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno"
FRAMINGS = {"length": b"Content-Length: %d\r\n" % SIZE, "chunks": b"Transfer-Encoding: chunked\r\n"}


def build_piece(framing: str) -> bytes:
    return b"10000\r\n" + bytes(65536) + b"\r\n" if framing == "chunks" else bytes(65536)


async def upload(client: RawClient, framing: str) -> None:
    """Send sixteen megabytes, or as much of them as is taken."""
    try:
        await client.send(POST + FRAMINGS[framing] + bearer() + b"\r\n")
        for _ in range(SIZE // 65536):
            await client.send(build_piece(framing))
        if framing == "chunks":
            await client.send(b"0\r\n\r\n")
    except ConnectionError:
        pass


async def stop(uploading: asyncio.Task[None]) -> None:
    uploading.cancel()
    await asyncio.wait([uploading])


async def close_unread(peer: Peer) -> None:
    """Close with octets of the request unread, which the kernel makes an RST of."""
    peer.writer.transport.pause_reading()
    await asyncio.sleep(0)
    peer.writer.close()


async def send_and_reset(peer: Peer) -> None:
    await asyncio.sleep(0)
    peer.reset()


async def read_all(peer: Peer) -> None:
    await peer.wait_for_end()


AFTER_REFUSAL: dict[str, Callable[[Peer], Awaitable[None]]] = {
    "reads on": read_all,
    "reads no more": lambda peer: asyncio.sleep(60),
    "closes": close_unread,
    "resets": send_and_reset,
}


@pytest.mark.parametrize("announced", [b"", b"Connection: close\r\n"], ids=["", "announced"])
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("after", AFTER_REFUSAL)
@in_loop
async def test_an_early_refusal_arrives(after: str, framing: str, announced: bytes) -> None:
    """
    A 413 in the middle of an upload comes through whole, whatever the upstream does with its connection behind it.

    What it has sent is read before a failed write counts; and the client's connection ends, as its body is not read.
    """

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.reader.readexactly(100_000)
        await peer.send(REFUSAL.replace(b"\r\n\r\n", b"\r\n" + announced + b"\r\n"))
        await AFTER_REFUSAL[after](peer)

    async with observe(script) as gateway:
        async with RawClient(gateway.application) as client:
            uploading = asyncio.create_task(upload(client, framing))
            answer = await client.read_answer()
            assert (answer.status, answer.body) == (413, b"no")
            assert answer.fields(b"connection") == [b"close"]
            await stop(uploading)
        await gateway.check_recovered((413, None))


def refuse_uploads(listener: socket.socket, linger: bytes) -> None:
    """Refuse each upload after a part of it and close at once, on a thread, so that our writes race with the RST."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            received = 0
            while received < 100_000 and (piece := connection.recv(65536)):
                received += len(piece)
            connection.sendall(REFUSAL)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("linger", [struct.pack("ii", 0, 0), struct.pack("ii", 1, 0)], ids=["closes", "resets"])
@in_each_loop
async def test_a_refusal_outruns_a_failed_write(linger: bytes, framing: str) -> None:
    """A write that fails is no news; what the upstream said before is."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse_uploads, args=(listener, linger))
        thread.start()
        try:
            async with open_gateway(listener.getsockname()[1]) as application:
                for _ in range(20):
                    async with RawClient(application) as client:
                        uploading = asyncio.create_task(upload(client, framing))
                        answer = await client.read_answer()
                        assert (answer.status, answer.body) == (413, b"no")
                        await stop(uploading)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("framing", FRAMINGS)
@in_loop
async def test_an_early_answer_lets_the_upload_go_on(framing: str) -> None:
    """An answer that is no refusal may begin while the request still comes (RFC 9112, section 9.3)."""
    received = 0

    async def script(peer: Peer) -> None:
        nonlocal received
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n")
        while received < SIZE:
            received += len(await peer.reader.read(1 << 20))
        await peer.send(b"0\r\n\r\n")
        await peer.wait_for_end()

    async with observe(script) as gateway:
        async with RawClient(gateway.application) as client:
            uploading = asyncio.create_task(upload(client, framing))
            answer = await client.read_answer()
            assert (answer.status, answer.body) == (200, b"yes")
            await uploading
        assert received >= SIZE
        await wait_until(lambda: not gateway.application._pools[0]._open - set(gateway.application._pools[0]._idle))


@in_loop
async def test_a_client_that_goes_as_soon_as_it_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection to the upstream comes back, though the task ends while it waits for the end of the upload."""
    stop_upload = Exchange._stop_upload

    async def go_and_stop(self: Exchange) -> None:
        if self._upload is not None:
            asyncio.get_running_loop().call_soon(self._visit.protocol.transport.abort)
        await stop_upload(self)

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.reader.readexactly(3)
        await peer.send(OK)
        await peer.wait_for_end()

    async with observe(script) as gateway, RawClient(gateway.application) as client:
        await client.send(POST + b"Content-Length: 3\r\n" + bearer() + b"\r\n")
        # The head arrived alone, so that the body is uploaded.
        await wait_until(lambda: gateway.application._metrics.requests_in_flight == 1)
        monkeypatch.setattr(Exchange, "_stop_upload", go_and_stop)
        await client.send(b"abc")
        await gateway.wait_for_records(1)
        await gateway.check_at_rest()


ENDS = {"FIN": (end, 502), "RST": (reset, 502), "stall": (stall, 504), "reads no more": (None, 504)}


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("ending", ENDS)
@in_loop
async def test_an_upstream_that_fails_during_an_upload(ending: str, framing: str) -> None:
    """No answer came, so the client gets ours; an upstream that takes all and says nothing has the head's time."""
    act, status = ENDS[ending]

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.reader.readexactly(100_000)
        if act is None:
            await asyncio.sleep(60)
        else:
            await act(peer)

    timeouts = {"idle_stream_seconds": 0.2, "response_headers_seconds": 0.2}
    async with observe(script, timeouts=timeouts) as gateway:
        async with RawClient(gateway.application) as client:
            uploading = asyncio.create_task(upload(client, framing))
            answer = await client.read_answer()
            reason = "upstream_bad_response" if status == 502 else "upstream_timeout"
            assert (answer.status, json.loads(answer.body)["reason"]) == (status, reason)
            await stop(uploading)
        await gateway.check_recovered((status, reason))


@in_loop
async def test_a_slow_upstream_slows_the_client() -> None:
    """What an upstream does not read is not taken from the client: what is under way stays bounded."""
    may_read = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        peer.writer.transport.pause_reading()
        await may_read.wait()
        peer.writer.transport.resume_reading()
        received = 0
        while received < SIZE * 2:
            received += len(await peer.reader.read(1 << 20))
        await peer.send(OK)
        await peer.wait_for_end()

    sent = 0
    async with observe(script) as gateway:
        async with RawClient(gateway.application) as client:
            await client.send(POST + b"Content-Length: %d\r\n" % (SIZE * 2) + bearer() + b"\r\n")

            async def send_all() -> None:
                nonlocal sent
                while sent < SIZE * 2:
                    await client.send(bytes(65536))
                    sent += 65536

            sending = asyncio.create_task(send_all())
            seen = -1
            while seen != sent:
                seen = sent
                await asyncio.sleep(0.2)
            assert sent < SIZE
            may_read.set()
            await sending
            assert (await client.read_answer()).status == 200
        [record] = await gateway.wait_for_records(1)
        assert (record["status"], record["bytes_in"]) == (200, SIZE * 2)
