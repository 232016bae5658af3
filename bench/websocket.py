"""
WebSocket messages: ``python -m bench.websocket PORT TOKEN SECONDS CONNECTIONS`` prints how many came back.

Each connection sends a message, waits for its echo, and sends the next.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from typing import cast

import uvloop

from bench.errors import BenchError
from bench.sink import CLIENT_FRAME, SERVER_FRAME

_TIMEOUT_SECONDS = 10.0


def build_handshake(port: int, token: str) -> bytes:
    """Return the request that asks for a WebSocket (RFC 6455, section 4.1)."""
    return (
        f"GET /socket HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


def open_websocket(port: int, token: str) -> socket.socket:
    """
    Return a socket on which frames can be sent.

    Raises:
        BenchError: The upgrade was refused.
    """
    connection = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_SECONDS)
    connection.sendall(build_handshake(port, token))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = connection.recv(4096)
        if not piece:
            break
        head += piece
    if not head.startswith(b"HTTP/1.1 101"):
        connection.close()
        raise BenchError(f"no WebSocket: {head[:200]!r}")
    return connection


class Echoes(asyncio.Protocol):
    """Sends a message for each that came back."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._received = 0

    @property
    def messages(self) -> int:
        """How many came back."""
        return self._received // len(SERVER_FRAME)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(CLIENT_FRAME)

    def data_received(self, data: bytes) -> None:
        """Send the next when an echo is whole."""
        self._received += len(data)
        if self._received % len(SERVER_FRAME) == 0:
            self._transport.write(CLIENT_FRAME)


async def exchange(port: int, token: str, seconds: float, connections: int) -> None:
    """Run all connections for that long and print what came back."""
    loop = asyncio.get_running_loop()
    sockets = [open_websocket(port, token) for _ in range(connections)]
    began = time.monotonic()
    pairs = [await loop.create_connection(Echoes, sock=each) for each in sockets]
    await asyncio.sleep(seconds)
    messages = sum(protocol.messages for _, protocol in pairs)
    print(json.dumps({"messages": messages, "seconds": time.monotonic() - began}))
    for transport, _ in pairs:
        transport.abort()


if __name__ == "__main__":
    uvloop.run(exchange(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])))
