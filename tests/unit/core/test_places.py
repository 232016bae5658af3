"""Where a token may stand: one request has one, and a provider takes it from the places that it names."""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from types import MappingProxyType

import pytest

from gateway.core.decision import decide
from gateway.core.errors import GatewayError, Reason, RequestRefused
from gateway.core.fields import FieldSet
from gateway.core.jwt import parse_token
from gateway.core.places import AUTHORIZATION, PlaceKind, TokenPlace, check_origin, find_credentials
from gateway.core.proofs import ProofCache
from gateway.core.verification import verify
from tests.policies import make_head, make_policy, make_provider, make_route, make_routes
from tests.signing import NOW, make_key, make_key_set, make_token

HEADER = TokenPlace(PlaceKind.HEADER, "x-token")
COOKIE = TokenPlace(PlaceKind.COOKIE, "session")
QUERY = TokenPlace(PlaceKind.QUERY, "token")
PROTOCOL = TokenPlace(PlaceKind.WEBSOCKET_PROTOCOL)
ALL = (AUTHORIZATION, HEADER, COOKIE, QUERY, PROTOCOL)
UPGRADE = ((b"Connection", b"keep-alive, Upgrade"), (b"Upgrade", b"WebSocket"))
TOKEN = make_token()
KEYS = MappingProxyType({"main": make_key_set(make_key()), "other": make_key_set(make_key())})
APP = b"https://app.example"


def put(place, token):
    """Return the target and the fields of a request with a token in that place."""
    octets = token.encode()
    fields = {
        PlaceKind.AUTHORIZATION: [(b"Authorization", b"Bearer " + octets)],
        PlaceKind.HEADER: [(b"X-Token", octets)],
        PlaceKind.COOKIE: [(b"Cookie", b"a=1; session=" + octets)],
        PlaceKind.WEBSOCKET_PROTOCOL: [(b"Sec-WebSocket-Protocol", b"chat, bearer, " + octets)],
    }
    return f"/?token={token}" if place is QUERY else "/", fields.get(place.kind, [])


def find(target, fields, places=ALL):
    """Return what is found: the token and its place, None and None, or the reason of a refusal."""
    try:
        found = find_credentials(places, target, FieldSet((*fields, *UPGRADE)))
    except RequestRefused as refused:
        return refused.reason
    return found


@pytest.mark.parametrize("place", ALL, ids=str)
def test_a_token_is_found_where_it_may_stand(place):
    """And there alone: in a place that no provider names, nothing is looked at."""
    target, fields = put(place, "abc")
    assert find(target, fields) == ((b"Bearer abc",), place)
    others = [each for each in ALL if each is not place]
    assert find(target, fields, others) == ((), None)


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(ALL, 2)), ids=str)
def test_two_places_are_refused(first, second):
    """RFC 6750, section 2: never the first one that is found, not even where both are the same token (6750-2)."""
    (target, fields), (other_target, more) = put(first, "abc"), put(second, "abc")
    assert find(max(target, other_target, key=len), [*fields, *more]) is Reason.MULTIPLE_CREDENTIALS


@pytest.mark.parametrize("place", ALL, ids=str)
@pytest.mark.parametrize("token", ["", "a,b", 'a"', "a\\", "a%2Eb"])
def test_what_is_no_token_is_refused(place, token):
    """RFC 6750, section 2.1, wherever it stands; the other end of a subprotocol's comma is another subprotocol."""
    target, fields = put(place, token)
    allowed = place is PROTOCOL and token == "a,b"
    assert find(target, fields) == (((b"Bearer a",), PROTOCOL) if allowed else Reason.MALFORMED_CREDENTIALS)


def test_two_headers_are_refused():
    """As two Authorization fields are."""
    assert find("/", [(b"X-Token", b"a"), (b"x-token", b"a")]) is Reason.MULTIPLE_CREDENTIALS


def test_another_scheme_is_no_token():
    """So it does not stand beside one."""
    fields = [(b"Authorization", b"Basic YTpi"), (b"Cookie", b"session=abc")]
    assert find("/", fields) == ((b"Bearer abc",), COOKIE)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(b"Upgrade", b"websocket")],
        [(b"Connection", b"upgrade")],
        [(b"Connection", b"upgrade"), (b"Upgrade", b"h2c, websocket")],
    ],
)
def test_subprotocols_are_of_handshakes_only(fields):
    """Elsewhere the field says nothing (RFC 6455, section 11.3.4)."""
    head = FieldSet((*put(PROTOCOL, "abc")[1], *fields))
    assert find_credentials(ALL, "/", head) == ((), None)


# --- the origin ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "fields", "is_allowed"),
    [
        ("GET", [], True),
        ("HEAD", [(b"Origin", b"https://evil.example")], True),
        ("OPTIONS", [(b"Origin", b"null")], True),
        *((method, [(b"Origin", APP)], True) for method in ("POST", "PUT", "PATCH", "DELETE", "PROPFIND", "get")),
        *((method, [], False) for method in ("POST", "PUT", "PATCH", "DELETE", "PROPFIND", "get")),
        ("POST", [(b"Origin", b"http://localhost:5173")], True),
        # Octet for octet: nothing is a suffix, a prefix or the same in another spelling.
        ("POST", [(b"Origin", b"https://app.example:443")], False),
        ("POST", [(b"Origin", b"https://app.example/")], False),
        ("POST", [(b"Origin", b"https://APP.example")], False),
        ("POST", [(b"Origin", b"http://app.example")], False),
        ("POST", [(b"Origin", b"https://app.example.evil.example")], False),
        ("POST", [(b"Origin", b"https://evil-app.example")], False),
        ("POST", [(b"Origin", b"null")], False),
        ("POST", [(b"Origin", b"")], False),
        ("POST", [(b"Origin", b"https://app.example https://evil.example")], False),
        ("POST", [(b"Origin", APP), (b"Origin", APP)], False),
        # Without an origin, the browser's own word on where the request is from.
        ("POST", [(b"Sec-Fetch-Site", b"same-origin")], True),
        ("POST", [(b"Sec-Fetch-Site", b"none")], True),
        ("POST", [(b"Sec-Fetch-Site", b"same-site")], False),
        ("POST", [(b"Sec-Fetch-Site", b"cross-site")], False),
        ("POST", [(b"Sec-Fetch-Site", b"none"), (b"Sec-Fetch-Site", b"none")], False),
        ("POST", [(b"Sec-Fetch-Site", b"same-origin"), (b"Origin", b"https://evil.example")], False),
        ("POST", [(b"Referer", b"https://app.example/")], False),
        # A WebSocket is read by the page that opens it, whatever its method.
        ("GET", [*UPGRADE, (b"Origin", APP)], True),
        ("GET", [*UPGRADE, (b"Origin", b"https://evil.example")], False),
        ("GET", UPGRADE, False),
        ("GET", [*UPGRADE, (b"Sec-Fetch-Site", b"same-origin")], False),
    ],
)
def test_a_cookie_is_of_the_pages_that_may_use_it(method, fields, is_allowed):
    """Absence never permits, and ``null`` is everyone's (6455-8)."""
    refusal = nullcontext() if is_allowed else pytest.raises(RequestRefused, match="origin_denied: ")
    with refusal:
        check_origin(method, FieldSet(fields), {APP, b"http://localhost:5173"})


def test_no_origin_is_allowed_without_a_list():
    """``null`` is not, either."""
    for origin in (APP, b"null", b""):
        with pytest.raises(RequestRefused):
            check_origin("POST", FieldSet([(b"Origin", origin)]), ())


# --- the decision ----------------------------------------------------------------------------------------------------


def make(*places, **changes):
    """Return a policy of one provider that takes tokens from these places."""
    return make_policy(make_provider(token_places=places), **changes)


def ask(policy, place, token=TOKEN, method="GET", more=(), proofs=None):
    """Return the subject that a decision allows, or the reason of its refusal."""
    target, fields = put(place, token)
    upgrade = UPGRADE if place is PROTOCOL else ()
    head = make_head(target=target, method=method, fields=[*fields, *upgrade, *more])
    try:
        outcome = decide(head, policy, KEYS, NOW, dict.fromkeys(KEYS, True), proofs)
    except GatewayError as error:
        return error.reason
    return outcome.verified and outcome.verified.provider.name


@pytest.mark.parametrize("place", ALL, ids=str)
def test_a_token_proves_the_caller_from_each_place(place):
    """With and without what is remembered of it."""
    proofs = ProofCache()
    policy = make(*ALL)
    assert [ask(policy, place, proofs=proofs) for _ in range(2)] == ["main", "main"]
    assert (proofs.requests, proofs.hits) == (2, 1)
    assert ask(policy, place, "abc") is Reason.NOT_A_JWT


@pytest.mark.parametrize("proofs", [None, ProofCache()], ids=["anew", "proven"])
def test_the_origin_is_checked_before_a_token_in_a_cookie(proofs):
    """Of no other place: only a cookie is sent along by the browser itself."""
    policy = make(*ALL, allowed_origins=frozenset({APP}))
    for _ in range(2):
        assert ask(policy, COOKIE, method="POST", proofs=proofs) is Reason.ORIGIN_DENIED
        assert ask(policy, COOKIE, "abc", method="POST", proofs=proofs) is Reason.ORIGIN_DENIED
        assert ask(policy, COOKIE, method="POST", more=[(b"Origin", APP)], proofs=proofs) == "main"
        assert ask(policy, HEADER, method="POST", proofs=proofs) == "main"
        assert ask(policy, AUTHORIZATION, method="POST", more=[(b"Origin", b"null")], proofs=proofs) == "main"


@pytest.mark.parametrize(
    ("access", "expected"),
    [
        ("public", (None, None)),
        ("optional", (Reason.ORIGIN_DENIED, None)),
        ("required", (Reason.ORIGIN_DENIED, Reason.MISSING_TOKEN)),
    ],
)
def test_what_a_route_asks_for_stays(access, expected):
    """A public route looks at no token; on an optional one, a token that is refused is not taken for none."""
    policy = make(COOKIE, routes=make_routes(make_route("/**", access)))
    assert (ask(policy, COOKIE, method="POST"), ask(policy, QUERY, method="POST")) == expected


@pytest.mark.parametrize("proofs", [None, ProofCache()], ids=["anew", "proven"])
def test_a_provider_takes_tokens_from_its_own_places(proofs):
    """The first that has the issuer and the place, whatever was remembered of the token from elsewhere."""
    policy = make_policy(
        make_provider(name="main", token_places=(AUTHORIZATION,)),
        make_provider(name="other", token_places=(COOKIE, AUTHORIZATION)),
    )
    for _ in range(2):
        assert ask(policy, COOKIE, proofs=proofs) == "other"
        assert ask(policy, AUTHORIZATION, proofs=proofs) == "main"


def test_a_place_of_another_provider_is_refused():
    """It says so, and does not name the issuer as a stranger's; a check of the token alone asks for no place."""
    policy = make_policy(
        make_provider(name="main", token_places=(AUTHORIZATION,)),
        make_provider(name="other", issuers=("https://other.example",), token_places=(COOKIE,)),
    )
    target, fields = put(COOKIE, TOKEN)
    with pytest.raises(GatewayError) as refused:
        decide(make_head(target=target, fields=fields), policy, KEYS, NOW)
    error = refused.value
    assert (error.reason, error.received, error.expected) == (
        Reason.UNKNOWN_ISSUER,
        "cookie session",
        ("authorization",),
    )
    assert "stands" in error.description
    assert verify(parse_token(TOKEN), policy, KEYS, NOW).provider.name == "main"
    assert ask(policy, COOKIE, make_token(iss="https://stranger.example")) is Reason.UNKNOWN_ISSUER


@pytest.mark.parametrize(
    ("places", "forwards", "expected"),
    [
        ((AUTHORIZATION,), True, True),
        ((AUTHORIZATION,), False, False),
        ((AUTHORIZATION, COOKIE), True, True),
        ((COOKIE,), True, False),
    ],
)
def test_an_unread_authorization_goes_no_further(places, forwards, expected):
    """The upstream would get a token that nobody checked, beside one that was."""
    policy = make(*places)
    forwarding = type(policy.forwarding)(host=None, forward_token=forwards)
    assert make(*places, forwarding=forwarding).passes_authorization is expected
