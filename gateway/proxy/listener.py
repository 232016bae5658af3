"""
A client connection that is not plain: aiohttp's protocol with what it leaves to us.

aiohttp parses, keeps alive and shuts down. Added here: a deadline for request heads, refusals of our own form for what
the parser refuses (its texts quote the request, a token included), and raw bytes after a 101. What is plain is served
past aiohttp here too.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, NoReturn, cast

from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD

from gateway.core.errors import GatewayError, Reason, RequestRefused
from gateway.proxy.answers import CLOSE
from gateway.proxy.body_source import BodySource
from gateway.proxy.parser_errors import describe_parser_error
from gateway.proxy.request_head import Client
from gateway.proxy.tunnel import Tunnel, TunnelParser
from gateway.proxy.visit import Visit

if TYPE_CHECKING:
    from gateway.proxy.client_server import ClientServer

# How long what still comes is read behind the last answer, so that the client reads the answer and not a reset.
_LINGERING_SECONDS = 2.0
# How a chunked body without trailers ends: no trailer field is a lone "0" (RFC 9112, section 7.1).
_PLAIN_END = b"\r\n0\r\n\r\n"
_HEAD_END = b"\r\n\r\n"
_BAD_REQUEST = 400
# socket(7): a socket that lingers for no time is closed with RST.
_NO_LINGER = struct.pack("ii", 1, 0)


class ClientProtocol(BodySource):
    """One client connection."""

    __slots__ = (
        *("_closing_timer", "_end", "_gateway", "_given", "_head_timer", "_lingering", "_lingering_timer", "_tunnel"),
        *("client", "visit"),
    )

    def __init__(self, server: ClientServer, loop: asyncio.AbstractEventLoop, client: Client) -> None:
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
        # What is left of the connection behind its last answer.
        self._lingering: asyncio.Transport | None = None
        self._lingering_timer: asyncio.TimerHandle | None = None
        self._tunnel: Tunnel | None = None
        self._end = b""
        # A request that was served past aiohttp, while it waits for the upstream.
        self.visit: Visit | None = None
        # One that aiohttp was given, until its task has begun.
        self._given: Visit | None = None
        self.client = client

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let go of everything that waits for this client."""
        self._stop_head_timer()
        super().connection_lost(exc)
        # aiohttp ends its tasks, and a task that ends before its first step tells nobody.
        visit = self.visit or self._given
        self.visit = self._given = None
        if visit is not None:
            self._gateway.fast_path.lose(visit)
        for timer in (self._closing_timer, self._lingering_timer):
            if timer is not None:
                timer.cancel()
        self._tunnel = self._lingering = None

    def data_received(self, data: bytes) -> None:
        """Serve what can be served at once; else feed aiohttp."""
        if self._lingering is not None:
            return
        waiter = self._waiter
        if self.visit is not None:
            # A second request is for aiohttp's queue, so the one before it must be there first.
            self.hand_over()
        elif (
            waiter is not None
            and not (waiter.done() or self.writing_paused)
            # Its parser must hold no part of a head, also of one that began while another request was served.
            and (not self._end or self._end.endswith(_HEAD_END))
            and self._gateway.fast_path.take(self, data)
        ):
            return
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        """Feed aiohttp, and watch over a head that has begun and does not end."""
        size = len(_PLAIN_END)
        self._end = data[-size:] if len(data) >= size else (self._end + data)[-size:]
        super().data_received(data)
        self._fail_broken_body()
        is_head_open = bool(data) and self._is_waiting and not self._upgraded
        if not is_head_open:
            self._stop_head_timer()
        elif self._head_timer is None:
            seconds = self._gateway.timeouts.header_read_seconds
            self._head_timer = self._loop.call_later(seconds, self._refuse_slow_head)

    @property
    def _is_waiting(self) -> bool:
        """Whether aiohttp waits for the next request, or is about to, as its task has not begun."""
        if self._waiter is None:
            return not (self._request_count or self._given or self._current_request)
        return not self._waiter.done()

    # --- requests that are served past aiohttp -----------------------------------------------------------------------

    def leave(self, *, keep_alive: bool) -> None:
        """Take note that the request which was taken is answered."""
        self.visit = None
        if not keep_alive:
            self.end_after_writing()
            return
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)

    def hand_over(self) -> None:
        """Have aiohttp go on with the request that was taken."""
        waiter = self._waiter
        if self.visit is None:
            return
        if waiter is None or waiter.done():
            # aiohttp is about to end the connection, and what waits for it is lost with it.
            self.force_close()
            return
        self.take_over(self.visit)

    def take_over(self, visit: Visit) -> None:
        """Have aiohttp go on with a request that was taken here, or when the connection was still plain."""
        if visit.connection is not None:
            visit.connection.stop_asking()
        visit.protocol = self
        self._given, self.visit = visit, None
        self._messages.append((visit, EMPTY_PAYLOAD))  # type: ignore[arg-type] # aiohttp passes it on
        if self._waiter is not None:
            self._waiter.set_result(None)

    def note_task(self) -> None:
        """Take note that a task serves the request that was handed over."""
        self._given = None

    def _process_keepalive(self) -> None:
        if self.visit is None:
            super()._process_keepalive()
        else:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp's signature
        """Finish what is served, then close; aiohttp knows only of what it serves itself."""
        self.hand_over()
        await super().shutdown(timeout)
        if self._lingering is not None:
            self._lingering.close()

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was written."""
        await self._drain_helper()

    def skip_body(self) -> None:
        """Take note that the rest of the body has gone another way, and read what follows."""
        self._end = b""
        super().skip_body()

    # --- aiohttp's hooks ---------------------------------------------------------------------------------------------

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
        is_chunked = cast("Visit", request).is_chunked
        if is_chunked and self.may_hold_trailers:
            resp = CLOSE
        if resp is CLOSE:
            self._bound_closing()
        finished = await super().finish_response(request, resp, start_time)
        if resp is CLOSE:
            self._linger()
        return finished

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
        if self._is_waiting and self.visit is None:
            self.force_close()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse_slow_head(self) -> None:
        self._head_timer = None
        self._answer_unread(RequestRefused(Reason.REQUEST_TIMEOUT, "The request head took too long."))
        self._bound_closing()
        self._linger()
        self.force_close()

    def refuse(self, error: GatewayError) -> None:
        """Answer whoever must not stay, and end the connection at once."""
        self._answer_unread(error)
        self.force_close()

    def _answer_unread(self, error: GatewayError) -> None:
        if self.transport is not None:
            self.transport.write(self._gateway.service.refuse_unread(self, error))

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
        self._answer_unread(describe_parser_error(exc, self.max_line_size))
        return CLOSE

    def _raise_internal(self, exc: BaseException | None) -> NoReturn:
        # The handler answers everything itself; what still gets here is a defect, and ends the connection.
        raise RuntimeError("the handler of requests failed") from exc

    def attach(self, tunnel: Tunnel) -> None:
        """Give all further bytes of this connection to a tunnel."""
        self._tunnel = tunnel
        self.set_parser(TunnelParser(tunnel))  # type: ignore[arg-type] # aiohttp calls these two methods, no others

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

    def _linger(self) -> None:
        """
        End what we send, and let go by what the client still sends until it ends too (RFC 9112, section 9.6).

        Octets that meet a closed socket are answered with RST, and a client that is told so may never read the answer
        before it. TLS has no end of one direction here: such a connection is closed.
        """
        transport = self.transport
        if transport is None or transport.is_closing() or not transport.can_write_eof():
            return
        # To aiohttp it is closed.
        self._lingering, self.transport, self._force_close = transport, None, True
        transport.resume_reading()
        transport.write_eof()
        self._lingering_timer = self._loop.call_later(_LINGERING_SECONDS, self._end_lingering)

    def _end_lingering(self) -> None:
        transport = self._lingering
        if transport is None:
            return
        if transport.get_write_buffer_size():
            # The answer itself has not gone out; how long that may take is bounded elsewhere.
            self._lingering_timer = self._loop.call_later(_LINGERING_SECONDS, self._end_lingering)
        else:
            transport.close()

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
