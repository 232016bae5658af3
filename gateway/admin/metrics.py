"""
Counters and histograms as plain numbers, cheap enough for every request.

No metrics library is called on the hot path: a label look-up there costs more than a whole request's accounting here.
``exposition`` gives the numbers their names and types when somebody asks for them. No label takes its value from a
caller: an unknown method is ``_OTHER``, routes and providers have the names of the file, the rest are our own words.

A ``Metrics`` belongs to one process and one thread. ``merge`` sums the snapshots of several processes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Literal

# Of one name, rows of label values and numbers: one number for a counter or gauge; for a histogram the count of each
# bucket, the one above all bounds last, and then the sum.
Snapshot = dict[str, list[tuple[tuple[str, ...], tuple[float, ...]]]]

Decision = Literal["allow", "deny", "error", "would_deny"]
# The provider's name in the file, None where no token was looked at or no provider's issuer fits; the decision, None
# where the client left before, "error" for one that could not be made, as without keys; the word of a ``Reason``.
Outcome = tuple[str | None, Decision | None, str | None]
StreamKind = Literal["sse", "websocket"]

# RFC 9110, section 9.1; RFC 5789
METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
OTHER_METHOD = "_OTHER"

_DURATION_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_OWN_BOUNDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
_VERIFY_BOUNDS = (0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05)

# Upper bounds in seconds, inclusive.
BOUNDS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "request_duration_seconds": _DURATION_BOUNDS,
        "upstream_duration_seconds": _DURATION_BOUNDS,
        "overhead_seconds": _OWN_BOUNDS,
        "token_verify_duration_seconds": _VERIFY_BOUNDS,
    }
)
# So many requests are observed before their durations are sorted.
_MAX_UNSETTLED = 1024

# What is no sum: good only where every process says so, and keys as whoever knows them worst has them.
_MERGED_BY: Mapping[str, Callable[[float, float], float]] = MappingProxyType(
    {
        "config_last_reload_successful": min,
        "jwks_last_success_timestamp_seconds": min,
        "jwks_keys": min,
        "jwks_skipped_keys": max,
    }
)


class Histogram:
    """
    Counts durations in seconds by fixed bounds.

    ``observe`` only appends: whoever counts often calls ``settle`` now and then, and C sorts a thousand at a time into
    their buckets for what ten would cost one by one.
    """

    __slots__ = ("_bounds", "_counts", "_pending", "_sum", "observe")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._pending: list[float] = []
        self.observe = self._pending.append

    def settle(self) -> None:
        """Sort what was observed into its buckets."""
        pending = self._pending
        pending.sort()
        begin = 0
        for bucket, bound in enumerate(self._bounds):
            end = bisect_right(pending, bound)
            self._counts[bucket] += end - begin
            begin = end
        self._counts[-1] += len(pending) - begin
        self._sum += sum(pending)
        pending.clear()

    @property
    def numbers(self) -> tuple[float, ...]:
        """The count of each bucket, then the sum."""
        self.settle()
        return (*self._counts, self._sum)


class Metrics:
    """
    What one process has counted since its start.

    ``requests_in_flight`` and the ``token_cache_`` numbers are plain attributes: their owners add to them.
    """

    __slots__ = (
        "_config_reloads",
        "_duration",
        "_is_config_good",
        "_jwks_fetches",
        "_overhead",
        "_requests",
        "_stream_closes",
        "_streams_active",
        "_unsettled",
        "_upstream_duration",
        "_upstream_errors",
        "_verify_durations",
        "requests_in_flight",
        "token_cache_evictions",
        "token_cache_hits",
        "token_cache_requests",
    )

    def __init__(self) -> None:
        self._requests: defaultdict[tuple[str, int, str, Outcome], int] = defaultdict(int)
        self._upstream_errors: defaultdict[tuple[str], int] = defaultdict(int)
        self._stream_closes: defaultdict[tuple[str], int] = defaultdict(int)
        self._streams_active: dict[tuple[str], int] = {("sse",): 0, ("websocket",): 0}
        self._jwks_fetches: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._config_reloads: dict[tuple[str], int] = {("success",): 0, ("failure",): 0}
        self._is_config_good = True
        self._duration = Histogram(BOUNDS["request_duration_seconds"])
        self._overhead = Histogram(BOUNDS["overhead_seconds"])
        self._upstream_duration = Histogram(BOUNDS["upstream_duration_seconds"])
        self._verify_durations: dict[str, Histogram] = {}
        self._unsettled = 0
        self.requests_in_flight = 0
        self.token_cache_requests = 0
        self.token_cache_hits = 0
        self.token_cache_evictions = 0

    def observe_request(
        self,
        method: str,
        code: int,
        route: str,
        outcome: Outcome,
        duration_seconds: float,
        overhead_seconds: float,
        upstream_seconds: float | None = None,
    ) -> None:
        """
        Count one answered request.

        ``route`` is the path pattern of the file, ``default`` where none matched, empty for a request that was
        refused before. Of a stream the durations end with the head of its answer: an hour of events is not an hour's
        latency. ``upstream_seconds`` None is for a request that never got to the upstream.
        """
        self._requests[method if method in METHODS else OTHER_METHOD, code, route, outcome] += 1
        self._duration.observe(duration_seconds)
        self._overhead.observe(overhead_seconds)
        if upstream_seconds is not None:
            self._upstream_duration.observe(upstream_seconds)
        self._unsettled += 1
        if self._unsettled >= _MAX_UNSETTLED:
            self._settle()

    def _settle(self) -> None:
        self._unsettled = 0
        for histogram in (self._duration, self._overhead, self._upstream_duration, *self._verify_durations.values()):
            histogram.settle()

    def observe_verify(self, algorithm: str, seconds: float) -> None:
        """Count one signature check; ``algorithm`` is one that a provider of the file accepts."""
        histogram = self._verify_durations.get(algorithm)
        if histogram is None:
            histogram = self._verify_durations[algorithm] = Histogram(BOUNDS["token_verify_duration_seconds"])
        histogram.observe(seconds)

    def count_upstream_error(self, kind: str) -> None:
        """Count one failure of the upstream, such as ``connect`` or ``timeout``: a word of ours."""
        self._upstream_errors[kind,] += 1

    def open_stream(self, kind: StreamKind) -> None:
        """Count a stream that begins."""
        self._streams_active[kind,] += 1

    def close_stream(self, kind: StreamKind, cause: str) -> None:
        """Count a stream that ends, and why, such as ``client`` or ``expired``: a word of ours."""
        self._streams_active[kind,] -= 1
        self._stream_closes[cause,] += 1

    def count_jwks_fetch(self, provider: str, result: str) -> None:
        """Count one fetch of a provider's keys; ``result`` is a word of ours."""
        self._jwks_fetches[provider, result] += 1

    def count_config_reload(self, *, is_successful: bool) -> None:
        """Count one attempt to take a changed file."""
        self._is_config_good = is_successful
        self._config_reloads["success" if is_successful else "failure",] += 1

    def snapshot(self, lost_log_lines: int = 0) -> Snapshot:
        """Return all numbers as plain values, fit for JSON and for another process."""
        requests: Counter[tuple[str, ...]] = Counter()
        decisions: Counter[tuple[str, ...]] = Counter()
        for (method, code, route, (provider, decision, reason)), number in self._requests.items():
            requests[method, str(code), route] += number
            if decision is not None:
                decisions[provider or "", decision, reason or ""] += number
        return {
            "requests_total": _list_rows(requests.items()),
            "request_duration_seconds": [((), self._duration.numbers)],
            "overhead_seconds": [((), self._overhead.numbers)],
            "upstream_duration_seconds": [((), self._upstream_duration.numbers)],
            "requests_in_flight": [((), (self.requests_in_flight,))],
            "decisions_total": _list_rows(decisions.items()),
            "token_verify_duration_seconds": [((alg,), h.numbers) for alg, h in self._verify_durations.items()],
            "token_cache_requests_total": [((), (self.token_cache_requests,))],
            "token_cache_hits_total": [((), (self.token_cache_hits,))],
            "token_cache_evictions_total": [((), (self.token_cache_evictions,))],
            "jwks_fetch_total": _list_rows(self._jwks_fetches.items()),
            "config_reloads_total": _list_rows(self._config_reloads.items()),
            "config_last_reload_successful": [((), (int(self._is_config_good),))],
            "streams_active": _list_rows(self._streams_active.items()),
            "stream_closes_total": _list_rows(self._stream_closes.items()),
            "upstream_errors_total": _list_rows(self._upstream_errors.items()),
            "log_lines_lost_total": [((), (lost_log_lines,))],
        }


def _list_rows(counts: Iterable[tuple[tuple[str, ...], int]]) -> list[tuple[tuple[str, ...], tuple[float, ...]]]:
    return [(labels, (number,)) for labels, number in counts]


def merge(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Return the sum of the snapshots of several processes, which may have been through JSON."""
    merged: dict[str, dict[tuple[str, ...], tuple[float, ...]]] = {}
    for snapshot in snapshots:
        for name, rows in snapshot.items():
            combine = _MERGED_BY.get(name, _add)
            known = merged.setdefault(name, {})
            for labels, numbers in ((tuple(labels), tuple(numbers)) for labels, numbers in rows):
                known[labels] = tuple(map(combine, known[labels], numbers)) if labels in known else numbers
    return {name: list(rows.items()) for name, rows in merged.items()}


def select_counts(snapshot: Snapshot) -> Snapshot:
    """Return what only ever grows of a snapshot, to be kept when its process is gone."""
    return {name: rows for name, rows in snapshot.items() if name.endswith("_total") or name in BOUNDS}


def _add(first: float, second: float) -> float:
    return first + second
