"""Decisions in steps: what each step does, so that many can be taken together."""

from __future__ import annotations

import pytest

from gateway.core import verification
from gateway.core.decision import NOTHING_KNOWN, Allow, Unproven, begin, decide, prove_in_steps
from gateway.core.errors import Reason, TokenRefused
from gateway.core.jwks import build_key_set
from gateway.core.proofs import ProofCache
from gateway.core.steps import Steps, run
from gateway.core.verification import NOBODY_ASKED
from tests.policies import make_head, make_policy, make_provider
from tests.signing import NOW, make_key, make_key_set, make_token

KEYS = {"main": make_key_set(make_key())}


def count_to_three(raised: Exception | None = None) -> Steps[int]:
    yield
    yield
    if raised is not None:
        raise raised
    return 3


def test_all_steps_at_once():
    """Whoever has one request need not know of steps."""
    assert run(count_to_three()) == 3
    with pytest.raises(ZeroDivisionError):
        run(count_to_three(ZeroDivisionError()))


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets longer with each signature that is checked."""
    checked: list[str] = []
    check = verification.verify_signature

    def note(token, candidates):
        checked.append(token.kid)
        return check(token, candidates)

    monkeypatch.setattr(verification, "verify_signature", note)
    return checked


def start(head, policy, proofs=None, keys=KEYS):
    begun = begin(head, policy, keys, NOW, proofs, NOTHING_KNOWN)
    assert isinstance(begun, Unproven)
    return prove_in_steps(head, begun, policy, keys, NOW, NOBODY_ASKED, proofs, NOTHING_KNOWN)


def test_a_step_ends_with_a_signature(checked):
    """None is checked before the first step, and nothing is kept before all is known."""
    head, policy, proofs = make_head(make_token()), make_policy(), ProofCache()
    steps = start(head, policy, proofs)
    assert checked == []
    next(steps)
    assert len(checked) == 1
    assert len(proofs._proofs) == 0
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value == decide(head, policy, KEYS, NOW)
    assert len(proofs._proofs) == 1


def test_a_step_ends_with_a_signature_that_holds(checked):
    """Of two providers of one issuer, the first of which has another key of that name, the second one's."""
    policy = make_policy(make_provider(name="other"), make_provider())
    another = build_key_set({"keys": [{**make_key(kid="key-2").public, "kid": "key-1"}]})
    steps = start(make_head(make_token()), policy, keys={"other": another, **KEYS})
    next(steps)
    assert len(checked) == 2
    assert run(steps).verified.provider.name == "main"


def test_what_needs_no_proof_needs_no_step(checked):
    """A known token, and none at all."""
    head, policy, proofs = make_head(make_token()), make_policy(), ProofCache()
    decide(head, policy, KEYS, NOW, NOBODY_ASKED, proofs)
    checked.clear()
    assert isinstance(begin(head, policy, KEYS, NOW, proofs, NOTHING_KNOWN), Allow)
    with pytest.raises(TokenRefused) as refusal:
        begin(make_head(), policy, KEYS, NOW, proofs, NOTHING_KNOWN)
    assert refusal.value.reason is Reason.MISSING_TOKEN
    assert checked == []
