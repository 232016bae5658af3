"""Files that are right, and what they come to."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.config.load import load_config, parse_config
from gateway.config.settings import (
    KeySourceSettings,
    Limits,
    ListenAddress,
    ListenerTLS,
    OrganizationCheckSettings,
    Settings,
    Streams,
    Timeouts,
    UpstreamSettings,
)
from gateway.core.audience import parse_audience_pattern
from gateway.core.claims import ClaimRequirement
from gateway.core.identity import IdentitySettings
from gateway.core.organizations import OrganizationRules
from gateway.core.places import AUTHORIZATION, PlaceKind, TokenPlace
from gateway.core.policy import Forwarding, Policy
from gateway.core.routes import Access, Requirement, Route, RouteTable, parse_path_pattern
from gateway.core.step_up import StepUp
from gateway.core.tokens import Provider
from tests.unit.config.conftest import HEAD, Load

LOGTO = """\
version: 1
listen: 0.0.0.0:8080
admin: 127.0.0.1:9090
upstream: http://backend:3000
providers:
  - type: customJwt
    name: logto
    issuer: ${LOGTO_ENDPOINT}/oidc
    jwks: ${LOGTO_ENDPOINT}/oidc/jwks
    algorithm: [RS256, ES384]
    applicationID:
      - https://my-api.example
      - urn:logto:organization:{organization}
routes:
  - path: /public/**
    access: public
  - path: /organizations/{organization}/**
    methods: [GET, HEAD]
    scopes: [order:read]
    require: {organization: "{organization}"}
"""

EVERYTHING = """\
version: 1
listen: "[::]:8443"
admin: unix:admin.sock
upstream:
  url: https://backend.example/base
  ca_file: ca.pem
  server_name: inner.example
  certificate: client.pem
  key: /run/secrets/client.key
  preserve_host: true
tls: {certificate: tls.pem, key: tls.key, client_ca: clients.pem}
providers:
  - domain: https://tenant.example/
    audience: my-client
    profile: rfc9068
    required_claims: {token_use: access, groups: [a, b], email_verified: true, level: 3}
    leeway: 0
    max_lifetime: 1h
    audience_claim: client_id
    scope_claims: permissions
    organization_claim: [org.id]
    client_claims: cid
    token_from: [authorization, {header: X-Token}, {cookie: __Host-Session}, {websocket_protocol: true}]
    jwks_options: {refresh: 1m, cooldown: 10s, max_stale: 1h, timeout: 250ms, ca_file: ca.pem}
  - type: customJwt
    issuer: [https://a.example, urn:b]
    jwks: file:keys/b.json
    algorithm: [Ed25519, PS256]
    typ: [none, application/at+jwt]
    applicationID: [{regex: "app-[0-9]+"}, "*.example"]
  - type: customJwt
    issuer: https://a.example/
    jwks: https://a.example/jwks
    allow_any_audience: true
keys_snapshot: state
routes:
  - path: /a/{id}/*
    methods: POST
    access: optional
    any_scope: [x, y]
    require: {sub: "{id}", role: [admin, owner], age: 18}
    providers: [tenant.example, a.example-2]
    max_age: 1h
    acr_values: [mfa, urn:x]
organizations:
  allow: [org_1, org_2]
  deny: org_3
  check: {url: "https://a.example/o/{organization}", cache: 30s, timeout: 1s, max_stale: 1h}
default_access: deny
encoded_slashes: keep
identity:
  header: X-User
  format: base64url
  max_size: 4KiB
  headers: {X-User-Id: subject, X-Org: organization}
  include: [email, name]
  exclude: phone_number
forward_token: true
via: off
trusted_proxies: [10.0.0.0/8, "::1"]
allowed_origins: ["https://app.example", "http://localhost:5173"]
error_detail: full
realm: my api
limits:
  {token: 8KiB, request_line: 4KiB, header_field: 8KiB, headers: 32KiB, header_count: 50, body: 10MiB, connections: 5,
   upstream_connections: 4, cached_tokens: 5}
timeouts: {header_read: 1s, keep_alive: 2s, connect: 3s, response_headers: 4s, idle_stream: 5s}
streams: {end_at_expiry: false, expiry_close_code: 1008}
workers: auto
drain_delay: 5s
shutdown_timeout: 10s
"""

NO_ROUTES = RouteTable()


def compare(settings: Settings, expected: Settings, routes: list[Route]) -> None:
    """Compare all of two settings; of route tables the rules, for tables have no equality."""
    table, policy = settings.policy.routes, replace(settings.policy, routes=NO_ROUTES)
    assert [route for group in table._groups for route in group] == routes
    assert replace(settings, policy=policy) == expected


def test_the_example_of_logto() -> None:
    """The whole of what the file in the README comes to."""
    loaded = parse_config(LOGTO, "gateway.yaml", {"LOGTO_ENDPOINT": "https://tenant.logto.app"})
    assert loaded.warnings == ()
    logto = Provider(
        "logto",
        "customJwt",
        ("https://tenant.logto.app/oidc",),
        frozenset({"RS256", "ES384"}),
        audiences=tuple(
            map(parse_audience_pattern, ["https://my-api.example", "urn:logto:organization:{organization}"])
        ),
        allow_any_audience=False,
        audience_claim="aud",
        types=frozenset({"jwt", "at+jwt", "none"}),
        is_rfc9068=False,
        required_claims=(),
        leeway_seconds=5.0,
        max_lifetime_seconds=None,
        scope_claims=("scope", "scp"),
        organization_claims=("organization_id", "org_id"),
        client_claims=("client_id", "azp"),
    )
    expected = Settings(
        Policy(
            (logto,),
            Forwarding(host=b"backend:3000", has_via=True, forward_token=False, trusted_proxies=()),
            routes=NO_ROUTES,
            identity=IdentitySettings(b"X-Identity", False, 8192, (), None, frozenset()),
            keeps_encoded_slashes=False,
            max_token_length=16384,
            error_detail="reason",
            realm="auth-gateway",
        ),
        (
            KeySourceSettings(
                "logto",
                ("https://tenant.logto.app/oidc",),
                url="https://tenant.logto.app/oidc/jwks",
                cooldown_seconds=30.0,
                max_stale_seconds=86400.0,
                timeout_seconds=5.0,
            ),
        ),
        ListenAddress("0.0.0.0", 8080),
        ListenAddress("127.0.0.1", 9090),
        UpstreamSettings("http", "backend", 3000),
        tls=None,
        limits=Limits(8192, 16384, 65536, 100, None, 10_000, 1_000),
        timeouts=Timeouts(10.0, 75.0, 5.0, 60.0, 300.0, 0.0, 25.0),
        streams=Streams(True, 3000),
        digest=hashlib.sha256(LOGTO.encode()).hexdigest(),
    )
    routes = [
        Route(parse_path_pattern("/public/**"), access=Access.PUBLIC),
        Route(
            parse_path_pattern("/organizations/{organization}/**"),
            methods=frozenset({"GET", "HEAD"}),
            scopes=("order:read",),
            requirements=(Requirement("organization", capture="organization"),),
        ),
    ]
    compare(loaded.settings, expected, routes)
    assert loaded.settings.policy.routes.default.access is Access.REQUIRED


def test_every_key() -> None:
    """No key is without effect."""
    loaded = parse_config(EVERYTHING, "/etc/gw/gateway.yaml", {})
    settings = loaded.settings
    assert loaded.warnings == ()
    tenant, opaque, wide = settings.policy.providers
    assert tenant == Provider(
        "tenant.example",
        "oidc",
        ("https://tenant.example/",),
        frozenset({"RS256", "ES256", "ES384", "EdDSA"}),
        audiences=(parse_audience_pattern("my-client"),),
        audience_claim="client_id",
        types=frozenset({"at+jwt"}),
        is_rfc9068=True,
        required_claims=(
            ClaimRequirement("token_use", ("access",)),
            ClaimRequirement("groups", ("a", "b")),
            ClaimRequirement("email_verified", None),
            ClaimRequirement("level", (3,)),
        ),
        leeway_seconds=0.0,
        max_lifetime_seconds=3600.0,
        scope_claims=("permissions",),
        organization_claims=("org.id",),
        client_claims=("cid",),
        token_places=(
            AUTHORIZATION,
            TokenPlace(PlaceKind.HEADER, "x-token"),
            TokenPlace(PlaceKind.COOKIE, "__Host-Session"),
            TokenPlace(PlaceKind.WEBSOCKET_PROTOCOL),
        ),
    )
    assert settings.policy.allowed_origins == {b"https://app.example", b"http://localhost:5173"}
    assert (opaque.name, opaque.issuers) == ("a.example", ("https://a.example", "urn:b"))
    assert opaque.algorithms == {"EdDSA", "PS256"}
    assert opaque.types == {"none", "at+jwt"}
    assert [pattern.text for pattern in opaque.audiences] == ["regex app-[0-9]+", "*.example"]
    assert (wide.name, wide.allow_any_audience, wide.audiences) == ("a.example-2", True, ())
    assert settings.key_sources == (
        KeySourceSettings(
            "tenant.example",
            ("https://tenant.example/",),
            discovery_url="https://tenant.example/.well-known/openid-configuration",
            refresh_seconds=60.0,
            cooldown_seconds=10.0,
            max_stale_seconds=3600.0,
            timeout_seconds=0.25,
            ca_file="/etc/gw/ca.pem",
            snapshot_path="/etc/gw/state/tenant.example.json",
        ),
        # What is on this machine already needs no snapshot.
        KeySourceSettings("a.example", ("https://a.example", "urn:b"), path="/etc/gw/keys/b.json"),
        KeySourceSettings(
            "a.example-2",
            ("https://a.example/",),
            url="https://a.example/jwks",
            snapshot_path="/etc/gw/state/a.example-2.json",
        ),
    )
    [[route]] = settings.policy.routes._groups
    assert route == Route(
        parse_path_pattern("/a/{id}/*"),
        methods=frozenset({"POST"}),
        access=Access.OPTIONAL,
        any_scope=("x", "y"),
        requirements=(
            Requirement("sub", capture="id"),
            Requirement("role", values=("admin", "owner")),
            Requirement("age", values=(18,)),
        ),
        providers=frozenset({"tenant.example", "a.example-2"}),
        step_up=StepUp(3600, ("mfa", "urn:x")),
    )
    assert settings.policy.routes.default.access is Access.DENY
    organizations = OrganizationRules(frozenset({"org_1", "org_2"}), frozenset({"org_3"}), is_checked=True)
    assert settings.policy.organizations == organizations
    check = OrganizationCheckSettings("https://a.example/o/{organization}", 30.0, 1.0, 3600.0)
    assert settings.organization_check == check
    assert settings.policy.identity == IdentitySettings(
        b"X-User", True, 4096, ((b"X-User-Id", "subject"), (b"X-Org", "organization")),
        frozenset({"email", "name"}), frozenset({"phone_number"}),
    )  # fmt: skip
    networks = (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    assert settings.policy.forwarding == Forwarding(None, False, True, networks, "/base")
    assert (settings.policy.keeps_encoded_slashes, settings.policy.max_token_length) == (True, 8192)
    assert (settings.policy.error_detail, settings.policy.realm) == ("full", "my api")
    assert settings.listen == ListenAddress("::", 8443)
    assert settings.admin == ListenAddress(path="/etc/gw/admin.sock")
    assert settings.upstream == UpstreamSettings(
        "https", "backend.example", 443, "/base", None,
        "/etc/gw/ca.pem", "inner.example", "/etc/gw/client.pem", "/run/secrets/client.key",
    )  # fmt: skip
    assert settings.tls == ListenerTLS("/etc/gw/tls.pem", "/etc/gw/tls.key", "/etc/gw/clients.pem")
    assert settings.limits == Limits(4096, 8192, 32768, 50, 10 * 1024**2, 5, 4, 5)
    assert settings.timeouts == Timeouts(1.0, 2.0, 3.0, 4.0, 5.0, 5.0, 10.0)
    assert settings.streams == Streams(False, 1008)


@pytest.mark.norm("6750-12")
def test_defaults_are_those_of_the_settings(load: Load) -> None:
    """A file that says nothing of limits gets the very limits that the rest of the gateway has for defaults."""
    settings = load().settings
    assert settings.limits == Limits()
    assert settings.timeouts == Timeouts()
    assert settings.streams == Streams()
    assert settings.policy.identity == IdentitySettings()
    assert settings.key_sources == (
        KeySourceSettings("issuer.example", ("https://issuer.example",), url="https://issuer.example/jwks"),
    )
    provider = settings.policy.providers[0]
    assert provider == Provider(provider.name, provider.kind, provider.issuers, provider.algorithms, provider.audiences)
    policy = settings.policy
    assert (policy.keeps_encoded_slashes, policy.error_detail, policy.realm) == (False, "reason", "auth-gateway")
    assert (settings.listen, settings.admin) == (ListenAddress("0.0.0.0", 8080), ListenAddress("127.0.0.1", 9090))


@pytest.mark.parametrize(
    ("keys", "step_up"),
    [
        ("", None),
        ("max_age: 0", StepUp(0)),
        ("max_age: 90", StepUp(90)),
        ("acr_values: mfa", StepUp(None, ("mfa",))),
    ],
)
def test_step_up_of_routes(load: Load, keys: str, step_up: StepUp | None) -> None:
    """Either key demands something, zero seconds too; without both nothing is asked."""
    match = load(tail=f"routes: [{{path: /a, {keys}}}]\n").settings.policy.routes.match("GET", ("a",))
    assert match.route is not None
    assert match.route.step_up == step_up


@pytest.mark.parametrize(
    ("providers", "names"),
    [
        (["https://a.example", "https://a.example:8443/x"], ["a.example", "a.example-2"]),
        (["https://a.example", "https://a.example", "https://a.example"], ["a.example", "a.example-2", "a.example-3"]),
        (["urn:my:issuer"], ["urn-my-issuer"]),
        (["http://[::1]:9"], ["1"]),
        (["::"], ["provider"]),
    ],
)
def test_names_of_providers(load: Load, providers: list[str], names: list[str]) -> None:
    """A provider without a name has its issuer's host, and a number where that is taken."""
    entries = "".join(
        f"  - {{type: customJwt, issuer: '{issuer}', jwks: 'https://k.example/{place}', applicationID: a}}\n"
        for place, issuer in enumerate(providers)
    )
    settings = load(HEAD + "providers:\n" + entries).settings
    assert [provider.name for provider in settings.policy.providers] == names
    assert [source.provider for source in settings.key_sources] == names


def test_a_given_name_goes_first(load: Load) -> None:
    """A default name makes way for one that the file gives, though it comes later."""
    entries = (
        "  - {domain: https://a.example, applicationID: a}\n"
        "  - {domain: https://b.example, applicationID: a, name: a.example}\n"
    )
    settings = load(HEAD + "providers:\n" + entries).settings
    assert [provider.name for provider in settings.policy.providers] == ["a.example-2", "a.example"]


def test_discovery_of_a_bare_domain(load: Load) -> None:
    """A domain without a scheme is one of https, and the slash at its end is none of its address."""
    [source] = load(HEAD + "providers: [{domain: tenant.example, applicationID: a}]\n").settings.key_sources
    assert source.issuers == ("https://tenant.example",)
    assert source.discovery_url == "https://tenant.example/.well-known/openid-configuration"


@pytest.mark.norm("8414-2")
@pytest.mark.parametrize("domain", ["https://a.example/tenants/1", "https://a.example/tenants/1/"])
def test_discovery_of_an_issuer_with_a_path(load: Load, domain: str) -> None:
    """RFC 8414, section 5: OpenID Connect appends; the form with the path behind the well-known part is not tried."""
    [source] = load(HEAD + f"providers: [{{domain: '{domain}', applicationID: a}}]\n").settings.key_sources
    assert source.discovery_url == "https://a.example/tenants/1/.well-known/openid-configuration"


@pytest.mark.norm("9068-6", "8725-1", "7518-1")
def test_the_default_algorithms(load: Load) -> None:
    """RFC 9068, section 4: RS256 is there; of those that an RSA key could serve it is the only one; no HMAC."""
    [provider] = load().settings.policy.providers
    assert provider.algorithms == {"RS256", "ES256", "ES384", "EdDSA"}


@pytest.mark.norm("9068-7")
def test_the_default_leeway(load: Load) -> None:
    """RFC 9068, section 4: some small leeway."""
    [provider] = load().settings.policy.providers
    assert provider.leeway_seconds == 5


def test_a_file_is_read(tmp_path: Path) -> None:
    """Relative paths in a file are those of its folder; a byte order mark is none of the text."""
    path = tmp_path / "gateway.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + LOGTO.replace("${LOGTO_ENDPOINT}/oidc/jwks", "file:keys.json").encode())
    loaded = load_config(path, {"LOGTO_ENDPOINT": "https://x"})
    assert loaded.path == str(path)
    assert loaded.settings.key_sources[0].path == str(tmp_path / "keys.json")
    assert loaded.settings.digest == hashlib.sha256(loaded.document.text.encode()).hexdigest()


def test_places_for_explain() -> None:
    """What a check compares with is found in the file, and what is a default by what stands around it."""
    loaded = parse_config(LOGTO, "gateway.yaml", {"LOGTO_ENDPOINT": "https://x"})
    places = [("providers", 0, "applicationID"), ("providers", 0, "applicationID", 1), ("providers", 0, "algorithm"),
              ("providers", 0, "leeway"), ("routes", 1, "scopes"), ("identity",)]  # fmt: skip
    assert [loaded.locate(*place).line for place in places] == [11, 13, 10, 6, 19, 1]
    assert loaded.locate("providers", 0, "issuer").source == "    issuer: ${LOGTO_ENDPOINT}/oidc"
