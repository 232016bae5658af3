"""What a request comes to, for whoever counts and for whoever reads the log."""

from __future__ import annotations

import time

from gateway.admin.access import AccessLog, AccessRecord
from gateway.admin.metrics import Decision, Metrics, Outcome
from gateway.admin.refused import RefusedRequest
from gateway.core.errors import GatewayError, Unavailable, UpstreamFailed
from gateway.proxy.request_checks import find_trace_id
from gateway.proxy.visit import Visit


class Accounts:
    """Counts each request at its end, and has it written down."""

    def __init__(self, metrics: Metrics, access_log: AccessLog) -> None:
        self._metrics = metrics
        self._access_log = access_log

    def close(self, visit: Visit) -> None:
        """Account for a request that has ended, however it did."""
        started, began_at, head_at = visit.started, visit.began_at, visit.head_at
        duration = observed = overhead = time.perf_counter() - started
        upstream_seconds = None
        if began_at is not None:
            overhead = began_at - started
            if head_at is not None:
                upstream_seconds = head_at - began_at
                if visit.stream is not None:
                    # A stream lasts as long as it is wanted; what counts is how long its beginning took.
                    observed = head_at - started
        route = visit.allow.match.label if visit.allow is not None else ""
        outcome = describe_outcome(visit)
        self._metrics.observe_request(visit.method, visit.status, route, outcome, observed, overhead, upstream_seconds)
        if self._access_log.is_enabled:
            record = build_record(visit)
            record.duration_seconds, record.overhead_seconds = duration, overhead
            record.upstream_seconds = upstream_seconds
            self._access_log.write(record)


def describe_outcome(visit: Visit) -> Outcome:
    """Return the provider that decided, the decision, and the reason; None of each where there is none."""
    allow, error = visit.allow, visit.error or visit.observed
    provider = allow.verified.provider.name if allow is not None and allow.verified is not None else None
    decision: Decision | None = "allow" if allow is not None else None
    if error is None:
        return provider, decision, None
    named = error.context.get("provider")
    if not isinstance(error, UpstreamFailed):
        decision = "error" if isinstance(error, Unavailable) else "deny"
        if visit.error is None:
            decision = "would_deny"
    return named if isinstance(named, str) else provider, decision, error.reason.word


def build_record(visit: Visit) -> AccessRecord:
    """Return what the log has to say of a request, but for its times."""
    fields, error = visit.fields, visit.error or visit.observed
    provider, decision, reason = describe_outcome(visit)
    record = AccessRecord(
        visit.request_id.decode("ascii"),
        visit.runtime.rewriter.find_client_address(fields, visit.protocol.client.address),
        visit.method,
        visit.target,
        fields.host[0].decode("latin-1") if fields.host else None,
        find_trace_id(fields),
        visit.status,
        visit.upstream_status,
        bytes_in=visit.bytes_in,
        bytes_out=visit.bytes_out,
        provider=provider,
        decision=decision,
        reason=reason,
    )
    verified = visit.allow.verified if visit.allow is not None else None
    if verified is not None:
        record.subject = verified.token.claims["sub"]
        record.organization = verified.organization
        record.client_id = verified.client_id
    if error is not None:
        for name, value in error.context.items():
            setattr(record, name, value)
    return record


def build_refused(visit: Visit, error: GatewayError, now: float) -> RefusedRequest:
    """Return what is kept of a request that is refused; ``now`` is in seconds since the epoch."""
    return RefusedRequest(
        now,
        visit.request_id.decode("ascii"),
        visit.method,
        visit.target.partition("?")[0],
        visit.status,
        error.reason,
        error.description,
        visit.runtime.settings.policy,
        visit.fields.host,
        describe_outcome(visit)[0],
        error.received,
        error.expected,
        error.context,
    )
