"""Bodies of 1 MiB and 100 MiB, down and up: what a second of CPU time carries."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from bench.cells import Cell, Figures
from bench.names import BODIES, DIRECTIONS
from bench.peers.site import Peer
from bench.stage import Stage
from bench.upstream import BODY_SIZES

SUITE = BODIES

_CONNECTIONS = 4


def list_cells(peers: Sequence[Peer]) -> list[Cell]:
    """Return a cell for each peer, size and direction."""
    return [
        Cell(SUITE, peer.title, f"{name} {direction}", partial(_measure, peer, size, direction))
        for name, size in BODY_SIZES.items()
        for direction in DIRECTIONS
        for peer in peers
        if SUITE in peer.suites
    ]


def _measure(peer: Peer, size: int, direction: str, stage: Stage) -> Figures:
    upstream = stage.upstream
    with stage.serve(peer, upstream.sink_port if direction == "up" else upstream.answers_port) as running:
        # The first body finds cold code and small socket buffers.
        _transfer(stage, running.port, direction, size, 0.1)
        before = running.process.cpu_seconds()
        carried = _transfer(stage, running.port, direction, size, max(1.0, stage.seconds / 2))
        spent = running.process.cpu_seconds() - before
    return {
        "octets_per_cpu_second": carried["octets"] / spent,
        "octets_per_second": carried["octets"] / carried["seconds"],
        "busy": spent / carried["seconds"],
    }


def _transfer(stage: Stage, port: int, direction: str, size: int, seconds: float) -> dict[str, float]:
    return stage.ask("bench.transfer", port, stage.token(), direction, size, seconds, _CONNECTIONS)
