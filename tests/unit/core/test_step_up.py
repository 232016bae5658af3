"""Step-up: how recently, and how, the user must have signed in (RFC 9470)."""

from __future__ import annotations

import pytest

from gateway.core.credentials import build_challenge
from gateway.core.decision import Allow, decide
from gateway.core.errors import AccessRefused, Reason
from gateway.core.proofs import ProofCache
from gateway.core.step_up import StepUp, check_step_up
from tests.policies import make_head, make_policy, make_provider, make_route, make_routes
from tests.signing import NOW, make_key, make_key_set, make_token

LEEWAY = 5.0
MAX_AGE = 300
BOTH = StepUp(MAX_AGE, ("mfa", "urn:phishing-resistant"))


def refuse(claims, step_up, now=NOW):
    with pytest.raises(AccessRefused) as refused:
        check_step_up(claims, step_up, leeway_seconds=LEEWAY, now=now)
    return refused.value


@pytest.mark.parametrize(
    "auth_time",
    [NOW, NOW - 10.5, NOW - MAX_AGE, NOW - MAX_AGE - LEEWAY, NOW + LEEWAY],
    ids=["now", "fraction", "at-the-limit", "within-leeway", "ahead-within-leeway"],
)
def test_a_recent_sign_in_suffices(auth_time):
    """The leeway counts once, at either end."""
    check_step_up({"auth_time": auth_time}, StepUp(MAX_AGE), leeway_seconds=LEEWAY, now=NOW)


@pytest.mark.parametrize(
    "auth_time",
    [
        *(NOW - MAX_AGE - LEEWAY - 0.25, NOW + LEEWAY + 0.25, 0, -NOW),
        *(str(NOW), True, False, None, [NOW], {"at": NOW}),
        *(float("nan"), float("inf"), float("-inf"), 10**400, -(10**400)),
    ],
    ids=repr,
)
def test_anything_else_is_stale(auth_time):
    """Too old, ahead of the clock, or no finite number: the demand is not met."""
    refused = refuse({"auth_time": auth_time}, StepUp(MAX_AGE))
    assert refused.reason is Reason.STALE_AUTHENTICATION
    assert (refused.received, refused.expected) == (auth_time, MAX_AGE)


def test_no_auth_time_is_stale():
    """Absence never permits; a token issued just now says nothing of when its user signed in."""
    assert refuse({"iat": NOW}, StepUp(MAX_AGE)).reason is Reason.STALE_AUTHENTICATION


def test_zero_is_a_demand():
    """``max_age`` may be zero: only a sign-in of this very moment, give or take the leeway."""
    check_step_up({"auth_time": NOW - LEEWAY}, StepUp(0), leeway_seconds=LEEWAY, now=NOW)
    assert refuse({"auth_time": NOW - LEEWAY - 1}, StepUp(0)).max_age_seconds == 0


@pytest.mark.parametrize("acr", ["mfa", "urn:phishing-resistant"])
def test_one_of_the_values_suffices(acr):
    """Any of the list, to the letter."""
    check_step_up({"acr": acr}, StepUp(None, BOTH.acr_values), leeway_seconds=LEEWAY, now=NOW)


@pytest.mark.parametrize(
    "acr", ["", "pwd", "MFA", "mfa ", "mfa urn:phishing-resistant", ["mfa"], {"mfa": 1}, True, None]
)
def test_any_other_acr_is_weak(acr):
    """OpenID Connect Core, section 2: ``acr`` is one string."""
    refused = refuse({"acr": acr}, StepUp(None, BOTH.acr_values))
    assert refused.reason is Reason.WEAK_AUTHENTICATION
    assert refuse({}, StepUp(None, BOTH.acr_values)).reason is Reason.WEAK_AUTHENTICATION


@pytest.mark.parametrize(
    ("step_up", "claims", "parameters"),
    [
        (StepUp(MAX_AGE), {}, 'max_age="300"'),
        (StepUp(None, ("a", "b")), {}, 'acr_values="a b"'),
        (StepUp(MAX_AGE, ("a", "b")), {}, 'max_age="300", acr_values="a b"'),
        (StepUp(MAX_AGE, ("a",)), {"auth_time": NOW}, 'max_age="300", acr_values="a"'),
        (StepUp(0), {}, 'max_age="0"'),
    ],
)
def test_the_challenge_says_what_suffices(step_up, claims, parameters):
    """Both demands where both are made, so that one sign-in meets them (RFC 9470, section 3)."""
    challenge = build_challenge(refuse(claims, step_up), "api", with_description=False)
    assert challenge == f'Bearer realm="api", error="insufficient_user_authentication", {parameters}'


def test_age_is_looked_at_first():
    """The order of the checks is that of the reasons: provider, age, way, scope."""
    assert refuse({}, BOTH).reason is Reason.STALE_AUTHENTICATION
    assert refuse({"auth_time": NOW}, BOTH).reason is Reason.WEAK_AUTHENTICATION


def decide_at(now, token, proofs=None, **route):
    routes = make_routes(make_route("/pay", max_age=MAX_AGE, **route))
    policy = make_policy(make_provider(leeway_seconds=LEEWAY), routes=routes)
    return decide(make_head(token, "/pay"), policy, {"main": make_key_set(make_key())}, now, {"main": True}, proofs)


def test_time_passes_for_what_was_proven_before():
    """The sign-in ages while the token stays the same and its proof is kept: each request is looked at anew."""
    proofs = ProofCache()
    token = make_token(auth_time=NOW)
    last = NOW + MAX_AGE + LEEWAY
    assert all(isinstance(decide_at(now, token, proofs), Allow) for now in (NOW, last))
    assert proofs.hits == 1
    with pytest.raises(AccessRefused) as refused:
        decide_at(last + 1, token, proofs)
    assert proofs.hits == 2
    assert refused.value.reason is Reason.STALE_AUTHENTICATION
    assert refused.value.context["subject"] == "user-1"


@pytest.mark.parametrize(
    ("route", "reason"),
    [
        ({"providers": frozenset({"other"})}, Reason.PROVIDER_NOT_ALLOWED),
        ({"scopes": ["a"]}, Reason.STALE_AUTHENTICATION),
        ({"acr_values": ["mfa"], "scopes": ["a"]}, Reason.STALE_AUTHENTICATION),
    ],
)
def test_it_comes_between_provider_and_scopes(route, reason):
    """A new sign-in may bring a scope, but never another provider."""
    with pytest.raises(AccessRefused) as refused:
        decide_at(NOW, make_token(), **route)
    assert refused.value.reason is reason
