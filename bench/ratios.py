"""The comparisons that matter, as ratios of medians."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.roster import ENVOY, ENVOY_CACHE, FASTAPI, FASTIFY, GATEWAY, HAPROXY
from bench.tables import Results, write_number
from bench.tokens import ALGORITHMS


@dataclass(frozen=True, slots=True)
class Ratio:
    """One figure over another; each is a suite, a row and a case."""

    says: str
    figure: str
    over: tuple[str, str, str]
    under: tuple[str, str, str]


def list_ratios() -> list[Ratio]:
    """Return what is asked of the gateway."""
    ratios = []
    for algorithm in ALGORITHMS:
        unseen = f"{algorithm} unseen"
        for peer, mine, theirs in (
            (ENVOY_CACHE, f"{algorithm} seen", f"{algorithm} seen"),
            (ENVOY, unseen, unseen),
            (HAPROXY, f"{algorithm} seen", unseen),
            (HAPROXY, unseen, unseen),
            (FASTIFY, f"{algorithm} seen", unseen),
            (FASTAPI, f"{algorithm} seen", unseen),
        ):
            says = f"CPU time a request, {mine}, over {peer.title}"
            ratios.append(
                Ratio(says, "cpu_microseconds", ("small", GATEWAY.title, mine), ("small", peer.title, theirs))
            )
    return ratios


def build_ratios(results: Results) -> str:
    """Return them as Markdown; one whose halves are not both there is left out."""
    found = {(result["suite"], result["row"], result["case"]): result for result in results}
    lines = [line for ratio in list_ratios() if (line := _build_line(ratio, found))]
    return "\n".join(["## The gateway against others", "", "| | ratio |", "| --- | ---: |", *lines]) if lines else ""


def _build_line(ratio: Ratio, found: Mapping[tuple[str, str, str], Mapping[str, Any]]) -> str:
    over = found.get(ratio.over, {}).get(ratio.figure)
    under = found.get(ratio.under, {}).get(ratio.figure)
    return f"| {ratio.says} | {write_number(over / under)} |" if over and under else ""
