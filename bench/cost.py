"""What a request costs a peer that is kept busy."""

from __future__ import annotations

from pathlib import Path

from bench.stage import Running, Stage


def measure_cost(
    stage: Stage,
    running: Running,
    tokens: Path,
    *,
    is_once: bool = False,
    is_traced: bool = False,
    connections: int = 16,
) -> dict[str, float]:
    """Return CPU time a request, requests a second, and the part of the time that was spent computing."""
    before = running.process.cpu_seconds()
    load = stage.load(running.port, tokens, is_once=is_once, is_traced=is_traced, connections=connections)
    spent = running.process.cpu_seconds() - before
    return {
        "cpu_microseconds": spent / load.requests * 1e6,
        "requests_per_second": load.requests / load.seconds,
        "busy": spent / load.seconds,
    }
