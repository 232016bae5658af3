"""The members of an identity that a rule may ask for, one by one."""

from __future__ import annotations

import pytest

from gateway.core.identity import RESERVED_NAMES, IdentitySettings, build_identity, find_member
from gateway.core.jwt import parse_token
from gateway.core.tokens import check_claims
from tests.policies import make_provider
from tests.signing import NOW, make_token


@pytest.mark.parametrize("kind", ["oidc", "customJwt"])
def test_our_names_are_what_was_resolved(kind):
    """Whatever the token's own claims of that name say, a member of ours is the one of the identity."""
    evil = dict.fromkeys(RESERVED_NAMES, "evil")
    token = parse_token(make_token(scope="a b", **evil))
    verified = check_claims(token, make_provider(kind=kind), NOW)
    identity = build_identity(verified, IdentitySettings())
    assert {name: find_member(verified, name) for name in RESERVED_NAMES} == {
        name: identity.get(name) for name in RESERVED_NAMES
    }
    assert find_member(verified, "organization") is None


def test_other_members_are_claims_of_the_token():
    """By the names of the token, for either kind, by name or by path; what is not there is nothing."""
    token = parse_token(make_token(given_name="Ada", realm={"roles": ["a"]}))
    verified = check_claims(token, make_provider(kind="oidc"), NOW)
    assert find_member(verified, "given_name") == "Ada"
    assert find_member(verified, "realm.roles") == ["a"]
    assert find_member(verified, "exp") == NOW + 3600
    assert find_member(verified, "givenName") is None
