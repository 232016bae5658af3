"""A log whose lines a test can read: the real thing, on a pipe."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.logs import LineHandler, LogFormat, LogOutput, configure_logging


@dataclass(slots=True)
class LogFile:
    """The log of this process in a file."""

    path: Path
    outputs: list[LogOutput] = field(default_factory=list)

    def configure(self, level: str = "debug", form: LogFormat = "json") -> LogOutput:
        """Send the log of this process to the file."""
        with self.path.open("a") as stream:
            # The stream is closed at once; the log keeps a descriptor of its own.
            descriptor = os.dup(stream.fileno())
        self.outputs.append(configure_logging(level, form, os.fdopen(descriptor, "w", closefd=False)))
        return self.outputs[-1]

    @property
    def text(self) -> str:
        """All that was logged so far."""
        assert self.outputs[-1].writer.flush()
        return self.path.read_bytes().decode("ascii")

    @property
    def entries(self) -> list[dict[str, Any]]:
        """All that was logged so far, line by line."""
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[LogFile]:
    """A log in a file; logging is as before when the test ends."""
    root, own = logging.getLogger(), logging.getLogger("gateway")
    levels = root.level, own.level
    yield LogFile(tmp_path / "log")
    for handler in [handler for handler in root.handlers if isinstance(handler, LineHandler)]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(levels[0])
    own.setLevel(levels[1])
