"""Keys, and tokens by the ten thousand, as an issuer would sign them."""

from __future__ import annotations

import base64
import functools
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey, KeyParameters, RSAKey
from joserfc.jws import JWSRegistry

ALGORITHMS = ("RS256", "ES256", "ES384")
AUDIENCE = "https://my-api.example"
LIFETIME_SECONDS = 36_000

_CURVES = {"ES256": "P-256", "ES384": "P-384"}
# So many tokens are worth a process of their own.
_SHARE = 500


def name_issuer(number: int) -> str:
    """Return the issuer of one of many providers; all of them publish the same keys."""
    return f"https://issuer-{number}.example/oidc"


@functools.cache
def make_key(algorithm: str) -> RSAKey | ECKey:
    """Return the one private key of an algorithm."""
    parameters: KeyParameters = {"kid": algorithm, "alg": algorithm, "use": "sig"}
    if algorithm in _CURVES:
        return ECKey.generate_key(_CURVES[algorithm], parameters)
    return RSAKey.generate_key(2048, parameters)


@functools.cache
def make_key_set() -> dict[str, Any]:
    """Return the JWK Set that the issuers publish."""
    return {"keys": [make_key(algorithm).as_dict(private=False) for algorithm in ALGORITHMS]}


def write_pems(folder: Path) -> dict[str, Path]:
    """Write each public key as PEM, for those who cannot read a JWK, and return the paths by algorithm."""
    paths = {algorithm: folder / f"{algorithm}.pem" for algorithm in ALGORITHMS}
    for algorithm, path in paths.items():
        path.write_bytes(make_key(algorithm).as_pem(private=False))
    return paths


def write_tokens(path: Path, algorithm: str, count: int, *, prefix: str, issuers: int = 1) -> Path:
    """
    Write tokens, one a line, all different.

    ``prefix`` keeps sets apart: no token of one prefix is one of another. The issuers take turns, the last one first.
    """
    shares = [(algorithm, prefix, issuers, range(at, min(at + _SHARE, count))) for at in range(0, count, _SHARE)]
    # The keys are made before the workers are forked, so that all sign with the same.
    make_key(algorithm)
    with ProcessPoolExecutor(os.cpu_count()) as pool, path.open("w", encoding="ascii") as file:
        for tokens in pool.map(_sign_share, shares):
            file.write(tokens)
    return path


def _sign_share(share: tuple[str, str, int, range]) -> str:
    algorithm, prefix, issuers, numbers = share
    return "".join(
        make_token(algorithm, f"{prefix}-{number}", name_issuer(issuers - 1 - number % issuers)) + "\n"
        for number in numbers
    )


def make_token(algorithm: str, subject: str, issuer: str) -> str:
    """Return an access token of the size and the claims that issuers really give (RFC 9068)."""
    key, now = make_key(algorithm), int(time.time())
    header = {"alg": algorithm, "typ": "at+jwt", "kid": key.kid}
    claims = {
        "iss": issuer,
        "sub": subject,
        "aud": AUDIENCE,
        "exp": now + LIFETIME_SECONDS,
        "iat": now,
        "jti": subject,
        "scope": "read:items write:items",
        "client_id": "app1",
    }
    signing_input = f"{_encode(json.dumps(header).encode())}.{_encode(json.dumps(claims).encode())}"
    signature = JWSRegistry.algorithms[algorithm].sign(signing_input.encode("ascii"), key)
    return f"{signing_input}.{_encode(signature)}"


def _encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")
