"""Reading tokens again and again: what was read before changes nothing."""

from __future__ import annotations

import pytest

from gateway.core.errors import Reason, TokenRefused
from gateway.core.jwt import parse_token
from tests.signing import encode, make_claims, to_octets

HEADER = {"alg": "ES256", "typ": "at+jwt", "kid": "key-1"}


def join(header=None, payload=None, signature=b"s" * 64):
    parts = (HEADER if header is None else header, make_claims() if payload is None else payload)
    return ".".join([*(encode(to_octets(part)) for part in parts), encode(signature)])


def refuse(text, reason=Reason.MALFORMED_TOKEN):
    with pytest.raises(TokenRefused) as refused:
        parse_token(text)
    assert refused.value.reason is reason
    return refused.value


@pytest.mark.parametrize(
    ("names", "first"),
    [(("jti", "sub", "iss"), "iss"), (("jti", "sub"), "sub"), (("iat", "nbf", "exp"), "exp"), (("iat", "nbf"), "nbf")],
)
def test_of_several_wrong_types_the_same_is_said_each_time(names, first):
    """A refusal that changes from one run to the next misleads whoever mends it."""
    refused = refuse(join(payload={name: [] for name in ("aud", *names)} | {"aud": 5}))
    assert refused.received == f"{first}: an array"


@pytest.mark.parametrize("padding", ["", "x" * 1000], ids=["short", "long"])
def test_a_header_that_was_read_before_is_read_the_same(padding):
    """All tokens of a key have one header; a token is what its own parts say, however often they came."""
    header = {**HEADER, "x": padding}
    first, second = parse_token(join(header)), parse_token(join(header, make_claims(sub="other"), b"t" * 64))
    assert (first.algorithm, first.kid, first.typ) == (second.algorithm, second.kid, second.typ)
    assert (first.claims["sub"], second.claims["sub"], second.signature) == ("user-1", "other", b"t" * 64)
    assert parse_token(join({**header, "kid": "key-2"})).kid == "key-2"
    for _ in range(2):
        refuse(join({**header, "crit": []}), Reason.CRITICAL_HEADER)
