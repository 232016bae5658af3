"""
Snapshots -> the text that Prometheus reads: every metric's name, type, labels and help on one screen.

Rendered by prometheus_client on demand, from a collector of our own: nothing is registered anywhere.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

import gateway
from gateway.admin.metrics import BOUNDS, Snapshot

PREFIX = "auth_gateway_"

_COUNTERS = {
    "requests_total": ("Requests answered, by method, status code and path pattern.", ("method", "code", "route")),
    "decisions_total": ("Decisions, by provider and reason.", ("provider", "decision", "reason")),
    "token_cache_requests_total": ("Tokens looked up among the proofs that are kept.", ()),
    "token_cache_hits_total": ("Tokens whose proof was kept.", ()),
    "token_cache_evictions_total": ("Proofs given up before their token ended.", ()),
    "jwks_fetch_total": ("Fetches of a provider's keys.", ("provider", "result")),
    "config_reloads_total": ("Attempts to take a changed configuration file.", ("result",)),
    "stream_closes_total": ("Streams that ended, by cause.", ("cause",)),
    "upstream_errors_total": ("Failures of the upstream, by kind.", ("kind",)),
    "worker_deaths_total": ("Workers that ended without being asked to.", ()),
    "log_lines_lost_total": ("Log lines given up because their reader stalled or was gone.", ()),
}
_GAUGES = {
    "requests_in_flight": ("Requests being answered now.", ()),
    "streams_active": ("Event streams and WebSockets that are open now.", ("kind",)),
    "jwks_last_success_timestamp_seconds": ("When a provider's keys were last fetched.", ("provider",)),
    "jwks_keys": ("Usable keys of a provider.", ("provider",)),
    "jwks_skipped_keys": ("Keys that cannot be used.", ("provider",)),
    "workers": ("Processes that serve, by whether they answer the one that watches them.", ("state",)),
    "config_last_reload_successful": ("Whether the configuration file that was read last is the one in use.", ()),
}
_HISTOGRAMS = {
    "request_duration_seconds": ("From the request's head to the end of the answer; of a stream, to its head.", ()),
    "overhead_seconds": ("The gateway's own share of a request's duration.", ()),
    "upstream_duration_seconds": ("The upstream's share of a request's duration.", ()),
    "token_verify_duration_seconds": ("Proofs of tokens: signature and claims.", ("alg",)),
}


def render(snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
    """Return the exposition in the format that ``accept``, an Accept field's value, asks for, and its media type."""
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):
        # A version that is no number.
        encode, content_type = choose_encoder("")
    return encode(SnapshotCollector(snapshot)), content_type


class SnapshotCollector(Collector):
    """Gives one snapshot to prometheus_client."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """Yield every family of the snapshot."""
        snapshot = self._snapshot
        yield _build_info()
        for name, (text, labels) in _COUNTERS.items():
            counter = CounterMetricFamily(PREFIX + name, text, labels=labels)
            for values, (number,) in snapshot.get(name, ()):
                counter.add_metric(values, number)
            yield counter
        for name, (text, labels) in _GAUGES.items():
            gauge = GaugeMetricFamily(PREFIX + name, text, labels=labels)
            for values, (number,) in snapshot.get(name, ()):
                gauge.add_metric(values, number)
            yield gauge
        for name, (text, labels) in _HISTOGRAMS.items():
            yield _build_histogram(name, text, labels, snapshot)


def _build_info() -> Metric:
    info = {"version": gateway.__version__, "python": platform.python_version()}
    return InfoMetricFamily(PREFIX + "build", "The version that runs.", value=info)


def _build_histogram(name: str, text: str, labels: Sequence[str], snapshot: Snapshot) -> Metric:
    histogram = HistogramMetricFamily(PREFIX + name, text, labels=labels)
    bounds = [*map(str, BOUNDS[name]), "+Inf"]
    for values, (*counts, total) in snapshot.get(name, ()):
        histogram.add_metric(values, list(zip(bounds, accumulate(counts), strict=True)), total)
    return histogram
