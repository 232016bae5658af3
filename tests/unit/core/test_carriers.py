"""Tokens inside of a cookie, a query, the subprotocols of a WebSocket: found, refused, taken out."""

from __future__ import annotations

import pytest

from gateway.core.carriers import (
    read_cookie,
    read_offer,
    read_parameter,
    read_protocol,
    remove_cookies,
    remove_parameters,
)
from gateway.core.errors import Reason, RequestRefused

MULTIPLE, MALFORMED = Reason.MULTIPLE_CREDENTIALS, Reason.MALFORMED_CREDENTIALS


def read(reader, *arguments):
    """Return what a reader says: a value, None or the reason of its refusal."""
    try:
        return reader(*arguments)
    except RequestRefused as refused:
        return refused.reason


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], None),
        ([b""], None),
        ([b"session=abc"], b"abc"),
        ([b"a=1; session=abc; b=2"], b"abc"),
        # Clients that leave the space out are many, and read in one way only.
        ([b"a=1;session=abc;b=2"], b"abc"),
        ([b"a=1; session=abc "], b"abc"),
        ([b"session="], b""),
        ([b'session="abc"'], b'"abc"'),
        ([b"session=a=b"], b"a=b"),
        # Other names, and the name inside of a value.
        ([b"xsession=abc; session2=a; my-session=b; Session=c"], None),
        ([b"next=/?session=abc; a=session"], None),
        ([b"session"], None),
        # Two of that name: which one a server takes, no standard says (RFC 6265, section 4.2.2).
        ([b"session=a; session=b"], MULTIPLE),
        ([b"session=a; session=a"], MULTIPLE),
        ([b"session=a", b"session=b"], MULTIPLE),
        # Quoted strings with separators in them (RFC 2109): two cookies to one reader, one to the other.
        ([b'a="x; session=b"; session=c'], MULTIPLE),
        ([b'a="x, session=b"; session=c'], MULTIPLE),
        ([b'a="session=b"; session=c'], MULTIPLE),
        ([b"a=1, session=b; session=c"], MULTIPLE),
        ([b'a="x, session=b"'], MALFORMED),
        ([b"session =a"], MALFORMED),
        ([b"a=1 session=b"], MALFORMED),
        # RFC 6265, section 5.4: one Cookie field.
        ([b"session=a", b"b=1"], MALFORMED),
        ([b"b=1", b"session=a"], MALFORMED),
        ([b"b=1", b"c=2"], None),
    ],
)
def test_a_cookie_is_read_in_one_way_only(fields, expected):
    """What two servers could read differently is refused (RFC 6265, section 4.2.1)."""
    assert read(read_cookie, fields, b"session") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a=1", b"a=1"),
        (b"session=x", b""),
        (b"session=x; a=1", b"a=1"),
        (b"a=1; session=x", b"a=1"),
        (b"a=1; session=x; b=2", b"a=1; b=2"),
        (b'a=1;session=x;b=\xe9 ,"', b'a=1;b=\xe9 ,"'),
        (b"b=2;  a=1;  session=x;c", b"b=2;  a=1;c"),
        (b"sessions=1; Session=2; a=session=3", b"sessions=1; Session=2; a=session=3"),
        (b"session=x; other=y; session=z", b""),
        (b"", b""),
        # As some servers see it, the cookie stands here too, so nothing of the field goes on.
        (b"a=1, session=x", b""),
        (b'a="1 session =x"; b=2', b""),
    ],
)
def test_other_cookies_stay_as_they_are(value, expected):
    """Octet for octet and in order."""
    assert remove_cookies(value, [b"session", b"other"]) == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/", None),
        ("/?", None),
        ("/?a=b", None),
        ("/?token=abc", b"abc"),
        ("/?a=b&token=abc&c", b"abc"),
        ("/?token=", b""),
        ("/?token", b""),
        ("/?token=a%2Eb", b"a%2Eb"),
        ("/token=abc", None),
        ("/?xtoken=a&token2=b&Token=c&a=token", None),
        ("/?token=a&token=b", MULTIPLE),
        ("/?token=a&token=a", MULTIPLE),
        ("/?token=a&t%6Fken=b", MULTIPLE),
        ("/?token=a;token=b", MULTIPLE),
        ("/?t%6fken=b", MALFORMED),
        ("/?a=b;token=c", MALFORMED),
        ("/?token=a;b=c", b"a;b=c"),
        ("http://api.example?token=abc", b"abc"),
    ],
)
def test_a_parameter_is_read_in_one_way_only(target, expected):
    """Escapes in its name, and semicolons, are read by some servers only."""
    assert read(read_parameter, target, "token") == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/a", "/a"),
        ("/a?", "/a?"),
        ("*", "*"),
        ("/a?token=x", "/a"),
        ("/a?token", "/a"),
        ("/a?token=x&b=1", "/a?b=1"),
        ("/a?b=%31&token=x", "/a?b=%31"),
        ("/a?b=1&token=x&c=2&&d", "/a?b=1&c=2&&d"),
        ("/a?b=1;token=x;c=2", "/a?b=1;c=2"),
        ("/a?t%6Fken=x&+token=1&b=?token=y", "/a?+token=1&b=?token=y"),
        ("/a?token=x&token=y", "/a"),
        ("/token=x?b", "/token=x?b"),
    ],
)
def test_other_parameters_stay_as_they_are(target, expected):
    """Octet for octet and in order; of a query that was the token alone, nothing stays."""
    assert remove_parameters(target, ["token"]) == expected


# "abc" and "a.b" in base64url without padding
ABC, AB = b"YWJj", b"YS5i"
PREFIX = b"base64url.bearer.authorization."


@pytest.mark.parametrize(
    ("fields", "expected", "rest"),
    [
        ([], None, []),
        ([b"chat, v1"], None, [b"chat", b"v1"]),
        ([b"bearer, abc"], b"abc", []),
        ([b"chat, bearer, abc, v1"], b"abc", [b"chat", b"v1"]),
        ([b"bearer", b"abc,chat"], b"abc", [b"chat"]),
        ([b" bearer ,\tabc "], b"abc", []),
        ([PREFIX + ABC], b"abc", []),
        ([PREFIX + b"k8s.io." + AB + b", chat"], b"a.b", [b"chat"]),
        ([b"chat", PREFIX + AB], b"a.b", [b"chat"]),
        ([b"bearer, " + PREFIX + ABC], b"abc", []),
        ([PREFIX + ABC + b", bearer"], b"abc", []),
        # Neither an alphabet nor a length of base64url, or nothing at all: no token, which its grammar says.
        ([PREFIX], b"", []),
        ([PREFIX + b"YWJj=="], b"", []),
        ([PREFIX + b"a"], b"", []),
        ([PREFIX + b"a+/b"], b"", []),
        # Names have a case (RFC 6455, section 4.1), and end where they end.
        ([b"Bearer, abc"], None, [b"Bearer", b"abc"]),
        ([b"bearer2, abc"], None, [b"bearer2", b"abc"]),
        ([b"x" + PREFIX + ABC], None, [b"x" + PREFIX + ABC]),
        ([b"bearer, a, bearer, b"], MULTIPLE, []),
        ([b"bearer, a, " + PREFIX + ABC], MULTIPLE, []),
        ([PREFIX + ABC + b"," + PREFIX + ABC], MULTIPLE, []),
        ([b"bearer"], MALFORMED, []),
        ([b"chat, bearer"], MALFORMED, [b"chat"]),
        ([b"bearer, bearer, abc"], MALFORMED, []),
        ([b"bearer,, abc,"], b"abc", []),
        ([b"bearer,,"], MALFORMED, []),
    ],
)
def test_subprotocols_carry_one_token(fields, expected, rest):
    """The others are what the upstream chooses from, in order (RFC 6455, section 4.1)."""
    assert read(read_protocol, fields) == expected
    assert list(read_offer(fields).rest) == rest
