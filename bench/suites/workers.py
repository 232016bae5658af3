"""Workers: what a second process brings, where checks are dear enough for the load generator not to be the limit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from bench.cells import Cell, Figures
from bench.cost import measure_cost
from bench.machine import split_cores
from bench.names import SEEN, UNSEEN, WORKERS, name_case
from bench.peers.envoy import make_envoy
from bench.peers.gateway import Variant, make_gateway
from bench.peers.site import Peer
from bench.stage import Stage
from bench.suites.small import SEEN_TOKENS, UNSEEN_TOKENS

SUITE = WORKERS

_ALGORITHM = "ES384"
_COUNTS = (1, 2, 4, 8, 16)
# Connections are dealt out to processes by chance; with many, no process gets none.
_CONNECTIONS = 64


def list_cells(peers: Sequence[Peer]) -> list[Cell]:
    """Return a cell for each number of workers up to that of the cores, doubling."""
    counts = [count for count in _COUNTS if count <= len(split_cores().all)]
    names = {peer.name for peer in peers if SUITE in peer.suites}
    cells = []
    for count in counts:
        case = name_case(count, "worker")
        for name, make in _MAKERS.items():
            if name in names:
                peer = make(count)
                cells.append(Cell(SUITE, peer.title, case, partial(_measure, peer, count)))
    return cells


def _make_gateway(count: int) -> Peer:
    return make_gateway("gateway-workers", "auth-gateway", Variant(workers=count if count > 1 else None))


def _make_envoy(count: int) -> Peer:
    return make_envoy("envoy-workers", "Envoy jwt_authn, cache off", has_cache=False, workers=count)


def _measure(peer: Peer, count: int, stage: Stage) -> Figures:
    with stage.serve(peer, cores=stage.cores.all[:count]) as running:
        stage.load(running.port, stage.tokens(_ALGORITHM, SEEN_TOKENS, SEEN), seconds=1, connections=_CONNECTIONS)
        tokens = stage.tokens(_ALGORITHM, UNSEEN_TOKENS[_ALGORITHM], UNSEEN)
        return measure_cost(stage, running, tokens, is_once=True, connections=_CONNECTIONS)


_MAKERS = {"gateway": _make_gateway, "envoy": _make_envoy}
