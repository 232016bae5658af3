"""Which organizations may call at all: lists, and the word of a service."""

from __future__ import annotations

import pytest

from gateway.core.decision import Allow, decide
from gateway.core.errors import AccessRefused, GatewayError, Reason, Unavailable
from gateway.core.organizations import (
    UNAVAILABLE_RETRY_SECONDS,
    NeedStanding,
    OrganizationRules,
    Standing,
    check_lists,
)
from gateway.core.proofs import ProofCache
from tests.policies import make_head, make_policy, make_provider, make_route, make_routes
from tests.signing import AUDIENCE, NOW, make_key, make_key_set, make_token

KEYS = {"main": make_key_set(make_key())}
CHECKED = OrganizationRules(is_checked=True)


def ask(organizations, token, *routes, target="/", standings=None, proofs=None):
    policy = make_policy(
        make_provider(AUDIENCE, "org:{organization}"), routes=make_routes(*routes), organizations=organizations
    )
    return decide(make_head(token, target), policy, KEYS, NOW, {"main": True}, proofs, standings or {})


def refuse(reason, *arguments, **more):
    with pytest.raises(GatewayError) as refused:
        ask(*arguments, **more)
    assert refused.value.reason is reason
    return refused.value


@pytest.mark.parametrize(
    ("rules", "organization"),
    [
        (OrganizationRules(), "org_1"),
        (OrganizationRules(), None),
        (OrganizationRules(frozenset({"org_1", "org_2"})), "org_1"),
        (OrganizationRules(None, frozenset({"org_2"})), "org_1"),
        (OrganizationRules(None, frozenset({"org_2"})), None),
        (OrganizationRules(frozenset({"org_1"}), frozenset({"org_2"})), "org_1"),
        (CHECKED, "org_1"),
    ],
)
def test_those_who_may_call(rules, organization):
    """Who is in the list of those that may, or in none of those that may not."""
    check_lists(organization, rules)


@pytest.mark.parametrize(
    ("rules", "organization"),
    [
        (OrganizationRules(frozenset({"org_1"})), "org_2"),
        (OrganizationRules(frozenset({"org_1"})), "ORG_1"),
        (OrganizationRules(frozenset({"org_1"})), "org_1 "),
        (OrganizationRules(frozenset({"org_1"})), None),
        (OrganizationRules(frozenset()), "org_1"),
        (OrganizationRules(frozenset()), None),
        (OrganizationRules(frozenset({"*"})), "org_1"),
        (OrganizationRules(None, frozenset({"org_1"})), "org_1"),
        (OrganizationRules(frozenset({"org_1"}), frozenset({"org_1"})), "org_1"),
        (CHECKED, None),
    ],
)
def test_those_who_may_not(rules, organization):
    """Compared to the letter; a denial wins; where only some may call, who names none may not."""
    with pytest.raises(AccessRefused) as refused:
        check_lists(organization, rules)
    assert refused.value.reason is Reason.ORGANIZATION_DENIED
    assert refused.value.received == organization
    assert "org_1" not in str(refused.value.expected), "a list names other customers"


ALLOWED = OrganizationRules(frozenset({"org_1"}))
TOKEN, OTHER, NONE = make_token(aud="org:org_1"), make_token(aud="org:org_2"), make_token()


@pytest.mark.parametrize("routes", [(), (make_route("/**"),), (make_route("/**", "optional"),)])
def test_lists_hold_wherever_a_token_is_looked_at(routes):
    """With a rule and without one; a token on an optional route is a token."""
    assert isinstance(ask(ALLOWED, TOKEN, *routes), Allow)
    for token in (OTHER, NONE):
        refused = refuse(Reason.ORGANIZATION_DENIED, ALLOWED, token, *routes)
        assert refused.context["subject"] == "user-1"


@pytest.mark.parametrize(("access", "token"), [("public", OTHER), ("public", None), ("optional", None)])
def test_where_no_token_is_looked_at_nobody_is_of_an_organization(access, token):
    """Public routes are open to all, and an anonymous caller of an optional one is of no organization."""
    assert ask(ALLOWED, token, make_route("/**", access)).verified is None


@pytest.mark.parametrize(
    ("route", "reason"),
    [
        ({"scopes": ["a"]}, Reason.INSUFFICIENT_SCOPE),
        ({"require": {"role": "x", "organization": "{o}"}}, Reason.ORGANIZATION_MISMATCH),
        ({"require": {"role": "x"}}, Reason.ORGANIZATION_DENIED),
    ],
)
def test_the_order_is_that_of_the_reasons(route, reason):
    """Scope, the path's organization, the lists, all other claims; in whatever order the file has them."""
    refuse(reason, ALLOWED, OTHER, make_route("/{o}", **route), target="/org_9")


def test_a_list_holds_for_what_was_proven_before():
    """The proof of a token says nothing of who may call now."""
    proofs = ProofCache()
    assert isinstance(ask(ALLOWED, TOKEN, proofs=proofs), Allow)
    refuse(Reason.ORGANIZATION_DENIED, OrganizationRules(frozenset({"org_2"})), TOKEN, proofs=proofs)
    assert proofs.hits == 1


@pytest.mark.parametrize("proofs", [None, ProofCache()], ids=["without", "with"])
def test_a_service_is_asked_and_has_the_last_word(proofs):
    """Without its word there is no decision; with it, the request goes on or not, proven before or anew."""
    for _ in range(2):
        assert ask(CHECKED, TOKEN, proofs=proofs) == NeedStanding("org_1")
        assert ask(CHECKED, TOKEN, proofs=proofs, standings={"org_2": Standing.EXISTS}) == NeedStanding("org_1")
        assert isinstance(ask(CHECKED, TOKEN, proofs=proofs, standings={"org_1": Standing.EXISTS}), Allow)
        refuse(Reason.ORGANIZATION_DENIED, CHECKED, TOKEN, proofs=proofs, standings={"org_1": Standing.GONE})


def test_no_answer_is_an_outage():
    """It is never the caller's fault."""
    refused = refuse(Reason.AUTHORIZATION_UNAVAILABLE, CHECKED, TOKEN, standings={"org_1": Standing.UNKNOWN})
    assert isinstance(refused, Unavailable)
    assert refused.retry_after_seconds == UNAVAILABLE_RETRY_SECONDS


@pytest.mark.parametrize(
    ("rules", "route"),
    [
        (OrganizationRules(None, frozenset({"org_1"}), is_checked=True), {}),
        (CHECKED, {"scopes": ["a"]}),
        (CHECKED, {"require": {"role": "x"}}),
    ],
)
def test_nobody_is_asked_about_who_is_refused_anyway(rules, route):
    """A question costs a request to somebody else."""
    with pytest.raises(AccessRefused):
        ask(rules, TOKEN, make_route("/**", **route))


def test_a_service_is_not_asked_about_nobody():
    """Public and anonymous requests name no organization; a token that names none is refused."""
    assert ask(CHECKED, None, make_route("/**", "optional")).verified is None
    refuse(Reason.ORGANIZATION_DENIED, CHECKED, NONE)
