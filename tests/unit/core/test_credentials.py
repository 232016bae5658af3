"""Where a token stands, and how a challenge asks for one."""

from __future__ import annotations

import re

import pytest

from gateway.core.credentials import build_challenge, extract_bearer_token, peek_bearer_token
from gateway.core.errors import AccessRefused, Reason, RequestRefused, TokenRefused
from gateway.core.fields import FieldSet


def authorize(*values, name=b"Authorization"):
    fields = FieldSet([(b"Host", b"api.example"), *((name, value) for value in values)])
    return fields.authorization


@pytest.mark.norm("6750-1")
@pytest.mark.parametrize("value", [b"Bearer abc", b"bearer abc", b"BEARER abc", b"Bearer  abc", b"bEaReR     abc"])
@pytest.mark.parametrize("name", [b"Authorization", b"authorization", b"AUTHORIZATION"])
def test_a_bearer_token_is_found(value, name):
    """RFC 6750, section 2.1; RFC 9110, section 11.4: the scheme in any case, then one space or more."""
    assert extract_bearer_token(authorize(value, name=name)) == "abc"


@pytest.mark.norm("6750-1")
@pytest.mark.parametrize("token", [b"a.b.c", b"AZaz09-._~+/", b"a=", b"a==", b"a" * 10_000])
def test_every_b64token_is_taken(token):
    """RFC 6750, section 2.1: whether it is a JWT is asked later."""
    assert extract_bearer_token(authorize(b"Bearer " + token)) == token.decode()


@pytest.mark.parametrize("fields", [[], [(b"Host", b"x")], [(b"Proxy-Authorization", b"Bearer a")]])
def test_no_field_is_no_token(fields):
    """Nothing was sent, so nothing is wrong with it."""
    assert extract_bearer_token(FieldSet(fields).authorization) is None


@pytest.mark.parametrize(
    "value", [b"Basic dTpw", b"DPoP abc", b"Negotiate", b"Bearer2 abc", b"Basic a, Bearer b", b"X \xff"]
)
def test_another_scheme_is_no_bearer_token(value):
    """RFC 9110, section 11.4: its credentials are somebody else's to understand."""
    assert extract_bearer_token(authorize(value)) is None


@pytest.mark.norm("6750-2", "6750-3")
@pytest.mark.parametrize(
    "values",
    [
        (b"Bearer a", b"Bearer b"),
        (b"Bearer a", b"Bearer a"),
        (b"Bearer a", b"DPoP b"),
        (b"Basic a", b"Bearer b"),
        (b"", b""),
    ],
    ids=["two", "the-same-twice", "dpop", "basic", "empty"],
)
def test_two_fields_are_refused(values):
    """RFC 9110, section 5.3: the field is no list; the upstream might read the other one."""
    with pytest.raises(RequestRefused) as refused:
        extract_bearer_token(authorize(*values))
    assert refused.value.reason is Reason.MULTIPLE_CREDENTIALS


@pytest.mark.norm("6750-3")
def test_two_spellings_of_the_name_are_two_fields():
    """The name is case-insensitive, so is the count."""
    fields = FieldSet([(b"authorization", b"Bearer a"), (b"AUTHORIZATION", b"Bearer b")])
    with pytest.raises(RequestRefused) as refused:
        extract_bearer_token(fields.authorization)
    assert refused.value.reason is Reason.MULTIPLE_CREDENTIALS


@pytest.mark.norm("6750-1")
@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b"Bearer",
        b"Bearer ",
        b"Bearer   ",
        b"Bearer\ta",
        b"Bearer a b",
        b"Bearer a,Bearer b",
        b"Bearer a, b",
        b"Bearer a ",
        b" Bearer a",
        b"Bearer =",
        b"Bearer a=b",
        b"Bearer \xff",
        b"Bearer \xc3\xa9",
        b"Bearer a\x00",
        b"Bearer a\n",
        b'Bearer "a"',
        b"Bearer: a",
        b"Bearer token=a",
        b"a=b",
        b"\xffBearer a",
        b"Bearer a;b",
        b"Bearer {a}",
    ],
)
def test_other_shapes_are_malformed(value):
    """RFC 6750, section 2.1: scheme, space, b64token, and nothing else; two readers could cut it in two ways."""
    with pytest.raises(RequestRefused) as refused:
        extract_bearer_token(authorize(value))
    assert refused.value.reason is Reason.MALFORMED_CREDENTIALS
    assert refused.value.received is None


@pytest.mark.parametrize(
    ("values", "token"),
    [
        ([b"Bearer eyJ.a.b"], b"eyJ.a.b"),
        ([b"Bearer abc"], b"abc"),
        ([b"bearer eyJ"], b"eyJ"),
        ([b"BEARER   abc"], b"abc"),
        ([b"Bearer  eyJ"], b"eyJ"),
        ([b"Bearer a b"], b"a b"),
        ([b"Bearer e b,\xff"], b"e b,\xff"),
        ([b"Bearer"], b""),
        ([b"Bearer "], b""),
        ([b"Basic eyJ"], b""),
        ([b"Bearers eyJ"], b""),
        ([b"Bearer\teyJ"], b""),
        ([b" Bearer eyJ"], b""),
        ([b"eyJ"], b""),
        ([b""], b""),
        ([], b""),
        ([b"Bearer eyJ", b"Bearer eyJ"], b""),
    ],
)
def test_a_peek_sees_what_stands_in_the_place_of_a_token(values, token):
    """Every token that is taken is what was peeked at; what is none was never met before."""
    assert peek_bearer_token(authorize(*values)) == token


@pytest.mark.parametrize("value", [b"Bearer abc", b"bearer eyJ", b"BEARER  eyJ==", b"Bearer e", b"bEaReR    a.b.c"])
def test_a_peek_and_the_grammar_cut_alike(value):
    """What was proven of one text must not be believed of another."""
    assert peek_bearer_token([value]).decode() == extract_bearer_token([value])


def test_a_challenge_points_to_metadata():
    """RFC 9728, section 5.1: behind what RFC 6750 says, and quoted."""
    error = TokenRefused(Reason.MISSING_TOKEN, "A bearer token is needed.", scopes=("a",))
    url = "https://api.example/.well-known/oauth-protected-resource"
    challenge = build_challenge(error, "r", with_description=True, metadata_url=url)
    assert challenge == f'Bearer realm="r", scope="a", resource_metadata="{url}"'


@pytest.mark.norm("6750-5", "6750-8")
def test_no_credentials_get_a_challenge_without_error():
    """RFC 6750, section 3.1: a client that sent nothing did nothing wrong."""
    error = TokenRefused(Reason.MISSING_TOKEN, "A bearer token is needed.")
    assert build_challenge(error, "api", with_description=True) == 'Bearer realm="api"'


@pytest.mark.norm("6750-6")
def test_a_bad_token_gets_its_error():
    """RFC 6750, section 3: each parameter once."""
    error = TokenRefused(Reason.EXPIRED, "The token has expired.")
    assert build_challenge(error, "api", with_description=False) == 'Bearer realm="api", error="invalid_token"'
    assert build_challenge(error, "api", with_description=True) == (
        'Bearer realm="api", error="invalid_token", error_description="The token has expired."'
    )


@pytest.mark.norm("6750-9")
def test_a_missing_scope_is_named():
    """RFC 6750, section 3.1: the scope that is needed, separated by spaces."""
    error = AccessRefused(Reason.INSUFFICIENT_SCOPE, "No.", scopes=("order:read", "order:write"))
    assert build_challenge(error, "api", with_description=False) == (
        'Bearer realm="api", error="insufficient_scope", scope="order:read order:write"'
    )


@pytest.mark.norm("6750-7")
def test_a_description_cannot_break_out():
    """RFC 6750, section 3: no quote, no backslash, nothing beyond ASCII in error_description."""
    error = TokenRefused(Reason.EXPIRED, 'a"b\\c\r\nd\x00é\x7f😀')
    challenge = build_challenge(error, "api", with_description=True)
    assert re.fullmatch(r'Bearer realm="api", error="invalid_token", error_description="[ !#-\[\]-~]*"', challenge)
