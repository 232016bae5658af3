"""When a token holds, and whether one that was accepted still does."""

from __future__ import annotations

import pytest

from gateway.core.errors import Reason, TokenRefused
from gateway.core.jwt import parse_token
from gateway.core.tokens import check_claims, check_times, forget_text, stands
from tests.policies import make_provider
from tests.signing import ABSENT, AUDIENCE, NOW, make_token

ORGANIZATION = "urn:logto:organization:{organization}"


def check(provider, **claims):
    return check_claims(parse_token(make_token(**claims)), provider, NOW)


@pytest.mark.parametrize(
    ("claims", "begins"),
    [
        ({"iat": NOW - 60}, NOW - 65.0),
        ({"iat": NOW - 60, "nbf": NOW - 30}, NOW - 35.0),
        ({"iat": NOW - 30, "nbf": NOW - 60}, NOW - 35.0),
        ({"iat": ABSENT, "nbf": NOW - 30}, NOW - 35.0),
        ({"iat": 0, "nbf": 0}, -5.0),
        ({"iat": ABSENT}, -5.0),
    ],
    ids=["iat", "nbf", "later-iat", "nbf-only", "zero", "neither"],
)
def test_the_times_of_a_token_are_those_of_its_claims(claims, begins):
    """RFC 7519, sections 4.1.4 to 4.1.6: from the later of ``nbf`` and ``iat`` to ``exp``, with leeway on both ends."""
    provider = make_provider(leeway_seconds=5.0)
    token = parse_token(make_token(exp=NOW + 10, **claims))
    assert check_times(token, provider, NOW) == (begins, NOW + 15.0)
    verified = check_claims(token, provider, NOW)
    assert (verified.begins, verified.ends) == (begins, NOW + 15.0)


@pytest.mark.parametrize("claims", [{"nbf": NOW}, {"iat": NOW}, {"nbf": NOW, "iat": NOW}])
@pytest.mark.parametrize("seconds", [-5.125, -5.0, 0, 14.875, 15.0])
def test_a_token_stands_when_it_would_be_accepted(claims, seconds):
    """Asked again, the times give the same answer as they did at first."""
    provider = make_provider(leeway_seconds=5.0)
    verified = check(provider, exp=NOW + 10, **{"iat": 0, **claims})
    is_accepted = -5.0 <= seconds < 15.0
    assert stands(verified, NOW + seconds) is is_accepted
    if is_accepted:
        check_times(verified.token, provider, NOW + seconds)
    else:
        with pytest.raises(TokenRefused):
            check_times(verified.token, provider, NOW + seconds)


@pytest.mark.parametrize(
    ("audiences", "aud"),
    [
        ((AUDIENCE,), AUDIENCE),
        ((AUDIENCE, ORGANIZATION), ["other", AUDIENCE]),
        ((ORGANIZATION,), "urn:logto:organization:a"),
        ((AUDIENCE, "x*", ORGANIZATION), ["other", "urn:logto:organization:a"]),
    ],
    ids=["literal", "second", "pattern", "last-pattern"],
)
def test_an_audience_stands_while_it_is_ours(audiences, aud):
    """RFC 7519, section 4.1.3: by its text or by a pattern, and only by those of the provider."""
    verified = check(make_provider(*audiences), aud=aud)
    assert stands(verified, NOW)
    for other in (make_provider("https://other.example"), make_provider("y*"), make_provider(audiences=())):
        assert not stands(verified._replace(provider=other), NOW)


def test_any_audience_stands_where_the_file_says_so():
    """``allow_any_audience: true``, for a token that names somebody else or nobody."""
    provider = make_provider(audiences=(), allow_any_audience=True)
    for aud in ("other", ABSENT):
        verified = check(provider, aud=aud)
        assert stands(verified, NOW)
        assert not stands(verified, verified.ends)
        assert not stands(verified._replace(provider=make_provider()), NOW)


def test_a_literal_audience_does_not_hide_a_capture():
    """One accepted audience is no reason not to look at the others: they may name an organization."""
    provider = make_provider(AUDIENCE, ORGANIZATION)
    assert provider.literal_audiences == {AUDIENCE}
    assert check(provider, aud=[AUDIENCE, "urn:logto:organization:a"]).organization == "a"
    with pytest.raises(TokenRefused) as refused:
        check(provider, aud=[AUDIENCE, "urn:logto:organization:a", "urn:logto:organization:b"])
    assert refused.value.reason is Reason.ORGANIZATION_CONFLICT


def test_a_token_without_its_text_says_the_same():
    """Only what was signed and the signature are forgotten."""
    verified = check(make_provider())
    forgotten = forget_text(verified)
    token = verified.token
    assert (forgotten.token.signing_input, forgotten.token.signature) == (b"", b"")
    assert forgotten.token[2:] == token[2:]
    assert forgotten[1:] == verified[1:]
    assert token.signature
