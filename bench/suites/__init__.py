"""What is measured, a suite a module; each returns its cells."""

from __future__ import annotations

from collections.abc import Sequence

from bench.cells import Cell
from bench.peers.site import Peer
from bench.suites import bodies, memory, scale, small, startup, websockets, workers

_MODULES = (small, bodies, websockets, memory, startup, workers, scale)
SUITES = tuple(module.SUITE for module in _MODULES)


def list_cells(peers: Sequence[Peer], only: Sequence[str]) -> list[Cell]:
    """Return the cells of the suites that are named, or of all."""
    chosen = [module for module in _MODULES if module.SUITE in only] or _MODULES
    return [cell for module in chosen for cell in module.list_cells(peers)]
