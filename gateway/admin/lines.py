"""
The one way out for log lines: a bounded queue, and a thread that writes it.

A reader that stalls (a full pipe, a slow disk) blocks the thread and never the event loop; a reader that is gone costs
lines and nothing else. Lines that could not be written are counted. Lines wait for at most ``GATHER_SECONDS``, so that
a thousand requests cost one system call and one switch of threads.

Threads do not survive a fork: each process makes its own writer, after it was forked. Where several processes write to
one pipe, each writes no more at once than the system keeps together (``is_shared``).
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Iterable, Iterator

GATHER_SECONDS = 0.05
# About 5 MB of usual lines; what a stalled reader can cost us in memory.
MAX_LINES = 8192
FLUSH_TIMEOUT_SECONDS = 1.0


class LineWriter:
    """Writes lines to a file descriptor, in order, from a thread of its own."""

    __slots__ = (
        "_descriptor",
        "_hurry",
        "_is_awake",
        "_is_closed",
        "_is_shared",
        "_max_lines",
        "_queue",
        "_refused",
        "_thread",
        "_unwritten",
        "_wake",
    )

    def __init__(self, descriptor: int, max_lines: int = MAX_LINES, *, is_shared: bool = False) -> None:
        self._descriptor = descriptor
        self._is_shared = is_shared
        self._max_lines = max_lines
        # A line, or an event to set once all lines before it are written.
        self._queue: deque[str | threading.Event] = deque()
        self._refused = 0
        self._unwritten = 0
        self._is_awake = False
        self._is_closed = False
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    @property
    def lost_lines(self) -> int:
        """How many lines were given up: the queue was full, the writer closed, or the reader gone."""
        return self._refused + self._unwritten

    def write(self, line: str) -> None:
        """Take one line of ASCII, with its line feed; never waits."""
        if len(self._queue) >= self._max_lines or self._is_closed:
            self._refused += 1
            return
        self._queue.append(line)
        if not self._is_awake:
            self._is_awake = True
            self._wake.set()

    def flush(self, timeout_seconds: float = FLUSH_TIMEOUT_SECONDS) -> bool:
        """Wait until the lines so far are written or given up; return False where the reader stalls for longer."""
        return self._thread.is_alive() and self._hasten().wait(timeout_seconds)

    def close(self, timeout_seconds: float = FLUSH_TIMEOUT_SECONDS) -> None:
        """Write what is there and end the thread; a reader that stalls for longer is left behind."""
        self._is_closed = True
        self._hasten()
        self._thread.join(timeout_seconds)

    def _hasten(self) -> threading.Event:
        done = threading.Event()
        self._queue.append(done)
        self._hurry.set()
        self._wake.set()
        return done

    def _run(self) -> None:
        while not self._is_closed or self._queue:
            self._wake.wait()
            self._wake.clear()
            self._hurry.wait(GATHER_SECONDS)
            self._hurry.clear()
            # Before the queue is emptied: a line that comes later wakes us again.
            self._is_awake = False
            self._drain()

    def _drain(self) -> None:
        lines: list[str] = []
        flushed: list[threading.Event] = []
        while self._queue:
            item = self._queue.popleft()
            lines.append(item) if isinstance(item, str) else flushed.append(item)
        for batch in split_lines(lines) if self._is_shared else [lines]:
            self._write_all("".join(batch).encode("ascii", "backslashreplace"))
        for event in flushed:
            event.set()

    def _write_all(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                written = os.write(self._descriptor, rest)
            except BlockingIOError:
                # Some parents hand down a non-blocking pipe.
                self._wait_writable()
            except OSError:
                self._unwritten += bytes(rest).count(b"\n")
                return
            else:
                rest = rest[written:]

    def _wait_writable(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        poll.poll()


def split_lines(lines: Iterable[str]) -> Iterator[list[str]]:
    """Yield lines in batches of at most ``PIPE_BUF`` octets, or of one line that is longer."""
    batch: list[str] = []
    size = 0
    for line in lines:
        # A pipe keeps no longer write together (POSIX, write): a full one would tear a line for another's.
        if batch and size + len(line) > select.PIPE_BUF:
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line)
    if batch:
        yield batch
