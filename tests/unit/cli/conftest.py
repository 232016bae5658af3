"""A file with local keys, tokens that its issuers might have signed, and the command without a process."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry

from gateway.cli.group import cli

NOW = 1_800_000_000
ISSUER = "https://tenant.logto.app/oidc"
KEY = ECKey.generate_key("P-384", {"kid": "k-1", "alg": "ES384", "use": "sig"})

CONFIG = """\
version: 1
listen: 127.0.0.1:8080
admin: 127.0.0.1:9090
upstream: http://127.0.0.1:3000

providers:
  - type: customJwt
    name: api
    issuer: https://tenant.logto.app/oidc
    jwks: file:keys.json
    algorithm: [ES384, EdDSA]
    applicationID:
      - https://my-api.example
    max_lifetime: 2h

  - type: customJwt
    name: organizations
    issuer: https://tenant.logto.app/oidc
    jwks: file:keys.json
    algorithm: ES384
    applicationID: urn:logto:organization:{organization}

  - type: customJwt
    name: strict
    issuer: https://strict.example/
    jwks: file:keys.json
    algorithm: ES384
    applicationID: https://my-api.example
    profile: rfc9068

  - type: customJwt
    name: staff
    issuer: https://staff.example
    jwks: file:keys.json
    algorithm: ES384
    applicationID: https://my-api.example
    required_claims: {token_use: access}

  - type: customJwt
    name: remote
    issuer: https://remote.example
    jwks: https://remote.example/jwks
    algorithm: ES384
    applicationID: https://my-api.example

routes:
  - path: /public/**
    access: public
  - path: /organizations/{organization}/**
    require: {organization: "{organization}"}
  - path: /orders
    methods: [GET]
    scopes: [read:orders]
  - path: /staff/**
    providers: [staff]
  - path: /verified
    require: {email_verified: true}
  - path: /payments
    max_age: 5m
    acr_values: [mfa, passkey]
"""


def encode(octets: bytes) -> str:
    """Return unpadded base64url."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def sign(claims: dict[str, object], **header: object) -> str:
    """Return a token of these claims beside the usual ones (None leaves one out), with this header."""
    usual = {"iss": ISSUER, "sub": "user_1", "aud": "https://my-api.example", "iat": NOW - 240, "exp": NOW + 3360}
    payload = {name: value for name, value in {**usual, **claims}.items() if value is not None}
    return sign_text(json.dumps(payload), **header)


def sign_text(payload: str, **header: object) -> str:
    """Return a token of this payload, be it JSON or not."""
    parts = {"alg": "ES384", "typ": "at+jwt", "kid": "k-1", **header}
    signing_input = f"{encode(json.dumps(parts).encode())}.{encode(payload.encode())}"
    signature = JWSRegistry.algorithms["ES384"].sign(signing_input.encode(), KEY)
    return f"{signing_input}.{encode(signature)}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with ``gateway.yaml`` and its keys; no variable of ours is set."""
    (tmp_path / "gateway.yaml").write_text(CONFIG)
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [KEY.as_dict(private=False)]}))
    for name in ("CONFIG", "LOG_LEVEL", "LOG_FORMAT"):
        monkeypatch.delenv(f"AUTH_GATEWAY_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Callable[..., Result]:
    """Run the command in that folder: ``run("check", "--strict", input=…)``."""

    def invoke(*arguments: str, **settings: object) -> Result:
        result = CliRunner().invoke(cli, arguments, prog_name="auth-gateway", **settings)
        # An exception is a defect, whatever exit code the runner makes of it.
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke
