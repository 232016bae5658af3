"""The command in a process of its own: started, read line by line, asked to stop."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

COMMAND = (sys.executable, "-m", "gateway")
TIMEOUT_SECONDS = 30


def clean_environment() -> dict[str, str]:
    """Return this environment without a variable of the gateway's; the checkout is found from any folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AUTH_GATEWAY_")}
    return {**kept, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1"}


def run_command(*arguments: str, folder: Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=clean_environment(),
        input=text,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


class RunningCommand:
    """A command that runs; its output is read by threads, so that neither side waits for a full pipe."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: dict[str, queue.Queue[str | None]] = {"stdout": queue.Queue(), "stderr": queue.Queue()}
        self._threads = [
            threading.Thread(target=self._read, args=(name,), daemon=True) for name in ("stdout", "stderr")
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, name: str) -> None:
        for line in getattr(self._process, name):
            self._lines[name].put(line)
        self._lines[name].put(None)

    def wait_line(self, is_wanted: Callable[[str], bool], stream: str = "stdout") -> list[str]:
        """Return the lines up to the first that is wanted; an AssertionError shows what came instead."""
        seen: list[str] = []
        while not seen or not is_wanted(seen[-1]):
            line = self._lines[stream].get(timeout=TIMEOUT_SECONDS)
            assert line is not None, f"the command ended: {''.join(seen)}{self._drain('stderr')}"
            seen.append(line)
        return seen

    def _drain(self, stream: str) -> str:
        return "".join(iter(lambda: self._lines[stream].get(timeout=1) or "", ""))

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self._process.send_signal(number)
        return self._process.wait(TIMEOUT_SECONDS)

    def close(self) -> None:
        """End the process whatever it does, and its pipes."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join()
        for name in ("stdout", "stderr"):
            getattr(self._process, name).close()


@contextmanager
def start_command(*arguments: str, folder: Path) -> Iterator[RunningCommand]:
    """Run the command while the block runs."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    running = RunningCommand(process)
    try:
        yield running
    finally:
        running.close()
