"""Files that are wrong, and what is said of them: where, what, and how to mend it."""

from __future__ import annotations

import pytest

from gateway.config.load import parse_config
from gateway.config.models import GatewayFile
from gateway.config.problems import ConfigError
from tests.unit.config.conftest import HEAD, PROVIDER, Complain

SEVEN = """\
version: 1
listen: 8080
upstram: http://backend:3000
providers:
  - type: customJwt
    issuer: ${ISSUER}
    jwks: https://issuer.example/jwks
    algorithm: HS256
    applicationId: my-api
    issuer: https://issuer.example
  - domain: https://tenant.example
    leeway: 5 minutes
    applicationID: ["*"]
routes:
  - path: /a/**
  - path: /a/b
  - path: public
    acess: public
  - path: /p
    access: public
    scopes: [x]
timeouts:
  connect: on
"""

SEVEN_REPORT = """\
gateway.yaml:2:9: error: listen: expected host:port, [::]:port or unix:/path
  2 | listen: 8080
    |         ^
gateway.yaml:3:1: error: upstram: unknown key: did you mean upstream?
  3 | upstram: http://backend:3000
    | ^
gateway.yaml:6:13: error: the variable ISSUER is not set: set it, or write ${ISSUER:-default}
  6 |     issuer: ${ISSUER}
    |             ^
gateway.yaml:8:16: error: providers[0].algorithm[0]: HMAC is symmetric: whoever can verify could sign; \
use RS256, ES256 or EdDSA
  8 |     algorithm: HS256
    |                ^
gateway.yaml:9:5: error: providers[0].applicationId: unknown key: written applicationID: capital I, capital D
  9 |     applicationId: my-api
    |     ^
gateway.yaml:10:5: error: duplicate key 'issuer': it is on line 6 already, remove one of the two
  10 |     issuer: https://issuer.example
     |     ^
gateway.yaml:12:13: error: providers[1].leeway: expected a duration such as 30s, 5m, 1h or 250ms
  12 |     leeway: 5 minutes
     |             ^
gateway.yaml:13:21: error: providers[1].applicationID[0]: bad audience pattern: a pattern without literal text accepts \
every audience; write what yours begins with
  13 |     applicationID: ["*"]
     |                     ^
gateway.yaml:16:11: error: routes[1].path: never reached: routes[0] takes all of its paths first, whatever the method: \
put this one before it
  16 |   - path: /a/b
     |           ^
gateway.yaml:17:11: error: routes[2].path: bad path: a path begins with /
  17 |   - path: public
     |           ^
gateway.yaml:18:5: error: routes[2].acess: unknown key: did you mean access?
  18 |     acess: public
     |     ^
gateway.yaml:21:5: error: routes[3].scopes: a public route looks at no token: remove this, or write access: required
  21 |     scopes: [x]
     |     ^
gateway.yaml:23:12: error: timeouts.connect: expected a duration such as 30s, 5m, 1h or 250ms
  23 |   connect: on
     |            ^"""


def test_every_mistake_in_one_run() -> None:
    """Syntax apart, no mistake hides another: variables, duplicates, keys, values and what they mean together."""
    with pytest.raises(ConfigError) as caught:
        parse_config(SEVEN, "gateway.yaml", {})
    assert caught.value.render() == SEVEN_REPORT
    assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("access", ["public", "optional"])
def test_tools_are_for_callers_with_a_token(complain: Complain, access: str) -> None:
    """Else whoever has none would call them all."""
    [problem] = complain(tail=f"routes: [{{path: /mcp/**, access: {access}, mcp: {{tools: {{'*': [a]}}}}}}]\n")
    assert problem.endswith("routes[0].mcp: whoever has no token has no scope for a tool: write access: required")


@pytest.mark.parametrize(
    ("tail", "problem"),
    [
        (
            "routes: [{path: /mcp, mcp: {tools: {'*': []}}}]",
            "8:42: error: routes[0].mcp.tools.*: an empty list: write at least one entry, or remove the key",
        ),
        ("lisen: a", "8:1: error: lisen: unknown key: did you mean listen?"),
        ("Limits: {}", "8:1: error: Limits: unknown key: did you mean limits?"),
        ("zzz: 1", f"8:1: error: zzz: unknown key: known here are {', '.join(sorted(GatewayFile.model_fields))}"),
        ("limits: {boddy: 1}", "8:10: error: limits.boddy: unknown key: did you mean body?"),
        ("limits: 5", "8:9: error: limits: expected a mapping of keys"),
        ("limits: [body]", "8:9: error: limits: expected a mapping of keys"),
        ("limits: {body: 0}", "8:16: error: limits.body: expected a size above 0 such as 16KiB or 1MiB, or unlimited"),
        ("limits: {header_count: 0x10}", "8:24: error: limits.header_count: expected a whole number above 0"),
        ("limits: {connections: 22:22}", "8:23: error: limits.connections: expected a whole number above 0"),
        ("limits:", "8:8: error: no value: write one, or remove the key"),
        (
            "timeouts: {connect: 0}",
            "8:21: error: timeouts.connect: a duration of zero: write how long it may take at most",
        ),
        ("streams: {expiry_close_code: 1000}", "8:30: error: streams.expiry_close_code: expected 3000 or 1008"),
        ("streams: {end_at_expiry: 1}", "8:26: error: streams.end_at_expiry: expected true or false"),
        ("default_access: public", "8:17: error: default_access: expected required or deny"),
        ("encoded_slashes: yes", "8:18: error: encoded_slashes: expected reject or keep"),
        ("error_detail: 1", "8:15: error: error_detail: expected none, reason or full"),
        ("via: sometimes", "8:6: error: via: expected true or false"),
        ("realm: 'a\"b'", "8:8: error: realm: a realm is ASCII without double quotes and backslashes"),
        ("drain_delay: -1s", "8:14: error: drain_delay: expected a duration such as 30s, 5m, 1h or 250ms"),
        (
            "trusted_proxies: 0.0.0.0/0",
            "8:18: error: trusted_proxies[0]: it trusts every address there is: name the networks of your proxies",
        ),
        (
            "trusted_proxies: []",
            "8:18: error: trusted_proxies: an empty list: write at least one entry, or remove the key",
        ),
        ("workers: 0", "8:10: error: workers: expected a whole number from 1 to 256, or auto"),
        ("workers: 257", "8:10: error: workers: expected a whole number from 1 to 256, or auto"),
        ("workers: many", "8:10: error: workers: expected a whole number from 1 to 256, or auto"),
        ("workers: true", "8:10: error: workers: expected a whole number from 1 to 256, or auto"),
        ("tls: {certificate: a.pem}", "8:6: error: tls.key: missing: write 'key: ...'"),
        (
            "identity: {header: Host}",
            (
                "8:20: error: identity.header: this header has a meaning of its own: "
                "choose another name, such as X-Identity"
            ),
        ),
        (
            "identity: {headers: {X-Forwarded-User: sub}}",
            (
                "8:22: error: identity.headers.X-Forwarded-User: this header has a meaning of its own: "
                "choose another name, such as X-Identity"
            ),
        ),
        ("identity: {headers: {X-A: 5}}", "8:27: error: identity.headers.X-A: expected text: put it in quotes"),
        ("identity: {headers: [X-A]}", "8:21: error: identity.headers: expected a mapping of keys"),
        ("identity: {format: xml}", "8:20: error: identity.format: expected json or base64url"),
        ("routes: {path: /a}", "8:9: error: routes: expected a list"),
        ("routes: [/a]", "8:10: error: routes[0]: expected a mapping of keys"),
        ("routes: [{access: public}]", "8:10: error: routes[0].path: missing: write 'path: ...'"),
        ("routes: [{path: a}]", "8:17: error: routes[0].path: bad path: a path begins with /"),
        (
            "routes: [{path: /a//b}]",
            (
                "8:17: error: routes[0].path: bad path: an empty or a dot segment; such paths are "
                "refused before routes are looked at"
            ),
        ),
        (
            "routes: [{path: '/a/**/b'}]",
            (
                "8:17: error: routes[0].path: bad path: '**': a segment is text, *, {name} or, "
                "at the end, **; captures are lower-case"
            ),
        ),
        (
            "routes: [{path: /a, methods: [get]}]",
            "8:31: error: routes[0].methods[0]: methods are case-sensitive: write GET",
        ),
        ("routes: [{path: /a, access: pubic}]", "8:29: error: routes[0].access: expected public, optional or required"),
        (
            "routes: [{path: /a, scope: x}]",
            "8:21: error: routes[0].scope: unknown key: written scopes: all of them; or any_scope, one of them",
        ),
        (
            "routes: [{path: /a, scopes: x y}]",
            "8:29: error: routes[0].scopes[0]: more than one scope in one text: write a list",
        ),
        (
            "routes: [{path: /a, scopes: []}]",
            "8:29: error: routes[0].scopes: an empty list: write at least one entry, or remove the key",
        ),
        (
            "routes: [{path: /a, max_age: 1500ms}]",
            "8:30: error: routes[0].max_age: expected whole seconds, such as 30s, 5m or 1h",
        ),
        (
            "routes: [{path: /a, acr_values: [a b]}]",
            (
                "8:34: error: routes[0].acr_values[0]: not a value of acr: "
                "use visible ASCII without blanks, double quotes and backslashes"
            ),
        ),
        (
            "routes: [{path: '/a/{id}', require: {sub: 'x{id}'}}]",
            '8:43: error: routes[0].require.sub: a capture is the whole value: write "{name}" alone',
        ),
        (
            "routes: [{path: /a, require: {sub: {a: b}}}]",
            (
                "8:36: error: routes[0].require.sub: expected a value or a "
                'list: put a capture in quotes, as in "{organization}"'
            ),
        ),
        (
            "routes: [{path: /a, require: {sub: []}}]",
            "8:36: error: routes[0].require.sub: an empty list: write the values that are accepted",
        ),
        (
            "routes: [{path: /a, require: {sub: [{a: b}]}}]",
            "8:36: error: routes[0].require.sub: expected a value or a list of values",
        ),
    ],
)
def test_mistakes_in_sections(complain: Complain, tail: str, problem: str) -> None:
    """One mistake, one problem, at its line and column."""
    assert complain(tail=tail) == [problem]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (
            "jwks: https://i.example/jwks\n    applicationID: a",
            "4:5: error: providers[0].issuer: missing: write 'issuer: ...'",
        ),
        (
            "issuer: https://i.example\n    applicationID: a",
            "4:5: error: providers[0].jwks: missing: write 'jwks: ...'",
        ),
        (
            "jwks_uri: https://i.example/jwks\n    issuer: i\n    jwks: https://i\n    audience: a",
            "5:5: error: providers[0].jwks_uri: unknown key: written jwks: with the same URL",
        ),
        (
            "algorithms: [RS256]\n    issuer: i\n    jwks: https://i\n    audience: a",
            "5:5: error: providers[0].algorithms: unknown key: written algorithm: it takes a list",
        ),
        (
            "organization_claims: a\n    issuer: i\n    jwks: https://i\n    audience: a",
            "5:5: error: providers[0].organization_claims: unknown key: did you mean organization_claim?",
        ),
        (
            "zzz: {query: t}\n    issuer: i\n    jwks: https://i\n    audience: a",
            (
                "5:5: error: providers[0].zzz: unknown key: known here are algorithm, allow_any_audience, "
                "applicationID, audience, audience_claim, client_claims, issuer, jwks, jwks_options, leeway, "
                "max_lifetime, name, "
                "organization_claim, preset, profile, required_claims, scope_claims, token_from, typ, type"
            ),
        ),
        (
            "issuer: i\n    jwks: https://i\n    audience: a\n    profile: rfc9067",
            "8:14: error: providers[0].profile: expected rfc9068",
        ),
        (
            "issuer: i\n    jwks: https://i\n    audience: a\n    profile: rfc9068\n    typ: JWT",
            "9:5: error: providers[0].typ: profile rfc9068 takes at+jwt alone: keep one of the two",
        ),
        (
            "issuer: i\n    jwks: https://i\n    audience: a\n    required_claims: {a: {b: c}}",
            "8:26: error: providers[0].required_claims.a: expected a value or a list of values",
        ),
        (
            "issuer: i\n    jwks: https://i\n    audience: a\n    required_claims: [a]",
            "8:22: error: providers[0].required_claims: expected a mapping of keys",
        ),
        (
            "issuer: i\n    jwks: https://i\n    audience: a\n    jwks_options: {cool_down: 1s}",
            "8:20: error: providers[0].jwks_options.cool_down: unknown key: did you mean cooldown?",
        ),
        (
            "issuer: i\n    jwks: https://i\n    audience: a\n    max_lifetime: 0",
            "8:19: error: providers[0].max_lifetime: a duration of zero: write how long it may take at most",
        ),
    ],
)
def test_mistakes_in_providers(complain: Complain, lines: str, problem: str) -> None:
    """A misspelt key is never taken for an absent one."""
    assert complain(f"{HEAD}providers:\n  - type: customJwt\n    {lines}\n") == [problem]


@pytest.mark.parametrize(
    ("upstream", "problem"),
    [
        ("backend:3000", "2:11: error: upstream: expected http://host:port, https://host:port or unix:/path"),
        ("{}", "2:11: error: upstream.url: missing: write 'url: ...'"),
        (
            "{url: 'http://b', ca_file: x}",
            "2:29: error: upstream.ca_file: there is no TLS to this upstream: remove it, or write https://",
        ),
        ("{url: 'https://b', certificate: x}", "2:30: error: upstream.certificate: needs key: write both, or none"),
        ("{url: 'https://b', key: x}", "2:30: error: upstream.key: needs certificate: write both, or none"),
        (
            "{url: 'https://b', preserve_hosts: on}",
            "2:30: error: upstream.preserve_hosts: unknown key: did you mean preserve_host?",
        ),
        ("[a]", "2:11: error: upstream: expected text, not a list"),
    ],
)
def test_mistakes_in_the_upstream(complain: Complain, upstream: str, problem: str) -> None:
    """In the short form and in the long one."""
    assert complain(f"version: 1\nupstream: {upstream}\n{PROVIDER}") == [problem]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            "{}",
            [
                "1:1: error: version: missing: begin the file with 'version: 1'",
                "1:1: error: upstream: missing: write 'upstream: ...'",
                "1:1: error: providers: missing: write 'providers: ...'",
            ],
        ),
        (
            "# nothing yet\nversion: 2\nupstream: http://b\n" + PROVIDER,
            ["2:10: error: version: expected 1: there is no other version of this format"],
        ),
        (HEAD + "providers: []", ["3:12: error: providers: empty: write at least one, or no token is ever accepted"]),
        (HEAD + "providers: {}", ["3:12: error: providers: expected a list"]),
        (HEAD + "providers: [x]", ["3:13: error: providers[0]: expected a mapping of keys"]),
        (HEAD + "providers:", ["3:11: error: no value: write one, or remove the key"]),
        (
            "version: 1\nversion: 1\nupstream: http://b\n" + PROVIDER,
            ["2:1: error: duplicate key 'version': it is on line 1 already, remove one of the two"],
        ),
    ],
)
def test_mistakes_at_the_top(complain: Complain, text: str, problems: list[str]) -> None:
    """What is missing is missed where the file begins."""
    assert complain(text) == problems
