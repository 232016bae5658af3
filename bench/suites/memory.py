"""Memory: at rest, and what an idle connection and an idle WebSocket hold."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

from bench.caller import ask, open_connection
from bench.cells import Cell, Figures
from bench.names import AT_REST, CONNECTION, MEMORY, WEBSOCKET, WEBSOCKETS
from bench.peers.site import Peer
from bench.process import Process
from bench.stage import Stage
from bench.websocket import open_websocket

SUITE = MEMORY

_CONNECTIONS, _WEBSOCKETS = 3_000, 1_000
# Long enough for what was allocated for the last request to be given back.
_SETTLE_SECONDS = 0.5


def list_cells(peers: Sequence[Peer]) -> list[Cell]:
    """Return the cells; memory hardly varies, so one round of them is enough."""
    cells = []
    for peer in peers:
        if SUITE in peer.suites:
            cells.append(Cell(SUITE, peer.title, AT_REST, partial(_measure_rest, peer), is_steady=True))
            cells.append(Cell(SUITE, peer.title, CONNECTION, partial(_measure_connections, peer), is_steady=True))
        if SUITE in peer.suites and WEBSOCKETS in peer.suites:
            cells.append(Cell(SUITE, peer.title, WEBSOCKET, partial(_measure_websockets, peer), is_steady=True))
    return cells


def _measure_rest(peer: Peer, stage: Stage) -> Figures:
    with stage.serve(peer) as running:
        with open_connection(running.port) as connection:
            ask(connection, running.port, stage.token())
        return {"octets": _read_settled(running.process)}


def _measure_connections(peer: Peer, stage: Stage) -> Figures:
    token = stage.token()

    def connect(port: int) -> socket.socket:
        connection = open_connection(port)
        ask(connection, port, token)
        return connection

    return _measure_many(peer, stage, stage.upstream.answers_port, connect, _CONNECTIONS)


def _measure_websockets(peer: Peer, stage: Stage) -> Figures:
    token = stage.token()
    return _measure_many(peer, stage, stage.upstream.sink_port, lambda port: open_websocket(port, token), _WEBSOCKETS)


def _measure_many(
    peer: Peer, stage: Stage, upstream_port: int, connect: Callable[[int], socket.socket], count: int
) -> Figures:
    with stage.serve(peer, upstream_port) as running, ExitStack() as stack:
        # What the first ones bring in stays, and belongs to none.
        for _ in range(count // 50):
            connect(running.port).close()
        before = _read_settled(running.process)
        for _ in range(count):
            stack.enter_context(connect(running.port))
        return {"octets": (_read_settled(running.process) - before) / count}


def _read_settled(process: Process) -> int:
    time.sleep(_SETTLE_SECONDS)
    return process.memory_bytes()
