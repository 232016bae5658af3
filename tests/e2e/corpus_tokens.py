"""What an issuer may write into tokens, right or wrong: pairs of a name and a token of the moment ``NOW``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from tests.signing import (
    ABSENT,
    ALGORITHMS,
    AUDIENCE,
    ISSUER,
    NOW,
    SigningKey,
    make_claims,
    make_header,
    make_key,
    make_token,
    sign_token,
)

# What stands where something else is wanted.
ODD_VALUES = (ABSENT, None, "", "x", 0, 1, -1, True, [], ["x"], {}, {"x": "y"})

Tokens = Iterator[tuple[str, str]]


def signer(algorithm: str = "ES256") -> SigningKey:
    """Return the issuer's key of this algorithm."""
    return make_key(algorithm, algorithm)


def issue(header: dict[str, Any] | None = None, **claims: object) -> str:
    """Return a good token with these changes, by the issuer's ES256 key."""
    return make_token(signer(), header, **claims)


def show(value: object) -> str:
    """Return a value as it is named: as JSON, long runs of one character by their length."""
    if value is ABSENT:
        return "absent"
    return re.sub(r"(.)\1{40,}", lambda found: f"{found[1]}*{len(found[0])}", json.dumps(value))


def vary_algorithms() -> Tokens:
    for algorithm in ALGORITHMS:
        yield algorithm, make_token(signer(algorithm))
        yield f"{algorithm} without kid", make_token(signer(algorithm), {"kid": ABSENT})
        for other in ALGORITHMS:
            if other != algorithm:
                yield f"{other} said, {algorithm} signed", make_token(signer(algorithm), {"alg": other})


def vary_types() -> Tokens:
    names = ["AT+JWT", "at+JWT", "application/at+jwt", "APPLICATION/AT+JWT", "JWT", "jwt", "id+jwt", "dpop+jwt"]
    names += ["logout+jwt", "secevent+jwt", "application/application/at+jwt", "at+jwt ", " at+jwt", "at", "at%2Bjwt"]
    names += ["at+jwt; charset=utf-8", "text/at+jwt", "/at+jwt", "none", "at+jwt\u0000", "ａt+jwt"]
    for value in (*names, *ODD_VALUES, ["at+jwt"]):
        yield show(value), issue({"typ": value})


def vary_claims() -> Tokens:
    for claim in ("iss", "sub", "aud", "client_id", "iat", "exp", "jti", "nbf"):
        for value in ODD_VALUES:
            yield f"{claim} {show(value)}", issue(**{claim: value})


def vary_audiences() -> Tokens:
    values = [[AUDIENCE], ["https://other.example", AUDIENCE], [AUDIENCE, AUDIENCE], [AUDIENCE, 1], [AUDIENCE, None]]
    values += [[[AUDIENCE]], {AUDIENCE: True}, {"0": AUDIENCE}, AUDIENCE + "/", AUDIENCE.upper(), AUDIENCE + " "]
    values += [f"{AUDIENCE} https://other.example", "*", "https://*", AUDIENCE.replace("https", "http"), "api.example"]
    for value in (*values, ["https://other.example"], AUDIENCE[:-1], "https://api\u3002example"):
        yield show(value), issue(aud=value)


def vary_issuers() -> Tokens:
    values = [ISSUER + "/", ISSUER + "//", ISSUER.upper(), ISSUER.replace("https", "http"), ISSUER + "?", ISSUER + "#"]
    values += ["https://issuer.example", "https://issuer.example:443/oidc", ISSUER + "/x", [ISSUER], " " + ISSUER]
    values += ["https://issuer.example/%6fidc", "https://evil.example/oidc", "https://issuer\uff0eexample/oidc"]
    for value in values:
        yield show(value), issue(iss=value)


def vary_times() -> Tokens:
    for claim in ("exp", "nbf", "iat"):
        for distance in (-3600, -1, -0.5, -0.001, 0, 0.001, 0.5, 1, 3600):
            yield f"{claim} now{distance:+}", issue(**{claim: NOW + distance})
        for value in (str(NOW + 60), [NOW + 60], 2**53 - 1, 2**53, 10**30, 0.0, -0.5, (NOW + 60) * 1000):
            yield f"{claim} {show(value)}", issue(**{claim: value})
        for text in (f"{NOW + 60}.0", "1.8e9", "1.6E+9", "1e400", "-1e400", "1e-400", "NaN", "Infinity", "0x7fffffff"):
            payload = json.dumps(make_claims(**{claim: 0})).replace(f'"{claim}": 0', f'"{claim}": {text}')
            yield f"{claim} written {text}", sign_token(signer(), make_header(signer()), payload.encode())
    yield "exp before iat", issue(iat=NOW - 10, exp=NOW - 20)
    yield "nbf after exp", issue(nbf=NOW + 20, exp=NOW + 10)
    yield "a century", issue(exp=NOW + 100 * 365 * 86400)


def vary_headers() -> Tokens:
    for value in (None, [], ["exp"], ["b64"], ["x"], "exp", {}, True):
        yield f"crit {show(value)}", issue({"crit": value, "x": 1})
    yield "crit b64 and b64 false", issue({"crit": ["b64"], "b64": False})
    extras = {"b64": [False, True, None], "zip": ["DEF"], "cty": ["JWT", "at+jwt"], "enc": ["A128GCM"], "x": ["é", {}]}
    extras |= {"jku": ["https://evil.example"], "x5u": [5], "jwk": [{}], "x5c": [[]], "x5t": [""], "nonce": ["x"]}
    extras |= {"__proto__": [{"alg": "none"}], "constructor": [1], "iss": ["https://evil.example"], "": [1], "exp": [1]}
    for name, values in extras.items():
        for value in values:
            yield f"{name} {show(value)}", issue({name: value})
    kids = ["es256", "ES256 ", "ES384", "unknown", "../../../dev/null", "' OR 1=1 --", "\u0000", "\ud800", "Ｅ256"]
    for value in (*kids, *ODD_VALUES, ["ES256"], "k" * 256, "k" * 5000):
        yield f"kid {show(value)}", issue({"kid": value})


def add_claims() -> Tokens:
    values: dict[str, Iterable[object]] = {
        "scope": ["read:items write:items", "", ["read"], 5, None],
        "cnf": [{}, {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}, {"x5t#S256": "bwcK0es"}, "x", None],
        "name": ["Zoë 🦊", "\u202e", "\u0000", "x" * 6000, "x" * 9000, "x" * 20000],
        "at_hash": ["x"],
        "nonce": ["x"],
        "auth_time": [NOW, "x"],
        "act": [{"sub": "other"}],
        "__proto__": [{"sub": "admin"}],
        "tokenIdentifier": ["https://evil.example|admin"],
        "org_id": ["org_1", ["org_1"]],
        "roles": [[], ["admin"], {"admin": True}],
        "": ["x"],
        "x": [2**64, 1.5, None, False, {"a": {"b": [1, "é"]}}],
    }
    yield from ((f"{name} {show(each)}", issue(**{name: each})) for name, some in values.items() for each in some)
    yield "organization_id and org_id differ", issue(organization_id="a", org_id="b")
    yield "sub in Unicode", issue(sub="Zoë 🦊")
    yield "sub with a bar", issue(sub="auth0|1|2")
    yield "sub of 4000 characters", issue(sub="s" * 4000)
    yield "300 claims", issue(**{f"claim-{number}": number for number in range(300)})
