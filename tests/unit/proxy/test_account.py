"""What a request comes to: the numbers and the line of each way in which it may end."""

from __future__ import annotations

import gc
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.admin.access import AccessLog, AccessRecord
from gateway.admin.metrics import Metrics, Outcome
from gateway.core.decision import Allow
from gateway.core.errors import AccessRefused, GatewayError, Reason, TokenRefused, Unavailable, UpstreamFailed
from gateway.core.jwt import Token
from gateway.core.policy import Forwarding, Policy
from gateway.core.routes import Access, Match
from gateway.core.tokens import VerifiedToken
from gateway.proxy.account import Accounts, build_record, build_refused, describe_outcome
from gateway.proxy.request_head import Client, RequestRewriter
from gateway.proxy.visit import StreamKind, Visit
from tests.policies import make_provider

CLIENT = Client("192.0.2.1", "http")
MATCH = Match(None, Access.REQUIRED, {}, "/orders/**")
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
FIELDS = b"\r\nHost: api.example\r\ntraceparent: 00-%b-00f067aa0ba902b7-01" % TRACE_ID.encode("ascii")


def make_visit(octets: bytes = FIELDS, **known: Any) -> Visit:
    """Return a request that began at 1.0, and what is known of it at its end."""
    rewriter = RequestRewriter(Policy((), Forwarding(host=None)))
    fields = rewriter.read(octets, CLIENT)
    settings = SimpleNamespace(policy=Policy((), Forwarding(host=None)))
    protocol, runtime = SimpleNamespace(client=CLIENT), SimpleNamespace(rewriter=rewriter, settings=settings)
    visit = Visit("GET", "/orders/1?a=b", fields, cast("Any", protocol), cast("Any", runtime), b"id-1", 1.0)
    for name, value in known.items():
        setattr(visit, name, value)
    return visit


def make_allow(*, is_anonymous: bool = False) -> Allow:
    token = Token(b"", b"", "ES256", None, "at+jwt", {"sub": "user_1"})
    verified = VerifiedToken(token, make_provider(name="logto"), (), "org_1", (), "app_1", 0.0, 9.0)
    return Allow("/orders/1", MATCH, b"", None if is_anonymous else verified)


def make_error(kind: type[GatewayError], reason: Reason, **context: object) -> GatewayError:
    error = kind(reason, "Because.")
    error.context = context
    return error


EXPIRED = make_error(TokenRefused, Reason.EXPIRED, provider="auth0", token_alg="ES256")
MISSING = make_error(TokenRefused, Reason.MISSING_TOKEN)
NO_SCOPE = make_error(AccessRefused, Reason.INSUFFICIENT_SCOPE, provider="logto", subject="user_1", client_id="app_1")
NO_KEYS = make_error(Unavailable, Reason.KEYS_UNAVAILABLE, provider="logto")
DRAINING = make_error(Unavailable, Reason.DRAINING)
TIMEOUT = make_error(UpstreamFailed, Reason.UPSTREAM_TIMEOUT)
ODD_PROVIDER = make_error(TokenRefused, Reason.EXPIRED, provider=7)


@pytest.mark.parametrize(
    ("allow", "error", "expected"),
    [
        (None, None, (None, None, None)),
        (make_allow(), None, ("logto", "allow", None)),
        (make_allow(is_anonymous=True), None, (None, "allow", None)),
        (None, MISSING, (None, "deny", "missing_token")),
        (None, EXPIRED, ("auth0", "deny", "expired")),
        (None, NO_SCOPE, ("logto", "deny", "insufficient_scope")),
        (None, NO_KEYS, ("logto", "error", "keys_unavailable")),
        (None, ODD_PROVIDER, (None, "deny", "expired")),
        (make_allow(), DRAINING, ("logto", "error", "draining")),
        (make_allow(), MISSING, ("logto", "deny", "missing_token")),
        (make_allow(), TIMEOUT, ("logto", "allow", "upstream_timeout")),
        (make_allow(is_anonymous=True), TIMEOUT, (None, "allow", "upstream_timeout")),
    ],
)
def test_outcome_is_who_decided_what_and_why(
    allow: Allow | None, error: GatewayError | None, expected: Outcome
) -> None:
    """A failure of the upstream changes no decision, and one that could not be made is an error, not a denial."""
    assert describe_outcome(make_visit(allow=allow, error=error)) == expected


def test_record_has_all_that_is_known() -> None:
    """Of a request that was served; its times are not of the record yet."""
    visit = make_visit(allow=make_allow(), status=200, upstream_status=201, bytes_in=3, bytes_out=4)
    assert build_record(visit) == AccessRecord(
        request_id="id-1",
        client_ip="192.0.2.1",
        method="GET",
        path="/orders/1?a=b",
        host="api.example",
        trace_id=TRACE_ID,
        status=200,
        upstream_status=201,
        bytes_in=3,
        bytes_out=4,
        provider="logto",
        decision="allow",
        subject="user_1",
        organization="org_1",
        client_id="app_1",
    )


@pytest.mark.parametrize("octets", [b"", b"\r\nHost: \xff"])
def test_record_of_a_request_that_left_has_little(octets: bytes) -> None:
    """What is not there is None; any octet of a host can be written down."""
    assert build_record(make_visit(octets, status=499)) == AccessRecord(
        "id-1", "192.0.2.1", "GET", "/orders/1?a=b", host="\xff" if octets else None, status=499
    )


def test_record_of_a_refusal_has_what_the_refusal_knows() -> None:
    """Whose rules applied, and what the token says of itself."""
    record = build_record(make_visit(error=EXPIRED, status=401))
    assert (record.provider, record.decision, record.reason) == ("auth0", "deny", "expired")
    assert (record.token_alg, record.subject) == ("ES256", None)
    record = build_record(make_visit(error=NO_SCOPE, status=403))
    assert (record.provider, record.subject, record.client_id) == ("logto", "user_1", "app_1")


@pytest.mark.parametrize(("error", "provider"), [(EXPIRED, "auth0"), (NO_KEYS, "logto"), (MISSING, None)])
def test_refused_request_is_kept_without_its_query(error: GatewayError, provider: str | None) -> None:
    """What is asked for later, and nothing that holds a token, a frame or a connection."""
    visit = make_visit(error=error, status=401)
    kept = build_refused(visit, error, 7.0)
    assert (kept.refused_at, kept.request_id, kept.method, kept.path) == (7.0, "id-1", "GET", "/orders/1")
    assert (kept.status, kept.reason, kept.description) == (401, error.reason, "Because.")
    assert (kept.hosts, kept.provider, kept.context) == ((b"api.example",), provider, error.context)
    assert error not in gc.get_referents(kept)


class Lines:
    """An access log that keeps its records."""

    def __init__(self, *, is_enabled: bool = True) -> None:
        self.is_enabled = is_enabled
        self.records: list[AccessRecord] = []

    def write(self, record: AccessRecord) -> None:
        self.records.append(record)


def close(monkeypatch: pytest.MonkeyPatch, visit: Visit, lines: Lines) -> Metrics:
    """Account for a request that ends at 9.0."""
    metrics = Metrics()
    monkeypatch.setattr("gateway.proxy.account.time", SimpleNamespace(perf_counter=lambda: 9.0))
    Accounts(metrics, cast("AccessLog", lines)).close(visit)
    return metrics


def read_sums(metrics: Metrics) -> tuple[float, float, tuple[float, float]]:
    """Return the sums of duration and overhead, and number and sum of the upstream's durations."""
    snapshot = metrics.snapshot()
    *_, duration = snapshot["request_duration_seconds"][0][1]
    *_, overhead = snapshot["overhead_seconds"][0][1]
    *counts, upstream = snapshot["upstream_duration_seconds"][0][1]
    return duration, overhead, (sum(counts), upstream)


@pytest.mark.parametrize(
    ("known", "sums", "times"),
    [
        ({}, (8.0, 8.0, (0, 0.0)), (8.0, 8.0, None)),
        ({"began_at": 1.5}, (8.0, 0.5, (0, 0.0)), (8.0, 0.5, None)),
        ({"began_at": 1.5, "head_at": 4.5}, (8.0, 0.5, (1, 3.0)), (8.0, 0.5, 3.0)),
        ({"began_at": 1.5, "head_at": 4.5, "stream": StreamKind.EVENTS}, (3.5, 0.5, (1, 3.0)), (8.0, 0.5, 3.0)),
        ({"began_at": 1.5, "head_at": 4.5, "stream": StreamKind.WEBSOCKET}, (3.5, 0.5, (1, 3.0)), (8.0, 0.5, 3.0)),
    ],
    ids=["refused", "unanswered", "answered", "events", "websocket"],
)
def test_times_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
    known: dict[str, Any],
    sums: tuple[float, float, tuple[float, float]],
    times: tuple[float, float, float | None],
) -> None:
    """Ours is what came before the upstream; an hour of events is no hour's latency, but the line has the hour."""
    lines = Lines()
    assert read_sums(close(monkeypatch, make_visit(**known), lines)) == sums
    [record] = lines.records
    assert (record.duration_seconds, record.overhead_seconds, record.upstream_seconds) == times


@pytest.mark.parametrize(
    ("known", "requests", "decisions"),
    [
        (
            {"allow": make_allow(), "status": 200},
            (("GET", "200", "/orders/**"), (1,)),
            [(("logto", "allow", ""), (1,))],
        ),
        ({"error": EXPIRED, "status": 401}, (("GET", "401", ""), (1,)), [(("auth0", "deny", "expired"), (1,))]),
        ({"status": 499}, (("GET", "499", ""), (1,)), []),
    ],
    ids=["served", "refused", "left"],
)
def test_request_is_counted_and_written_down_once(
    monkeypatch: pytest.MonkeyPatch, known: dict[str, Any], requests: Any, decisions: Any
) -> None:
    """Under its route, where one was found, and its outcome."""
    lines = Lines()
    snapshot = close(monkeypatch, make_visit(**known), lines).snapshot()
    assert snapshot["requests_total"] == [requests]
    assert snapshot["decisions_total"] == decisions
    assert [record.status for record in lines.records] == [known["status"]]


def test_request_is_counted_where_nothing_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is off costs no record, and no number is missing for it."""
    lines = Lines(is_enabled=False)
    metrics = close(monkeypatch, make_visit(allow=make_allow(), status=200), lines)
    assert metrics.snapshot()["requests_total"] == [(("GET", "200", "/orders/**"), (1,))]
    assert lines.records == []
