"""
An upstream that swallows bodies and echoes WebSocket messages; run as ``python -m bench.sink PORT``.

It knows just what the benchmark sends: bodies with ``Content-Length`` or chunked, and frames of one fixed size.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import sys
from typing import cast

import uvloop

# A masked text frame of 64 octets (RFC 6455, section 5.2), and the frame that answers it.
MESSAGE = b"m" * 64
CLIENT_FRAME = b"\x81\xc0\x00\x00\x00\x00" + MESSAGE
SERVER_FRAME = b"\x81\x40" + MESSAGE

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_DONE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_BUFFER_SIZE = 2**20


class Sink(asyncio.BufferedProtocol):
    """One connection: a head, then a body that is counted or frames that are answered."""

    def __init__(self) -> None:
        self._buffer = bytearray(_BUFFER_SIZE)
        self._transport: asyncio.Transport
        self._tail = b""
        self._left = 0
        self._mode = "head"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember whom to answer."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Return where to read to."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        if self._mode == "head":
            self._take_head(nbytes)
        elif self._mode == "frames":
            self._take_frames(nbytes)
        else:
            self._take_body(memoryview(self._buffer)[:nbytes])

    def _take_head(self, count: int) -> None:
        # A head comes in one piece here. What follows it is not copied: that would halve what can be sent.
        end = self._buffer.find(b"\r\n\r\n", 0, count)
        if end < 0:
            self._transport.abort()
            return
        head = bytes(self._buffer[:end])
        if key := re.search(rb"(?i)sec-websocket-key: *(\S+)", head):
            self._accept(key[1])
            return
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        self._left = int(length[1]) if length else 0
        self._mode = "chunks" if re.search(rb"(?i)transfer-encoding: *chunked", head) else "length"
        self._take_body(memoryview(self._buffer)[end + 4 : count])

    def _accept(self, key: bytes) -> None:
        accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self._mode, self._left = "frames", len(CLIENT_FRAME)

    def _take_frames(self, count: int) -> None:
        frames, rest = divmod(len(CLIENT_FRAME) - self._left + count, len(CLIENT_FRAME))
        self._left = len(CLIENT_FRAME) - rest
        if frames:
            self._transport.write(SERVER_FRAME * frames)

    def _take_body(self, data: memoryview) -> None:
        if self._mode == "chunks":
            self._tail = (self._tail + bytes(data[-len(_LAST_CHUNK) :]))[-len(_LAST_CHUNK) :]
            is_done = self._tail == _LAST_CHUNK
        else:
            self._left -= len(data)
            is_done = self._left <= 0
        if is_done:
            self._mode, self._tail = "head", b""
            self._transport.write(_DONE)


async def serve(port: int) -> None:
    """Listen until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
