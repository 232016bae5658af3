"""Scale: what a request costs the gateway when there is much of something; it should cost the same."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from bench.cells import Cell, Figures
from bench.cost import measure_cost
from bench.names import SCALE, SCALES, SEEN, name_case
from bench.peers.gateway import Variant, make_gateway
from bench.peers.site import Peer
from bench.stage import Stage
from bench.suites.small import SEEN_TOKENS

SUITE = SCALE

# The wait for all tokens to have been seen; the last one ends it.
_WARM_SECONDS = 120


def list_cells(peers: Sequence[Peer]) -> list[Cell]:
    """Return pairs of little and much."""
    if not any(SUITE in peer.suites for peer in peers):
        return []
    return [
        Cell(SUITE, "auth-gateway", name_case(count, noun), partial(_measure, *_make_variant(noun, count)))
        for noun, counts in SCALES.items()
        for count in counts
    ]


def _make_variant(noun: str, count: int) -> tuple[Variant, int]:
    """Return the configuration with so many of them, and how many tokens to send."""
    if noun == "provider":
        return Variant(providers=count), SEEN_TOKENS
    if noun == "route":
        return Variant(routes=count), SEEN_TOKENS
    return Variant(cached_tokens=2 * count), count


def _measure(variant: Variant, count: int, stage: Stage) -> Figures:
    tokens = stage.tokens("ES256", count, SEEN, variant.providers)
    with stage.serve(make_gateway("gateway-scale", "auth-gateway", variant)) as running:
        if count > SEEN_TOKENS:
            stage.load(running.port, tokens, seconds=_WARM_SECONDS, is_once=True)
        stage.load(running.port, tokens, seconds=1)
        return measure_cost(stage, running, tokens)
