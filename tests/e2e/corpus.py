"""
Access tokens good and bad, each with a name: what an issuer, a careless issuer and an attacker may send.

All are for the moment ``NOW``. Unless a case is about something else, a token is signed by the issuer's ES256 key, and
the issuer publishes one key of each algorithm, with ``kid`` and ``alg`` both naming it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tests.e2e.corpus_forgeries import forge, vary_header_json, vary_payload_json, vary_signatures, vary_spellings
from tests.e2e.corpus_tokens import (
    Tokens,
    add_claims,
    issue,
    show,
    signer,
    vary_algorithms,
    vary_audiences,
    vary_claims,
    vary_headers,
    vary_issuers,
    vary_times,
    vary_types,
)
from tests.signing import ABSENT, ALGORITHMS, SigningKey, encode, make_key, make_token

JWK = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One ``Authorization`` field, and the keys that its issuer publishes."""

    name: str
    authorization: str
    keys: list[JWK]


def build_corpus() -> list[Case]:
    """Return every case."""
    published = [_publish(signer(algorithm)) for algorithm in ALGORITHMS]
    groups: dict[str, Tokens] = {
        "alg": vary_algorithms(),
        "typ": vary_types(),
        "claim": vary_claims(),
        "aud": vary_audiences(),
        "iss": vary_issuers(),
        "time": vary_times(),
        "forged": forge(),
        "signature": vary_signatures(),
        "header": vary_headers(),
        "spelling": vary_spellings(),
        "payload JSON": vary_payload_json(),
        "header JSON": vary_header_json(),
        "more": add_claims(),
    }
    cases = [
        Case(f"{group}: {name}", f"Bearer {token}", published)
        for group, tokens in groups.items()
        for name, token in tokens
    ]
    cases += [Case(f"field: {name}", value, published) for name, value in _vary_fields()]
    return cases + [Case(f"keys: {name}", f"Bearer {token}", keys) for name, token, keys in _vary_keys()]


def _vary_fields() -> Tokens:
    good = issue()
    for scheme in ("bearer", "BEARER", "BeArEr", "Bearer ", "Basic", "DPoP", "Token", "Bearer,", "Bearer Bearer"):
        yield f"scheme {scheme!r}", f"{scheme} {good}"
    texts = {"no scheme": good, "no token": "Bearer", "no space": f"Bearer{good}", "colon": f"Bearer: {good}"}
    texts |= {"tab": f"Bearer\t{good}", "quotes": f'Bearer "{good}"', "two tokens": f"Bearer {good} {good}"}
    texts |= {"list": f"Bearer {good}, Bearer {good}", "comma": f"Bearer {good},", "parameter": f"Bearer token={good}"}
    texts |= {"empty": "", "opaque": "Bearer 8xLOxBtZp8", "non-ASCII": f"Bearer {good}é", "DEL": f"Bearer {good}\x7f"}
    yield from texts.items()


def _vary_keys() -> Iterator[tuple[str, str, list[JWK]]]:
    key, rsa, edwards, good = signer(), signer("RS256"), signer("EdDSA"), issue()
    own, other = _publish(key), _publish(make_key("ES256", "other"))
    bare = {"alg": ABSENT, "kid": ABSENT, "use": ABSENT}
    sets = {
        "none": [],
        "another's": [other],
        "without kid": [_publish(key, kid=ABSENT)],
        "without alg, kid and use": [_publish(key, **bare)],
        "use enc": [_publish(key, use="enc")],
        "key_ops verify": [_publish(key, key_ops=["verify"])],
        "key_ops sign": [_publish(key, key_ops=["sign"])],
        "alg of another curve": [_publish(key, alg="ES384")],
        "alg of another type": [_publish(key, alg="RS256")],
        "crv of another curve": [_publish(key, crv="P-384")],
        "a point off the curve": [_publish(key, y=own["x"])],
        "a private key": [{**own, "d": key.key.as_dict(private=True)["d"]}],
        "a symmetric key of this kid": [{"kty": "oct", "k": encode(b"secret" * 6), "kid": "ES256", "alg": "ES256"}],
        "a key of an unknown type beside": [{"kty": "XYZ", "kid": "x"}, own],
        "kid twice, second right": [{**other, "kid": "ES256"}, own],
        "no object beside": [own, 5],
        "kid in another case": [_publish(key, kid="es256")],
    }
    yield from ((name, good, keys) for name, keys in sets.items())
    yield "no kid, two keys", issue({"kid": ABSENT}), [other, own]
    yield "no kid, two keys, none of them right", make_token(make_key("ES256", "x"), {"kid": ABSENT}), [other, own]
    for algorithm in ALGORITHMS[:6]:
        keys = [_publish(rsa, alg=ABSENT)]
        yield f"RSA without alg, {algorithm}", make_token(replace(rsa, algorithm=algorithm)), keys
    for said in ("EdDSA", "Ed25519"):
        for published in ("EdDSA", "Ed25519", ABSENT):
            keys = [_publish(edwards, alg=published)]
            yield f"{said} said, {show(published)} published", make_token(edwards, {"alg": said}), keys


def _publish(key: SigningKey, **changes: object) -> JWK:
    jwk = {**key.public, "alg": key.algorithm, **changes}
    return {name: value for name, value in jwk.items() if value is not ABSENT}
