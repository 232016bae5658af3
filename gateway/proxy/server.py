"""
A request from its head to its account: decide, forward, answer, write it down.

The one place where the decision meets the clock, the keys and the network. It holds no rule of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from aiohttp import web
from aiohttp.http import HttpVersion11

from gateway.admin.access import AccessLog, AccessRecord
from gateway.admin.metrics import Metrics
from gateway.config.settings import Settings
from gateway.core.decision import Allow, NeedKeys, RequestHead, decide
from gateway.core.errors import GatewayError, Reason, RequestRefused, Unavailable, UpstreamFailed
from gateway.core.jwks import KeySet
from gateway.core.proofs import ProofCache
from gateway.proxy.answers import build_refusal
from gateway.proxy.exchange import ClientGone, Exchange, Outgoing, StreamKind
from gateway.proxy.listener import CLOSE, KEEP_ALIVE, ClientProtocol, ClientRequest, ClientServer
from gateway.proxy.pool import UpstreamPool
from gateway.proxy.request_checks import (
    asks_websocket,
    check_fields,
    choose_request_id,
    expects_continue,
    find_trace_id,
)
from gateway.proxy.request_head import Client, RequestRewriter
from gateway.proxy.response_head import ClientConnection
from gateway.proxy.tunnel import GOING_AWAY, StreamEnd

CLIENT_CLOSED_REQUEST = 499  # nginx's word for it; nobody gets it sent.


@dataclass(frozen=True, slots=True)
class Runtime:
    """
    What requests are served with, swapped whole on a reload; a request keeps the one that it began with.

    ``keys`` maps a provider's name to its usable set and changes as keys do; ``supply`` waits for keys that a decision
    lacks, and returns when there is no more to wait for. ``proofs`` are of this policy's tokens.
    """

    settings: Settings
    rewriter: RequestRewriter
    pool: UpstreamPool
    keys: Mapping[str, KeySet]
    supply: Supply
    proofs: ProofCache


class Supply(Protocol):
    """Asks a provider for keys on behalf of a request, and returns whether its issuer answered."""

    async def __call__(self, need: NeedKeys) -> bool: ...


@dataclass(slots=True)
class _Visit:
    """One request while it is served."""

    request: ClientRequest
    runtime: Runtime
    record: AccessRecord
    started: float
    client: Client
    connection: ClientConnection
    route: str = ""
    exchange: Exchange | None = None


class Gateway:
    """Serves requests; ``runtime`` may be replaced at any time, ``is_draining`` only ever becomes true."""

    def __init__(
        self, runtime: Runtime, metrics: Metrics, access_log: AccessLog, clock: Callable[[], float] = time.time
    ) -> None:
        self.runtime = runtime
        self.is_draining = False
        self._metrics = metrics
        self._access_log = access_log
        self._clock = clock
        self._streams: set[Exchange] = set()
        self._has_ended_streams = False
        self._idle: asyncio.Future[None] | None = None

    def build_server(self) -> ClientServer:
        """Return the protocol factory for the public listener, with the limits of the file as it is now."""
        settings = self.runtime.settings
        return ClientServer(self.handle, self.refuse_connection, settings.limits, settings.timeouts)

    def end_streams(self) -> None:
        """Say goodbye to everyone who holds a WebSocket or an event stream, and to whoever is about to."""
        self._has_ended_streams = True
        for exchange in tuple(self._streams):
            exchange.end(StreamEnd.SHUTDOWN, GOING_AWAY)

    async def wait_until_idle(self) -> None:
        """Wait until no request is in flight."""
        if self._metrics.requests_in_flight:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle

    async def handle(self, request: ClientRequest) -> web.StreamResponse:
        """Serve one request to its end; it is written down however it ends."""
        visit = self._begin(request)
        self._metrics.requests_in_flight += 1
        try:
            keep_alive = await self._serve(visit)
        except GatewayError as error:
            keep_alive = self._refuse(visit, error) and await self._settle(visit)
        except (ClientGone, asyncio.CancelledError) as gone:
            # Who leaves an answer that has begun has got it, and a stream ends in no other way.
            visit.record.status = (visit.exchange and visit.exchange.status) or CLIENT_CLOSED_REQUEST
            if not isinstance(gone, ClientGone):
                raise
            keep_alive = cut(request)
        finally:
            self._metrics.requests_in_flight -= 1
            self._account(visit)
            if self._idle is not None and not self._metrics.requests_in_flight and not self._idle.done():
                self._idle.set_result(None)
        return KEEP_ALIVE if keep_alive and not self.is_draining else CLOSE

    async def _settle(self, visit: _Visit) -> bool:
        """Wait until a refusal is taken, or who sends request after request and reads nothing would fill our memory."""
        protocol = visit.request.protocol
        if not protocol.writing_paused:
            return True
        try:
            async with asyncio.timeout(visit.runtime.settings.timeouts.idle_stream_seconds):
                await visit.request.writer.drain()
        except (TimeoutError, ConnectionError):
            return cut(visit.request)
        return True

    def _begin(self, request: ClientRequest) -> _Visit:
        runtime, fields, client = self.runtime, request.fields, request.protocol.client
        hosts = fields.values(b"host")
        record = AccessRecord(
            choose_request_id(fields.values(b"x-request-id")),
            runtime.rewriter.find_client_address(fields, client.address),
            request.method,
            request.target,
            hosts[0].decode("latin-1") if hosts else None,
            find_trace_id(fields),
        )
        return _Visit(
            request,
            runtime,
            record,
            time.perf_counter(),
            client,
            ClientConnection(request.version == HttpVersion11, request.keep_alive and not self.is_draining),
        )

    async def _serve(self, visit: _Visit) -> bool:
        request, runtime = visit.request, visit.runtime
        check_fields(request.version, request.fields, runtime.settings.limits.headers_bytes)
        allow = self._decide(visit, {})
        if isinstance(allow, NeedKeys):
            allow = await self._decide_with_keys(visit, allow)
        is_upgrade = asks_websocket(request.method, request.version, request.fields)
        if is_upgrade and self._has_ended_streams:
            raise Unavailable(Reason.DRAINING, "The gateway is stopping.", retry_after_seconds=1)
        outgoing = self._build_outgoing(visit, allow, is_upgrade=is_upgrade)
        visit.exchange = Exchange(request, visit.connection, outgoing, self)
        return await visit.exchange.run(runtime.pool)

    async def _decide_with_keys(self, visit: _Visit, need: NeedKeys) -> Allow:
        asked: dict[str, bool] = {}
        outcome: Allow | NeedKeys = need
        while isinstance(outcome, NeedKeys):
            asked[outcome.provider] = await visit.runtime.supply(outcome)
            outcome = self._decide(visit, asked)
        return outcome

    def _decide(self, visit: _Visit, asked: Mapping[str, bool]) -> Allow | NeedKeys:
        request, runtime = visit.request, visit.runtime
        proofs = runtime.proofs
        head = RequestHead(request.method, request.target, request.fields)
        began, hits = time.perf_counter(), proofs.hits
        outcome = decide(head, runtime.settings.policy, runtime.keys, self._clock(), asked, proofs)
        if isinstance(outcome, Allow):
            if outcome.verified is not None and proofs.hits == hits:
                self._metrics.observe_verify(outcome.verified.token.algorithm, time.perf_counter() - began)
            self._note_allowed(visit, outcome)
        return outcome

    def _note_allowed(self, visit: _Visit, allow: Allow) -> None:
        record, verified = visit.record, allow.verified
        record.decision = "allow"
        visit.route = allow.match.route.pattern.text if allow.match.route else "default"
        if verified is None:
            return
        record.provider = verified.provider.name
        record.subject = verified.token.claims["sub"]
        record.organization = verified.organization
        record.client_id = verified.client_id

    def _build_outgoing(self, visit: _Visit, allow: Allow, *, is_upgrade: bool) -> Outgoing:
        request, settings = visit.request, visit.runtime.settings
        lengths = request.fields.values(b"content-length")
        is_chunked = not lengths and request.has_body and not is_upgrade
        limit = settings.limits.body_bytes
        if lengths and limit is not None and int(lengths[0]) > limit:
            raise RequestRefused(Reason.BODY_TOO_LARGE, "The request body is too large.", expected=limit)
        framing = b"Content-Length: %b\r\n" % lengths[0] if lengths else b""
        request_id = visit.record.request_id.encode("ascii")
        head = visit.runtime.rewriter.build(
            request.method,
            allow.target.raw,
            request.fields,
            client=visit.client,
            identity=allow.fields,
            request_id=request_id,
            framing=b"Transfer-Encoding: chunked\r\n" if is_chunked else framing,
            is_upgrade=is_upgrade,
        )
        return Outgoing(
            head=head,
            has_body=is_chunked or bool(lengths and int(lengths[0])),
            is_chunked=is_chunked,
            is_upgrade=is_upgrade,
            expects_continue=expects_continue(request.version, request.fields),
            request_id=request_id,
            expires_in_seconds=self._measure_life(allow) if settings.streams.end_at_expiry else None,
            expiry_close_code=settings.streams.expiry_close_code,
            max_body_bytes=limit,
            idle_seconds=settings.timeouts.idle_stream_seconds,
        )

    def _measure_life(self, allow: Allow) -> float | None:
        end = allow.expires_at
        if end is None or allow.verified is None:
            return None
        now, expiry = self._clock(), allow.verified.token.expires_at
        # Who was let in during the leeway has that, and no more.
        return (expiry if now < expiry else end) - now

    # --- refusals ----------------------------------------------------------------------------------------------------

    def _refuse(self, visit: _Visit, error: GatewayError) -> bool:
        record, request = visit.record, visit.request
        record.reason = error.reason.word
        if isinstance(error, UpstreamFailed):
            self._metrics.count_upstream_error(error.reason.word)
        else:
            record.decision = "error" if isinstance(error, Unavailable) else "deny"
        for name, value in error.context.items():
            setattr(record, name, value)
        transport = request.protocol.transport
        if visit.exchange is not None and visit.exchange.status is not None:
            # The answer has begun: only a cut says that it is not whole.
            record.status = visit.exchange.status
            request.protocol.cut(is_http_1_1=visit.connection.is_http_1_1)
            return False
        record.status = error.reason.status
        # A body that nobody reads would be the next request; behind a malformed request stands nothing (RFC 9112, 6.3).
        is_over = request.content.is_eof() and error.reason is not Reason.MALFORMED_REQUEST
        keep_alive = visit.connection.keep_alive and is_over
        head, body = build_refusal(
            error,
            visit.runtime.settings.policy,
            request_id=record.request_id,
            is_head=request.method == "HEAD",
            keep_alive=keep_alive,
        )
        if transport is not None:
            transport.write(head + body)
        record.bytes_out = len(body)
        return keep_alive

    def refuse_connection(self, protocol: ClientProtocol, error: GatewayError) -> bytes:
        """Return the answer to a request that could not even be read, and write it down."""
        record = AccessRecord(
            request_id=choose_request_id(()),
            client_ip=protocol.client.address,
            method="",
            path="",
            status=error.reason.status,
            decision="deny",
            reason=error.reason.word,
        )
        self._metrics.observe_request("", error.reason.status, "", 0.0, 0.0)
        self._metrics.count_decision(None, "deny", error.reason.word)
        head, body = build_refusal(
            error, self.runtime.settings.policy, request_id=record.request_id, is_head=False, keep_alive=False
        )
        record.bytes_out = len(body)
        self._access_log.write(record)
        return head + body

    # --- the account -------------------------------------------------------------------------------------------------

    def _account(self, visit: _Visit) -> None:
        record, exchange = visit.record, visit.exchange
        record.duration_seconds = time.perf_counter() - visit.started
        record.overhead_seconds = record.duration_seconds
        observed = record.duration_seconds
        if exchange is not None:
            record.bytes_in = exchange.bytes_in
            record.bytes_out = record.bytes_out or exchange.bytes_out
            record.upstream_status = exchange.status
            record.overhead_seconds = exchange.began_at - visit.started
            record.status = record.status or exchange.status or 0
            if exchange.head_at is not None:
                record.upstream_seconds = exchange.head_at - exchange.began_at
                # A stream lasts as long as it is wanted; what counts is how long its beginning took.
                observed = exchange.head_at - visit.started if exchange.stream else observed
        metrics = self._metrics
        metrics.observe_request(
            record.method, record.status, visit.route, observed, record.overhead_seconds, record.upstream_seconds
        )
        if record.decision is not None:
            metrics.count_decision(record.provider, record.decision, record.reason)
        self._access_log.write(record)

    @contextmanager
    def observe(self, exchange: Exchange) -> Iterator[None]:
        """Count a stream, and know it as long as it lives."""
        kind: Literal["websocket", "sse"] = "websocket" if exchange.stream is StreamKind.WEBSOCKET else "sse"
        self._streams.add(exchange)
        self._metrics.open_stream(kind)
        if self._has_ended_streams:
            asyncio.get_running_loop().call_soon(exchange.end, StreamEnd.SHUTDOWN, GOING_AWAY)
        try:
            yield
        finally:
            self._streams.discard(exchange)
            self._metrics.close_stream(kind, (exchange.stream_end or StreamEnd.CLIENT).value)


def cut(request: ClientRequest) -> bool:
    """End a client's connection at once, so that nothing looks whole or waits to be read; return False."""
    transport = request.protocol.transport
    if transport is not None:
        transport.abort()
    return False
