"""What is written to the client of one exchange, and how long the gateway waits for it to be taken."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.proxy.visit import ClientGone

if TYPE_CHECKING:
    from gateway.proxy.listener import ClientProtocol


class ClientWriter:
    """
    Writes to a client, and waits for one who reads slowly.

    Raises:
        ClientGone: By every method: the client has gone, or reads no more.
    """

    def __init__(self, protocol: ClientProtocol, idle_seconds: float) -> None:
        self._protocol = protocol
        self._idle_seconds = idle_seconds

    @property
    def transport(self) -> asyncio.Transport:
        """The open transport."""
        transport = self._protocol.transport
        if transport is None or transport.is_closing():
            raise ClientGone
        return transport

    async def write(self, data: bytes) -> None:
        """Write, and wait until the client has taken enough of it."""
        self.transport.write(data)
        if self._protocol.writing_paused:
            await self._drain()

    async def flush(self) -> None:
        """Wait until the kernel has all that was written."""
        self.transport.set_write_buffer_limits(0)
        if self._protocol.writing_paused:
            await self._drain()
        self.transport.set_write_buffer_limits()

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(self._idle_seconds):
                await self._protocol.drain()
        except (TimeoutError, ConnectionError) as error:
            raise ClientGone from error
