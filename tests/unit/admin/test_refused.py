"""What is remembered of refused requests: how many, in which order, and no secret."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.admin.refused import MAX_REFUSED, MAX_SIDES, RefusedRequest, RefusedRequests, merge_refused
from gateway.core.errors import Reason
from gateway.core.policy import Forwarding, Policy
from gateway.core.routes import Route, RouteTable, parse_path_pattern

POLICY = Policy(
    (), Forwarding(host=None), RouteTable([Route(parse_path_pattern("/orders/{id}"), frozenset({"GET", "PUT"}))])
)
NO_ROUTES = Policy((), Forwarding(host=None))
TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.AAAA"
# 2027-01-15T08:00:00Z
NOW = 1_800_000_000


def refuse(request_id: str = "id-1", now: float = NOW, policy: Policy = POLICY, **known: Any) -> RefusedRequest:
    return RefusedRequest(
        **{
            "refused_at": now,
            "request_id": request_id,
            "method": "GET",
            "path": "/orders/1",
            "status": 401,
            "reason": Reason.AUDIENCE_MISMATCH,
            "description": "The token is for another audience.",
            "policy": policy,
            **known,
        }
    )


def describe(**known: Any) -> dict[str, Any]:
    kept = RefusedRequests()
    kept.keep(refuse(**known))
    [found] = kept.describe()
    return found


def test_refusal_has_both_sides() -> None:
    """All that a person needs who has a request id, and null for what is not known."""
    assert describe(
        provider="logto",
        received=("https://other.example",),
        expected=("https://my-api.example", "urn:x:*"),
        context={"token_iss": "https://issuer.example", "token_aud": ["a", "b"], "token_alg": "ES256", "subject": "u"},
    ) == {
        "time": "2027-01-15T08:00:00.000Z",
        "request_id": "id-1",
        "method": "GET",
        "path": "/orders/1",
        "status": 401,
        "route": "/orders/{id}",
        "provider": "logto",
        "reason": "audience_mismatch",
        "description": "The token is for another audience.",
        "received": ["https://other.example"],
        "expected": ["https://my-api.example", "urn:x:*"],
        "token_iss": "https://issuer.example",
        "token_aud": "a b",
        "token_alg": "ES256",
        "token_kid": None,
    }


@pytest.mark.parametrize(
    ("value", "sides"),
    [
        (None, []),
        ((), []),
        ("a", ["a"]),
        (7, ["7"]),
        (1.5, ["1.5"]),
        (True, ["true"]),
        ((None, False), ["none", "false"]),
        (["a", {"b": 1}, ["c", "d"]], ["a", "<dict>", "c d"]),
        (frozenset({"a"}), ["a"]),
        ("x" * 1000, ["x" * 128]),
        (("a",) * 1000, ["a"] * MAX_SIDES),
        (f"Bearer {TOKEN}", ["Bearer [token]"]),
        (f"{'x' * 100}{TOKEN}", ["x" * 100 + "[token]"]),
    ],
)
def test_sides_are_short_texts(value: object, sides: list[str]) -> None:
    """Of any type and size, cut as in the log; a token that stands where it should not is not repeated."""
    found = describe(received=value, expected=value)
    assert (found["received"], found["expected"]) == (sides, sides)


@pytest.mark.parametrize(
    ("known", "path", "route"),
    [
        ({}, "/orders/1", "/orders/{id}"),
        ({"path": "/other"}, "/other", "default"),
        ({"path": "/other", "policy": NO_ROUTES}, "/other", "default"),
        ({"method": "POST"}, "/orders/1", None),
        ({"path": "/orders/../x"}, "/orders/../x", None),
        ({"path": "http://u:p@a.example/orders/2", "hosts": (b"a.example",)}, "/orders/2", None),
        ({"path": "http://a.example/orders/2", "hosts": (b"a.example",)}, "/orders/2", "/orders/{id}"),
        ({"path": "http://b.example/orders/2", "hosts": (b"a.example",)}, "/orders/2", None),
        ({"path": f"/orders/{TOKEN}"}, "/orders/[token]", "/orders/{id}"),
        ({"path": f"/{'x' * 5000}"}, f"/{'x' * 1023}", "default"),
        ({"method": "", "path": ""}, "", None),
    ],
)
def test_path_is_that_of_the_log_and_the_rule_its_own(known: dict[str, Any], path: str, route: str | None) -> None:
    """No token, no user's name; no rule where it was the path or the method that was refused."""
    found = describe(**known)
    assert (found["path"], found["route"]) == (path, route)


def test_last_ones_are_kept_newest_first() -> None:
    """A flood costs no more memory than this many."""
    kept = RefusedRequests()
    for number in range(MAX_REFUSED + 5):
        kept.keep(refuse(str(number), NOW + number))
    assert [each["request_id"] for each in kept.describe()] == [str(n) for n in range(MAX_REFUSED + 4, 4, -1)]


def test_workers_refuse_as_one() -> None:
    """Newest first over all of them, and no more than one process keeps."""
    lists = []
    for first in range(2):
        kept = RefusedRequests()
        for number in range(first, 2 * MAX_REFUSED, 2):
            kept.keep(refuse(str(number), NOW + number))
        lists.append(kept.describe())
    merged = merge_refused(lists)
    assert [each["request_id"] for each in merged] == [str(n) for n in range(2 * MAX_REFUSED - 1, MAX_REFUSED - 1, -1)]
    assert merge_refused([]) == []


def test_what_a_caller_wrote_is_ascii() -> None:
    """The document is written with escapes, whatever stands in a claim."""
    found = json.dumps(describe(received="\x1b[2J\u202e", context={"token_kid": "\ud800"}))
    assert found.isascii()
    assert found.isprintable()
