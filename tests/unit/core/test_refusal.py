"""What becomes of a refusal: it holds, or is only observed."""

from __future__ import annotations

import json

import pytest

from gateway.core.decision import Allow, decide
from gateway.core.errors import GatewayError, Reason
from gateway.core.identity import IdentitySettings
from gateway.core.organizations import OrganizationRules
from gateway.core.policy import Forwarding
from gateway.core.refusal import find_resource, observe
from gateway.core.resource import build_resource
from gateway.core.verification import NeedKeys
from tests.policies import make_head, make_policy, make_provider, make_route, make_routes
from tests.signing import NOW, make_key, make_key_set, make_token

KEYS = {"main": make_key_set(make_key())}
ASKED = {"main": True}
GOOD = make_token()
LATE = make_token(exp=NOW - 3600.0)
OPEN = make_head(None, "/open")


def pass_on(head, policy, *, reason, keys=KEYS, asked=ASKED):
    """Return how a request goes on that is refused for this reason."""
    with pytest.raises(GatewayError) as refused:
        decide(head, policy, keys, NOW, asked)
    assert refused.value.reason is reason
    return observe(refused.value, head, policy, keys, NOW, asked)


def read_subject(outcome):
    assert isinstance(outcome, Allow)
    identity = json.loads(dict(outcome.fields)[b"X-Identity"])
    return identity and identity["subject"]


ROUTES = make_routes(
    make_route("/items/**", methods=frozenset({"GET"}), scopes=("items:read",)),
    make_route("/observed", scopes=("items:read",), is_observed=True),
)
OBSERVED = make_policy(routes=ROUTES, is_observed=True)


@pytest.mark.parametrize(
    ("head", "reason", "subject", "label"),
    [
        (make_head(None), Reason.MISSING_TOKEN, None, "default"),
        (make_head(LATE), Reason.EXPIRED, None, "default"),
        (make_head("x"), Reason.NOT_A_JWT, None, "default"),
        (make_head(GOOD, "/items/1"), Reason.INSUFFICIENT_SCOPE, "user-1", "/items/**"),
        (make_head(LATE, "/items/1"), Reason.EXPIRED, None, "/items/**"),
        (make_head(GOOD, "/items/1", method="PUT"), Reason.METHOD_NOT_ALLOWED, "user-1", "default"),
        (make_head(GOOD, "/a//b"), Reason.AMBIGUOUS_PATH, "user-1", "default"),
    ],
)
def test_an_observed_request_goes_on(head, reason, subject, label):
    """With the identity that its token proves, and as nobody without one."""
    outcome = pass_on(head, OBSERVED, reason=reason)
    assert read_subject(outcome) == subject
    assert outcome.target == head.target
    assert outcome.match.label == label


def test_an_outage_refuses_nothing_either():
    """Keys are asked for, and without them nobody is known."""
    head = make_head(GOOD)
    with pytest.raises(GatewayError) as refused:
        decide(head, OBSERVED, {}, NOW, {"main": False})
    assert read_subject(observe(refused.value, head, OBSERVED, {}, NOW, {"main": False})) is None


def test_keys_are_asked_for_before_a_request_is_passed_on():
    """A route refuses before keys are looked for, and who calls is told all the same."""
    head = make_head(GOOD, "/items/1", method="PUT")
    assert pass_on(head, OBSERVED, reason=Reason.METHOD_NOT_ALLOWED, keys={}, asked={}) == NeedKeys("main", "key-1")


def test_an_organization_that_may_not_call_is_nobody():
    """Its callers go on where the file is observed, and are told to nobody."""
    policy = make_policy(is_observed=True, organizations=OrganizationRules(allowed=frozenset({"org_1"})))
    head = make_head(make_token(org_id="org_2"))
    assert read_subject(pass_on(head, policy, reason=Reason.ORGANIZATION_DENIED)) is None


def test_a_route_that_is_observed_does_not_undo_what_the_file_says():
    """Whom it shuts out, it shuts out there too."""
    policy = make_policy(routes=ROUTES, organizations=OrganizationRules(denied=frozenset({"org_2"})))
    head = make_head(make_token(org_id="org_2", scope="items:read"), "/observed")
    with pytest.raises(GatewayError, match="organization_denied"):
        pass_on(head, policy, reason=Reason.ORGANIZATION_DENIED)


def test_a_route_alone_may_be_observed():
    """Others refuse as ever."""
    policy = make_policy(routes=ROUTES)
    assert read_subject(pass_on(make_head(GOOD, "/observed"), policy, reason=Reason.INSUFFICIENT_SCOPE)) == "user-1"
    with pytest.raises(GatewayError, match="insufficient_scope"):
        pass_on(make_head(GOOD, "/items/1"), policy, reason=Reason.INSUFFICIENT_SCOPE)
    with pytest.raises(GatewayError, match="ambiguous_path"):
        pass_on(make_head(GOOD, "/a//b"), policy, reason=Reason.AMBIGUOUS_PATH)


@pytest.mark.parametrize(
    ("head", "policy", "reason"),
    [
        (make_head(GOOD, "/a#b"), OBSERVED, Reason.AMBIGUOUS_PATH),
        (make_head(GOOD, "/", method="TRACE"), OBSERVED, Reason.METHOD_NOT_ALLOWED),
        (
            make_head(GOOD, "/../b"),
            make_policy(is_observed=True, forwarding=Forwarding(host=None, base_path="/base")),
            Reason.AMBIGUOUS_PATH,
        ),
    ],
)
def test_what_cannot_be_sent_on_is_refused(head, policy, reason):
    """Observing opens nothing that two servers would read in two ways, and no way out of a base path."""
    with pytest.raises(GatewayError) as refused:
        pass_on(head, policy, reason=reason)
    assert refused.value.reason is reason


def test_an_identity_that_does_not_fit_is_nobodys():
    """The header is always there and always ours."""
    policy = make_policy(is_observed=True, identity=IdentitySettings(max_size_bytes=20))
    assert read_subject(pass_on(make_head(GOOD), policy, reason=Reason.IDENTITY_TOO_LARGE)) is None


def test_the_resource_is_the_routes_own_else_the_gateways():
    """A path that nothing can be said of is for the gateway."""
    own, mcp = build_resource("https://api.example"), build_resource("https://api.example/mcp")
    policy = make_policy(
        make_provider(), routes=make_routes(make_route("/mcp", resource=mcp), make_route("/x")), resource=own
    )
    found = [find_resource(make_head(None, path), policy) for path in ("/mcp", "/x", "/y", "/a//b")]
    assert found == [mcp, own, own, own]
