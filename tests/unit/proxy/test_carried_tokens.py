"""Tokens outside of Authorization: what of them goes upstream, and what an answer owes to them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.fields import FieldSet
from gateway.core.places import AUTHORIZATION, PlaceKind, TokenPlace
from gateway.proxy.carried_tokens import CarriedTokens
from gateway.proxy.response import parse_response_head
from tests.policies import make_policy, make_provider

ALL = (
    AUTHORIZATION,
    TokenPlace(PlaceKind.HEADER, "x-token"),
    TokenPlace(PlaceKind.COOKIE, "session"),
    TokenPlace(PlaceKind.QUERY, "token"),
    TokenPlace(PlaceKind.WEBSOCKET_PROTOCOL),
)
CARRIED = CarriedTokens(ALL, forward_token=False)
FORWARDED = CarriedTokens(ALL, forward_token=True)
# Of places of no kind that stands in a header.
OTHER = CarriedTokens((TokenPlace(PlaceKind.QUERY, "token"),), forward_token=False)
PROTOCOL = b"Sec-WebSocket-Protocol: "


def cut(carried, *lines):
    """Return the lines that go upstream of these, which come as one piece but for the last."""
    fields = FieldSet([(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)])
    pieces = [piece for piece in (b"\r\n".join(lines[:-1]), lines[-1]) if piece]
    return carried.cut_lines(pieces, fields)


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        ([b"Accept: */*", b"X-Tokens: a"], [b"Accept: */*", b"X-Tokens: a"]),
        ([b"X-Token: a", b"x_token: b", b"X.TOKEN:c", b"A:b"], [b"A:b"]),
        ([b"Cookie: session=a", b"A: b"], [b"A: b"]),
        ([b"cookie:a=1; session=x; b=\xe9"], [b"cookie: a=1; b=\xe9"]),
        ([b"Cookie:  a=1;b=2 ", b"Cookie: session=x; c=3"], [b"Cookie:  a=1;b=2 ", b"Cookie: c=3"]),
        ([b"Set-Cookie: session=a"], [b"Set-Cookie: session=a"]),
        ([PROTOCOL + b"bearer, x", b"A: b"], [b"A: b"]),
        ([PROTOCOL + b"chat,v1"], [PROTOCOL + b"chat, v1"]),
        ([PROTOCOL + b"chat, bearer, x, v1"], [PROTOCOL + b"chat, v1"]),
        ([PROTOCOL + b"chat, bearer", b"A: b", PROTOCOL + b"x, v1"], [PROTOCOL + b"chat, v1", b"A: b"]),
        ([PROTOCOL + b"bearer", PROTOCOL + b"x, v1"], [PROTOCOL + b"v1"]),
        ([PROTOCOL + b"base64url.bearer.authorization.eA, v1"], [PROTOCOL + b"v1"]),
    ],
)
def test_tokens_go_no_further(lines, left):
    """Whoever asked for whatever: all else stays as it is, and in order."""
    assert cut(CARRIED, *lines) == left


def test_tokens_go_on_where_the_file_says_so():
    """As they came, but for a second spelling of a name, which nobody checked."""
    lines = [b"X-Token: a", b"Cookie:session=a; b=1", PROTOCOL + b"bearer,x", b"X_Token: b", b"A: b"]
    assert cut(FORWARDED, *lines) == [*lines[:3], b"A: b"]
    assert FORWARDED.cut_target("/?token=x&a") == "/?token=x&a"


def test_what_is_no_place_stays():
    """A cookie or a subprotocol is the upstream's own where the file names none."""
    lines = [b"X-Token: a", b"Cookie:session=a; b=1", PROTOCOL + b"bearer,x"]
    assert cut(OTHER, *lines) == lines
    assert OTHER.cut_target("/?token=x&a") == "/?a"
    assert CarriedTokens(ALL[:3], forward_token=False).cut_target("/?token=x&a") == "/?token=x&a"


def answer(fields):
    """Return the head of an answer with these lines."""
    return parse_response_head(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + fields + b"\r\n", b"GET")


@pytest.mark.parametrize(
    ("target", "fields", "is_added"),
    [
        ("/?token=x", b"", True),
        ("/?a&t%6Fken=x", b"Cache-Control: public, max-age=60\r\n", True),
        ("/?token=x", b'Cache-Control: private="Set-Cookie", no-store-x\r\nX-Cache-Control: private\r\n', True),
        ("/?token=x", b"cache-control: max-age=60,PRIVATE\r\n", False),
        ("/?token=x", b"Cache-Control: no-store\r\n", False),
        ("/?a=token", b"", False),
        ("/", b"", False),
    ],
)
def test_no_shared_cache_keeps_an_answer_to_a_query(target, fields, is_added):
    """RFC 6750, section 2.3: its URL is a secret, and would be the cache's key (6750-11)."""
    head = answer(fields)
    private = replace(head, fields=head.fields + b"\r\nCache-Control: private")
    assert CARRIED.make_private(head, target) == (private if is_added else head)


@pytest.mark.parametrize(
    ("offered", "chosen", "added"),
    [
        (b"bearer, x", b"", b"\r\nSec-WebSocket-Protocol: bearer"),
        (b"chat, bearer, x", b"", b"\r\nSec-WebSocket-Protocol: bearer"),
        (b"chat, bearer, x", b"sec-websocket-protocol: chat\r\n", b""),
        (b"chat, base64url.bearer.authorization.eA", b"", b""),
        (b"bearer, base64url.bearer.authorization.eA", b"", b"\r\nSec-WebSocket-Protocol: bearer"),
        (b"chat", b"", b""),
    ],
)
def test_the_marker_is_the_answer_where_the_upstream_has_none(offered, chosen, added):
    """RFC 6455, section 4.2.2: one that the client offered; browsers fail without one. Never a token (6455-3)."""
    head = answer(chosen)
    fields = FieldSet([(b"Sec-WebSocket-Protocol", offered)])
    assert CARRIED.choose_protocol(head, fields) == replace(head, fields=head.fields + added)
    assert OTHER.choose_protocol(head, fields) == head


def test_the_default_costs_nothing():
    """Where tokens stand in the Authorization field alone, there is nothing to take out."""
    assert CarriedTokens.of(make_policy()) is None
    assert CarriedTokens.of(make_policy(make_provider(token_places=ALL))) is not None


@pytest.mark.parametrize(("target", "expected"), [("/?", True), ("/", False)])
def test_a_query_is_looked_at(target, expected):
    """If a place is in it."""
    assert CARRIED.may_stand_in(target) is expected
    assert CarriedTokens(ALL[:3], forward_token=False).may_stand_in(target) is False
