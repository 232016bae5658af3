"""What is known of each provider's keys, as ``/status`` and ``/metrics`` show it. Nothing here is secret."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gateway
from gateway.admin.metrics import Snapshot
from gateway.core.jwks import KeySet


class KeyStatus(Protocol):
    """
    The state of one provider's keys; ``gateway.providers`` has it.

    ``key_set`` is the one in use, None before the first success. ``age_seconds`` and ``last_success_at`` (seconds since
    the epoch) are of the last good answer, None where there was none; ``last_error`` is a sentence of ours about the
    last attempt, None where it succeeded. ``is_from_snapshot`` says that the keys in use were kept on disk before the
    start, and that the issuer has not answered since.
    """

    @property
    def provider(self) -> str: ...
    @property
    def location(self) -> str: ...
    @property
    def key_set(self) -> KeySet | None: ...
    @property
    def age_seconds(self) -> float | None: ...
    @property
    def last_success_at(self) -> float | None: ...
    @property
    def last_error(self) -> str | None: ...
    @property
    def is_from_snapshot(self) -> bool: ...


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
        "providers": [_describe_keys(status) for status in keys],
    }


def describe_restored(providers: Sequence[Mapping[str, Any]]) -> str:
    """Return which providers of a status document have their keys from a snapshot; empty where none has."""
    names = ", ".join(provider["name"] for provider in providers if provider["from_snapshot"])
    return names and f"keys from a snapshot: {names}"


def count_keys(keys: Sequence[KeyStatus]) -> Snapshot:
    """Return the numbers of each provider's keys, as a part of a snapshot."""
    held = [((status.provider,), status.key_set) for status in keys]
    return {
        "jwks_keys": [(labels, (len(key_set.keys) if key_set else 0,)) for labels, key_set in held],
        "jwks_skipped_keys": [(labels, (len(key_set.skipped) if key_set else 0,)) for labels, key_set in held],
        # Keys that stand in the file are never fetched; an issuer that was never reached shows in jwks_keys.
        "jwks_last_success_timestamp_seconds": [
            ((status.provider,), (status.last_success_at,)) for status in keys if status.last_success_at is not None
        ],
    }


def _describe_keys(status: KeyStatus) -> dict[str, Any]:
    keys, skipped = (status.key_set.keys, status.key_set.skipped) if status.key_set else ((), ())
    return {
        "name": status.provider,
        "location": status.location,
        "keys": [{"kid": key.kid, "algorithms": sorted(key.algorithms)} for key in keys],
        "age_seconds": None if status.age_seconds is None else round(status.age_seconds, 3),
        "from_snapshot": status.is_from_snapshot,
        "last_error": status.last_error,
        "skipped_keys": [{"index": key.index, "kid": key.kid, "why": key.why} for key in skipped],
    }
