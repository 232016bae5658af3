"""A cell of the tables: what is measured of whom, its figures round by round, and their medians."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.errors import BenchError, Missing
from bench.stage import Stage

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement that is made once a round."""

    suite: str
    # A row is a peer, a case is what it is asked to do.
    row: str
    case: str
    measure: Callable[[Stage], Figures]
    # Whether one round says it all.
    is_steady: bool = False


@dataclass(slots=True)
class Result:
    """What came of a cell."""

    suite: str
    row: str
    case: str
    rounds: list[dict[str, float]] = field(default_factory=list)
    # Why there are no figures.
    missing: str = ""

    @property
    def medians(self) -> dict[str, float]:
        """The median of each figure over the rounds."""
        if not self.rounds:
            return {}
        return {name: statistics.median(figures[name] for figures in self.rounds) for name in self.rounds[0]}

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        head: dict[str, Any] = {"suite": self.suite, "row": self.row, "case": self.case}
        return {**head, "missing": self.missing} if self.missing else {**head, **self.medians, "rounds": self.rounds}


def measure_cells(stage: Stage, cells: Sequence[Cell], rounds: int) -> list[Result]:
    """Measure all cells once a round, so that a slow minute of the machine meets every peer alike."""
    results = [Result(cell.suite, cell.row, cell.case) for cell in cells]
    for number in range(1, rounds + 1):
        for cell, result in zip(cells, results, strict=True):
            if not result.missing and (number == 1 or not cell.is_steady):
                _measure(stage, cell, result, f"{number}/{rounds}")
    return results


def _measure(stage: Stage, cell: Cell, result: Result, round_name: str) -> None:
    began = time.monotonic()
    try:
        figures = dict(cell.measure(stage))
    except Missing as error:
        result.missing = str(error)
        said = f"missing: {error}"
    except BenchError as error:
        # One cell that fails must not take the others' minutes with it.
        result.missing, result.rounds = f"failed: {error}", []
        said = result.missing
    else:
        result.rounds.append(figures)
        said = " ".join(f"{name}={value:.4g}" for name, value in figures.items())
    took = time.monotonic() - began
    print(f"{round_name} {took:4.1f}s {cell.suite} | {cell.row} | {cell.case} | {said}", file=sys.stderr, flush=True)
