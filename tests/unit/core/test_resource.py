"""Protected resources and their metadata (RFC 9728)."""

from __future__ import annotations

import json

import pytest

from gateway.core.places import AUTHORIZATION, PlaceKind, TokenPlace
from gateway.core.resource import build_metadata, build_resource
from tests.policies import make_policy, make_provider, make_route, make_routes

API = build_resource("https://api.example/mcp")


@pytest.mark.parametrize(
    ("identifier", "url", "target"),
    [
        ("https://api.example", "https://api.example/.well-known/oauth-protected-resource", ""),
        ("https://api.example/", "https://api.example/.well-known/oauth-protected-resource", ""),
        ("https://api.example/mcp", "https://api.example/.well-known/oauth-protected-resource/mcp", "/mcp"),
        ("https://api.example/mcp/", "https://api.example/.well-known/oauth-protected-resource/mcp/", "/mcp/"),
        ("https://a.example:8443/a/b", "https://a.example:8443/.well-known/oauth-protected-resource/a/b", "/a/b"),
        ("https://api.example/x?t=1", "https://api.example/.well-known/oauth-protected-resource/x?t=1", "/x?t=1"),
        ("https://api.example?t=1", "https://api.example/.well-known/oauth-protected-resource?t=1", "?t=1"),
    ],
)
def test_metadata_stands_between_host_and_path(identifier, url, target):
    """RFC 9728, section 3.1: a slash that ends the host is removed, a query is kept."""
    resource = build_resource(identifier)
    assert resource.metadata_url == url
    assert resource.metadata_target == f"/.well-known/oauth-protected-resource{target}"


def test_metadata_names_what_a_client_must_know():
    """RFC 9728, section 2; issuers that are no URL have no metadata, and are left out."""
    document = build_metadata(
        API, ["https://b.example/", "https://a.example", "urn:c", "https://a.example"], ["w", "r", "w"]
    )
    assert json.loads(document) == {
        "resource": "https://api.example/mcp",
        "authorization_servers": ["https://b.example/", "https://a.example"],
        "scopes_supported": ["r", "w"],
        "bearer_methods_supported": ["header"],
    }


@pytest.mark.parametrize(
    ("places", "methods"),
    [
        ((AUTHORIZATION,), ["header"]),
        ((AUTHORIZATION, TokenPlace(PlaceKind.QUERY, "t")), ["header", "query"]),
        ((TokenPlace(PlaceKind.QUERY, "t"),), ["query"]),
        ((TokenPlace(PlaceKind.QUERY, "t"), TokenPlace(PlaceKind.QUERY, "u")), ["query"]),
        ((TokenPlace(PlaceKind.COOKIE, "s"),), None),
    ],
)
def test_metadata_names_the_ways_that_the_file_takes(places, methods):
    """A client that believes it must not be refused for it."""
    policy = make_policy(make_provider(token_places=places), resource=API)
    [document] = policy.documents.values()
    assert json.loads(document).get("bearer_methods_supported") == methods


def test_empty_members_are_left_out():
    """RFC 9728, section 3.2."""
    assert set(json.loads(build_metadata(API, ["urn:a"], []))) == {"resource", "bearer_methods_supported"}


def test_each_resource_is_published_with_its_own_issuers_and_scopes():
    """A route with a resource of its own, and of its own providers, tells nothing of others."""
    policy = make_policy(
        make_provider(name="main", issuers=("https://main.example",)),
        make_provider(name="other", issuers=("https://other.example",)),
        routes=make_routes(
            make_route("/a", scopes=("a:read",)),
            make_route("/mcp", scopes=("mcp:use",), any_scope=("x", "y"), resource=API, providers=frozenset({"other"})),
        ),
        resource=build_resource("https://api.example"),
    )
    documents = {target: json.loads(text) for target, text in policy.documents.items()}
    own = documents["/.well-known/oauth-protected-resource"]
    assert own["resource"] == "https://api.example"
    assert own["authorization_servers"] == ["https://main.example", "https://other.example"]
    assert own["scopes_supported"] == ["a:read"]
    mcp = documents["/.well-known/oauth-protected-resource/mcp"]
    assert mcp["authorization_servers"] == ["https://other.example"]
    assert mcp["scopes_supported"] == ["mcp:use", "x", "y"]
    assert len(documents) == 2


def test_a_resource_of_a_route_that_takes_all_providers_names_all():
    """Absent `providers` are all of them."""
    policy = make_policy(
        make_provider(name="main", issuers=("https://main.example",)),
        make_provider(name="other", issuers=("https://other.example",)),
        routes=make_routes(make_route("/mcp", resource=API)),
    )
    [document] = policy.documents.values()
    assert json.loads(document)["authorization_servers"] == ["https://main.example", "https://other.example"]


def test_without_a_resource_nothing_is_published():
    assert make_policy().documents == {}
