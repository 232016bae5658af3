"""
An issuer for demonstrations: it publishes keys and signs tokens for whoever asks. Never put it in front of anything.

Its tokens have the claims of Logto's access tokens, one algorithm a case, so that a demonstration shows three.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

API_AUDIENCE = "https://my-api.example"
ORGANIZATION_AUDIENCE = "urn:logto:organization:org_1"
OTHER_AUDIENCE = "https://other-api.example"

_LIFETIME_SECONDS = 3600
_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class TokenCase:
    """One kind of token: ``age_seconds`` is how long ago it was issued."""

    algorithm: str
    audience: str
    age_seconds: int = 0


CASES: Mapping[str, TokenCase] = {
    "api": TokenCase("ES384", API_AUDIENCE),
    "organization": TokenCase("RS256", ORGANIZATION_AUDIENCE),
    "wrong-audience": TokenCase("EdDSA", OTHER_AUDIENCE),
    "expired": TokenCase("ES384", API_AUDIENCE, age_seconds=2 * _LIFETIME_SECONDS),
}


class DemoIssuer:
    """Keys that live as long as the process, and the tokens that they sign."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self._keys: dict[str, RSAKey | ECKey | OKPKey] = {
            "RS256": RSAKey.generate_key(_RSA_BITS, {"kid": "demo-rs256", "alg": "RS256", "use": "sig"}),
            "ES384": ECKey.generate_key("P-384", {"kid": "demo-es384", "alg": "ES384", "use": "sig"}),
            "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "demo-eddsa", "alg": "EdDSA", "use": "sig"}),
        }

    @property
    def key_set(self) -> dict[str, Any]:
        """The public keys as a JWK Set (RFC 7517)."""
        return dict(KeySet(list(self._keys.values())).as_dict(private=False))

    def sign_token(self, case: TokenCase, now: float) -> str:
        """Return an access token (RFC 9068) in compact form; ``now`` is in seconds since the epoch."""
        issued_at = int(now) - case.age_seconds
        claims = {
            "jti": secrets.token_urlsafe(16),
            "sub": "user_1",
            "iat": issued_at,
            "exp": issued_at + _LIFETIME_SECONDS,
            "scope": "read:items write:items",
            "client_id": "demo-client",
            "iss": self.issuer,
            "aud": case.audience,
            "email": "foo@example.com",
            "username": "foo",
        }
        key = self._keys[case.algorithm]
        header = {"alg": case.algorithm, "typ": "at+jwt", "kid": key.kid}
        signing_input = f"{_encode_json(header)}.{_encode_json(claims)}"
        # The generic EdDSA is what issuers send, and only its successor's name signs without a warning.
        signer = JWSRegistry.algorithms["Ed25519" if case.algorithm == "EdDSA" else case.algorithm]
        return f"{signing_input}.{_encode(signer.sign(signing_input.encode('ascii'), key))}"


def _encode_json(value: object) -> str:
    return _encode(json.dumps(value, separators=(",", ":")).encode("ascii"))


def _encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def build_issuer_app(issuer: DemoIssuer, read_clock: Callable[[], float]) -> web.Application:
    """Return the issuer's HTTP side: ``jwks``, discovery, and ``token?case=api``, under the path of its URL."""
    base = urlsplit(issuer.issuer).path.rstrip("/")

    async def answer_keys(_request: web.Request) -> web.Response:
        return web.json_response(issuer.key_set)

    async def answer_discovery(_request: web.Request) -> web.Response:
        location = issuer.issuer.rstrip("/")
        return web.json_response({"issuer": issuer.issuer, "jwks_uri": f"{location}/jwks"})

    async def answer_token(request: web.Request) -> web.Response:
        case = CASES.get(request.query.get("case", "api"))
        if case is None:
            raise web.HTTPBadRequest(text=f"case is one of: {', '.join(CASES)}\n")
        return web.Response(text=issuer.sign_token(case, read_clock()))

    app = web.Application()
    app.router.add_get(f"{base}/jwks", answer_keys)
    app.router.add_get(f"{base}/.well-known/openid-configuration", answer_discovery)
    app.router.add_get(f"{base}/token", answer_token)
    return app
