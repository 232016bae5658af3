"""
One allowed request, relayed: its head and body upstream, interim heads, the answer and its body back.

Both directions run at once and wait for whoever reads slower. An answer may come before the request has been sent
whole. A body that the upstream cuts is cut for the client too: an end that looks like one would be a lie.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractContextManager
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from aiohttp import web

from gateway.core.errors import GatewayError, Reason, RequestRefused, UpstreamFailed
from gateway.core.fields import select_values
from gateway.proxy.connection import UpstreamConnection
from gateway.proxy.response import SWITCHING_PROTOCOLS, ResponseHead
from gateway.proxy.response_head import (
    AnswerHead,
    ClientConnection,
    build_answer_head,
    build_informational_head,
    build_trailers,
    build_upgrade_head,
)
from gateway.proxy.tunnel import StreamEnd, Tunnel

if TYPE_CHECKING:
    from gateway.proxy.listener import ClientRequest
    from gateway.proxy.pool import UpstreamPool

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_EVENT_STREAM = b"text/event-stream"
# RFC 9110, section 9.2.2
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_FIRST_ERROR_STATUS = 400
# What any answer may take, even if the token ends in the meantime.
MIN_ANSWER_SECONDS = 30.0
# Timers of the loop overflow far beyond it.
_MAX_TIMER_SECONDS = 30 * 86400.0


class StreamKind(Enum):
    """Answers that do not end by themselves."""

    WEBSOCKET = "websocket"
    EVENTS = "sse"


class StreamObserver(Protocol):
    """Who wants to know of streams: to count them, and to end them when the gateway stops."""

    def observe(self, exchange: Exchange) -> AbstractContextManager[None]:
        """Return a context that the stream lives in."""


class Outgoing(NamedTuple):
    """
    What is to be sent: the ready head, how its body is framed, and what bounds it.

    ``expires_in_seconds`` is when an endless answer must end, None for never; ``max_body_bytes`` None is no limit.
    """

    head: bytes
    has_body: bool
    is_chunked: bool
    is_upgrade: bool
    expects_continue: bool
    request_id: bytes
    expires_in_seconds: float | None
    expiry_close_code: int
    max_body_bytes: int | None
    idle_seconds: float


class ClientGone(Exception):
    """The client has gone, or reads no more; there is nobody left to answer."""


class Exchange:
    """One exchange under way, and what is to be told of it afterwards; sizes are of bodies, in bytes."""

    def __init__(
        self, request: ClientRequest, client: ClientConnection, outgoing: Outgoing, observer: StreamObserver
    ) -> None:
        self._request = request
        self._client = client
        self._outgoing = outgoing
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._connection: UpstreamConnection | None = None
        self._upload: asyncio.Task[None] | None = None
        self._upload_error: GatewayError | None = None
        self._tunnel: Tunnel | None = None
        self.status: int | None = None
        # uvloop's own clock counts milliseconds.
        self.began_at = time.perf_counter()
        self.head_at: float | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.stream: StreamKind | None = None
        self.stream_end: StreamEnd | None = None

    def end(self, cause: StreamEnd, close_code: int) -> None:
        """End an answer that would not end by itself; a WebSocket with that code."""
        if self._tunnel is not None:
            self._tunnel.close(close_code, cause)
        elif self._connection is not None and self.stream_end is None:
            self.stream_end = cause
            self._connection.abort()

    async def run(self, pool: UpstreamPool) -> bool:
        """
        Relay the exchange; return whether the client's connection may be kept.

        Raises:
            GatewayError: The exchange failed and the client was told nothing yet; ``status`` is None.
                With ``status`` set, the answer is cut short, and so must be the client's connection.
            ClientGone: Nobody is there to be told.
        """
        while True:
            self._connection = connection = await pool.acquire()
            try:
                return await self._run_on(connection)
            except UpstreamFailed:
                # Only where the upstream can have seen nothing of it (RFC 9112, section 9.3.1).
                if not (connection.is_stale and self._may_repeat()):
                    raise
            finally:
                await self._stop_upload()
                pool.release(connection)

    def _may_repeat(self) -> bool:
        outgoing = self._outgoing
        return self._request.method in _IDEMPOTENT and not outgoing.has_body and not outgoing.is_upgrade

    async def _run_on(self, connection: UpstreamConnection) -> bool:
        method = self._request.method.encode("ascii")
        connection.begin(method, asks_upgrade=self._outgoing.is_upgrade)
        connection.write(self._outgoing.head)
        if self._outgoing.has_body:
            self._upload = self._loop.create_task(self._send_body(connection))
        else:
            connection.finish()
        head = await self._read_final_head(connection)
        self.status, self.head_at = head.status, time.perf_counter()
        self.stream = find_stream_kind(head)
        if self.stream is None:
            return await self._answer(connection, head)
        with self._observer.observe(self):
            if self.stream is StreamKind.EVENTS:
                return await self._answer(connection, head)
            await self._run_tunnel(connection, head)
            return False

    # --- the request's body ------------------------------------------------------------------------------------------

    async def _send_body(self, connection: UpstreamConnection) -> None:
        try:
            await self._pump_body(connection)
        except GatewayError as error:
            self._upload_error = error
            # Whoever waits for the answer is woken, and says why.
            connection.abort()
        except web.RequestPayloadError:
            self._upload_error = RequestRefused(Reason.MALFORMED_REQUEST, "The request body is malformed.")
            connection.abort()
        except (ClientGone, ConnectionError):
            connection.abort()

    async def _pump_body(self, connection: UpstreamConnection) -> None:
        if self._outgoing.expects_continue:
            await self._write(_CONTINUE)
        is_chunked = self._outgoing.is_chunked
        while piece := await self._read_piece():
            self.bytes_in += len(piece)
            if self._outgoing.max_body_bytes is not None and self.bytes_in > self._outgoing.max_body_bytes:
                raise RequestRefused(Reason.BODY_TOO_LARGE, "The request body is too large.")
            connection.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
            await connection.drain()
        if is_chunked:
            connection.write(b"0\r\n\r\n")
        connection.finish()

    async def _read_piece(self) -> bytes:
        try:
            async with asyncio.timeout(self._outgoing.idle_seconds):
                return await self._request.content.readany()
        except TimeoutError as error:
            raise RequestRefused(Reason.REQUEST_TIMEOUT, "The request body stalled.") from error

    async def _stop_upload(self) -> None:
        if self._upload is None:
            return
        self._upload.cancel()
        await asyncio.wait([self._upload])
        self._upload = None

    # --- the answer --------------------------------------------------------------------------------------------------

    async def _read_final_head(self, connection: UpstreamConnection) -> ResponseHead:
        while True:
            try:
                head = await connection.read_head()
            except UpstreamFailed as failure:
                if self._upload_error is not None:
                    raise self._upload_error from failure
                raise
            if not head.is_interim:
                return head
            # RFC 9110, section 15.2: none to HTTP/1.0; and 100 is ours to say, for the body is ours to read.
            if self._client.is_http_1_1 and head.status != 100:  # noqa: PLR2004 - Continue
                await self._write(build_informational_head(head))

    async def _answer(self, connection: UpstreamConnection, head: ResponseHead) -> bool:
        is_uploading = self._upload is not None and not self._upload.done()
        client = self._client
        if is_uploading:
            # Refused in the middle of a body: who goes on sending it would have it read as the next request.
            must_end = head.status >= _FIRST_ERROR_STATUS
        else:
            must_end = self._outgoing.is_chunked and self._request.protocol.may_hold_trailers
        if must_end:
            client = ClientConnection(is_http_1_1=client.is_http_1_1, keep_alive=False)
        answer = build_answer_head(head, client, self._outgoing.request_id)
        ending = None if head.length is not None else self._schedule_end()
        try:
            await self._send_answer(connection, answer)
        except UpstreamFailed:
            # Events are whole by themselves, so their stream may end; of anything else the client must see the cut.
            if self.stream_end is None or self.stream is None or not answer.is_chunked:
                raise
            await self._write(build_trailers(()))
            return False
        finally:
            if ending is not None:
                ending.cancel()
        return answer.keep_alive and not (self._upload is not None and not self._upload.done())

    async def _send_answer(self, connection: UpstreamConnection, answer: AnswerHead) -> None:
        """Write head and body; what is there already goes out with the head, in one write."""
        pending = answer.octets
        if not connection.is_body_ready:
            await self._write(pending)
            pending = b""
        while body := await connection.read_body():
            self.bytes_out += len(body)
            pending += b"%x\r\n%b\r\n" % (len(body), body) if answer.is_chunked else body
            if not connection.is_complete:
                await self._write(pending)
                pending = b""
        if answer.is_chunked:
            pending += build_trailers(connection.trailers)
        if pending:
            await self._write(pending)

    def _schedule_end(self) -> asyncio.TimerHandle | None:
        """Have an answer that has no length end with the caller's token; one with a length ends by itself."""
        seconds = self._outgoing.expires_in_seconds
        if seconds is None:
            return None
        if self.stream is None:
            # Most answers without a length are merely short, and one that began in time may be finished.
            seconds = max(seconds, MIN_ANSWER_SECONDS)
        return self._loop.call_later(
            min(max(seconds, 0.0), _MAX_TIMER_SECONDS), self.end, StreamEnd.EXPIRED, self._outgoing.expiry_close_code
        )

    # --- WebSocket ---------------------------------------------------------------------------------------------------

    async def _run_tunnel(self, connection: UpstreamConnection, head: ResponseHead) -> None:
        await self._write(build_upgrade_head(head, self._outgoing.request_id))
        self._tunnel = tunnel = Tunnel(self._request.protocol, connection, self._outgoing.idle_seconds)
        ending = self._schedule_end()
        try:
            self.stream_end = await tunnel.relay()
        finally:
            if ending is not None:
                ending.cancel()
            self.bytes_in, self.bytes_out = tunnel.to_upstream.bytes_passed, tunnel.to_client.bytes_passed

    async def _write(self, data: bytes) -> None:
        protocol = self._request.protocol
        transport = protocol.transport
        if transport is None or transport.is_closing():
            raise ClientGone
        transport.write(data)
        if protocol.writing_paused:
            await self._drain()

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(self._outgoing.idle_seconds):
                await self._request.writer.drain()
        except (TimeoutError, ConnectionError) as error:
            raise ClientGone from error


def find_stream_kind(head: ResponseHead) -> StreamKind | None:
    """Return the kind of stream that an answer is, or None for a plain one."""
    if head.status == SWITCHING_PROTOCOLS:
        return StreamKind.WEBSOCKET
    types = select_values(head.fields, b"content-type")
    is_events = bool(types) and types[0].partition(b";")[0].strip().lower() == _EVENT_STREAM
    return StreamKind.EVENTS if is_events else None
