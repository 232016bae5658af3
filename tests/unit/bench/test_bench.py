"""The benchmark: what it tells its peers, and what it makes of figures."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from bench.cells import Cell, Result, measure_cells
from bench.chart import build_chart
from bench.errors import BenchError, Missing
from bench.load import parse_load
from bench.names import SMALL
from bench.peers import envoy, gateway, haproxy
from bench.peers.site import Site
from bench.ratios import list_ratios
from bench.report import build_text
from bench.roster import ENVOY_CACHE, GATEWAY, PEERS
from bench.suites import list_cells
from bench.tables import write_number
from gateway.config.load import load_config


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, 8001, 8002, 8003)


@pytest.mark.parametrize(
    "variant",
    [gateway.Variant(), gateway.Variant(providers=100), gateway.Variant(routes=1000, cached_tokens=7)],
    ids=["plain", "many providers", "many routes"],
)
def test_the_gateway_takes_its_file(site: Site, variant: gateway.Variant) -> None:
    """Every file that is measured is one that the gateway takes."""
    path = gateway.prepare(site, variant).argv[-1]

    policy = load_config(path, {}).settings.policy

    assert len(policy.providers) == variant.providers


def test_envoy_has_a_cache_only_when_asked(site: Site) -> None:
    """The two rows of Envoy differ in its cache of tokens."""
    assert "jwt_cache_config" in json.dumps(envoy.build_config(site, has_cache=True))
    assert "jwt_cache_config" not in json.dumps(envoy.build_config(site, has_cache=False))


def test_haproxy_checks_each_algorithm_with_its_key(site: Site) -> None:
    """No algorithm is verified with the key of another."""
    config = haproxy.build_config(site, {"RS256": "/r.pem", "ES256": "/e.pem"})

    assert 'var(txn.alg) -m str RS256 } !{ var(txn.token),jwt_verify(txn.alg,"/r.pem")' in config
    assert 'var(txn.alg) -m str ES256 } !{ var(txn.token),jwt_verify(txn.alg,"/e.pem")' in config


def test_every_ratio_has_cells() -> None:
    """A ratio is of two things that are measured; a number of workers depends on the machine."""
    cells = {(cell.suite, cell.row, cell.case) for cell in list_cells(PEERS, ())}

    lost = [ratio for ratio in list_ratios() if not {ratio.over, ratio.under} <= cells]

    assert [ratio.over[0] for ratio in lost] in ([], ["workers"])


def make_report() -> dict[str, Any]:
    results = [
        Result(SMALL, GATEWAY.title, "RS256 seen", [{"cpu_microseconds": value} for value in (30.0, 90.0, 40.0)]),
        Result(SMALL, ENVOY_CACHE.title, "RS256 seen", [{"cpu_microseconds": 80.0}]),
        Result(SMALL, "Other", "RS256 seen", missing="needs root"),
    ]
    machine = {"date": "2026-11-23", "cpu": "A & B", "cores": 2, "kernel": "Linux 6", "memory_gib": 8, "system": "x"}
    return {
        "machine": {**machine, "versions": {"Python": "3.11"}},
        "rounds": 3,
        "seconds": 4,
        "results": [result.as_dict() for result in results],
    }


def test_the_tables_show_medians_ratios_and_what_is_missing() -> None:
    """The median of the rounds counts, and a peer without figures is named with the reason."""
    text = build_text(make_report())

    assert "| auth-gateway | 40.0 |" in text
    assert "over Envoy jwt_authn, cache on | 0.500 |" in text
    assert "- small, Other, RS256 seen: needs root" in text


def test_the_picture_is_svg() -> None:
    """What is written is XML, whatever the machine is called."""
    picture = ET.fromstring(build_chart(make_report()["results"], "A & B"))  # noqa: S314 - our own

    assert "A & B" in "".join(picture.itertext())


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0234, "0.023"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"), (12345.6, "12 346")],
    ids=str,
)
def test_numbers_have_three_digits_that_matter(value: float, text: str) -> None:
    """More digits than the noise allows would only look exact."""
    assert write_number(value) == text


def test_refusals_are_no_figures() -> None:
    """A peer that refuses is quick; that must not count."""
    with pytest.raises(BenchError, match="3 of 9 requests failed"):
        parse_load('{"requests": 9, "microseconds": 1, "errors": 3, "p50": 1, "p99": 1}', "")


def test_a_peer_that_is_missing_does_not_stop_the_others() -> None:
    """Its cell says why, and is not tried again."""
    calls = []

    def refuse(_: object) -> dict[str, float]:
        calls.append("refuse")
        raise Missing("not here")

    def answer(_: object) -> dict[str, float]:
        calls.append("answer")
        return {"figure": 1.0}

    cells = [Cell("s", "a", "c", refuse), Cell("s", "b", "c", answer)]
    results = measure_cells(None, cells, 2)  # type: ignore[arg-type] - no cell looks at it

    assert calls == ["refuse", "answer", "answer"]
    assert [result.as_dict() for result in results] == [
        {"suite": "s", "row": "a", "case": "c", "missing": "not here"},
        {"suite": "s", "row": "b", "case": "c", "figure": 1.0, "rounds": [{"figure": 1.0}] * 2},
    ]
