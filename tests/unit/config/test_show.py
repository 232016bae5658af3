"""The configuration in effect, as ``config show`` prints it."""

from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import quote

import pytest

from gateway.config.load import Loaded, parse_config
from gateway.config.show import render_config
from gateway.core.routes import RouteTable
from tests.unit.config.conftest import HEAD, PROVIDER, Load
from tests.unit.config.test_settings import EVERYTHING, LOGTO

KEY = "{kty: OKP, crv: Ed25519, kid: k1, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}"

DEFAULTS = """\
version: 1
listen: 0.0.0.0:8080
admin: 127.0.0.1:9090
upstream:
  url: http://backend:3000
  preserve_host: false
providers:
- type: customJwt
  name: issuer.example
  issuer:
  - https://issuer.example
  jwks: https://issuer.example/jwks
  algorithm:
  - RS256
  - ES256
  - ES384
  - EdDSA
  applicationID:
  - my-api
  leeway: 5s
  audience_claim: aud
  scope_claims:
  - scope
  - scp
  organization_claim:
  - organization_id
  - org_id
  client_claims:
  - client_id
  - azp
  token_from:
  - authorization
  jwks_options:
    cooldown: 30s
    max_stale: 24h
    timeout: 5s
  typ:
  - JWT
  - at+jwt
  - none
routes: []
default_access: required
encoded_slashes: reject
identity:
  header: X-Identity
  format: json
  max_size: 8KiB
forward_token: false
via: true
error_detail: reason
realm: auth-gateway
cors_preflight: false
mode: enforce
limits:
  token: 16KiB
  request_line: 8KiB
  header_field: 16KiB
  headers: 64KiB
  header_count: 100
  body: unlimited
  connections: 10000
  upstream_connections: 1000
  cached_tokens: 10000
timeouts:
  header_read: 10s
  keep_alive: 75s
  connect: 5s
  response_headers: 1m
  idle_stream: 5m
streams:
  end_at_expiry: true
  expiry_close_code: 3000
workers: 1
drain_delay: 0s
shutdown_timeout: 25s
"""


NO_ROUTES = RouteTable()


def strip(loaded: Loaded) -> tuple[object, ...]:
    """Return all of the settings that has to do with what the file says, not with how it says it."""
    policy = loaded.settings.policy
    routes = [route for group in policy.routes._groups for route in group]
    return replace(loaded.settings, policy=replace(policy, routes=NO_ROUTES), digest=""), routes


def test_every_default_is_shown(load: Load) -> None:
    """What the file leaves out is there, in the order and spelling of the schema."""
    assert render_config(load()) == DEFAULTS


@pytest.mark.parametrize("output", ["yaml", "json"])
@pytest.mark.parametrize("text", [LOGTO, EVERYTHING, HEAD + PROVIDER], ids=["logto", "everything", "least"])
def test_what_is_shown_loads_again(text: str, output: str) -> None:
    """It comes to the same settings."""
    loaded = parse_config(text, "/etc/gw/gateway.yaml", {"LOGTO_ENDPOINT": "https://tenant.logto.app"})
    again = parse_config(render_config(loaded, output), "/etc/gw/gateway.yaml", {})
    assert strip(loaded) == strip(again)


def test_references_that_are_text_stay_text(load: Load) -> None:
    """A dollar sign that was escaped is escaped again."""
    loaded = load(tail="realm: a$${A}b$$$$c$\n")
    assert loaded.config.realm == "a${A}b$$c$"
    assert load(render_config(loaded)).config.realm == "a${A}b$$c$"


def test_secrets_are_starred(load: Load) -> None:
    """Passwords and parameters of URLs, and key material: what is shown is pasted into tickets."""
    document = '{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'
    sources = [
        "https://user:hunter2@k.example/jwks?key=hunter2",
        f"{{keys: [{KEY}, hunter2]}}",
        f"data:,{quote(document)}",
    ]
    text = HEAD + "providers:\n"
    for name, source in zip("abc", sources, strict=True):
        text += f"  - type: customJwt\n    issuer: {name}\n    jwks: {source}\n    audience: x\n"
    shown = json.loads(render_config(load(text), "json"))
    assert [provider["jwks"] for provider in shown["providers"]] == [
        "https://***@k.example/jwks?key=***",
        {"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": "***"}, "***"]},
        "data:,***",
    ]
    assert "hunter2" not in render_config(load(text))
