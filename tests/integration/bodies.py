"""Large bodies, who sends and gets them, and what is seen of how the kernel moves them."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from gateway.app.application import Application
from gateway.proxy.splice import Splice

from .faults import POST
from .gateway_harness import RawClient, bearer
from .loop import wait_until

GET = b"GET / HTTP/1.1\r\nHost: gateway.example\r\n" + bearer() + b"\r\n"
MIB = 1024 * 1024
SIZE = 12 * MIB + 3
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


def make_octets(size: int) -> bytes:
    return random.Random(size).randbytes(size)  # noqa: S311 - a body, not a secret


def check_same(received: bytes, sent: bytes) -> None:
    # Millions of octets that differ are no message.
    assert (len(received), hashlib.sha256(received).digest()) == (len(sent), hashlib.sha256(sent).digest())


def build_answer(body: bytes, size: int | None = None) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(body) if size is None else size) + body


def build_upload(body: bytes, size: int | None = None) -> bytes:
    return POST + bearer() + b"Content-Length: %d\r\n\r\n" % (len(body) if size is None else size) + body


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


@asynccontextmanager
async def open_stalled(application: Application) -> AsyncIterator[NarrowClient]:
    """Connect a client that does not read until told to; the kernel takes little for it on either side."""
    await wait_until(lambda: not application._server.connections)
    async with NarrowClient(application) as client:
        await wait_until(lambda: bool(application._server.connections))
        [connection] = application._server.connections
        assert connection.transport is not None
        shrink_buffer(connection.transport)
        client.writer.transport.pause_reading()
        yield client
