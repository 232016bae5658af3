"""The numbers: what is counted under which labels, and how processes are summed."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from gateway.admin.metrics import BOUNDS, Histogram, Metrics, Outcome, Snapshot, merge, select_counts

ALLOWED: Outcome = ("logto", "allow", None)


def read_rows(metrics: Metrics, name: str) -> dict[tuple[str, ...], tuple[float, ...]]:
    return dict(metrics.snapshot()[name])


def observe(metrics: Metrics, method: str = "GET", seconds: float = 0.0, upstream: float | None = None) -> None:
    metrics.observe_request(method, 200, "/orders/**", ALLOWED, seconds, seconds, upstream)


def test_request_is_counted_by_method_code_and_route() -> None:
    """Three labels, all with few values, whatever was decided."""
    metrics = Metrics()
    observe(metrics)
    observe(metrics)
    metrics.observe_request("GET", 200, "/orders/**", (None, "deny", "upstream_timeout"), 0.1, 0.1)
    metrics.observe_request("POST", 401, "default", (None, "deny", "missing_token"), 0.1, 0.1)
    assert read_rows(metrics, "requests_total") == {
        ("GET", "200", "/orders/**"): (3,),
        ("POST", "401", "default"): (1,),
    }


@pytest.mark.parametrize("method", ["", "get", "PROPFIND", "GET\r\n", "A" * 100, "QUIT"])
def test_unknown_method_is_other(method: str) -> None:
    """A caller cannot make a new series."""
    metrics = Metrics()
    observe(metrics, method)
    assert read_rows(metrics, "requests_total") == {("_OTHER", "200", "/orders/**"): (1,)}


def test_series_stay_few_under_random_methods() -> None:
    """A thousand callers' inventions are one series."""
    metrics = Metrics()
    for number in range(1000):
        observe(metrics, f"M{number}")
    assert len(read_rows(metrics, "requests_total")) == 1


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0.0, 0), (0.001, 0), (0.0010001, 1), (10.0, 15), (10.1, 16), (1e9, 16)]
)
def test_bound_of_a_bucket_is_inclusive(seconds: float, bucket: int) -> None:
    """Prometheus's ``le`` is less or equal; the last bucket takes the rest."""
    metrics = Metrics()
    observe(metrics, seconds=seconds)
    *counts, total = read_rows(metrics, "request_duration_seconds")[()]
    assert counts == [int(index == bucket) for index in range(17)]
    assert total == seconds


def test_bounds_rise() -> None:
    """Bisection needs it."""
    for bounds in BOUNDS.values():
        assert list(bounds) == sorted(set(bounds))


def test_durations_in_any_order_come_into_their_buckets() -> None:
    """Many at once, settled before and not, are what they are one by one."""
    histogram = Histogram((1.0, 2.0))
    # To be asked, or to be settled, changes nothing; and what comes later is added.
    steps: list[tuple[list[float], tuple[float, ...]]] = [
        ([], (0, 0, 0, 0.0)),
        ([3.0, 0.5, 2.0, 1.0, 0.0, 2.5, 1.5, 2.0], (3, 3, 2, 12.5)),
        ([], (3, 3, 2, 12.5)),
        ([9.0, 1.0], (4, 3, 3, 22.5)),
    ]
    for durations, expected in steps:
        for duration in durations:
            histogram.observe(duration)
        histogram.settle()
        histogram.settle()
        assert histogram.numbers == expected
    histogram.observe(1.5)
    assert histogram.numbers == (4, 4, 3, 24.0)


@pytest.mark.parametrize("number", [1, 1023, 1024, 1025, 5000])
def test_no_duration_is_lost_or_kept(number: int) -> None:
    """What is not sorted yet is counted when somebody asks, and never more than a thousand wait for that."""
    metrics = Metrics()
    for _ in range(number):
        observe(metrics, seconds=0.5, upstream=0.25)
        metrics.observe_verify("ES384", 0.125)
    histograms = (metrics._duration, metrics._overhead, metrics._upstream_duration, metrics._verify_durations["ES384"])
    assert all(len(histogram._pending) < 1100 for histogram in histograms)
    for name, seconds in (("request_duration_seconds", 0.5), ("upstream_duration_seconds", 0.25)):
        *counts, total = read_rows(metrics, name)[()]
        assert (sum(counts), total) == (number, number * seconds)
    *counts, total = read_rows(metrics, "token_verify_duration_seconds")["ES384",]
    assert (sum(counts), total) == (number, number * 0.125)


def test_upstream_is_measured_where_there_was_one() -> None:
    """A refused request has no upstream duration, not one of 0."""
    metrics = Metrics()
    observe(metrics)
    assert sum(read_rows(metrics, "upstream_duration_seconds")[()]) == 0
    observe(metrics, upstream=2.0)
    assert read_rows(metrics, "upstream_duration_seconds")[()][-1] == 2.0
    assert sum(read_rows(metrics, "overhead_seconds")[()]) == 2


def observe_outcome(metrics: Metrics, outcome: Outcome, code: int = 200) -> None:
    metrics.observe_request("GET", code, "default", outcome, 0.0, 0.0)


def test_decision_without_provider_or_reason_has_empty_labels() -> None:
    """An empty label is an absent one to Prometheus."""
    metrics = Metrics()
    observe_outcome(metrics, (None, "deny", "missing_token"), 401)
    observe_outcome(metrics, ("logto", "allow", None))
    assert read_rows(metrics, "decisions_total") == {("", "deny", "missing_token"): (1,), ("logto", "allow", ""): (1,)}


def test_decisions_are_summed_over_all_requests() -> None:
    """Under whatever method, code and route they fell; each word of the outcome makes another one."""
    metrics = Metrics()
    outcomes: list[Outcome] = [
        ("logto", "allow", None),
        ("logto", "allow", "upstream_timeout"),
        ("logto", "deny", "expired"),
        ("auth0", "deny", "expired"),
        ("auth0", "error", "keys_unavailable"),
    ]
    for outcome in outcomes:
        for method, code, route in (("GET", 200, "/a"), ("POST", 200, "/a"), ("GET", 201, "/a"), ("GET", 200, "/b")):
            metrics.observe_request(method, code, route, outcome, 0.0, 0.0)
    rows = {(provider, decision, reason or ""): (4,) for provider, decision, reason in outcomes}
    assert read_rows(metrics, "decisions_total") == rows


def test_who_left_before_a_decision_is_a_request_without_one() -> None:
    """It is counted as a request, and under no decision."""
    metrics = Metrics()
    observe_outcome(metrics, (None, None, None), 499)
    assert read_rows(metrics, "requests_total") == {("GET", "499", "default"): (1,)}
    assert read_rows(metrics, "decisions_total") == {}


def test_signature_checks_are_measured_by_algorithm() -> None:
    """One histogram an algorithm, of those that were seen."""
    metrics = Metrics()
    assert read_rows(metrics, "token_verify_duration_seconds") == {}
    for _ in range(2):
        metrics.observe_verify("ES384", 0.5)
    rows = read_rows(metrics, "token_verify_duration_seconds")
    assert {labels: (numbers[-2], numbers[-1]) for labels, numbers in rows.items()} == {("ES384",): (2, 1.0)}


def test_streams_are_counted_while_open_and_when_closed() -> None:
    """The gauge goes back to where it was."""
    metrics = Metrics()
    metrics.open_stream("sse")
    metrics.open_stream("websocket")
    metrics.close_stream("sse", "expired")
    assert read_rows(metrics, "streams_active") == {("sse",): (0,), ("websocket",): (1,)}
    assert read_rows(metrics, "stream_closes_total") == {("expired",): (1,)}


def test_the_rest_is_counted_under_its_name() -> None:
    """Attributes and small counters, each where it belongs."""
    metrics = Metrics()
    metrics.requests_in_flight += 1
    metrics.token_cache_requests += 3
    metrics.token_cache_hits += 2
    metrics.token_cache_evictions += 1
    metrics.count_upstream_error("upstream_timeout")
    metrics.count_jwks_fetch("logto", "failure")
    snapshot = metrics.snapshot(lost_log_lines=4)
    assert {name: snapshot[name] for name in snapshot if "cache" in name or "in_flight" in name or "lost" in name} == {
        "requests_in_flight": [((), (1,))],
        "token_cache_requests_total": [((), (3,))],
        "token_cache_hits_total": [((), (2,))],
        "token_cache_evictions_total": [((), (1,))],
        "log_lines_lost_total": [((), (4,))],
    }
    assert read_rows(metrics, "upstream_errors_total") == {("upstream_timeout",): (1,)}
    assert read_rows(metrics, "jwks_fetch_total") == {("logto", "failure"): (1,)}


def test_reloads_are_counted_and_the_last_one_known() -> None:
    """A bad file is a counter and a gauge that falls until a good one comes."""
    metrics = Metrics()
    assert read_rows(metrics, "config_last_reload_successful") == {(): (1,)}
    metrics.count_config_reload(is_successful=False)
    assert read_rows(metrics, "config_last_reload_successful") == {(): (0,)}
    metrics.count_config_reload(is_successful=True)
    assert read_rows(metrics, "config_last_reload_successful") == {(): (1,)}
    assert read_rows(metrics, "config_reloads_total") == {("success",): (1,), ("failure",): (1,)}


def through_json(snapshot: Any) -> Any:
    return json.loads(json.dumps(snapshot))


def through_pickle(snapshot: Any) -> Any:
    return pickle.loads(pickle.dumps(snapshot))  # noqa: S301 - our own


@pytest.mark.parametrize("carry", [list, through_json, through_pickle], ids=["as is", "json", "pickle"])
def test_merge_sums_processes(carry: Any) -> None:
    """Counters, gauges and histograms of several processes are added, whatever carried them here."""
    first, second = Metrics(), Metrics()
    observe(first, seconds=0.5)
    observe(second, seconds=0.25)
    observe(second, "POST")
    second.requests_in_flight = 2
    merged = merge(carry([first.snapshot(1), second.snapshot(2)]))
    assert merged["requests_total"] == [(("GET", "200", "/orders/**"), (2,)), (("POST", "200", "/orders/**"), (1,))]
    assert merged["requests_in_flight"] == [((), (2,))]
    assert merged["log_lines_lost_total"] == [((), (3,))]
    assert sum(merged["request_duration_seconds"][0][1]) == 3.75
    assert merge([merged]) == merged


def test_merged_configuration_is_good_where_all_are() -> None:
    """One process that kept the old file is enough to say so."""
    good, bad = Metrics(), Metrics()
    bad.count_config_reload(is_successful=False)
    assert merge([good.snapshot(), bad.snapshot()])["config_last_reload_successful"] == [((), (0,))]
    assert merge([good.snapshot(), good.snapshot()])["config_last_reload_successful"] == [((), (1,))]


def test_merge_of_nothing_is_nothing() -> None:
    """No process, no numbers."""
    assert merge([]) == {}


def test_merged_keys_are_those_of_who_knows_least() -> None:
    """Ten workers have no ten times the keys; the oldest and the fewest are what an alert is for."""
    first: Snapshot = {"jwks_keys": [(("a",), (2,))], "jwks_last_success_timestamp_seconds": [(("a",), (5,))]}
    second: Snapshot = {
        "jwks_keys": [(("a",), (0,))],
        "jwks_last_success_timestamp_seconds": [(("a",), (9,))],
        "jwks_skipped_keys": [(("a",), (1,))],
    }
    assert merge([first, second, {"jwks_skipped_keys": [(("a",), (3,))]}]) == {
        "jwks_keys": [(("a",), (0,))],
        "jwks_last_success_timestamp_seconds": [(("a",), (5,))],
        "jwks_skipped_keys": [(("a",), (3,))],
    }


def test_counts_outlive_their_process() -> None:
    """Of a process that is gone remains what only grows; what it had open went with it."""
    metrics = Metrics()
    observe(metrics)
    metrics.requests_in_flight = 3
    counts = select_counts(metrics.snapshot())
    assert counts["requests_total"] == metrics.snapshot()["requests_total"]
    assert "request_duration_seconds" in counts
    assert not {"requests_in_flight", "streams_active", "config_last_reload_successful"} & counts.keys()
