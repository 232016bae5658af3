"""
One allowed request, relayed: its head and body upstream, interim heads, the answer and its body back.

Both directions run at once and wait for whoever reads slower. An answer may come before the request has been sent
whole. A body that the upstream cuts is cut for the client too: an end that looks like one would be a lie.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractContextManager
from typing import Protocol

from aiohttp import web

from gateway.config.settings import Settings
from gateway.core.decision import Allow
from gateway.core.errors import GatewayError, Reason, RequestRefused, UpstreamFailed
from gateway.proxy.bulk import Bulk
from gateway.proxy.client_writer import ClientWriter
from gateway.proxy.connection import UpstreamConnection
from gateway.proxy.request_checks import expects_continue
from gateway.proxy.response import SWITCHING_PROTOCOLS, ResponseHead
from gateway.proxy.response_head import (
    AnswerHead,
    build_answer_head,
    build_chunk,
    build_informational_head,
    build_trailers,
    build_upgrade_head,
)
from gateway.proxy.tunnel import StreamEnd, Tunnel
from gateway.proxy.visit import ClientGone, StreamKind, Visit

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# RFC 9110, section 9.2.2
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_FIRST_ERROR_STATUS = 400
# What any answer may take, even if the token ends in the meantime.
MIN_ANSWER_SECONDS = 30.0
# Timers of the loop overflow far beyond it.
_MAX_TIMER_SECONDS = 30 * 86400.0


class Host(Protocol):
    """What an exchange must know of the gateway that it is part of."""

    is_draining: bool

    def observe(self, exchange: Exchange) -> AbstractContextManager[None]:
        """Return a context that a stream lives in."""

    def measure_life(self, allow: Allow) -> float | None:
        """Return in how many seconds what was allowed must end, or None for never."""


class Exchange:
    """One exchange under way; what is to be told of it afterwards stands in the visit."""

    def __init__(self, visit: Visit, host: Host) -> None:
        self._visit = visit
        self._host = host
        self._client = ClientWriter(visit.protocol, self._idle_seconds)
        self._bulk = Bulk(visit, self._client, self._idle_seconds)
        self._upload: asyncio.Task[None] | None = None
        self._upload_error: GatewayError | None = None
        self._tunnel: Tunnel | None = None
        self.stream_end: StreamEnd | None = None

    @property
    def stream(self) -> StreamKind | None:
        """What kind of stream the answer is, if it is one."""
        return self._visit.stream

    def end(self, cause: StreamEnd, close_code: int) -> None:
        """End an answer that would not end by itself; a WebSocket with that code."""
        if self._tunnel is not None:
            self._tunnel.close(close_code, cause)
        elif self._visit.connection is not None and self.stream_end is None:
            self.stream_end = cause
            self._visit.connection.abort()

    async def run(self) -> bool:
        """
        Relay the exchange, from where the fast path left it; return whether the client's connection may be kept.

        Raises:
            GatewayError: The exchange failed and the client was told nothing yet; ``upstream_status`` is None.
                With ``upstream_status`` set, the answer is cut short, and so must be the client's connection.
            ClientGone: Nobody is there to be told.
        """
        visit = self._visit
        pool = visit.runtime.pool
        while True:
            if visit.connection is None:
                visit.began_at = visit.began_at or time.perf_counter()
                visit.connection = await pool.acquire()
                self._send(visit.connection)
            connection = visit.connection
            try:
                return await self._receive(connection)
            except UpstreamFailed as failure:
                if self._upload_error is not None:
                    raise self._upload_error from failure
                # Only where the upstream can have seen nothing of it (RFC 9112, section 9.3.1).
                if not (connection.is_stale and self._may_repeat()):
                    raise
            finally:
                try:
                    await self._stop_upload()
                finally:
                    # The client may go meanwhile.
                    visit.connection = None
                    pool.release(connection)

    def _may_repeat(self) -> bool:
        visit = self._visit
        return visit.method in _IDEMPOTENT and not (visit.body or visit.has_stream or visit.is_upgrade)

    def _send(self, connection: UpstreamConnection) -> None:
        visit = self._visit
        streams_body = visit.has_stream and not visit.is_upgrade
        visit.bytes_in = len(visit.body)
        connection.begin(visit.method.encode("ascii"), asks_upgrade=visit.is_upgrade)
        connection.write(visit.head + visit.body)
        if streams_body:
            self._upload = asyncio.create_task(self._send_body(connection))
        else:
            connection.finish()

    async def _receive(self, connection: UpstreamConnection) -> bool:
        visit = self._visit
        head = self._mend(await self._read_final_head(connection))
        visit.upstream_status, visit.head_at = head.status, time.perf_counter()
        visit.stream = find_stream_kind(head)
        if visit.stream is None:
            return await self._answer(connection, head)
        with self._host.observe(self):
            if visit.stream is StreamKind.EVENTS:
                return await self._answer(connection, head)
            await self._run_tunnel(connection, head)
            return False

    def _mend(self, head: ResponseHead) -> ResponseHead:
        """Return the head of an answer with what it owes to a token outside of the Authorization field."""
        visit = self._visit
        carried = visit.runtime.rewriter.carried
        if carried is None:
            return head
        if head.status == SWITCHING_PROTOCOLS:
            return carried.choose_protocol(head, visit.fields)
        return carried.make_private(head, visit.target)

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
        visit, limit = self._visit, self._settings.limits.body_bytes
        if expects_continue(visit.fields, is_http_1_1=visit.is_http_1_1):
            await self._client.write(_CONTINUE)
        while piece := await self._read_piece():
            visit.bytes_in += len(piece)
            if limit is not None and visit.bytes_in > limit:
                raise RequestRefused(Reason.BODY_TOO_LARGE, "The request body is too large.")
            if not await self._bulk.send_body(connection, piece):
                connection.write(build_chunk(piece) if visit.is_chunked else piece)
                await connection.drain()
        if visit.is_chunked:
            connection.write(b"0\r\n\r\n")
        connection.finish()

    async def _read_piece(self) -> bytes:
        try:
            async with asyncio.timeout(self._idle_seconds):
                return await self._visit.content.readany()
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
            head = await connection.read_head()
            if not head.is_interim:
                return head
            # RFC 9110, section 15.2: none to HTTP/1.0; and 100 is ours to say, for the body is ours to read.
            if self._visit.is_http_1_1 and head.status != 100:  # noqa: PLR2004 - Continue
                await self._client.write(build_informational_head(head))

    async def _answer(self, connection: UpstreamConnection, head: ResponseHead) -> bool:
        visit = self._visit
        is_uploading = self._upload is not None and not self._upload.done()
        if is_uploading:
            # Refused in the middle of a body: who goes on sending it would have it read as the next request.
            must_end = head.status >= _FIRST_ERROR_STATUS
        else:
            must_end = visit.is_chunked and visit.protocol.may_hold_trailers
        answer = build_answer_head(
            head,
            visit.request_id,
            is_http_1_1=visit.is_http_1_1,
            keep_alive=visit.keep_alive and not must_end and not self._host.is_draining,
        )
        ending = None if head.length is not None else self._schedule_end()
        try:
            await self._send_answer(connection, answer)
        except UpstreamFailed:
            # Events are whole by themselves, so their stream may end; of anything else the client must see the cut.
            if self.stream_end is None or self.stream is None or not answer.is_chunked:
                raise
            await self._client.write(build_trailers(()))
            return False
        finally:
            if ending is not None:
                ending.cancel()
        return answer.keep_alive and not (self._upload is not None and not self._upload.done())

    async def _send_answer(self, connection: UpstreamConnection, answer: AnswerHead) -> None:
        """Write head and body; what is there already goes out with the head, in one write."""
        response = connection.response
        pending = await self._bulk.send_answer(connection, answer.octets)
        if pending and not response.has_body:
            await self._client.write(pending)
            pending = b""
        while not response.is_complete and (body := await connection.read_body()):
            self._visit.bytes_out += len(body)
            pending += build_chunk(body) if answer.is_chunked else body
            if not response.is_complete:
                await self._client.write(pending)
                pending = b""
        pending += self._frame_rest(connection, answer)
        if pending:
            await self._client.write(pending)

    def _frame_rest(self, connection: UpstreamConnection, answer: AnswerHead) -> bytes:
        """Return what is left of a body that has arrived whole, framed for the client, and its end."""
        body = connection.response.take()
        self._visit.bytes_out += len(body)
        return build_chunk(body) + build_trailers(connection.response.trailers) if answer.is_chunked else body

    def _schedule_end(self) -> asyncio.TimerHandle | None:
        """Have an answer that has no length end with the caller's token; one with a length ends by itself."""
        allow = self._visit.allow
        seconds = self._host.measure_life(allow) if allow is not None else None
        if seconds is None:
            return None
        if self.stream is None:
            # Most answers without a length are merely short, and one that began in time may be finished.
            seconds = max(seconds, MIN_ANSWER_SECONDS)
        return asyncio.get_running_loop().call_later(
            min(max(seconds, 0.0), _MAX_TIMER_SECONDS),
            self.end,
            StreamEnd.EXPIRED,
            self._settings.streams.expiry_close_code,
        )

    # --- WebSocket ---------------------------------------------------------------------------------------------------

    async def _run_tunnel(self, connection: UpstreamConnection, head: ResponseHead) -> None:
        await self._client.write(build_upgrade_head(head, self._visit.request_id))
        visit = self._visit
        self._tunnel = tunnel = Tunnel(visit.protocol, connection, self._idle_seconds)
        ending = self._schedule_end()
        try:
            self.stream_end = await tunnel.relay()
        finally:
            if ending is not None:
                ending.cancel()
            visit.bytes_in, visit.bytes_out = tunnel.to_upstream.bytes_passed, tunnel.to_client.bytes_passed

    @property
    def _settings(self) -> Settings:
        return self._visit.runtime.settings

    @property
    def _idle_seconds(self) -> float:
        return self._settings.timeouts.idle_stream_seconds


def find_stream_kind(head: ResponseHead) -> StreamKind | None:
    """Return the kind of stream that an answer is, or None for a plain one."""
    if head.status == SWITCHING_PROTOCOLS:
        return StreamKind.WEBSOCKET
    return StreamKind.EVENTS if head.is_event_stream else None
