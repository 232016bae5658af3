"""
A WebSocket after its 101: bytes both ways as they come, with back-pressure, and a proper close at any end.

No frame is changed. Their boundaries are followed only so that, when the token ends, the gateway stops or the upstream
dies, a close frame of ours stands between two frames (RFC 6455, section 7.1.2).
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING

from gateway.proxy.connection import UpstreamConnection
from gateway.proxy.deadline import Deadline
from gateway.proxy.frames import FrameFollower, build_close_frame

if TYPE_CHECKING:
    from gateway.proxy.listener import ClientProtocol

# How long the two sides have to say goodbye, of the second within which a stream ends with its token.
_GOODBYE_SECONDS = 0.5

# IANA WebSocket Close Code Number Registry.
GOING_AWAY, BAD_GATEWAY = 1001, 1014


class StreamEnd(Enum):
    """Why a stream ended; the word stands in the log and on the metric."""

    CLIENT = "client"
    UPSTREAM = "upstream"
    EXPIRED = "expired"
    SHUTDOWN = "shutdown"
    IDLE = "idle"


class _Direction:
    """One way of a tunnel: what has passed, and the close frame that waits for its place."""

    __slots__ = ("_is_masked", "bytes_passed", "close_code", "frames", "is_ended")

    def __init__(self, *, is_masked: bool) -> None:
        self._is_masked = is_masked
        self.frames = FrameFollower()
        self.close_code: int | None = None
        self.is_ended = False
        self.bytes_passed = 0

    def pass_on(self, data: bytes) -> bytes:
        """Return what of these bytes goes to the other side; after our close frame, nothing does."""
        if self.is_ended:
            return b""
        boundary = self.frames.feed(data)
        if self.close_code is not None and boundary is not None:
            data = data[:boundary] + self._end()
        self.bytes_passed += len(data)
        return data

    def close(self, code: int) -> bytes:
        """Return a close frame if it may stand here; else it waits for the end of the frame that is under way."""
        if self.is_ended or self.frames.has_closed:
            return b""
        self.close_code = code
        return self._end() if self.frames.is_between_frames else b""

    def _end(self) -> bytes:
        self.is_ended = True
        if self.frames.has_closed or self.close_code is None:
            return b""
        return build_close_frame(self.close_code, is_masked=self._is_masked)


class Tunnel:
    """Relays one WebSocket until either side, the token, the gateway or idleness ends it."""

    def __init__(self, client: ClientProtocol, upstream: UpstreamConnection, idle_seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._client = client
        self._upstream = upstream
        self._idle_seconds = idle_seconds
        self._idle = Deadline(loop, lambda: self.close(GOING_AWAY, StreamEnd.IDLE))
        self._goodbye = Deadline(loop, self._end_goodbye)
        self._ended: asyncio.Future[StreamEnd] = loop.create_future()
        self._cause: StreamEnd | None = None
        self.to_upstream = _Direction(is_masked=True)
        self.to_client = _Direction(is_masked=False)

    async def relay(self) -> StreamEnd:
        """Relay until the end, and return why it came; both connections are closed then."""
        self._idle.set(self._idle_seconds)
        self._client.attach(self)
        self._upstream.take_over(self)
        try:
            return await self._ended
        finally:
            self._idle.stop()
            self._goodbye.stop()
            self._upstream.abort()
            self._client.end_after_writing()

    def close(self, code: int, cause: StreamEnd) -> None:
        """Say goodbye to both sides with that code, between two frames, and soon cut what is left."""
        if self._cause is not None:
            return
        self._cause = cause
        self._idle.stop()
        self._goodbye.set(_GOODBYE_SECONDS)
        self._write_client(self.to_client.close(code))
        self._write_upstream(self.to_upstream.close(code))

    def _end_goodbye(self) -> None:
        """Cut who has not taken our goodbye in time."""
        if self._client.transport is not None:
            self._client.transport.abort()
        self._finish(self._cause or StreamEnd.CLIENT)

    def _finish(self, cause: StreamEnd) -> None:
        if not self._ended.done():
            self._ended.set_result(self._cause or cause)

    def _write_client(self, data: bytes) -> None:
        transport = self._client.transport
        if data and transport is not None and not transport.is_closing():
            transport.write(data)

    def _write_upstream(self, data: bytes) -> None:
        if data:
            self._upstream.write(data)

    # --- the client's side calls these -------------------------------------------------------------------------------

    def receive_from_client(self, data: bytes) -> None:
        """Pass bytes of the client on."""
        if self._cause is None:
            self._idle.set(self._idle_seconds)
        self._write_upstream(self.to_upstream.pass_on(data))

    def lose_client(self) -> None:
        """Take note that the client has gone; what it said last still goes to the upstream."""
        if self._cause is None:
            self._cause = StreamEnd.CLIENT
            self._idle.stop()
        self._upstream.close(_GOODBYE_SECONDS)

    def pause_client(self) -> None:
        """Let the upstream wait: the client reads too slowly."""
        self._upstream.pause_reading()

    def resume_client(self) -> None:
        """Let the upstream go on."""
        self._upstream.resume_reading()

    # --- the upstream's side calls these, as a Sink ------------------------------------------------------------------

    def feed_data(self, data: bytes) -> None:
        """Pass bytes of the upstream on."""
        if self._cause is None:
            self._idle.set(self._idle_seconds)
        self._write_client(self.to_client.pass_on(data))

    def pause_writing(self) -> None:
        """Let the client wait: the upstream reads too slowly."""
        if self._client.transport is not None:
            self._client.transport.pause_reading()

    def resume_writing(self) -> None:
        """Let the client go on."""
        if self._client.transport is not None and not self._client.transport.is_closing():
            self._client.transport.resume_reading()

    def connection_lost(self, _exc: Exception | None) -> None:
        """Take note that the upstream has gone; without a close frame of its own, the client gets one of ours."""
        self._write_client(self.to_client.close(BAD_GATEWAY))
        self._finish(StreamEnd.UPSTREAM)


class TunnelParser:
    """What aiohttp feeds after an upgrade, in the words of its WebSocket reader."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._tunnel.receive_from_client(data)
        return False, b""

    def feed_eof(self) -> None:
        self._tunnel.lose_client()
