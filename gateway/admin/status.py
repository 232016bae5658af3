"""What is known of each provider's keys, as ``/status`` and ``/metrics`` show it. Nothing here is secret."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gateway
from gateway.core.jwks import KeySet


class KeyStatus(Protocol):
    """
    The state of one provider's keys; ``providers`` has it.

    ``key_set`` is the one in use, None before the first success; ``last_success_at`` is in seconds since the epoch;
    ``last_error`` is a sentence of ours about the last attempt, None where it succeeded.
    """

    @property
    def provider(self) -> str: ...
    @property
    def key_set(self) -> KeySet | None: ...
    @property
    def last_success_at(self) -> float | None: ...
    @property
    def last_error(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """What this process runs: the file's path and digest, and since when; times are in seconds since the epoch."""

    config_path: str
    config_digest: str
    started_at: float


def build_status(
    process: ProcessStatus, keys: Sequence[KeyStatus], now: float, *, not_ready: str = ""
) -> dict[str, Any]:
    """Return the document of ``/status``; ``not_ready`` is why the gateway is not ready, empty where it is."""
    return {
        "version": gateway.__version__,
        "python": platform.python_version(),
        "uptime_seconds": round(now - process.started_at, 3),
        "ready": not not_ready,
        "not_ready_reason": not_ready or None,
        "config": {"path": process.config_path, "digest": process.config_digest},
        "providers": [_describe_keys(status, now) for status in keys],
    }


def _describe_keys(status: KeyStatus, now: float) -> dict[str, Any]:
    key_set = status.key_set
    age = None if status.last_success_at is None else round(now - status.last_success_at, 3)
    return {
        "name": status.provider,
        "keys": [{"kid": key.kid, "algorithms": sorted(key.algorithms)} for key in key_set.keys] if key_set else [],
        "skipped_keys": [{"index": s.index, "kid": s.kid, "why": s.why} for s in key_set.skipped] if key_set else [],
        "age_seconds": age,
        "last_error": status.last_error,
    }
