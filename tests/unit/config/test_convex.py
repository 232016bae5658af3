"""
What Convex's own check of ``auth.config.ts`` knows, case by case: accepted here, or an error of our own.

Its keys paste as they are; what it lets pass in silence does not pass here.
"""

from __future__ import annotations

import base64
import json

import pytest

from gateway.config.settings import KeySourceSettings
from tests.unit.config.conftest import HEAD, Complain, Load

CUSTOM = {
    "type": "customJwt",
    "issuer": "https://issuer.example",
    "jwks": "https://issuer.example/jwks",
    "algorithm": "RS256",
    "applicationID": "my-app",
}
OIDC = {"domain": "https://tenant.example", "applicationID": "my-client"}
KEY = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
DATA = "data:text/plain;charset=utf-8;base64," + base64.b64encode(json.dumps({"keys": [KEY]}).encode()).decode()


def write(base: dict[str, object], *removed: str, **changed: object) -> str:
    """Return a file with one provider in JSON, which is how a paste from TypeScript looks to YAML."""
    entry = {key: value for key, value in {**base, **changed}.items() if key not in removed}
    return HEAD + "providers:\n  - " + json.dumps(entry) + "\n"


ACCEPTED = {
    "customJwt as Convex documents it": write(CUSTOM),
    "ES256, its other algorithm": write(CUSTOM, algorithm="ES256"),
    "OIDC without a type": write(OIDC),
    "OIDC with a type": write(OIDC, type="oidc"),
    "OIDC with a domain without a scheme": write(OIDC, domain="tenant.us.auth0.example"),
    "OIDC over http on this machine": write(OIDC, domain="http://localhost:3210"),
    "an issuer with a slash at its end": write(CUSTOM, issuer="https://issuer.example/"),
    "an issuer with a path and a query": write(CUSTOM, issuer="https://issuer.example/a?b=c"),
    "keys in a data: URI": write(CUSTOM, jwks=DATA, algorithm="EdDSA"),
    "an algorithm that Convex refuses": write(CUSTOM, algorithm="ES384"),
    "several audiences, which Convex refuses": write(CUSTOM, applicationID=["a", "urn:x:{organization}"]),
    "an opaque issuer, which Convex refuses": write(CUSTOM, issuer="urn:example:issuer"),
    "its shared issuer, with an audience": write(CUSTOM, issuer="https://api.workos.com/"),
    "no algorithm": write(CUSTOM, "algorithm"),
}


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED)
def test_what_convex_has_pastes(load: Load, text: str) -> None:
    """Without a word of warning."""
    assert load(text, strict=True).warnings == ()


MISSING = (
    "4:6: error: providers[0]: no applicationID: write the audiences that are yours, "
    "or allow_any_audience: true for tokens that were issued to anyone"
)

REFUSED = {
    # Convex names these itself.
    "applicationId": (
        write(CUSTOM, "applicationID", applicationId="a"),
        ["providers[0].applicationId: unknown key: written applicationID: capital I, capital D"],
    ),
    "applicationid": (
        write(OIDC, "applicationID", applicationid="a"),
        ["providers[0].applicationid: unknown key: written applicationID: capital I, capital D"],
    ),
    "another type": (write(CUSTOM, type="saml"), ["providers[0].type: expected customJwt or oidc"]),
    "a type that is no text": (write(OIDC, type=5), ["providers[0].type: expected customJwt or oidc"]),
    "the type unknown, which passes there": (
        write(OIDC, type="unknown"),
        ["providers[0].type: expected customJwt or oidc"],
    ),
    "customJwt with a domain": (
        write(CUSTOM, domain="https://d.example"),
        ["providers[0].domain: a customJwt provider has no domain: write issuer and jwks, or type: oidc"],
    ),
    "oidc with an issuer": (
        write(OIDC, type="oidc", issuer="https://i.example"),
        [
            (
                "providers[0].issuer: an oidc provider has no issuer: "
                "write domain, or type: customJwt with issuer and jwks"
            )
        ],
    ),
    "oidc without a type with an issuer": (
        write(OIDC, issuer="https://i.example"),
        [
            (
                "providers[0].issuer: an oidc provider has no issuer: "
                "write domain, or type: customJwt with issuer and jwks"
            )
        ],
    ),
    "oidc with keys": (
        write(OIDC, jwks="https://i.example/jwks"),
        [
            (
                "providers[0].jwks: an oidc provider finds its keys itself: "
                "remove jwks, or write type: customJwt with issuer"
            )
        ],
    ),
    "its shared issuer without an audience": (
        write(CUSTOM, "applicationID", issuer="https://api.workos.com"),
        [MISSING],
    ),
    # These it lets pass: no audience is checked.
    "no applicationID": (write(CUSTOM, "applicationID"), [MISSING]),
    "applicationID null": (write(CUSTOM, applicationID=None), ["no value: write one, or remove the key"]),
    "applicationID empty": (
        write(CUSTOM, applicationID=""),
        ["providers[0].applicationID[0]: the text is empty: write a value, or remove the key"],
    ),
    "audience misspelt": (
        write(CUSTOM, "applicationID", audiences="a"),
        ["providers[0].audiences: unknown key: written applicationID: or audience; it takes a list"],
    ),
    "applicationID a star, which is one there": (
        write(CUSTOM, applicationID="*"),
        [
            (
                "providers[0].applicationID[0]: bad audience pattern: "
                "a pattern without literal text accepts every audience; write what yours begins with"
            )
        ],
    ),
    "an unknown key, which is ignored there": (
        write(CUSTOM, jwksUri="https://i.example"),
        ["providers[0].jwksUri: unknown key: written jwks: with the same URL"],
    ),
    # For these it says "data did not match any variant".
    "no jwks": (write(CUSTOM, "jwks"), ["providers[0].jwks: missing: write 'jwks: ...'"]),
    "no issuer": (write(CUSTOM, "issuer"), ["providers[0].issuer: missing: write 'issuer: ...'"]),
    "no type and no domain": (
        write(CUSTOM, "type"),
        ["providers[0].type: missing: write 'type: customJwt' with issuer and jwks, or a domain"],
    ),
    "oidc without a domain": (
        write(OIDC, "domain", type="oidc"),
        ["providers[0].domain: missing: write 'domain: ...'"],
    ),
    "an algorithm misspelt": (
        write(CUSTOM, algorithm="rs256"),
        [
            (
                "providers[0].algorithm[0]: not an algorithm that is supported: did you mean RS256? "
                "Supported are ES256, ES384, ES512, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512"
            )
        ],
    ),
    "HMAC": (
        write(CUSTOM, algorithm="HS256"),
        ["providers[0].algorithm[0]: HMAC is symmetric: whoever can verify could sign; use RS256, ES256 or EdDSA"],
    ),
    "a provider that is no mapping": (HEAD + "providers: [a]\n", ["providers[0]: expected a mapping of keys"]),
    "no providers": (HEAD, ["providers: missing: write 'providers: ...'"]),
    "an empty list of providers": (
        HEAD + "providers: []\n",
        ["providers: empty: write at least one, or no token is ever accepted"],
    ),
    "an empty file": ("", ["the file is empty: begin with 'version: 1'"]),
    "a variable that is not set": (
        write(CUSTOM, applicationID="${CLIENT}"),
        ["the variable CLIENT is not set: set it, or write ${CLIENT:-default}"],
    ),
    # "Invalid provider domain URL"
    "a domain in quotes": (
        write(OIDC, domain='"https://tenant.example"'),
        ["providers[0].domain: it starts with a double quote: remove the quotes inside of the value"],
    ),
    "a domain of another scheme": (
        write(OIDC, domain="ftp://tenant.example"),
        ["providers[0].domain: the scheme should be http or https: expected a URL such as https://issuer.example"],
    ),
    "a domain without a host": (
        write(OIDC, domain="https://"),
        ["providers[0].domain: not a URL: the host is missing or is none"],
    ),
    "a domain with a bad port": (
        write(OIDC, domain="https://tenant.example:99999"),
        ["providers[0].domain: not a URL: its host or port cannot be read"],
    ),
    "a word for a domain": (
        write(OIDC, domain="my-app"),
        ["providers[0].domain: it does not look like a URL: write https://tenant.example"],
    ),
    "an issuer in quotes": (
        write(CUSTOM, issuer='"https://issuer.example"'),
        ["providers[0].issuer[0]: it starts with a double quote: remove the quotes inside of the value"],
    ),
    "an issuer of another scheme": (
        write(CUSTOM, issuer="htps://issuer.example"),
        ["providers[0].issuer[0]: the scheme should be http or https: expected a URL such as https://issuer.example"],
    ),
    # It never looks at jwks before the first request.
    "jwks that is no URL": (
        write(CUSTOM, jwks="issuer.example/jwks"),
        ["providers[0].jwks: expected an http(s) URL, file:PATH, a data: URI, or a JWK Set as {keys: [...]}"],
    ),
    "a data: URI that is broken": (
        write(CUSTOM, jwks="data:application/json;base64,###"),
        ["providers[0].jwks: a data: URI that is not base64: encode it again, or leave ;base64 out"],
    ),
    "a data: URI without keys": (
        write(CUSTOM, jwks="data:application/json,{}"),
        ['providers[0].jwks: not a JWK Set: an object with an array "keys" is needed: put a JWK Set there'],
    ),
    "keys of another algorithm": (
        write(CUSTOM, jwks=DATA),
        ["providers[0].jwks: no key in it serves an accepted algorithm: change algorithm, or the keys"],
    ),
    # It compares as JSON, and keeps one.
    "a key twice": (
        HEAD + 'providers:\n  - {"domain": "https://a.example", "applicationID": "a", "applicationID": "b"}\n',
        ["duplicate key 'applicationID': it is on line 4 already, remove one of the two"],
    ),
}


@pytest.mark.parametrize(("text", "messages"), REFUSED.values(), ids=REFUSED)
def test_what_convex_refuses_or_should(complain: Complain, text: str, messages: list[str]) -> None:
    """One mistake gives one error, and the error is about it."""
    found = [problem.partition(": error: ")[2] for problem in complain(text)]
    assert found == [message.rpartition(": error: ")[2] for message in messages]


def test_providers_are_tried_in_the_order_of_the_file(load: Load) -> None:
    """Convex sorts them; here the file says which is first."""
    text = (
        HEAD
        + "providers:\n"
        + "".join(f"  - {json.dumps({**entry, 'name': name})}\n" for name, entry in [("b", CUSTOM), ("a", OIDC)])
    )
    assert [provider.name for provider in load(text).settings.policy.providers] == ["b", "a"]


def test_keys_of_a_data_uri_are_known_at_once(load: Load) -> None:
    """Nothing is fetched for them."""
    [source] = load(write(CUSTOM, jwks=DATA, algorithm="EdDSA")).settings.key_sources
    assert source == KeySourceSettings("issuer.example", ("https://issuer.example",), key_set=source.key_set)
    assert [key.algorithms for key in source.key_set.keys] == [{"EdDSA"}]
