"""What Prometheus reads, read back by prometheus_client's own parsers."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client import REGISTRY
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

import gateway
from gateway.admin.exposition import render
from gateway.admin.metrics import Metrics, Snapshot
from gateway.admin.status import count_keys
from gateway.core.jwks import KeySet, SkippedKey

# Every name of the interface, its type and its labels.
FAMILIES = {
    "requests": ("counter", {"method", "code", "route"}),
    "request_duration_seconds": ("histogram", set()),
    "overhead_seconds": ("histogram", set()),
    "upstream_duration_seconds": ("histogram", set()),
    "requests_in_flight": ("gauge", set()),
    "decisions": ("counter", {"provider", "decision", "reason"}),
    "token_verify_duration_seconds": ("histogram", {"alg"}),
    "token_cache_requests": ("counter", set()),
    "token_cache_hits": ("counter", set()),
    "token_cache_evictions": ("counter", set()),
    "jwks_fetch": ("counter", {"provider", "result"}),
    "jwks_last_success_timestamp_seconds": ("gauge", {"provider"}),
    "jwks_keys": ("gauge", {"provider"}),
    "jwks_skipped_keys": ("gauge", {"provider"}),
    "config_reloads": ("counter", {"result"}),
    "config_last_reload_successful": ("gauge", set()),
    "streams_active": ("gauge", {"kind"}),
    "stream_closes": ("counter", {"cause"}),
    "upstream_errors": ("counter", {"kind"}),
    "workers": ("gauge", {"state"}),
    "worker_deaths": ("counter", set()),
    "log_lines_lost": ("counter", set()),
    "build_info": ("gauge", {"version", "python"}),
}
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"


@dataclass(frozen=True, slots=True)
class Keys:
    """The state of one provider's keys."""

    provider: str
    key_set: KeySet | None = None
    last_success_at: float | None = None
    location: str = ""
    age_seconds: float | None = None
    last_error: str | None = None


def build_scrape() -> Snapshot:
    metrics = Metrics()
    metrics.observe_request("GET", 200, "/orders/**", ("logto", "allow", None), 0.002, 0.0002, 0.0018)
    metrics.observe_request("BREW", 401, "default", (None, "deny", "missing_token"), 0.2, 0.2)
    metrics.observe_verify("ES384", 0.0003)
    metrics.count_jwks_fetch("logto", "success")
    metrics.close_stream("sse", "client")
    metrics.count_upstream_error("upstream_timeout")
    skipped = tuple(SkippedKey(index, None, "kty oct") for index in range(2))
    keys = [Keys("logto", KeySet((), skipped, b""), 1_700_000_000.5), Keys("down"), Keys('"\n\\')]
    return {**metrics.snapshot(), **count_keys(keys), "workers": [(("answering",), (2,))]}


def read_families(accept: str = "", parse: Any = parse_text) -> dict[str, Any]:
    body, _ = render(build_scrape(), accept)
    return {family.name.removeprefix("auth_gateway_"): family for family in parse(body.decode())}


def read_values(family: Any, name: str) -> dict[tuple[str, ...], float]:
    return {tuple(s.labels.values()): s.value for s in family.samples if s.name == f"auth_gateway_{name}"}


def test_every_family_has_its_name_type_and_labels() -> None:
    """The table above is the interface; nothing is missing and nothing else is there."""
    families = read_families()
    found = {
        name: (family.type, {label for sample in family.samples for label in sample.labels} - {"le"})
        for name, family in families.items()
    }
    assert found == FAMILIES
    body, _ = render(build_scrape(), "")
    assert all(line.startswith((b"auth_gateway_", b"# ")) for line in body.splitlines())


def test_counters_and_gauges_have_their_values() -> None:
    """What was counted is what is read."""
    families = read_families()
    assert read_values(families["requests"], "requests_total") == {
        ("200", "GET", "/orders/**"): 1,
        ("401", "_OTHER", "default"): 1,
    }
    assert read_values(families["decisions"], "decisions_total") == {
        ("allow", "logto", ""): 1,
        ("deny", "", "missing_token"): 1,
    }
    assert read_values(families["build_info"], "build_info") == {
        (platform.python_version(), gateway.__version__): 1,
    }


def test_histogram_is_cumulative() -> None:
    """Each bucket has all below it; the count is the last one's, the sum in seconds."""
    family = read_families()["request_duration_seconds"]
    buckets = read_values(family, "request_duration_seconds_bucket")
    assert [buckets[bound,] for bound in ("0.001", "0.0025", "0.1", "0.25", "+Inf")] == [0, 1, 1, 2, 2]
    assert read_values(family, "request_duration_seconds_count") == {(): 2}
    assert read_values(family, "request_duration_seconds_sum") == {(): pytest.approx(0.202)}


def test_keys_of_each_provider_are_told() -> None:
    """A provider without keys is 0 keys, one that was never reached has no time; any name is escaped."""
    families = read_families()
    assert read_values(families["jwks_keys"], "jwks_keys") == {("logto",): 0, ("down",): 0, ('"\n\\',): 0}
    assert read_values(families["jwks_skipped_keys"], "jwks_skipped_keys")["logto",] == 2
    name = "jwks_last_success_timestamp_seconds"
    assert read_values(families[name], name) == {("logto",): 1_700_000_000.5}


def test_openmetrics_is_given_to_who_asks() -> None:
    """The format and its media type follow ``Accept``."""
    _, content_type = render(build_scrape(), OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    families = read_families(OPENMETRICS, parse_openmetrics)
    assert families["build"].type == "info"
    assert set(families) - {"build"} == set(FAMILIES) - {"build_info"}


@pytest.mark.parametrize("accept", ["", "*/*", "text/html", "\x00;;,=", "application/openmetrics-text;version=x"])
def test_any_accept_gets_something(accept: str) -> None:
    """Who asks for nothing we know gets text; no field makes it fail."""
    body, content_type = render(build_scrape(), accept)
    assert body.startswith(b"# HELP auth_gateway_")
    assert content_type.startswith(("text/plain", "application/openmetrics-text"))


def test_nothing_is_registered_for_the_process() -> None:
    """prometheus_client's own registry is not ours to fill."""
    render(build_scrape(), "")
    assert not [family.name for family in REGISTRY.collect() if "gateway" in family.name]


def test_new_process_shows_zeros() -> None:
    """Counters without labels are there before the first event, so that a rate is never missing."""
    body, _ = render(Metrics().snapshot(), "")
    assert b"auth_gateway_token_cache_hits_total 0.0\n" in body
    assert b'auth_gateway_config_reloads_total{result="failure"} 0.0\n' in body
    assert b"auth_gateway_config_last_reload_successful 1.0\n" in body
