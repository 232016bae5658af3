"""Any sequence of rotations, outages, lies, waiting and made-up kids, against a model of what may be believed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.settings import KeySourceSettings
from gateway.core.verification import NeedKeys
from gateway.providers.keyring import Keyring
from tests.integration.issuer import Issuer, make_key, publish, respond
from tests.integration.loop import run
from tests.integration.stepped_clock import SteppedClock

MAX_STALE = 1800.0
COOLDOWN = 30.0
KEYS = {kid: make_key(kid) for kid in "abcd"}

rotations = st.tuples(st.just("publish"), st.frozensets(st.sampled_from(sorted(KEYS)), min_size=1))
failures = st.tuples(st.just("fail"), st.sampled_from([respond(status="500 X"), publish([]), respond(b"{"), b""]))
waits = st.tuples(st.just("wait"), st.sampled_from([0.5, 5.0, COOLDOWN, 61.0, 700.0, MAX_STALE]))
requests = st.tuples(st.just("ask"), st.lists(st.sampled_from([None, *KEYS, "junk", "more junk"]), min_size=1))


@dataclass
class Model:
    """The issuer as it is now, and what it last said that a gateway may believe."""

    clock: SteppedClock
    answer: bytes = b""
    published: frozenset[str] | None = None
    believed: frozenset[str] | None = None
    believed_at: float = 0.0
    asked_at: list[float] = field(default_factory=list)

    def publish(self, kids: frozenset[str]) -> None:
        self.published = kids
        self.answer = publish([KEYS[kid] for kid in sorted(kids)])

    def fail(self, answer: bytes) -> None:
        self.published, self.answer = None, answer

    async def serve(self, writer: asyncio.StreamWriter) -> None:
        self.asked_at.append(self.clock.now())
        if self.published is not None:
            self.believed, self.believed_at = self.published, self.clock.now()
        writer.write(self.answer)

    def expect(self) -> frozenset[str] | None:
        is_stale = self.clock.now() - self.believed_at >= MAX_STALE
        return None if is_stale else self.believed


async def play(steps: list[tuple[str, object]]) -> None:
    clock = SteppedClock()
    model = Model(clock)
    model.publish(frozenset("a"))
    async with Issuer({"/jwks": model.serve}) as issuer:
        source = KeySourceSettings("p", (), url=issuer.locate(), max_stale_seconds=MAX_STALE, cooldown_seconds=COOLDOWN)
        async with Keyring([source], clock=clock, jitter=lambda: 0.0) as keyring:
            await clock.settle()
            for action, value in steps:
                await take(action, value, model, keyring)
                held = keyring.sets.get("p")
                assert model.expect() == (held and {key.kid for key in held.keys})
                assert keyring.is_ready
    check_rate(model)


async def take(action: str, value: object, model: Model, keyring: Keyring) -> None:
    if action == "wait":
        await model.clock.run(value)  # type: ignore[arg-type]
    elif action == "ask":
        before = len(model.asked_at)
        await asyncio.gather(*(keyring.supply(NeedKeys("p", kid)) for kid in value))  # type: ignore[attr-defined]
        assert len(model.asked_at) - before <= 1
    else:
        getattr(model, action)(value)


def check_rate(model: Model) -> None:
    """No minute has more fetches than the quick retries of one outage, two early ones and a regular one."""
    for moment in model.asked_at:
        assert sum(moment <= other < moment + 60 for other in model.asked_at) <= 20


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(rotations, failures, waits, requests), max_size=25))
def test_what_is_held_is_what_was_last_said(steps: list[tuple[str, object]]) -> None:
    """At any time the set is that of the last good answer, none once it is too old, and callers cannot add fetches."""
    run(play(steps))
