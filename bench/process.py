"""A process under measurement: where it runs, what it has spent, what it holds."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.errors import BenchError

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
                # A group of its own, so that children end with it.
                start_new_session=True,
            )

    def cpu_seconds(self) -> float:
        """
        Return what every thread has spent since it began, in user and in kernel mode.

        The kernel counts it in nanoseconds (``schedstat``); ``stat`` would round each thread to 10 ms.
        """
        return sum(_read_cpu_nanoseconds(pid) for pid in self._tree()) / 1e9

    def memory_bytes(self) -> int:
        """
        Return the resident set size of all processes.

        Not the proportional one: the benchmark is in Python too, and would take its share off the peers in Python.
        """
        return sum(_read_resident(pid) for pid in self._tree())

    def _tree(self) -> Iterator[int]:
        # The session is the program's own, so all that is in it was started by it.
        session = str(self._child.pid)
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[3] == session:
                yield int(entry.name)

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
        """End it and its children; the impatient way if it is not done in time."""
        _signal_group(self._child.pid, signal.SIGTERM)
        try:
            self._child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        _signal_group(self._child.pid, signal.SIGKILL)
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


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        pass


def _list_tasks(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def _read_cpu_nanoseconds(pid: int) -> int:
    total = 0
    for task in _list_tasks(pid):
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except OSError:
            continue
    return total


def _read_resident(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss:")), 0)
