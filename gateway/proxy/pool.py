"""The connections to one upstream: which of them may be used again, how many there are, who waits for one."""

from __future__ import annotations

import asyncio
from collections import deque

from gateway.core.errors import Reason, Unavailable
from gateway.proxy.address import UpstreamAddress, dial
from gateway.proxy.connection import UpstreamConnection


class UpstreamPool:
    """
    At most ``max_connections`` connections and ``max_waiting`` callers in line for one; first come, first served.

    The connection used last is used next, so that those not needed get to lie idle for ``idle_connection_seconds``. A
    caller waits for its turn no longer than for a connection (``connect_seconds``).
    """

    def __init__(
        self,
        address: UpstreamAddress,
        *,
        connect_seconds: float,
        head_seconds: float,
        idle_stream_seconds: float,
        idle_connection_seconds: float,
        max_connections: int,
        max_waiting: int,
    ) -> None:
        self._address = address
        self._connect_seconds = connect_seconds
        self._head_seconds = head_seconds
        self._idle_stream_seconds = idle_stream_seconds
        self._idle_connection_seconds = idle_connection_seconds
        self._max_connections = max_connections
        self._max_waiting = max_waiting
        # Idle, in use, being dialed, or aborted and not yet gone: each is a socket of the bound.
        self._open: set[UpstreamConnection] = set()
        self._idle: dict[UpstreamConnection, None] = {}
        self._line: deque[asyncio.Future[UpstreamConnection]] = deque()
        self._gone: asyncio.Future[None] | None = None

    @property
    def has_idle(self) -> bool:
        """Whether any connection lies idle."""
        return bool(self._idle)

    def take(self) -> UpstreamConnection | None:
        """Return a connection that lies idle, for one exchange as of ``acquire``, or None."""
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.is_quiet:
                return connection
            connection.abort()
        return None

    async def acquire(self) -> UpstreamConnection:
        """
        Return a connection for one exchange; whatever then happens, it must come to ``release``.

        Raises:
            Unavailable: ``OVERLOADED``; too many wait already, or the turn did not come. ``DRAINING`` after ``close``.
            UpstreamFailed: There is no connection to be had; nothing was sent.
        """
        if self._gone is not None:
            raise _build_draining()
        while True:
            taken = self.take()
            if taken is not None:
                return taken
            connection = self._reserve() or await self._stand_in_line()
            if not connection.is_connected:
                return await self._dial(connection)
            if connection.is_quiet:
                return connection
            connection.abort()

    def release(self, connection: UpstreamConnection) -> None:
        """Take a connection back; it is kept only if its exchange is over to the byte, else it is closed."""
        if self._gone is not None or not connection.is_reusable:
            connection.abort()
            return
        connection.rest(self._idle_connection_seconds)
        if not self._give(connection):
            self._idle[connection] = None

    async def close(self) -> None:
        """Close all connections, those in use too, and wait until they are gone."""
        self._gone = asyncio.get_running_loop().create_future()
        for turn in self._line:
            if not turn.done():
                turn.set_exception(_build_draining())
        for connection in tuple(self._open):
            connection.abort()
        if self._open:
            await self._gone

    def _reserve(self) -> UpstreamConnection | None:
        """Return a connection yet to be dialed, if there is room for one."""
        if len(self._open) >= self._max_connections:
            return None
        connection = UpstreamConnection(
            head_timeout_seconds=self._head_seconds,
            idle_timeout_seconds=self._idle_stream_seconds,
            on_lost=self._forget,
        )
        self._open.add(connection)
        return connection

    async def _dial(self, connection: UpstreamConnection) -> UpstreamConnection:
        try:
            await dial(self._address, lambda: connection, self._connect_seconds)
        except BaseException:
            self._forget(connection)
            raise
        # Only now, never in connection_made: uvloop makes the socket its own after that, and a socket that was closed
        # before would be closed again by number, and with it whoever has that number by then.
        if self._gone is not None:
            connection.abort()
        return connection

    def _forget(self, connection: UpstreamConnection) -> None:
        """Give the room of a connection that is gone to the first in line."""
        self._open.discard(connection)
        self._idle.pop(connection, None)
        if self._gone is not None:
            if not self._open and not self._gone.done():
                self._gone.set_result(None)
        elif self._line:
            reserved = self._reserve()
            if reserved is not None and not self._give(reserved):
                self._open.discard(reserved)

    def _give(self, connection: UpstreamConnection) -> bool:
        """Give a connection to the first in line, and return whether anybody was."""
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(connection)
                return True
        return False

    async def _stand_in_line(self) -> UpstreamConnection:
        if len(self._line) >= self._max_waiting:
            raise _build_overloaded()
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[UpstreamConnection] = loop.create_future()
        self._line.append(turn)
        patience = loop.call_later(self._connect_seconds, _end_patience, turn)
        try:
            return await turn
        except asyncio.CancelledError:
            self._pass_on(turn)
            raise
        finally:
            patience.cancel()
            if turn in self._line:
                self._line.remove(turn)

    def _pass_on(self, turn: asyncio.Future[UpstreamConnection]) -> None:
        """Pass on what came to a caller who was just leaving; else the connection would be nobody's for ever."""
        if turn.cancelled() or turn.exception() is not None:
            return
        connection = turn.result()
        if self._give(connection):
            return
        connection.abort()
        if not connection.is_connected:
            self._forget(connection)


def _end_patience(turn: asyncio.Future[UpstreamConnection]) -> None:
    if not turn.done():
        turn.set_exception(_build_overloaded())


def _build_overloaded() -> Unavailable:
    return Unavailable(Reason.OVERLOADED, "Too many requests wait for the upstream.", retry_after_seconds=1)


def _build_draining() -> Unavailable:
    return Unavailable(Reason.DRAINING, "The gateway is shutting down.", retry_after_seconds=1)
