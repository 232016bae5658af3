"""The compiled file: which providers take the tokens of an issuer."""

from __future__ import annotations

import dataclasses

import pytest

from gateway.core.identity import IdentitySettings
from gateway.core.policy import Forwarding
from tests.policies import RFC9068, make_policy, make_provider, make_route, make_routes
from tests.signing import ISSUER

FIRST = make_provider(name="first", issuers=(ISSUER, "https://two.example"))
SECOND = make_provider(name="second", issuers=(ISSUER + "/",))
STRICT = make_provider(name="strict", issuers=(ISSUER + "/",), **RFC9068)
OTHER = make_provider(name="other", issuers=("https://other.example",))


def select(issuer, *providers):
    return [provider.name for provider in make_policy(*providers).select_providers(issuer)]


def test_providers_of_one_issuer_are_tried_in_file_order():
    """Several entries may share an issuer; slashes at the end are ignored on both sides."""
    assert select(ISSUER, SECOND, OTHER, FIRST) == ["second", "first"]
    assert select(ISSUER + "//", FIRST, OTHER, SECOND) == ["first", "second"]
    assert select("https://two.example/", FIRST, OTHER, SECOND) == ["first"]


def test_rfc9068_takes_its_very_issuer_only():
    """RFC 9068, section 4: exactly, so the lenient entry beside it may take what it does not."""
    assert select(ISSUER + "/", FIRST, STRICT) == ["first", "strict"]
    assert select(ISSUER, FIRST, STRICT) == ["first"]


@pytest.mark.norm("8725-7")
@pytest.mark.parametrize("issuer", ["https://evil.example", ISSUER.upper(), "", "/"])
def test_other_issuers_have_no_provider(issuer):
    """RFC 8725, section 3.8: the issuer is one that the file names, to the letter."""
    assert select(issuer, FIRST, SECOND, STRICT, OTHER) == []


def test_an_issuer_that_is_named_twice_is_tried_once():
    """Two spellings of one issuer in one entry are one issuer."""
    assert select(ISSUER, make_provider(name="main", issuers=(ISSUER, ISSUER + "/"))) == ["main"]


def test_a_policy_does_not_change():
    """A request keeps the policy that it began with."""
    policy = make_policy(FIRST)
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.realm = "other"
    with pytest.raises(TypeError):
        policy._by_issuer["x"] = ()


@pytest.mark.parametrize(
    ("changes", "decides"),
    [
        ({}, False),
        ({"routes": make_routes(default="public")}, False),
        ({"routes": make_routes(default="deny")}, True),
        ({"routes": make_routes(make_route("/a"))}, True),
        ({"forwarding": Forwarding(host=None, base_path="/base")}, True),
    ],
    ids=["nothing", "public", "deny", "rule", "base-path"],
)
def test_a_policy_knows_whether_the_path_decides(changes, decides):
    """By a rule, or below a base path, which dot segments would lead out of."""
    assert make_policy(**changes).has_decisive_path is decides


@pytest.mark.parametrize("size", [8192, 1])
def test_the_lines_of_an_anonymous_request_are_ready(size):
    """Under the name that the file gives, and whatever bound it sets."""
    identity = IdentitySettings(header=b"X_User", headers=((b"X-Org", "organization"),), max_size_bytes=size)
    assert make_policy(identity=identity).anonymous_lines == b"X_User: null\r\n"


def test_the_token_stays_here_by_default():
    """A token is not passed on to another resource unless the file says so (9700-4)."""
    assert Forwarding(host=None).forward_token is False
    assert Forwarding(host=None).trusted_proxies == ()
