"""
A client connection from which only plain requests have come so far, and which costs next to nothing while it is idle.

aiohttp's protocol has a task, a parser and a queue for each connection, which weigh more than all the rest of it. Most
connections never need them: what is not plain, or has to wait for more than a whole answer of the upstream, makes the
connection aiohttp's from there on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from aiohttp.tcp_helpers import tcp_keepalive

from gateway.core.errors import Reason, Unavailable
from gateway.proxy.request_head import Client
from gateway.proxy.visit import Visit

if TYPE_CHECKING:
    from gateway.proxy.client_server import ClientServer
    from gateway.proxy.listener import ClientProtocol

_OVERLOADED_RETRY_SECONDS = 1


class PlainConnection(asyncio.Protocol):
    """One client connection, until aiohttp has to serve it; what it shares with ``ClientProtocol`` means the same."""

    __slots__ = (
        *("_closing_timer", "_idle_end", "_idle_timer", "_loop", "_server"),
        *("client", "transport", "visit", "writing_paused"),
    )

    def __init__(self, server: ClientServer, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._closing_timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._idle_end = 0.0
        self.transport: asyncio.Transport | None = None
        self.writing_paused = False
        # A request that waits for the upstream.
        self.visit: Visit | None = None
        self.client = Client("", "http")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, or tell the client that there are too many."""
        self.transport = opened = cast("asyncio.Transport", transport)
        tcp_keepalive(opened)
        self.client = describe_peer(opened)
        self._server.plain.add(self)
        self._begin_idling()
        if self._server.connection_count > self._server.limits.connections:
            self._hand_connection_over(opened).refuse(
                Unavailable(Reason.OVERLOADED, "Too many connections.", retry_after_seconds=_OVERLOADED_RETRY_SECONDS)
            )

    def connection_lost(self, _exc: BaseException | None) -> None:
        """Let go of everything that waits for this client."""
        self._let_go()
        self.transport = None
        self._lose()

    def data_received(self, data: bytes) -> None:
        """Serve what can be served at once; all else is aiohttp's."""
        if self._closing_timer is not None:
            return
        if self.visit is None and not self.writing_paused and self._server.fast_path.take(self, data):
            return
        transport = self._open_transport
        if transport is not None:
            self._hand_connection_over(transport).data_received(data)

    def pause_writing(self) -> None:
        """Take note that the client reads too slowly."""
        self.writing_paused = True

    def resume_writing(self) -> None:
        """Take note that the client has caught up."""
        self.writing_paused = False

    # --- what becomes of the request that was taken ------------------------------------------------------------------

    def leave(self, *, keep_alive: bool) -> None:
        """Take note that it is answered."""
        self.visit = None
        if keep_alive:
            self._begin_idling()
        else:
            self.end_after_writing()

    def hand_over(self) -> None:
        """Have aiohttp go on with it, and with the connection."""
        transport = self._open_transport
        if transport is None:
            self._lose()
        elif self.visit is not None:
            self._hand_connection_over(transport)

    @property
    def _open_transport(self) -> asyncio.Transport | None:
        """The transport, if it may be given to another protocol: one of TLS tells its end to whom it had before."""
        return None if self.transport is None or self.transport.is_closing() else self.transport

    def _lose(self) -> None:
        visit, self.visit = self.visit, None
        if visit is not None:
            self._server.fast_path.lose(visit)

    def _hand_connection_over(self, transport: asyncio.Transport) -> ClientProtocol:
        self._let_go()
        visit, self.visit = self.visit, None
        protocol = self._server.build_protocol(self.client)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self.writing_paused:
            protocol.pause_writing()
        if visit is not None:
            protocol.take_over(visit)
        return protocol

    def _let_go(self) -> None:
        self._server.plain.discard(self)
        for timer in (self._closing_timer, self._idle_timer):
            if timer is not None:
                timer.cancel()
        self._closing_timer = self._idle_timer = None

    # --- its end -----------------------------------------------------------------------------------------------------

    def _begin_idling(self) -> None:
        self._idle_end = self._loop.time() + self._server.timeouts.keep_alive_seconds
        if self._idle_timer is None:
            self._idle_timer = self._loop.call_at(self._idle_end, self._end_if_idle)

    def _end_if_idle(self) -> None:
        # One timer, set anew when it is due and not by each request.
        self._idle_timer = None
        if self.visit is not None:
            self._begin_idling()
        elif self._loop.time() < self._idle_end:
            self._idle_timer = self._loop.call_at(self._idle_end, self._end_if_idle)
        else:
            self.end_after_writing()

    def end_soon(self) -> None:
        """End this connection as soon as no request is served on it."""
        if self.visit is None:
            self.end_after_writing()

    def end_after_writing(self) -> None:
        """Close the connection once what was written has gone out, and cut it if that takes too long."""
        if self.transport is not None and self._closing_timer is None:
            seconds = self._server.timeouts.idle_stream_seconds
            self._closing_timer = self._loop.call_later(seconds, self.transport.abort)
            self.transport.close()


def describe_peer(transport: asyncio.BaseTransport) -> Client:
    """Return who is at the other end; who comes through a Unix socket has no address."""
    peer = transport.get_extra_info("peername")
    scheme = "https" if transport.get_extra_info("sslcontext") else "http"
    return Client(peer[0] if isinstance(peer, tuple) else "", scheme)
