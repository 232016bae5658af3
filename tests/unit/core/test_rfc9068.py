"""
RFC 9068, section 4, from the request to the reason: what a resource server checks of an access token, in its order.

The provider has ``profile: rfc9068``. Each case is a good token but for one thing.
"""

from __future__ import annotations

import dataclasses

import pytest

from gateway.core.decision import Allow, decide
from gateway.core.errors import GatewayError, OAuthError, Reason
from tests.policies import RFC9068, make_head, make_policy, make_provider
from tests.signing import (
    ABSENT,
    AUDIENCE,
    ISSUER,
    NOW,
    encode,
    make_claims,
    make_header,
    make_key,
    make_key_set,
    make_token,
    sign_with_secret,
)

KEYS = {"main": make_key_set(make_key("RS256"), make_key("ES256", "key-2"))}
POLICY = make_policy(make_provider(leeway_seconds=5.0, **RFC9068))
SIGNED = make_key("ES256", "key-2")


def ask(token):
    return decide(make_head(token), POLICY, KEYS, NOW, {"main": True})


def typed(typ):
    return make_token(SIGNED, {"typ": typ})


def claimed(**claims):
    return make_token(SIGNED, **claims)


def refused(norm, name, token, reason):
    return pytest.param(token, reason, id=name, marks=pytest.mark.norm(norm))


UNSIGNED = make_token(SIGNED, {"alg": "none"}).rpartition(".")[0] + "."
HMAC = sign_with_secret(b"x", make_header(SIGNED, alg="HS256"), make_claims())
FOREIGN = make_token(dataclasses.replace(make_key("ES256", "evil"), kid="key-2"))
ENCRYPTED = ".".join([encode(b'{"alg":"RSA-OAEP","enc":"A256GCM","typ":"at+jwt"}'), *"abcd"])
# Without iss no provider is found, without aud or exp their own checks speak.
MISSING = {"iss": Reason.UNKNOWN_ISSUER, "aud": Reason.AUDIENCE_MISMATCH}

REFUSED = [
    *(
        refused("9068-1", f"typ-{typ}", typed(typ), Reason.TYP_NOT_ACCEPTED)
        for typ in ("JWT", "at-jwt", "at+jwt ", "text/at+jwt", "", "id+jwt")
    ),
    refused("9068-1", "typ-absent", typed(ABSENT), Reason.TYP_NOT_ACCEPTED),
    refused("9068-2", "encrypted", ENCRYPTED, Reason.ENCRYPTED_TOKEN),
    refused("9068-3", "issuer-slash", claimed(iss=f"{ISSUER}/"), Reason.UNKNOWN_ISSUER),
    refused("9068-3", "issuer-case", claimed(iss=ISSUER.replace("issuer", "Issuer")), Reason.UNKNOWN_ISSUER),
    refused("9068-4", "audience-other", claimed(aud="https://other.example"), Reason.AUDIENCE_MISMATCH),
    refused("9068-4", "audience-others", claimed(aud=["a", "b"]), Reason.AUDIENCE_MISMATCH),
    refused("9068-4", "audience-nobody", claimed(aud=[]), Reason.AUDIENCE_MISMATCH),
    refused("9068-5", "unsigned", UNSIGNED, Reason.ALGORITHM_NOT_ACCEPTED),
    refused("9068-5", "hmac", HMAC, Reason.ALGORITHM_NOT_ACCEPTED),
    refused("9068-5", "foreign-key", FOREIGN, Reason.BAD_SIGNATURE),
    refused("9068-5", "key-of-another-alg", make_token(SIGNED, {"alg": "RS256"}), Reason.UNKNOWN_KEY),
    refused("9068-7", "at-the-end-of-the-leeway", claimed(exp=NOW - 5), Reason.EXPIRED),
    *(
        refused("9068-9", f"without-{name}", claimed(**{name: ABSENT}), MISSING.get(name, Reason.CLAIM_MISSING))
        for name in ("iss", "exp", "aud", "sub", "client_id", "iat", "jti")
    ),
]


@pytest.mark.norm("9068-8", "8725-2")
@pytest.mark.parametrize(("token", "reason"), REFUSED)
def test_one_thing_wrong_refuses_the_token(token, reason):
    """401 with ``invalid_token`` (RFC 6750, section 3.1) for each of these checks, and nothing of the token goes on."""
    with pytest.raises(GatewayError) as caught:
        ask(token)
    assert caught.value.reason is reason
    assert (reason.status, reason.error) == (401, OAuthError.INVALID_TOKEN)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(typed("at+jwt"), id="typ", marks=pytest.mark.norm("9068-1")),
        pytest.param(typed("AT+JWT"), id="typ-case", marks=pytest.mark.norm("9068-1")),
        pytest.param(typed("Application/At+Jwt"), id="typ-media-type", marks=pytest.mark.norm("9068-1")),
        pytest.param(claimed(iss=ISSUER), id="issuer", marks=pytest.mark.norm("9068-3")),
        pytest.param(claimed(aud=["other", AUDIENCE]), id="audience", marks=pytest.mark.norm("9068-4")),
        pytest.param(make_token(make_key("RS256")), id="rs256", marks=pytest.mark.norm("9068-6")),
        pytest.param(claimed(exp=NOW - 4), id="within-the-leeway", marks=pytest.mark.norm("9068-7")),
    ],
)
def test_what_the_standard_takes_is_taken(token):
    """The other side of each bound."""
    assert isinstance(ask(token), Allow)
