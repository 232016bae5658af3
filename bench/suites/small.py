"""Small answers: CPU time a request, requests a second on one core, and what the latency of one caller grows by."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from bench.cells import Cell, Figures
from bench.cost import measure_cost
from bench.load import Load
from bench.names import SEEN, SMALL, TRACED, UNSEEN
from bench.peers.site import Peer
from bench.stage import Stage
from bench.tokens import ALGORITHMS

SUITE = SMALL
DIRECT = "direct"

SEEN_TOKENS = 2_000
# What a header costs that is another each time is the same with every algorithm.
TRACED_ALGORITHM = "ES256"
# More than the fastest peer checks in the time of a cell; the load ends with the last one where not.
UNSEEN_TOKENS = {"RS256": 32_000, "ES256": 32_000, "ES384": 16_000}
_LATE_TOKENS = 4_000
_LATENCY_SECONDS = 1


def list_cells(peers: Sequence[Peer]) -> list[Cell]:
    """Return a cell for each peer, algorithm, and proofs that are new or known; without a cache all are new."""
    cells = [Cell(SUITE, DIRECT, "no check", _measure_direct)]
    for algorithm in ALGORITHMS:
        for peer in peers:
            if SUITE not in peer.suites or algorithm not in peer.algorithms:
                continue
            if peer.has_cache:
                cells.append(Cell(SUITE, peer.title, f"{algorithm} {SEEN}", partial(measure_seen, peer, algorithm)))
                if algorithm == TRACED_ALGORITHM:
                    measure = partial(measure_seen, peer, algorithm, is_traced=True)
                    cells.append(Cell(SUITE, peer.title, f"{algorithm} {TRACED}", measure))
            if peer.is_asked_unseen:
                cells.append(Cell(SUITE, peer.title, f"{algorithm} {UNSEEN}", partial(measure_unseen, peer, algorithm)))
    return cells


def _measure_direct(stage: Stage) -> Figures:
    tokens = stage.tokens("ES256", SEEN_TOKENS, SEEN)
    return _name_latency(stage.load(stage.upstream.answers_port, tokens, seconds=_LATENCY_SECONDS, connections=1))


def measure_seen(peer: Peer, algorithm: str, stage: Stage, *, is_traced: bool = False) -> Figures:
    """Measure with tokens that were all there before, perhaps each with a trace of its own beside it."""
    tokens = stage.tokens(algorithm, SEEN_TOKENS, SEEN)
    with stage.serve(peer) as running:
        stage.load(running.port, tokens, seconds=1)
        figures = measure_cost(stage, running, tokens, is_traced=is_traced)
        latency = stage.load(running.port, tokens, seconds=_LATENCY_SECONDS, connections=1, is_traced=is_traced)
    return {**figures, **_name_latency(latency)}


def measure_unseen(peer: Peer, algorithm: str, stage: Stage) -> Figures:
    """Measure with tokens none of which this process has met; others warm it up."""
    late = stage.tokens(algorithm, _LATE_TOKENS, "late")
    with stage.serve(peer) as running:
        stage.load(running.port, stage.tokens(algorithm, SEEN_TOKENS, SEEN), seconds=1)
        figures = measure_cost(stage, running, stage.tokens(algorithm, UNSEEN_TOKENS[algorithm], UNSEEN), is_once=True)
        latency = stage.load(running.port, late, seconds=_LATENCY_SECONDS, connections=1, is_once=True)
    return {**figures, **_name_latency(latency)}


def _name_latency(load: Load) -> Figures:
    return {"p50_microseconds": load.p50_microseconds, "p99_microseconds": load.p99_microseconds}
