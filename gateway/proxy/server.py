"""
A request from its head to its account: decide, forward, answer, write it down.

The one place where the decision meets the clock, the keys and the network. It holds no rule of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from aiohttp import StreamReader, web
from aiohttp.http import HttpVersion11, RawRequestMessage

from gateway.admin.access import AccessLog, AccessRecord
from gateway.admin.metrics import Metrics
from gateway.admin.refused import RefusedRequest, RefusedRequests
from gateway.core.decision import Allow
from gateway.core.errors import GatewayError, Reason, UpstreamFailed
from gateway.core.organizations import Standing
from gateway.core.refusal import find_resource
from gateway.core.verification import NeedKeys
from gateway.proxy.account import Accounts, build_refused
from gateway.proxy.answers import CLOSE, KEEP_ALIVE, build_document, build_refusal
from gateway.proxy.client_server import ClientServer
from gateway.proxy.exchange import Exchange
from gateway.proxy.fast_path import FastPath
from gateway.proxy.listener import ClientProtocol
from gateway.proxy.preparation import Preparation
from gateway.proxy.request_checks import check_fields, check_size, check_version, choose_request_id
from gateway.proxy.request_head import RequestHeader
from gateway.proxy.runtime import Runtime
from gateway.proxy.tunnel import GOING_AWAY, StreamEnd
from gateway.proxy.visit import ClientGone, StreamKind, Visit

CLIENT_CLOSED_REQUEST = 499  # nginx's word for it; nobody gets it sent.


class Gateway:
    """
    Serves requests; ``runtime`` may be replaced at any time, ``is_draining`` only ever becomes true.

    ``refused`` are the last requests that it did not serve.
    """

    def __init__(
        self, runtime: Runtime, metrics: Metrics, access_log: AccessLog, clock: Callable[[], float] = time.time
    ) -> None:
        self.runtime = runtime
        self.is_draining = False
        self.refused = RefusedRequests()
        self._metrics = metrics
        self._accounts = Accounts(metrics, access_log)
        self._access_log = access_log
        self._clock = clock
        self.preparation = Preparation(metrics, clock)
        self._fast_path = FastPath(self)
        self._streams: set[Exchange] = set()
        self._idle: asyncio.Future[None] | None = None

    def build_server(self) -> ClientServer:
        """Return the protocol factory for the public listener, with the limits of the file as it is now."""
        settings = self.runtime.settings
        return ClientServer(self, self._fast_path, settings.limits, settings.timeouts)

    def end_streams(self) -> None:
        """Say goodbye to everyone who holds a WebSocket or an event stream, and to whoever is about to."""
        self.preparation.takes_streams = False
        for exchange in tuple(self._streams):
            exchange.end(StreamEnd.SHUTDOWN, GOING_AWAY)

    async def wait_until_idle(self) -> None:
        """Wait until no request is in flight."""
        if self._metrics.requests_in_flight:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle

    # --- a request, with waiting -------------------------------------------------------------------------------------

    def open_visit(self, message: RawRequestMessage, content: StreamReader, protocol: ClientProtocol) -> Visit:
        """Return a request that aiohttp has read."""
        runtime = self.runtime
        octets = b"".join([b"\r\n%b: %b" % pair for pair in message.raw_headers])
        visit = self.begin(protocol, message.method, message.path, runtime.rewriter.read(octets, protocol.client))
        visit.content = content
        visit.is_chunked = message.chunked
        visit.is_http_1_1 = message.version == HttpVersion11
        # Behind a request for an upgrade aiohttp stops to read, drops what stands there in the same segment or keeps it
        # for later, and would then read half a body as a request. So such a request is the connection's last.
        visit.keep_alive = not (message.should_close or message.upgrade)
        try:
            check_size(message.raw_headers, runtime.settings.limits.headers_bytes)
            check_version(visit.fields, message.version)
        except GatewayError as error:
            visit.error = error
        return visit

    async def handle(self, visit: Visit) -> web.StreamResponse:
        """Serve a request, or the rest of one that the fast path took, to its end."""
        if visit.is_taken:
            visit.is_taken = False
            visit.protocol.note_task()
        else:
            self._metrics.requests_in_flight += 1
        try:
            keep_alive = await self._serve(visit)
            visit.status = visit.upstream_status or visit.status
        except GatewayError as error:
            # With a status, the fast path has refused it, and the client does not take the answer.
            keep_alive = visit.keep_alive if visit.status else self.refuse(visit, error)
            keep_alive = keep_alive and await self._settle(visit)
        except (ClientGone, asyncio.CancelledError) as gone:
            # Who leaves an answer that has begun has got it, and a stream ends in no other way.
            visit.status = visit.upstream_status or CLIENT_CLOSED_REQUEST
            if not isinstance(gone, ClientGone):
                raise
            keep_alive = cut(visit)
        finally:
            self.end(visit)
        return KEEP_ALIVE if keep_alive and not self.is_draining else CLOSE

    async def _serve(self, visit: Visit) -> bool:
        if visit.error is not None:
            raise visit.error
        document = visit.runtime.settings.policy.documents.get(visit.target)
        if document is not None:
            check_fields(visit.fields)
            return self._publish(visit, document)
        asked: dict[str, bool] = {}
        standings: dict[str, Standing] = {}
        runtime = visit.runtime
        while not visit.head and (need := self.preparation.prepare(visit, asked, standings)) is not None:
            if isinstance(need, NeedKeys):
                asked[need.provider] = await runtime.supply(need)
            elif runtime.organizations is not None:
                # The answer is this request's own, so that it ends here, however short answers are kept.
                standings[need.organization] = await runtime.organizations.ask(need.organization)
        return await Exchange(visit, self).run()

    async def _settle(self, visit: Visit) -> bool:
        """Wait until a refusal is taken, or who sends request after request and reads nothing would fill our memory."""
        if not visit.protocol.writing_paused:
            return True
        try:
            async with asyncio.timeout(visit.runtime.settings.timeouts.idle_stream_seconds):
                await visit.protocol.drain()
        except (TimeoutError, ConnectionError):
            return cut(visit)
        return True

    # --- the steps of every request ----------------------------------------------------------------------------------

    def begin(self, protocol: ClientProtocol, method: str, target: str, fields: RequestHeader) -> Visit:
        """Return a request that begins to be served."""
        request_id = choose_request_id(fields.x_request_id)
        return Visit(method, target, fields, protocol, self.runtime, request_id, time.perf_counter())

    def take(self, visit: Visit) -> None:
        """Count a request as in flight before any task serves it."""
        visit.is_taken = True
        self._metrics.requests_in_flight += 1

    def end(self, visit: Visit) -> None:
        """Account for a request that is served."""
        visit.is_taken = False
        self._metrics.requests_in_flight -= 1
        self._accounts.close(visit)
        if self._idle is not None and not self._metrics.requests_in_flight and not self._idle.done():
            self._idle.set_result(None)

    def abandon(self, visit: Visit) -> None:
        """Account for a request whose client has gone before it was answered."""
        visit.status = CLIENT_CLOSED_REQUEST
        self.end(visit)

    def measure_life(self, allow: Allow) -> float | None:
        """Return in how many seconds what was allowed must end, or None for never."""
        end = allow.expires_at
        if end is None or allow.verified is None or not self.runtime.settings.streams.end_at_expiry:
            return None
        now, expiry = self._clock(), allow.verified.token.exp or 0.0
        # Who was let in during the leeway has that, and no more.
        return (expiry if now < expiry else end) - now

    # --- refusals ----------------------------------------------------------------------------------------------------

    def refuse(self, visit: Visit, error: GatewayError) -> bool:
        """Answer a request that is refused, or cut an answer that has begun; return whether to keep the connection."""
        visit.error = error
        protocol = visit.protocol
        if isinstance(error, UpstreamFailed):
            self._metrics.count_upstream_error(error.reason.word)
        has_begun = visit.upstream_status is not None
        visit.status = visit.upstream_status or error.reason.status
        self.refused.keep(build_refused(visit, error, self._clock()))
        if has_begun:
            # Only a cut says that the answer is not whole.
            protocol.cut(is_http_1_1=visit.is_http_1_1)
            return False
        policy = visit.runtime.settings.policy
        # Behind a malformed request stands nothing (RFC 9112, section 6.3).
        keep_alive = self._may_keep(visit) and error.reason is not Reason.MALFORMED_REQUEST
        head, body = build_refusal(
            error,
            policy,
            request_id=visit.request_id.decode("ascii"),
            is_head=visit.method == "HEAD",
            keep_alive=keep_alive,
            resource=find_resource(visit, policy) if policy.documents else None,
            is_cross_origin=policy.passes_preflights and bool(visit.fields.values(b"origin")),
        )
        self._write_answer(visit, head, body)
        return keep_alive

    def _publish(self, visit: Visit, document: bytes) -> bool:
        """Answer with metadata of ours; return whether to keep the connection."""
        keep_alive = self._may_keep(visit)
        visit.status, head, body = build_document(
            document, visit.method, request_id=visit.request_id.decode("ascii"), keep_alive=keep_alive
        )
        self._write_answer(visit, head, body)
        return keep_alive

    def _may_keep(self, visit: Visit) -> bool:
        """Return whether the connection may be kept behind an answer of ours: an unread body is the next request."""
        return visit.keep_alive and visit.content.is_eof() and not self.is_draining

    def _write_answer(self, visit: Visit, head: bytes, body: bytes) -> None:
        if visit.protocol.transport is not None:
            visit.protocol.transport.write(head + body)
        visit.bytes_out = len(body)

    def refuse_unread(self, protocol: ClientProtocol, error: GatewayError) -> bytes:
        """Return the answer to a request that could not even be read, and write it down."""
        record = AccessRecord(
            request_id=choose_request_id(()).decode("ascii"),
            client_ip=protocol.client.address,
            method="",
            path="",
            status=error.reason.status,
            decision="deny",
            reason=error.reason.word,
        )
        policy, status = self.runtime.settings.policy, error.reason.status
        self._metrics.observe_request("", status, "", (None, "deny", error.reason.word), 0.0, 0.0)
        self.refused.keep(
            RefusedRequest(self._clock(), record.request_id, "", "", status, error.reason, error.description, policy)
        )
        head, body = build_refusal(error, policy, request_id=record.request_id, is_head=False, keep_alive=False)
        record.bytes_out = len(body)
        self._access_log.write(record)
        return head + body

    # --- streams -----------------------------------------------------------------------------------------------------

    @contextmanager
    def observe(self, exchange: Exchange) -> Iterator[None]:
        """Count a stream, and know it as long as it lives."""
        kind: Literal["websocket", "sse"] = "websocket" if exchange.stream is StreamKind.WEBSOCKET else "sse"
        self._streams.add(exchange)
        self._metrics.open_stream(kind)
        if not self.preparation.takes_streams:
            asyncio.get_running_loop().call_soon(exchange.end, StreamEnd.SHUTDOWN, GOING_AWAY)
        try:
            yield
        finally:
            self._streams.discard(exchange)
            self._metrics.close_stream(kind, (exchange.stream_end or StreamEnd.CLIENT).value)


def cut(visit: Visit) -> bool:
    """End a client's connection at once, so that nothing looks whole or waits to be read; return False."""
    transport = visit.protocol.transport
    if transport is not None:
        transport.abort()
    return False
