"""The transport of a connection to the upstream: whether it is there, whether it flows, and its end."""

from __future__ import annotations

import asyncio
import select
from abc import ABC, abstractmethod
from typing import cast

from gateway.proxy.deadline import Deadline
from gateway.proxy.sink import Sink
from gateway.proxy.splice import Splice, can_splice


class UpstreamTransport(asyncio.Protocol, ABC):
    """A connection, whatever it carries; ``is_connected`` says that there is or was one."""

    _transport: asyncio.Transport
    _poll: select.poll

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline = Deadline(self._loop, self._time_out)
        self._sink: Sink | None = None
        self._drainer: asyncio.Future[None] | None = None
        self._is_lost = False
        self._is_ending = False
        self._is_writing_paused = False
        self._is_reading_paused = False
        # What has the kernel move bodies.
        self._splices: set[Splice] = set()
        self.is_connected = False

    @property
    def _is_flowing(self) -> bool:
        """Whether nothing stands in the way, in either direction."""
        return not (self._is_lost or self._is_writing_paused or self._is_reading_paused or self._transport.is_closing())

    @property
    def _has_nothing_to_read(self) -> bool:
        """Whether the connection is open, and the kernel has no byte of it that the loop has not read."""
        return not self._is_lost and not self._poll.poll(0)

    def pause_reading(self) -> None:
        """Let the upstream wait."""
        self._is_reading_paused = True
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Let the upstream go on."""
        self._is_reading_paused = False
        if not self._transport.is_closing():
            self._transport.resume_reading()

    async def flush(self) -> None:
        """Wait until the kernel has all that was written; else as ``drain``."""
        if self._transport.is_closing():
            return
        self._transport.set_write_buffer_limits(0)
        await self.drain()
        if not self._transport.is_closing():
            self._transport.set_write_buffer_limits()

    async def drain(self) -> None:
        """Wait until the upstream has taken enough of what was written, or will not take any more."""
        if not self._is_writing_paused or self._is_lost:
            return
        self._drainer = self._loop.create_future()
        self._rearm()
        try:
            await self._drainer
        finally:
            self._drainer = None
            self._rearm()

    def abort(self) -> None:
        """Close the connection now, if there is one yet, and if its end is not under way."""
        self._is_lost = True
        self._stop_splices()
        if self.is_connected and not self._is_ending:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.is_connected = True
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def close(self, seconds: float) -> None:
        """Close the connection once what was written is taken, or after that time."""
        self._is_ending = True
        self._transport.close()
        self._deadline.set(seconds)

    def open_splice(
        self, client: asyncio.Transport, count: int, *, is_upload: bool, idle_seconds: float
    ) -> Splice | None:
        """
        Return what has the kernel move so many octets of a body, or None where it cannot; close it with that method.

        Of a download nothing more is read here, until ``close_splice``.
        """
        if not can_splice(client, self._transport) or self._is_lost:
            return None
        source, target = (client, self._transport) if is_upload else (self._transport, client)
        try:
            splice = Splice(
                _find_file(source),
                _find_file(target),
                count,
                is_upload=is_upload,
                idle_seconds=idle_seconds,
                on_progress=self._rearm,
            )
        except OSError:
            # There are too many open files; what goes past us costs four more.
            return None
        self._splices.add(splice)
        if not is_upload:
            self.pause_reading()
        return splice

    def close_splice(self, splice: Splice) -> None:
        """Let go of it, and go on as before."""
        splice.close()
        self._splices.discard(splice)
        if self._is_reading_paused and not splice.is_upload:
            self.resume_reading()
        self._rearm()

    def _stop_splices(self) -> None:
        for splice in self._splices:
            splice.lose_upstream()

    def _is_awaited(self, *, is_upload: bool) -> bool:
        """Whether a body that the kernel moves waits for the upstream: to take it, or to send it."""
        return any(splice.is_upload is is_upload and splice.waits_for_upstream for splice in self._splices)

    def pause_writing(self) -> None:
        self._is_writing_paused = True
        if self._sink is not None:
            self._sink.pause_writing()

    def resume_writing(self) -> None:
        self._is_writing_paused = False
        if self._sink is not None:
            self._sink.resume_writing()
        wake(self._drainer)

    @abstractmethod
    def _rearm(self) -> None:
        """Set the time for what is waited for now."""

    @abstractmethod
    def _time_out(self) -> None:
        """End what waits for the upstream: its time is over."""


def _find_file(transport: asyncio.Transport) -> int:
    number: int = transport.get_extra_info("socket").fileno()
    return number


def wake(waiter: asyncio.Future[None] | None) -> None:
    """Have whoever waits for this go on, if anybody does."""
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
