"""
The access line: one request, one line, on the hot path.

The line is written here and not through ``logging``, whose record costs more than all of this. Its first fields are
always there, in one order; null where there is nothing to say. No query string and nothing that looks like a JWT is
ever in it; every text from outside is cut and escaped to ASCII.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as quote
from typing import Any

from gateway.admin.logs import LogOutput, format_text, format_timestamp
from gateway.admin.metrics import Decision

MAX_PATH_LENGTH = 1024
MAX_LENGTH = 256
MAX_UNVERIFIED_LENGTH = 128

# The beginning of a compact JWS or JWE (RFC 7515, section 7.1): base64url of '{"'. Links do carry them in their path.
_TOKEN_MARK = "eyJ"  # noqa: S105 - how tokens begin, not one
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{5,}(?:(?:\.|%2[eE])[A-Za-z0-9_-]*)*")


@dataclass(slots=True)
class AccessRecord:
    """
    What is known of one request by its end; the proxy fills it on the way.

    ``path`` may be the whole request-target: its query is cut off here. ``reason`` is the word of a ``Reason``. The
    ``token_`` fields are what a refused token says of itself, unverified and of any type.
    """

    request_id: str
    client_ip: str
    method: str
    path: str
    host: str | None = None
    trace_id: str | None = None
    status: int = 0
    upstream_status: int | None = None
    duration_seconds: float = 0.0
    upstream_seconds: float | None = None
    overhead_seconds: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    provider: str | None = None
    decision: Decision | None = None
    reason: str | None = None
    subject: str | None = None
    organization: str | None = None
    client_id: str | None = None
    token_iss: object = None
    token_aud: object = None
    token_alg: object = None
    token_kid: object = None


def build_access_line(record: AccessRecord, now: float) -> str:
    """Return the line as JSON, without its line feed; ``now`` is in seconds since the epoch."""
    upstream_seconds = record.upstream_seconds
    upstream_status = record.upstream_status
    return (
        f'{{"ts":"{format_timestamp(now)}","level":"info","event":"request"'
        f',"request_id":{quote(record.request_id[:MAX_LENGTH])}'
        f',"trace_id":{_quote(record.trace_id)}'
        f',"client_ip":{quote(record.client_ip[:MAX_LENGTH])}'
        f',"method":{quote(record.method[:MAX_LENGTH])}'
        f',"path":{quote(clean_path(record.path))}'
        f',"host":{_quote(record.host)}'
        f',"status":{record.status}'
        f',"upstream_status":{"null" if upstream_status is None else upstream_status}'
        f',"duration_ms":{record.duration_seconds * 1000:.3f}'
        f',"upstream_ms":{"null" if upstream_seconds is None else f"{upstream_seconds * 1000:.3f}"}'
        f',"overhead_ms":{record.overhead_seconds * 1000:.3f}'
        f',"bytes_in":{record.bytes_in},"bytes_out":{record.bytes_out}'
        f',"provider":{_quote(record.provider)}'
        f',"decision":{_quote(record.decision)}'
        f',"reason":{_quote(record.reason)}'
        f',"subject":{_quote(record.subject)}'
        f',"organization":{_quote(record.organization)}'
        f',"client_id":{_quote(record.client_id)}'
        f"{_build_unverified(record) if record.decision != 'allow' else ''}}}"
    )


def _quote(text: str | None) -> str:
    return "null" if text is None else quote(text[:MAX_LENGTH])


def clean_path(target: str) -> str:
    """Return the path of a request-target as it came, cut, without query, authority and anything like a JWT."""
    path = target.partition("?")[0]
    if path[:1] != "/":
        # An absolute-form target may carry a user's name and password (RFC 3986, section 3.2.1).
        path = "/" + path.partition("://")[2].partition("/")[2] if "://" in path else path.rpartition("@")[2]
    return hide_tokens(path)[:MAX_PATH_LENGTH]


def hide_tokens(text: str) -> str:
    """Return a text without anything in it that looks like a JWT."""
    return _TOKEN.sub("[token]", text) if _TOKEN_MARK in text else text


def _build_unverified(record: AccessRecord) -> str:
    said = {
        "token_iss": record.token_iss,
        "token_aud": record.token_aud,
        "token_alg": record.token_alg,
        "token_kid": record.token_kid,
    }
    return "".join(f',"{name}":{quote(cut_unverified(value))}' for name, value in said.items() if value is not None)


def cut_unverified(value: object) -> str:
    """Return what a token says of itself, or should have said, as a short text."""
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        value = " ".join(value)
    if not isinstance(value, str | int | float):
        # Its text may be of any depth and size.
        return f"<{type(value).__name__}>"
    return str(value)[:MAX_UNVERIFIED_LENGTH]


class AccessLog:
    """Writes access lines to the log's output, unless its level is above info."""

    __slots__ = ("_format", "_has_colour", "_writer", "is_enabled")

    def __init__(self, output: LogOutput, *, is_enabled: bool = True) -> None:
        self.is_enabled = is_enabled and output.has_info
        self._writer = output.writer
        self._has_colour = output.has_colour
        self._format = build_access_line if output.is_json else self._build_text

    def write(self, record: AccessRecord) -> None:
        """Write the line of a request that has ended; never waits and never raises for the output's sake."""
        if self.is_enabled:
            self._writer.write(self._format(record, time.time()) + "\n")

    def _build_text(self, record: AccessRecord, now: float) -> str:
        entry: dict[str, Any] = json.loads(build_access_line(record, now))
        return format_text(entry, has_colour=self._has_colour)
