"""Start-up: from the command to the first answer that passed the check."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from bench.caller import ask, open_connection
from bench.cells import Cell, Figures
from bench.errors import BenchError
from bench.names import FIRST_ANSWER, STARTUP
from bench.peers.site import Peer
from bench.stage import Running, Stage

SUITE = STARTUP

_START_SECONDS = 20.0
_POLL_SECONDS = 0.002


def list_cells(peers: Sequence[Peer]) -> list[Cell]:
    """Return a cell a peer."""
    return [Cell(SUITE, peer.title, FIRST_ANSWER, partial(_measure, peer)) for peer in peers if SUITE in peer.suites]


def _measure(peer: Peer, stage: Stage) -> Figures:
    token = stage.token()
    with stage.serve(peer) as running:
        _wait_for_answer(running, token)
        return {"seconds": time.monotonic() - running.began}


def _wait_for_answer(running: Running, token: str) -> None:
    while True:
        try:
            with open_connection(running.port) as connection:
                ask(connection, running.port, token)
        except (OSError, BenchError):
            # It listens, but has no keys yet.
            if time.monotonic() - running.began > _START_SECONDS:
                raise
            time.sleep(_POLL_SECONDS)
        else:
            return
