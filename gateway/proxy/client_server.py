"""Who makes a protocol of each client connection, and knows them all: those that are plain, and aiohttp's."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage

from gateway.config.settings import Limits, Timeouts
from gateway.core.errors import GatewayError
from gateway.proxy.fast_path import FastPath
from gateway.proxy.listener import ClientProtocol
from gateway.proxy.plain_connection import PlainConnection
from gateway.proxy.request_head import Client
from gateway.proxy.visit import Visit


class Service(Protocol):
    """Who serves the requests of a listener."""

    def open_visit(self, message: RawRequestMessage, content: StreamReader, protocol: ClientProtocol) -> Visit:
        """Return a request that aiohttp has read."""

    async def handle(self, visit: Visit) -> web.StreamResponse:
        """Serve a request, or the rest of it, to its end."""

    def refuse_unread(self, protocol: ClientProtocol, error: GatewayError) -> bytes:
        """Return the answer to a request that could not even be read."""


class ClientServer(web.Server):
    """aiohttp's server, whose connections are plain ones first; ``plain`` are those that still are."""

    def __init__(self, service: Service, fast_path: FastPath, limits: Limits, timeouts: Timeouts) -> None:
        super().__init__(
            service.handle,  # type: ignore[arg-type] # it gets what the factory makes
            request_factory=self._make_visit,  # type: ignore[arg-type] # has what aiohttp asks of a request
            handler_cancellation=True,
        )
        self.service = service
        self.fast_path = fast_path
        self.limits = limits
        self.timeouts = timeouts
        self.plain: set[PlainConnection] = set()

    def _make_visit(
        self,
        message: RawRequestMessage | Visit,
        payload: StreamReader,
        protocol: ClientProtocol,
        _writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> Visit:
        # A request that was taken already, and has to wait for something now.
        visit = message if isinstance(message, Visit) else self.service.open_visit(message, payload, protocol)
        visit.set_task(task)
        return visit

    def __call__(self) -> PlainConnection:  # type: ignore[override] # aiohttp's own comes later, if it is needed
        """Return the protocol of a new connection."""
        return PlainConnection(self, asyncio.get_running_loop())

    def build_protocol(self, client: Client) -> ClientProtocol:
        """Return aiohttp's protocol, for a connection that is not plain any more."""
        return ClientProtocol(self, asyncio.get_running_loop(), client)

    @property
    def connections(self) -> list[PlainConnection | ClientProtocol]:  # type: ignore[override] # the plain ones as well
        """All connections there are, in no order."""
        return [*self.plain, *cast("dict[ClientProtocol, object]", self._connections)]

    @property
    def connection_count(self) -> int:
        """How many connections there are, without a list of them."""
        return len(self._connections) + len(self.plain)

    def end_connections(self) -> None:
        """End idle connections now, and the others after the request that they serve."""
        for connection in self.connections:
            connection.end_soon()

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - aiohttp's signature
        """Finish what is served, then end all connections."""
        for connection in tuple(self.plain):
            connection.end_soon()
            connection.hand_over()
        await super().shutdown(timeout)
