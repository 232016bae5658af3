"""The comparisons that matter, as ratios of medians."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.names import (
    AT_REST,
    BODIES,
    CONNECTION,
    DIRECTIONS,
    FIRST_ANSWER,
    MEMORY,
    MESSAGES,
    SCALE,
    SCALES,
    SEEN,
    SMALL,
    STARTUP,
    TRACED,
    UNSEEN,
    WEBSOCKET,
    WEBSOCKETS,
    WORKERS,
    name_case,
)
from bench.peers.site import Peer
from bench.roster import ENVOY, ENVOY_CACHE, FASTAPI, FASTIFY, GATEWAY, HAPROXY
from bench.suites.small import TRACED_ALGORITHM
from bench.tables import Results, write_number
from bench.tokens import ALGORITHMS
from bench.upstream import BODY_SIZES


@dataclass(frozen=True, slots=True)
class Ratio:
    """One figure over another; each is a suite, a row and a case."""

    says: str
    figure: str
    over: tuple[str, str, str]
    under: tuple[str, str, str]


def list_ratios() -> list[Ratio]:
    """Return what is asked of the gateway, and how others do."""
    return [*_list_small(), *_list_bodies(), *_list_others()]


def _list_small() -> list[Ratio]:
    ratios = []
    for algorithm in ALGORITHMS:
        seen, unseen = f"{algorithm} {SEEN}", f"{algorithm} {UNSEEN}"
        for peer, mine, theirs in (
            (ENVOY_CACHE, seen, seen),
            (ENVOY, unseen, unseen),
            (HAPROXY, seen, unseen),
            (HAPROXY, unseen, unseen),
            (FASTIFY, seen, unseen),
            (FASTAPI, seen, unseen),
        ):
            says = f"CPU time a request, {mine}, over {peer.title}"
            ratios.append(Ratio(says, "cpu_microseconds", (SMALL, GATEWAY.title, mine), (SMALL, peer.title, theirs)))
    traced = f"{TRACED_ALGORITHM} {TRACED}"
    return [*ratios, _compare(f"CPU time a request, {traced}", "cpu_microseconds", SMALL, traced, ENVOY_CACHE)]


def _list_bodies() -> list[Ratio]:
    cases = [f"{size} {direction}" for size in BODY_SIZES for direction in DIRECTIONS]
    return [
        _compare(f"octets a CPU second, {case}", "octets_per_cpu_second", BODIES, case, ENVOY_CACHE) for case in cases
    ]


def _compare(what: str, figure: str, suite: str, case: str, peer: Peer) -> Ratio:
    return Ratio(f"{what}, over {peer.title}", figure, (suite, GATEWAY.title, case), (suite, peer.title, case))


def _list_others() -> list[Ratio]:
    ratios = [
        _compare("CPU time a WebSocket message", "cpu_microseconds", WEBSOCKETS, MESSAGES, ENVOY_CACHE),
        *(_compare(f"memory {case}", "octets", MEMORY, case, ENVOY_CACHE) for case in (AT_REST, CONNECTION, WEBSOCKET)),
        _compare("start-up", "seconds", STARTUP, FIRST_ANSWER, ENVOY_CACHE),
        _grow("requests a second", WORKERS, "requests_per_second", name_case(2, "worker"), name_case(1, "worker")),
    ]
    for noun, (few, many) in SCALES.items():
        ratios.append(
            _grow("CPU time a request", SCALE, "cpu_microseconds", name_case(many, noun), name_case(few, noun))
        )
    return ratios


def _grow(what: str, suite: str, figure: str, over: str, under: str) -> Ratio:
    return Ratio(f"{what}, {over}, over {under}", figure, (suite, GATEWAY.title, over), (suite, GATEWAY.title, under))


def build_ratios(results: Results) -> str:
    """Return them as Markdown; one whose halves are not both there is left out."""
    found = {(result["suite"], result["row"], result["case"]): result for result in results}
    lines = [line for ratio in list_ratios() if (line := _build_line(ratio, found))]
    return "\n".join(["## The gateway against others", "", "| | ratio |", "| --- | ---: |", *lines]) if lines else ""


def _build_line(ratio: Ratio, found: Mapping[tuple[str, str, str], Mapping[str, Any]]) -> str:
    over = found.get(ratio.over, {}).get(ratio.figure)
    under = found.get(ratio.under, {}).get(ratio.figure)
    return f"| {ratio.says} | {write_number(over / under)} |" if over and under else ""
