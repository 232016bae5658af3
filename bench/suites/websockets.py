"""WebSocket messages: sixteen connections, each waits for its echo."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from bench.cells import Cell, Figures
from bench.names import MESSAGES, WEBSOCKETS
from bench.peers.site import Peer
from bench.stage import Stage

SUITE = WEBSOCKETS

_CONNECTIONS = 16


def list_cells(peers: Sequence[Peer]) -> list[Cell]:
    """Return a cell for each peer that relays upgrades."""
    return [Cell(SUITE, peer.title, MESSAGES, partial(_measure, peer)) for peer in peers if SUITE in peer.suites]


def _measure(peer: Peer, stage: Stage) -> Figures:
    with stage.serve(peer, stage.upstream.sink_port) as running:
        _exchange(stage, running.port, 0.3)
        before = running.process.cpu_seconds()
        seen = _exchange(stage, running.port, stage.seconds)
        spent = running.process.cpu_seconds() - before
    return {
        "cpu_microseconds": spent / seen["messages"] * 1e6,
        "messages_per_second": seen["messages"] / seen["seconds"],
        "busy": spent / seen["seconds"],
    }


def _exchange(stage: Stage, port: int, seconds: float) -> dict[str, float]:
    return stage.ask("bench.websocket", port, stage.token(), seconds, _CONNECTIONS)
