"""
The public side: aiohttp's server with what it leaves to us.

aiohttp parses, keeps alive and shuts down. Added here: a deadline for request heads, a limit of connections, refusals
of our own form for what the parser refuses (its texts quote the request, a token included), and raw bytes after a 101.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, cast

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD

from gateway.config.settings import Limits, Timeouts
from gateway.core.errors import GatewayError, Reason, RequestRefused, Unavailable
from gateway.core.fields import FieldSet
from gateway.proxy.request_head import Client
from gateway.proxy.tunnel import Tunnel

# How long an unread body is read on after an early answer, so that the client reads the answer and not a reset.
_LINGERING_SECONDS = 2.0
# How a chunked body without trailers ends: no trailer field is a lone "0" (RFC 9112, section 7.1).
_PLAIN_END = b"\r\n0\r\n\r\n"
OVERLOADED_RETRY_SECONDS = 1
# socket(7): a socket that lingers for no time is closed with RST.
_NO_LINGER = struct.pack("ii", 1, 0)

Handler = Callable[["ClientRequest"], Awaitable[web.StreamResponse]]
RefuseHandler = Callable[["ClientProtocol", GatewayError], bytes]


class _Answered(web.StreamResponse):
    """What a handler returns that has written its whole answer itself."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._keep_alive = keep_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write nothing: the head is written."""

    async def write_eof(self, data: Any = b"") -> None:
        """Write nothing: the body is written."""


# They hold no state of a request, so one of each serves all.
KEEP_ALIVE, CLOSE = _Answered(keep_alive=True), _Answered(keep_alive=False)


class ClientRequest:
    """
    One request as aiohttp parsed it; stands in for its ``BaseRequest``, of which a relay needs little.

    ``fields`` are the header fields, ``content`` the body's stream, ``has_body`` whether there is one.
    """

    __slots__ = (
        *("_task", "content", "fields", "has_body", "keep_alive"),
        *("method", "protocol", "target", "version", "writer"),
    )

    def __init__(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: ClientProtocol,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> None:
        self.method = message.method
        self.target = message.path
        self.version = message.version
        self.fields = FieldSet(message.raw_headers)
        # Behind a request for an upgrade aiohttp stops to read, drops what stands there in the same segment or keeps it
        # for later, and would then read half a body as a request. So such a request is the connection's last.
        self.keep_alive = not (message.should_close or message.upgrade)
        self.content = payload
        self.has_body = payload is not EMPTY_PAYLOAD
        self.protocol = protocol
        self.writer = writer
        # aiohttp clears it at the end, and calls the two methods below.
        self._task: asyncio.Task[None] | None = task

    def _finish(self) -> None:
        """Let go of nothing: there are no uploaded files here."""

    def _cancel(self, exc: BaseException) -> None:
        self.content.set_exception(exc)


class ClientServer(web.Server):
    """Makes a ``ClientProtocol`` of each connection; ``refuse`` builds and accounts an answer to a broken request."""

    def __init__(self, handler: Handler, refuse: RefuseHandler, limits: Limits, timeouts: Timeouts) -> None:
        super().__init__(
            handler,  # type: ignore[arg-type] # it gets what the factory makes
            request_factory=ClientRequest,  # type: ignore[arg-type] # has what aiohttp asks of a request
            handler_cancellation=True,
        )
        self.refuse = refuse
        self.limits = limits
        self.timeouts = timeouts

    def __call__(self) -> ClientProtocol:
        """Return the protocol of a new connection."""
        return ClientProtocol(self, asyncio.get_running_loop())

    @property
    def connection_count(self) -> int:
        """How many connections there are; aiohttp's own property makes a list of them."""
        return len(self._connections)

    def end_connections(self) -> None:
        """End idle connections now, and the others after the request that they serve."""
        for connection in self.connections:
            cast("ClientProtocol", connection).end_soon()


class _TunnelParser:
    """What aiohttp feeds after an upgrade, in the words of its WebSocket reader."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._tunnel.receive_from_client(data)
        return False, b""

    def feed_eof(self) -> None:
        self._tunnel.lose_client()


class ClientProtocol(web.RequestHandler):
    """One client connection."""

    __slots__ = ("_closing_timer", "_end", "_gateway", "_head_timer", "_tunnel", "client")

    def __init__(self, server: ClientServer, loop: asyncio.AbstractEventLoop) -> None:
        limits, timeouts = server.limits, server.timeouts
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=timeouts.keep_alive_seconds,
            access_log=None,  # type: ignore[arg-type] # None turns it off; ours is written by the handler
            max_line_size=limits.request_line_bytes,
            # The parser's error names the limit alone, so the two must differ.
            max_field_size=limits.header_field_bytes + (limits.header_field_bytes == limits.request_line_bytes),
            max_headers=limits.header_count,
            lingering_time=_LINGERING_SECONDS,
            # A proxy that inflates a body sends it on under a length and a coding that are no longer true.
            auto_decompress=False,
        )
        self._gateway = server
        self._head_timer: asyncio.TimerHandle | None = None
        self._closing_timer: asyncio.TimerHandle | None = None
        self._tunnel: Tunnel | None = None
        self._end = b""
        self.client = Client("", "http")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, or tell the client that there are too many."""
        super().connection_made(transport)
        self.client = describe_peer(self)
        if self._gateway.connection_count > self._gateway.limits.connections:
            self._refuse(
                Unavailable(Reason.OVERLOADED, "Too many connections.", retry_after_seconds=OVERLOADED_RETRY_SECONDS)
            )

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let go of everything that waits for this client."""
        self._stop_head_timer()
        super().connection_lost(exc)
        if self._closing_timer is not None:
            self._closing_timer.cancel()
        self._tunnel = None

    def data_received(self, data: bytes) -> None:
        """Feed aiohttp, and watch over a head that has begun and does not end."""
        size = len(_PLAIN_END)
        self._end = data[-size:] if len(data) >= size else (self._end + data)[-size:]
        super().data_received(data)
        self._fail_broken_body()
        is_head_open = bool(data) and self._waiter is not None and not self._waiter.done() and not self._upgraded
        if not is_head_open:
            self._stop_head_timer()
        elif self._head_timer is None:
            seconds = self._gateway.timeouts.header_read_seconds
            self._head_timer = self._loop.call_later(seconds, self._refuse_slow_head)

    def _fail_broken_body(self) -> None:
        """Tell whoever reads a body that it is malformed: aiohttp only tells the next request, which never comes."""
        request = self._current_request
        if request is not None and self._messages and not isinstance(self._messages[-1][0], RawRequestMessage):
            content = request.content
            if not content.is_eof():
                content.set_exception(web.RequestPayloadError("malformed"))

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Finish an answer, and end the connection where the next request would not be what its sender wrote."""
        is_chunked = bool(cast("ClientRequest", request).fields.values(b"transfer-encoding"))
        if is_chunked and self.may_hold_trailers:
            resp = CLOSE
        if resp is CLOSE:
            self._bound_closing()
        return await super().finish_response(request, resp, start_time)

    @property
    def may_hold_trailers(self) -> bool:
        """
        Whether the last request, if it was chunked, may have had trailers.

        aiohttp 3.14.5 gives the last trailer field to the next request, as the first field of its header: behind a
        front that shares connections, one user's ``Cookie`` to another. It shows no trailers, so the octets tell.
        """
        return self._end != _PLAIN_END or bool(self._messages or self._message_tail)

    def end_soon(self) -> None:
        """End this connection as soon as no request is served on it."""
        # aiohttp's own close leaves an idle transport open until its last shutdown, and throws away what still comes
        # of a body; who is served now has its connection ended by the answer.
        if self._waiter is not None and not self._waiter.done():
            self.force_close()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse_slow_head(self) -> None:
        self._head_timer = None
        self._refuse(RequestRefused(Reason.REQUEST_TIMEOUT, "The request head took too long."))

    def _refuse(self, error: GatewayError) -> None:
        if self.transport is not None:
            self.transport.write(self._gateway.refuse(self, error))
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that the parser refused, in our words: aiohttp's quote the bytes, tokens included."""
        if status != _BAD_REQUEST:
            return self._raise_internal(exc)
        if self.transport is not None:
            self.transport.write(self._gateway.refuse(self, describe_parser_error(exc, self.max_line_size)))
        return CLOSE

    def _raise_internal(self, exc: BaseException | None) -> NoReturn:
        # The handler answers everything itself; what still gets here is a defect, and ends the connection.
        raise RuntimeError("the handler of requests failed") from exc

    def attach(self, tunnel: Tunnel) -> None:
        """Give all further bytes of this connection to a tunnel."""
        self._tunnel = tunnel
        self.set_parser(_TunnelParser(tunnel))  # type: ignore[arg-type] # aiohttp calls these two methods, no others

    def cut(self, *, is_http_1_1: bool) -> None:
        """
        End the connection now, so that what was written is not taken for a whole answer.

        To HTTP/1.0, which knows no chunks, an orderly end is the end of the body (RFC 9112, section 8), and nginx asks
        its upstreams in HTTP/1.0 by default: only an RST tells.
        """
        transport = self.transport
        if transport is None:
            return
        if not is_http_1_1:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        transport.abort()

    def end_after_writing(self) -> None:
        """Close the connection once what was written has gone out."""
        self._bound_closing()
        if self.transport is not None:
            self.transport.close()

    def force_close(self) -> None:
        """Close the connection once what was written has gone out, whatever is being served."""
        self._bound_closing()
        super().force_close()

    def _bound_closing(self) -> None:
        """Cut the connection if its last bytes are not taken in time: a close alone waits for them for ever."""
        if self.transport is not None and self._closing_timer is None:
            seconds = self._gateway.timeouts.idle_stream_seconds
            self._closing_timer = self._loop.call_later(seconds, self.transport.abort)

    def pause_writing(self) -> None:
        """Take note that the client reads too slowly."""
        super().pause_writing()
        if self._tunnel is not None:
            self._tunnel.pause_client()

    def resume_writing(self) -> None:
        """Take note that the client has caught up."""
        super().resume_writing()
        if self._tunnel is not None:
            self._tunnel.resume_client()


_BAD_REQUEST = 400


def describe_peer(protocol: web.RequestHandler) -> Client:
    """Return who is at the other end; who comes through a Unix socket has no address."""
    peer = protocol.peername
    return Client(peer[0] if isinstance(peer, tuple) else "", "https" if protocol.ssl_context else "http")


def describe_parser_error(error: BaseException | None, max_line_size: int) -> GatewayError:
    """Return what aiohttp's parser refused, in our words; ``max_line_size`` tells a long line from a long field."""
    if isinstance(error, LineTooLong):
        _, limit, *_ = error.args
        if limit == max_line_size:
            return RequestRefused(Reason.URI_TOO_LONG, "The request-target is too long.", expected=limit)
        return RequestRefused(Reason.HEADERS_TOO_LARGE, "A header field is too large.", expected=limit)
    # aiohttp has one class for all that is malformed, and this is the only limit among it.
    if isinstance(error, HttpProcessingError) and error.message.startswith(_TOO_MANY_FIELDS):
        return RequestRefused(Reason.HEADERS_TOO_LARGE, "The request has too many header fields.")
    return RequestRefused(Reason.MALFORMED_REQUEST, "The request is not well-formed HTTP/1.1.")


_TOO_MANY_FIELDS = "Too many headers"
