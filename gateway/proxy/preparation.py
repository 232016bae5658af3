"""What comes before a request goes upstream: the decision on it, and the head that says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from gateway.admin.metrics import Metrics
from gateway.core.decision import NOTHING_KNOWN, Allow, Unproven, begin, prove_in_steps
from gateway.core.errors import GatewayError, Reason, RequestRefused, Unavailable
from gateway.core.organizations import NeedStanding, Standing
from gateway.core.refusal import observe
from gateway.core.steps import Steps
from gateway.core.verification import NOBODY_ASKED, NeedKeys
from gateway.proxy.request_checks import asks_websocket, check_fields
from gateway.proxy.visit import Visit

Outcome = Allow | NeedKeys | NeedStanding
Proving = Steps[Outcome]


class Preparation:
    """Decides on requests; ``takes_streams`` only ever becomes false."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float]) -> None:
        self.takes_streams = True
        self._metrics = metrics
        self._clock = clock

    def prepare(
        self, visit: Visit, asked: Mapping[str, bool], standings: Mapping[str, Standing]
    ) -> NeedKeys | NeedStanding | None:
        """
        Decide on a request and make its head for the upstream; return what the decision lacks instead, if anything.

        Raises:
            GatewayError: The request is refused.
        """
        steps = self.begin(visit, asked, standings)
        while steps is not None:
            steps = self.go_on(visit, steps, asked)
        return visit.lack

    def begin(
        self, visit: Visit, asked: Mapping[str, bool] = NOBODY_ASKED, standings: Mapping[str, Standing] = NOTHING_KNOWN
    ) -> Proving | None:
        """
        Prepare a request; where its token is not known, only up to its proof, and return the steps that are left.

        Raises:
            GatewayError: The request is refused.
        """
        runtime = visit.runtime
        check_fields(visit.fields)
        policy, keys, proofs, now = runtime.settings.policy, runtime.keys, runtime.proofs, self._clock()
        known = standings or runtime.organizations or NOTHING_KNOWN
        try:
            begun = begin(visit, policy, keys, now, proofs, known)
        except GatewayError as error:
            self._finish_refused(visit, error, asked)
            return None
        if isinstance(begun, Unproven):
            visit.token_name, visit.proving_seconds = begun.name, 0.0
            return prove_in_steps(visit, begun, policy, keys, now, asked, proofs, known)
        self._finish(visit, begun)
        return None

    def go_on(self, visit: Visit, steps: Proving, asked: Mapping[str, bool] = NOBODY_ASKED) -> Proving | None:
        """
        Take the next step, and prepare the request if it was the last one; return the steps if it was not.

        Raises:
            GatewayError: The request is refused.
        """
        began = time.perf_counter()
        try:
            next(steps)
        except StopIteration as end:
            outcome: Outcome = end.value
        except GatewayError as error:
            self._finish_refused(visit, error, asked)
            return None
        else:
            visit.proving_seconds += time.perf_counter() - began
            return steps
        self._note_proof(outcome, visit.proving_seconds + time.perf_counter() - began)
        self._finish(visit, outcome)
        return None

    def _note_proof(self, outcome: Outcome, seconds: float) -> None:
        if isinstance(outcome, Allow) and outcome.verified is not None:
            self._metrics.observe_verify(outcome.verified.token.algorithm, seconds)

    def _finish_refused(self, visit: Visit, error: GatewayError, asked: Mapping[str, bool]) -> None:
        """Prepare a refused request all the same, where refusals are only written down."""
        runtime = visit.runtime
        began = time.perf_counter()
        outcome = observe(error, visit, runtime.settings.policy, runtime.keys, self._clock(), asked)
        self._note_proof(outcome, time.perf_counter() - began)
        visit.observed = error
        self._finish(visit, outcome)

    def _finish(self, visit: Visit, outcome: Outcome) -> None:
        if not isinstance(outcome, Allow):
            visit.lack = outcome
            return
        visit.allow, visit.lack = outcome, None
        fields = visit.fields
        if fields.upgrade and asks_websocket(visit.method, fields, is_http_1_1=visit.is_http_1_1):
            visit.is_upgrade = True
            if not self.takes_streams:
                raise Unavailable(Reason.DRAINING, "The gateway is stopping.", retry_after_seconds=1)
        visit.head = visit.runtime.rewriter.build(
            visit.method,
            outcome.target,
            fields,
            client=visit.protocol.client,
            identity=outcome.lines,
            request_id=visit.request_id,
            framing=_build_framing(visit) if visit.body or visit.has_stream or fields.content_length else b"",
            is_upgrade=visit.is_upgrade,
        )


def _build_framing(visit: Visit) -> bytes:
    if visit.fields.content_length:
        [length] = visit.fields.content_length
        limit = visit.runtime.settings.limits.body_bytes
        if limit is not None and int(length) > limit:
            raise RequestRefused(Reason.BODY_TOO_LARGE, "The request body is too large.", expected=limit)
        return b"Content-Length: %b\r\n" % length
    return b"Transfer-Encoding: chunked\r\n" if visit.is_chunked else b""
