"""Preflights (Fetch, section 4.8): the real ones alone pass without a token."""

from __future__ import annotations

import json

import pytest

from gateway.core.decision import Allow, RequestHead, decide
from gateway.core.errors import GatewayError, Reason
from gateway.core.fields import FieldSet
from tests.policies import make_policy, make_route, make_routes
from tests.signing import NOW

ORIGIN = (b"Origin", b"https://app.example")
METHOD = (b"Access-Control-Request-Method", b"POST")
POLICY = make_policy(
    routes=make_routes(
        make_route("/items", methods=frozenset({"POST"}), scopes=("items:write",)),
        make_route("/read", methods=frozenset({"GET"})),
        default="deny",
    ),
    passes_preflights=True,
)


def ask(*fields, path="/items", method="OPTIONS", policy=POLICY):
    head = RequestHead(method, path, FieldSet([(b"Host", b"api.example"), *fields]))
    try:
        return decide(head, policy, {}, NOW)
    except GatewayError as error:
        return error.reason


def test_a_preflight_passes_as_nobody():
    """It falls under the rule of the request that it asks for, and whoever asks is told to be nobody."""
    outcome = ask(ORIGIN, METHOD, (b"Access-Control-Request-Headers", b"authorization"))
    assert isinstance(outcome, Allow)
    assert outcome.verified is None
    assert json.loads(dict(outcome.fields)[b"X-Identity"]) is None
    assert outcome.match.label == "/items"


@pytest.mark.parametrize(
    "fields",
    [
        (),
        (ORIGIN,),
        (METHOD,),
        (ORIGIN, ORIGIN, METHOD),
        (ORIGIN, METHOD, METHOD),
        ((b"Origin", b""), METHOD),
        (ORIGIN, (METHOD[0], b"")),
        (ORIGIN, (METHOD[0], b"post")),
        (ORIGIN, (METHOD[0], b"POST, GET")),
        (ORIGIN, (METHOD[0], b"CONNECT")),
        (ORIGIN, METHOD, (b"Authorization", b"Basic eA==")),
        (ORIGIN, METHOD, (b"Content-Length", b"1")),
        (ORIGIN, METHOD, (b"Transfer-Encoding", b"chunked")),
    ],
)
def test_what_is_no_preflight_is_a_request_like_others(fields):
    """OPTIONS is none of the route's methods."""
    assert ask(*fields) is Reason.METHOD_NOT_ALLOWED


def test_a_preflight_may_say_that_it_has_no_body():
    assert isinstance(ask(ORIGIN, METHOD, (b"Content-Length", b"0")), Allow)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/read", Reason.METHOD_NOT_ALLOWED),
        ("/none", Reason.NO_ROUTE),
        ("/a/../items", Reason.AMBIGUOUS_PATH),
        ("*", Reason.NO_ROUTE),
    ],
)
def test_a_preflight_opens_no_path(path, reason):
    """What the request itself would never get, no preflight for it gets."""
    assert ask(ORIGIN, METHOD, path=path) is reason


def test_other_methods_are_no_preflights():
    assert ask(ORIGIN, METHOD, method="POST") is Reason.MISSING_TOKEN


def test_preflights_need_a_token_unless_the_file_says_otherwise():
    assert ask(ORIGIN, METHOD, path="/x", policy=make_policy()) is Reason.MISSING_TOKEN


def test_preflights_pass_without_routes():
    assert isinstance(ask(ORIGIN, METHOD, path="/x", policy=make_policy(passes_preflights=True)), Allow)
