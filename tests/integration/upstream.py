"""An upstream that does what a test tells it, byte for byte, and the pool that talks to it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

from gateway.proxy.address import UpstreamAddress
from gateway.proxy.pool import UpstreamPool
from gateway.proxy.response import ResponseHead

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Peer:
    """One connection, seen from the upstream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number

    async def read_head(self) -> bytes:
        """Return the next request head; EOFError if the gateway has closed."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def wait_for_end(self) -> bytes:
        """Wait until the gateway closes, and return what it sent until then."""
        try:
            return await self.reader.read()
        except ConnectionResetError:
            return b""

    def reset(self) -> None:
        """End the connection with RST."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


class Upstream:
    """
    A server on a free port of 127.0.0.1, or on a unix socket, that plays a script on each connection.

    A connection is closed at its script's end. What a script raises fails the test, but for the connection's own end.
    """

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None, path: str | None = None) -> None:
        self._script = script
        self._tls = tls
        self._path = path
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []
        self.connections = 0
        self.heads: list[bytes] = []

    async def __aenter__(self) -> Self:
        if self._path is not None:
            self._server = await asyncio.start_unix_server(self._accept, self._path)
        else:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
            self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        if self._failures:
            raise self._failures[0]

    @property
    def address(self) -> UpstreamAddress:
        if self._path is not None:
            return UpstreamAddress(scheme="unix", path=self._path)
        return UpstreamAddress(scheme="http", host="127.0.0.1", port=self.port)

    @property
    def open_connections(self) -> int:
        return len(self._tasks)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer = Peer(reader, writer, self.connections)
        self.connections += 1
        try:
            await self._script(peer)
        except (EOFError, ConnectionError, asyncio.CancelledError):
            pass
        except BaseException as exc:  # noqa: BLE001 - raised again by __aexit__, where the test sees it
            self._failures.append(exc)
        finally:
            writer.close()
            self._tasks.discard(task)


def play(*answers: bytes) -> Script:
    """Return a script that answers the requests of a connection with these, one after the other, and then closes."""

    async def script(peer: Peer) -> None:
        for answer in answers:
            await peer.read_head()
            await peer.send(answer)

    return script


def play_and_wait(*answers: bytes) -> Script:
    """Return the same, but one that leaves the closing to the gateway."""

    async def script(peer: Peer) -> None:
        await play(*answers)(peer)
        await peer.wait_for_end()

    return script


# Takes a request, and says nothing to it.
never_answer = play_and_wait(b"")


@asynccontextmanager
async def open_pool(address: UpstreamAddress, **changed: Any) -> AsyncIterator[UpstreamPool]:
    """Open a pool whose times are long enough for a test never to meet them, but for those changed."""
    settings = {
        "connect_seconds": 5.0,
        "head_seconds": 20.0,
        "idle_stream_seconds": 20.0,
        "idle_connection_seconds": 20.0,
        "max_connections": 10,
        "max_waiting": 10,
    }
    pool = UpstreamPool(address, **(settings | changed))
    try:
        yield pool
    finally:
        await pool.close()


async def exchange(pool: UpstreamPool, method: bytes = b"GET", target: bytes = b"/") -> tuple[ResponseHead, bytes]:
    """Do one exchange without a request body and return the final head and the whole body."""
    connection = await pool.acquire()
    try:
        connection.begin(method)
        connection.write(method + b" " + target + b" HTTP/1.1\r\nHost: upstream\r\n\r\n")
        connection.finish()
        head = await connection.read_head()
        while head.is_interim:
            head = await connection.read_head()
        pieces = []
        while piece := await connection.read_body():
            pieces.append(piece)
        return head, b"".join(pieces)
    finally:
        pool.release(connection)
