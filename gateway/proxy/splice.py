"""
Octets from one socket to another inside of the kernel: splice(2), through a pipe, while the loop serves others.

A large body costs about half of what it costs when each octet is read to us and written again. Only Linux has it, and
only octets that nobody has to look at can go this way: no TLS, no chunks.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import resource
from collections.abc import Callable
from contextlib import ExitStack

from gateway.proxy.deadline import Deadline

# What one event may move before others have their turn.
_TURN_BYTES = 1024 * 1024
# A pipe of the usual 64 KB costs twice the time. With one of 1 MiB the kernel, to keep up with us, took in 30 MB of a
# body whose reader was slow; with this, 1 MB, as it does where octets are read.
_PIPE_BYTES = 512 * 1024
# Each takes four files, and all of them together may take an eighth of what there is.
_MAX_SPLICES = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 32
# How often in a row the loop may call for octets of the source while there are none.
_MAX_BARREN = 3
_CAN_SPLICE = hasattr(os, "splice")
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK if _CAN_SPLICE else 0


class SpliceEnded(Exception):
    """
    The octets ended before all had been moved.

    ``is_source`` says whose fault it was: of the side that they come from, or the one that they go to; ``is_stalled``,
    that it is the client, who is there and did nothing for too long.
    """

    def __init__(self, *, is_source: bool, is_stalled: bool = False) -> None:
        super().__init__("source" if is_source else "target")
        self.is_source = is_source
        self.is_stalled = is_stalled


class Splice:
    """
    Moves ``count`` octets; ``moved`` is how many have gone out so far.

    Both sockets stay their owners', who must neither read the one nor write to the other in the meantime. The client,
    which is the source of an upload, may do nothing for ``idle_seconds``; the time of the upstream is counted by who
    is told of each progress, as it may be busy with the other direction.

    Raises:
        OSError: There are too many open files, or too much memory is in pipes.
    """

    _count = 0

    def __init__(
        self,
        source: int,
        target: int,
        count: int,
        *,
        is_upload: bool,
        idle_seconds: float,
        on_progress: Callable[[], None],
    ) -> None:
        if Splice._count >= _MAX_SPLICES:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        self._loop = asyncio.get_running_loop()
        self._left = count
        # In the pipe.
        self._held = 0
        self._idle_seconds = idle_seconds
        self._on_progress = on_progress
        self._barren = 0
        self._waits_for_target = False
        self.is_upload = is_upload
        self._deadline = Deadline(self._loop, self._stall)
        self._done: asyncio.Future[None] | None = None
        self._end: SpliceEnded | None = None
        self.moved = 0
        with ExitStack() as files:
            # Of its own, as no loop lets a file that a transport has be watched.
            self._source = _own(files, os.dup(source))
            self._target = _own(files, os.dup(target))
            self._pipe_out, self._pipe_in = (_own(files, end) for end in os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC))
            fcntl.fcntl(self._pipe_in, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            files.callback(self._discount)
            Splice._count += 1
            self._files = files.pop_all()

    async def run(self) -> None:
        """
        Move them all.

        Raises:
            SpliceEnded: One of the two ended before, or stalled.
        """
        if self._end is not None:
            raise self._end
        self._done = self._loop.create_future()
        self._loop.add_reader(self._source, self._move)
        self._tell()
        await self._done

    def close(self) -> None:
        """Let go of the files."""
        self._rest()
        self._files.close()

    def lose_upstream(self) -> None:
        """End ``run``, because the upstream has gone."""
        self._fail(SpliceEnded(is_source=not self.is_upload))

    @property
    def waits_for_upstream(self) -> bool:
        """Whether it waits for the upstream now, and not for the client."""
        return self._waits_for_target is self.is_upload

    @staticmethod
    def _discount() -> None:
        Splice._count -= 1

    def _move(self) -> None:
        before, was_waiting_for_target, is_pulling = self.moved, self._waits_for_target, True
        try:
            while self._left and self.moved < before + _TURN_BYTES:
                if is_pulling := not self._held:
                    self._held = os.splice(self._source, self._pipe_in, self._left, flags=_FLAGS)
                    self._barren = 0
                    if not self._held:
                        self._fail(SpliceEnded(is_source=True))
                        return
                is_pulling = False
                count = os.splice(self._pipe_out, self._target, self._held, flags=_FLAGS)
                self._held -= count
                self._left -= count
                self.moved += count
        except BlockingIOError:
            if is_pulling is self._waits_for_target:
                self._turn_round()
            elif is_pulling:
                self._count_barren()
        except OSError as error:
            self._fail(SpliceEnded(is_source=is_pulling), error)
            return
        if self.moved > before or self._waits_for_target is not was_waiting_for_target:
            self._tell()
        if not self._left and self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _tell(self) -> None:
        """Begin the time of whom it waits for now."""
        if self.waits_for_upstream:
            self._deadline.clear()
        else:
            self._deadline.set(self._idle_seconds)
        self._on_progress()

    def _count_barren(self) -> None:
        """End, if the loop goes on to call for octets that are not to be had, as before an urgent one."""
        self._barren += 1
        if self._barren > _MAX_BARREN:
            self._fail(SpliceEnded(is_source=True))

    def _turn_round(self) -> None:
        """Wait for the other side."""
        self._waits_for_target = not self._waits_for_target
        if self._waits_for_target:
            self._loop.remove_reader(self._source)
            self._loop.add_writer(self._target, self._move)
        else:
            self._loop.remove_writer(self._target)
            self._loop.add_reader(self._source, self._move)

    def _rest(self) -> None:
        self._deadline.stop()
        self._loop.remove_reader(self._source)
        self._loop.remove_writer(self._target)

    def _stall(self) -> None:
        self._fail(SpliceEnded(is_source=not self._waits_for_target, is_stalled=True))

    def _fail(self, end: SpliceEnded, cause: OSError | None = None) -> None:
        end.__cause__ = cause
        self._end = self._end or end
        self._rest()
        if self._done is not None and not self._done.done():
            self._done.set_exception(self._end)


def can_splice(*transports: asyncio.BaseTransport) -> bool:
    """Return whether the kernel can move octets between these."""
    return _CAN_SPLICE and not any(each.get_extra_info("sslcontext") for each in transports)


def _own(files: ExitStack, number: int) -> int:
    files.callback(os.close, number)
    return number
