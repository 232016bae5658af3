"""A process under measurement: where it runs, what it has spent, what it holds."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.errors import BenchError
from bench.proc import find_tree, kill, read_cpu_nanoseconds, read_resident_bytes

_START_SECONDS = 30.0
_STOP_SECONDS = 5.0
_POLL_SECONDS = 0.002


class Process:
    """A program and all its children and threads, on given cores."""

    def __init__(self, argv: Sequence[str], cores: Sequence[int], log: Path, environ: Mapping[str, str]) -> None:
        self._log = log
        with log.open("wb") as output:
            self._child = subprocess.Popen(
                ["taskset", "--cpu-list", ",".join(map(str, cores)), *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environ},
                # A session of its own tells what it started from all else.
                start_new_session=True,
            )

    def cpu_seconds(self) -> float:
        """
        Return what every thread has spent since it began, in user and in kernel mode.

        The kernel counts it in nanoseconds (``schedstat``); ``stat`` would round each thread to 10 ms.
        """
        return sum(read_cpu_nanoseconds(each.pid) for each in find_tree(self._child.pid)) / 1e9

    def memory_bytes(self) -> int:
        """
        Return the resident set size of all processes.

        Not the proportional one: the benchmark is in Python too, and would take its share off the peers in Python.
        """
        return sum(read_resident_bytes(each.pid) for each in find_tree(self._child.pid))

    def wait_for_port(self, port: int) -> None:
        """Wait until a connection is accepted."""
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            self.check_alive()
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(_POLL_SECONDS)
            else:
                return
        raise BenchError(f"nothing listens on port {port}:\n{self.read_log()}")

    def check_alive(self) -> None:
        """Raise what the program said if it has ended."""
        if self._child.poll() is not None:
            raise BenchError(f"{self._child.args!r} ended with {self._child.returncode}:\n{self.read_log()}")

    def read_log(self) -> str:
        """Return the end of what it wrote."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-2000:]

    def stop(self) -> None:
        """End it and what it started; the impatient way if it is not done in time."""
        # Taken before, since those whose parent has ended are nobody's descendants.
        tree = find_tree(self._child.pid)
        self._child.terminate()
        try:
            self._child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        for identity in tree:
            kill(identity)
        self._child.wait()


@contextmanager
def running(
    argv: Sequence[str], cores: Sequence[int], log: Path, environ: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """Run a program for as long as the context lasts."""
    process = Process(argv, cores, log, environ or {})
    try:
        yield process
    finally:
        process.stop()


def find_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
