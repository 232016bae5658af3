"""
Structured logs: one JSON object a line, or text for a terminal.

The convention for every module: ``logger.info("message", extra={"event": "keys_loaded", "fields": {"keys": 2}})`` on a
logger named ``gateway`` or below. The line is ``ts level event message`` and then the fields, in their order; without
``event`` the event is ``log``. Fields are plain values, and nobody puts a token into one.

Two things are never written, because they quote what a caller sent: the text of an exception (only its type and where
it was raised), and anything that a library says in words. aiohttp logs the offending octets of a malformed field, a
token among them; asyncio logs the arguments of a failed task. Of a library's record its place and the type of its
exception remain.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath
from typing import Any, Literal, TextIO

from gateway.admin.lines import LineWriter

LogFormat = Literal["auto", "json", "text"]

MAX_FRAMES = 20

_OWN = "gateway"
_PLAIN = re.compile(r"[!#-<>-~]+")
_RESET, _DIM = "\x1b[0m", "\x1b[2m"
_COLOURS = {"debug": _DIM, "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31;1m"}

encode_json = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), default=str).encode


@lru_cache(maxsize=2)
def _format_second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def format_timestamp(now: float) -> str:
    """Return seconds since the epoch as UTC with milliseconds (RFC 3339)."""
    second = int(now)
    return f"{_format_second(second)}.{int((now - second) * 1000):03d}Z"


def build_entry(record: logging.LogRecord) -> dict[str, Any]:
    """Return what is written of a log record, in order."""
    is_own = record.name == _OWN or record.name.startswith(_OWN + ".")
    entry: dict[str, Any] = {"ts": format_timestamp(record.created), "level": _name_level(record), "event": "library"}
    if is_own:
        entry["event"] = str(getattr(record, "event", "log"))
        entry["message"] = record.getMessage()
        # A field must not stand in for the time or the event of its line.
        entry |= {name: value for name, value in getattr(record, "fields", {}).items() if name not in entry}
    else:
        entry["logger"] = record.name
        entry["place"] = f"{PurePath(record.pathname).name}:{record.lineno} {record.funcName}"
    if record.exc_info and record.exc_info[1] is not None:
        entry["error"], entry["frames"] = describe_exception(record.exc_info[1])
    return entry


def _name_level(record: logging.LogRecord) -> str:
    error = record.exc_info[0] if record.exc_info else None
    # A malformed request is a caller's mistake; aiohttp reports each as an error of ours, with a traceback.
    if error is not None and error.__module__.startswith("aiohttp.http"):
        return "info"
    return record.levelname.lower()


def describe_exception(error: BaseException) -> tuple[str, list[str]]:
    """Return the type of an exception and the last frames it came through, without its text."""
    frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:]
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return name, [f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]


class JSONFormatter(logging.Formatter):
    """One JSON object of ASCII a record: no value can begin a line of its own or turn the direction of text."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its line feed."""
        return encode_json(build_entry(record))


class TextFormatter(logging.Formatter):
    """A line for people: time, level, event, message, then ``name=value``."""

    def __init__(self, *, has_colour: bool = False) -> None:
        super().__init__()
        self._has_colour = has_colour

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its line feed."""
        return format_text(build_entry(record), has_colour=self._has_colour)


def format_text(entry: Mapping[str, Any], *, has_colour: bool) -> str:
    """Return an entry as text of ASCII; values that are None are left out."""
    level = entry["level"]
    label = f"{level.upper():<7}"
    if has_colour:
        label = f"{_COLOURS.get(level, '')}{label}{_RESET}"
    message = encode_json(entry.get("message", ""))[1:-1].replace('\\"', '"')
    words = [entry["ts"][11:23], label, _format_value(entry["event"]), *([message] if message else [])]
    head = ("ts", "level", "event", "message")
    words += [
        f"{_format_value(name)}={_format_value(value)}"
        for name, value in entry.items()
        if name not in head and value is not None
    ]
    return " ".join(words)


def _format_value(value: object) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return encode_json(value)


class LineHandler(logging.Handler):
    """Gives formatted records to a ``LineWriter``."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Format and pass on one record."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - a record that cannot be formatted must not stop what it reports
            # Not logging's own handleError: that prints the arguments of the record.
            line = encode_json({"ts": format_timestamp(record.created), "level": "error", "event": "unformattable"})
        self._writer.write(line + "\n")

    def flush(self) -> None:
        """Wait until what was logged is written; ``logging`` calls this at exit."""
        self._writer.flush()

    def close(self) -> None:
        """Write what was logged and end the writer."""
        self._writer.close()
        super().close()


@dataclass(frozen=True, slots=True)
class LogOutput:
    """Where the log goes and how, for those that write their lines themselves."""

    writer: LineWriter
    is_json: bool
    has_colour: bool
    has_info: bool


def configure_logging(
    level: str = "info",
    format: LogFormat = "auto",  # noqa: A002
    stream: TextIO | None = None,
    *,
    is_shared: bool = False,
) -> LogOutput:
    """
    Send all logs of this process to a stream, standard output by default; may be called again.

    ``format`` ``auto`` is text on a terminal and JSON elsewhere. ``level`` is for the gateway; of libraries only
    warnings and errors are logged. Colours need a terminal and no ``NO_COLOR``. ``is_shared`` is for one of several
    processes that write to the same stream.
    """
    stream = stream or sys.stdout
    is_terminal = stream.isatty()
    is_json = format == "json" or (format == "auto" and not is_terminal)
    has_colour = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    writer = LineWriter(_find_descriptor(stream), is_shared=is_shared)
    handler = LineHandler(writer)
    handler.setFormatter(JSONFormatter() if is_json else TextFormatter(has_colour=has_colour))
    _replace_handler(handler)
    logger = logging.getLogger(_OWN)
    logger.setLevel(level.upper())
    return LogOutput(writer, is_json, has_colour, logger.isEnabledFor(logging.INFO))


def _replace_handler(handler: LineHandler) -> None:
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, LineHandler)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)


def _find_descriptor(stream: TextIO) -> int:
    try:
        return stream.fileno()
    except OSError:
        # A stream in memory, as a test of the command has.
        return 2
