"""
One connection to the upstream: exchanges one after the other, each streamed both ways.

    begin · write … finish   |   read_head … read_body   |   then again, or take_over after a 101, or abort

The reading and the writing half may be two tasks. Writing never fails: whatever goes wrong is raised by the reading
half, once what had arrived before is read, because an upstream may answer before it has taken the whole request (and
then close). How bytes become a response is ``reader``'s business; this file knows transports, buffers and time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from gateway.core.errors import Reason, UpstreamFailed
from gateway.proxy.address import has_proper_end, read_rest
from gateway.proxy.reader import ResponseReader, read_whole
from gateway.proxy.response import Framing, ResponseHead, build_failure
from gateway.proxy.sink import Sink
from gateway.proxy.upstream_transport import UpstreamTransport, wake

# Above this, the upstream waits for the client. One read of uvloop is 250 KB, so it is also what a connection may hold.
HIGH_WATER_BYTES = 256 * 1024

_Context = TypeVar("_Context")
# Head and body of an answer that arrived at once.
Whole = tuple[ResponseHead, bytes]


class UpstreamConnection(UpstreamTransport):
    """
    A connection of HTTP/1.1 to the upstream, for one exchange at a time.

    ``is_reused`` says that the connection has carried an exchange before this one; ``has_received``, that a byte of
    this exchange's response has arrived.
    """

    def __init__(
        self,
        *,
        head_timeout_seconds: float,
        idle_timeout_seconds: float,
        on_lost: Callable[[UpstreamConnection], None] | None = None,
    ) -> None:
        super().__init__()
        self._head_seconds = head_timeout_seconds
        self._idle_seconds = idle_timeout_seconds
        self._on_lost = on_lost
        self._reader: ResponseReader | None = None
        self._error: UpstreamFailed | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._method = b""
        self._on_answer: Callable[[Any, Whole | None], None] | None = None
        self._context: Any = None
        # What has arrived of an answer in this turn of the loop; it is read at the turn's end.
        self._arrived = b""
        self._is_over = False
        self._is_finished = False
        self._is_written = False
        self.is_reused = False
        self.has_received = False

    def begin(self, method: bytes, *, asks_upgrade: bool = False) -> None:
        """Begin an exchange; of the one before, nothing is left."""
        self._reader = ResponseReader(method, asks_upgrade=asks_upgrade)
        self._deadline.clear()
        self._is_finished = False
        self._is_written = False
        self.has_received = False

    def ask(
        self, method: bytes, octets: bytes, on_answer: Callable[[_Context, Whole | None], None], context: _Context
    ) -> None:
        """
        Send a whole request, and call ``on_answer`` with the context once its answer begins.

        With the whole answer, if that has arrived at once; else with None, and the exchange goes on as if ``begin`` had
        begun it.
        """
        self._method, self._on_answer, self._context = method, on_answer, context
        self._reader = None
        self._is_finished = self._is_written = True
        self.has_received = False
        self._deadline.set(self._head_seconds)
        self._transport.write(octets)

    def stop_asking(self) -> None:
        """Take back the wish to be called; the exchange goes on as if ``begin`` had begun it."""
        if self._on_answer is not None:
            self._reader = self.response
            self._on_answer = self._context = None

    def write(self, data: bytes) -> None:
        """Send the next bytes of the request, or of the protocol that has taken over; dropped if nobody is there."""
        self._is_written = True
        if not self._is_lost:
            self._transport.write(data)
        if self._waiter is not None or self._splices:
            self._rearm()

    def finish(self) -> None:
        """Say that the request is written; from now on the upstream's time to answer is counted."""
        self._is_finished = True
        if self._waiter is not None:
            self._rearm()

    @property
    def response(self) -> ResponseReader:
        """The response of the exchange that was begun, as far as it has arrived."""
        if self._reader is None:
            if self._on_answer is None:
                raise RuntimeError("no exchange was begun on this connection")
            self._reader = ResponseReader(self._method)
        return self._reader

    async def read_head(self) -> ResponseHead:
        """
        Return the next head: interim ones as they come, then the final one.

        Raises:
            UpstreamFailed: No response, none in time, or none in HTTP; the connection is closed.
        """
        reader = self.response
        while not reader.heads:
            await self._wait()
        return reader.heads.pop(0)

    async def read_body(self) -> bytes:
        """
        Return what has arrived of the body since the last call, decoded, or ``b""`` at its end.

        Raises:
            UpstreamFailed: The body is cut, malformed or stalled; never confuse this with its end.
        """
        reader = self.response
        while True:
            body = reader.take()
            if body:
                if self._is_reading_paused:
                    self.resume_reading()
                return body
            if reader.is_complete:
                return b""
            await self._wait()

    @property
    def is_reusable(self) -> bool:
        """Whether this exchange is over on both sides, to the byte, and the upstream lets another follow."""
        if self._is_over:
            return self._is_flowing
        reader = self._reader
        return (
            self._is_flowing
            and self._is_finished
            and reader is not None
            and reader.is_complete
            and not reader.has_surplus
            and reader.final is not None
            and reader.final.keep_alive
        )

    @property
    def is_stale(self) -> bool:
        """
        Whether the upstream ended a reused connection before a byte of a response: the one case for a retry.

        RFC 9112, section 9.3.1: only of an idempotent method; and only without a body, which is gone by then.
        """
        has_timed_out = self._error is not None and self._error.reason is Reason.UPSTREAM_TIMEOUT
        return self.is_reused and self._is_lost and not self.has_received and not has_timed_out

    @property
    def is_quiet(self) -> bool:
        """
        Whether the connection is open and nothing has arrived on it since its last exchange.

        The loop may not have read yet what the kernel has, and a late byte (behind a 204, behind a length) that is read
        after the next request was written would be the next caller's answer. So the kernel is asked: 0.3 µs.
        """
        return self._error is None and self._has_nothing_to_read

    def rest(self, idle_seconds: float) -> None:
        """Lie idle for that long; any byte, the connection's end or the time's end closes it."""
        self._reader = None
        self._is_over = False
        self.is_reused = True
        self._deadline.set(idle_seconds)

    def take_over(self, sink: Sink) -> None:
        """Give what follows on the connection to a sink, beginning with what has arrived; time is then its business."""
        leftover = self.response.take()
        if self._is_reading_paused:
            self.resume_reading()
        if leftover:
            sink.feed_data(leftover)
        if self._is_lost:
            sink.connection_lost(None)
            return
        self._sink, self._reader = sink, None
        self._deadline.clear()

    def data_received(self, data: bytes) -> None:
        if self._on_answer is None or self._reader is not None or self._arrived:
            self._read_arrived(data)
        else:
            # All that come in one turn of the loop are read together, as ``core.steps`` says why.
            self._arrived = data
            self._loop.call_soon(self._read_arrived)

    def _read_arrived(self, more: bytes = b"") -> None:
        data, self._arrived = self._arrived + more, b""
        if data:
            self._read(data)

    def _read(self, data: bytes) -> None:
        reader = self._reader
        if reader is None and self._on_answer is not None:
            if (whole := read_whole(data, self._method)) is not None:
                self._is_over = whole[0].keep_alive
                self._tell(whole)
                return
            reader = self.response
        if reader is None or not self._is_written:
            self._receive_unasked(data)
            return
        self.has_received = True
        try:
            reader.feed(data)
        except UpstreamFailed as error:
            self._fail(error)
            return
        if reader.buffered > HIGH_WATER_BYTES and not (reader.is_complete or self._is_reading_paused):
            self.pause_reading()
        # Bytes that yield nothing wake nobody: each wait begins a new time, and a head could drip for ever.
        if reader.is_complete or reader.heads or reader.buffered:
            self._wake_reader()

    def _receive_unasked(self, data: bytes) -> None:
        if self._sink is not None:
            self._sink.feed_data(data)
        else:
            self._fail(build_failure("The upstream sent bytes that nobody had asked for."))

    def _tell(self, whole: Whole | None) -> None:
        on_answer, context = self._on_answer, self._context
        self._on_answer = self._context = None
        if on_answer is not None:
            on_answer(context, whole)

    def eof_received(self) -> None:
        # asyncio closes the transport after this, but only after what we have written; so the end is noted here.
        self._is_lost = True
        self._read_arrived()
        if self._sink is not None:
            return
        self._stop_splices()
        try:
            self._feed_eof()
        except UpstreamFailed as error:
            self._fail(error)
            return
        self._wake_all()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._read_arrived()
        self._deadline.stop()
        self._stop_splices()
        # Of a body that the kernel moves, some may be missing before what it still has.
        is_whole = self._error is None and all(splice.is_upload for splice in self._splices)
        if exc is not None and is_whole and (rest := read_rest(self._transport, HIGH_WATER_BYTES)):
            self._read(rest)
        if self._sink is not None:
            self._sink.connection_lost(exc)
        elif self._error is None:
            self._error = build_failure("The upstream's connection broke.", str(exc))
            self._error.__cause__ = exc
        self._wake_all()
        if self._on_lost is not None:
            self._on_lost(self)

    async def _wait(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        self._rearm()
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._rearm()

    def _wake_reader(self) -> None:
        if self._on_answer is not None:
            reader = self.response
            is_whole = reader.is_complete and len(reader.heads) == 1 and self._error is None
            self._tell((reader.heads.pop(), reader.take()) if is_whole else None)
        wake(self._waiter)

    def _wake_all(self) -> None:
        self._wake_reader()
        wake(self._drainer)

    def _fail(self, error: UpstreamFailed) -> None:
        if self._error is None:
            self._error = error
        self.abort()
        self._wake_all()

    def _time_out(self) -> None:
        if self._arrived:
            self._read_arrived()
            if self._on_answer is None:
                # It was there in time, and who asked knows.
                return
        self._is_ending = False
        self._fail(UpstreamFailed(Reason.UPSTREAM_TIMEOUT, "The upstream took too long."))

    def _feed_eof(self) -> None:
        """Let the reader judge the end of the connection; TLS must have ended too, or anybody may have cut the body."""
        if self._reader is None and self._on_answer is None:
            raise build_failure("The upstream closed an idle connection.")
        final = self.response.final
        if final is not None and final.framing is Framing.CLOSE and not has_proper_end(self._transport):
            raise build_failure("The upstream's TLS connection was cut.")
        self.response.feed_eof()

    def _rearm(self) -> None:
        """
        Set the time for what is waited for now, of which every byte written begins a new one.

        The final head has a time of its own, from the end of the request (or the last interim head) on. The rest is
        idleness: of an upstream that takes no request or sends no body. Who does not read is no reason to blame it.
        """
        is_answered = self._reader is not None and self._reader.final is not None
        if self._is_lost:
            self._deadline.clear()
        elif self._is_awaited(is_upload=False) or (self._waiter is not None and (is_answered or self._is_finished)):
            self._deadline.set(self._idle_seconds if is_answered else self._head_seconds)
        elif self._drainer is not None or self._is_awaited(is_upload=True):
            self._deadline.set(self._idle_seconds)
        else:
            self._deadline.clear()
