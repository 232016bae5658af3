"""Keys and signed tokens for tests: every algorithm that we verify, each key made once a run."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from gateway.core.jwks import KeySet, build_key_set

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
NOW = 1_700_000_000
ISSUER = "https://issuer.example/oidc"
AUDIENCE = "https://api.example"
ABSENT = object()

_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


@dataclass(frozen=True)
class SigningKey:
    """A private key, the algorithm that it signs with, and the name under which its public half is published."""

    algorithm: str
    kid: str
    key: RSAKey | ECKey | OKPKey

    @property
    def public(self) -> dict[str, Any]:
        """The JWK that an issuer publishes, without ``alg``."""
        return {**self.key.as_dict(private=False), "kid": self.kid, "use": "sig"}

    def sign(self, signing_input: bytes) -> bytes:
        """Return the signature of some octets."""
        name = "Ed25519" if self.algorithm == "EdDSA" else self.algorithm
        return JWSRegistry.algorithms[name].sign(signing_input, self.key)


@functools.cache
def make_key(algorithm: str = "ES256", kid: str = "key-1") -> SigningKey:
    """Return the key of this name; RS and PS of one name share a key, as RSA keys without ``alg`` may."""
    return SigningKey(algorithm, kid, _make_private_key(_find_family(algorithm), kid))


def _find_family(algorithm: str) -> str:
    return "RSA" if algorithm[:2] in ("RS", "PS") else algorithm


@functools.cache
def _make_private_key(family: str, _name: str) -> RSAKey | ECKey | OKPKey:
    if family == "RSA":
        return RSAKey.generate_key(2048)
    return OKPKey.generate_key("Ed25519") if family == "EdDSA" else ECKey.generate_key(_CURVES[family])


def make_key_set(*keys: SigningKey) -> KeySet:
    """Return the key set that publishes these keys."""
    return build_key_set({"keys": [key.public for key in keys]})


def encode(octets: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Return the octets of base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def to_octets(part: Mapping[str, Any] | bytes) -> bytes:
    """Return JSON for a mapping, and octets as they are."""
    return part if isinstance(part, bytes) else json.dumps(part).encode()


def sign_token(key: SigningKey, header: Mapping[str, Any] | bytes, payload: Mapping[str, Any] | bytes) -> str:
    """Return a token of just this header and payload, whatever they are."""
    signing_input = f"{encode(to_octets(header))}.{encode(to_octets(payload))}"
    return f"{signing_input}.{encode(key.sign(signing_input.encode('ascii')))}"


def sign_with_secret(secret: bytes, header: Mapping[str, Any], payload: Mapping[str, Any]) -> str:
    """Return a token with an HMAC in the place of the signature, as an attacker makes it."""
    signing_input = f"{encode(to_octets(header))}.{encode(to_octets(payload))}"
    return f"{signing_input}.{encode(hmac.new(secret, signing_input.encode('ascii'), hashlib.sha256).digest())}"


def make_claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a good access token with these changes; ``ABSENT`` takes a claim away."""
    claims = {
        "iss": ISSUER,
        "sub": "user-1",
        "aud": AUDIENCE,
        "client_id": "app-1",
        "iat": NOW - 60,
        "exp": NOW + 3600,
        "jti": "token-1",
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not ABSENT}


def make_header(key: SigningKey, **changes: Any) -> dict[str, Any]:
    """Return the header of a good access token with these changes; ``ABSENT`` takes a parameter away."""
    header = {"alg": key.algorithm, "typ": "at+jwt", "kid": key.kid, **changes}
    return {name: value for name, value in header.items() if value is not ABSENT}


def make_token(key: SigningKey | None = None, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
    """Return a token that all default rules accept, but for these changes."""
    key = key or make_key()
    return sign_token(key, make_header(key, **(header or {})), make_claims(**claims))
