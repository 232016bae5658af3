"""The forms of ``jwks``."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from gateway.config.keys import KeyLocation, build_location, decode_data, parse_jwks

# RFC 8037, appendix A.2
KEY = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "k1"}
DOCUMENT = json.dumps({"keys": [KEY]}).encode()
BASE64 = base64.b64encode(DOCUMENT).decode()
FORMS = "^expected an http\\(s\\) URL, file:PATH, a data: URI, or a JWK Set"


def test_urls() -> None:
    """What is asked for over HTTP stays as it is."""
    assert build_location("https://i.example/jwks?x=1") == KeyLocation(url="https://i.example/jwks?x=1")


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("file:keys.json", "/etc/gw/keys.json"),
        ("file:sub/keys.json", "/etc/gw/sub/keys.json"),
        ("file:/run/keys.json", "/run/keys.json"),
        ("file:///run/keys.json", "/run/keys.json"),
        ("file://localhost/run/keys.json", "/run/keys.json"),
    ],
)
def test_files(written: str, path: str) -> None:
    """A path is one beside the file, unless it begins at the root; RFC 8089 has it with slashes."""
    assert build_location(written, Path("/etc/gw")) == KeyLocation(path=path)


@pytest.mark.parametrize(
    "uri",
    [
        f"data:text/plain;charset=utf-8;base64,{BASE64}",
        f"DATA:application/json;BASE64,{BASE64}",
        f"data:;base64,{BASE64.rstrip('=')}",
        f"data:;base64,{base64.urlsafe_b64encode(DOCUMENT).decode()}",
        f"data:;base64,{quote(BASE64, safe='')}",
        f"data:application/json,{quote(DOCUMENT.decode())}",
        f"data:,{DOCUMENT.decode()}",
    ],
)
def test_data(uri: str) -> None:
    """Convex takes any media type, in base64 or percent-encoded, and so does a paste of it here."""
    assert decode_data(uri) == DOCUMENT
    assert [key.kid for key in build_location(uri).key_set.keys] == ["k1"]


def test_inline_keys() -> None:
    """A JWK Set may stand in the file itself."""
    assert [key.kid for key in build_location({"keys": [KEY]}).key_set.keys] == ["k1"]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (None, FORMS),
        (5, FORMS),
        ([], FORMS),
        ("keys.json", FORMS),
        ("ftp://x/y", FORMS),
        ("", "the text is empty"),
        ("https://", "the host is missing"),
        ("file:", "the path is missing"),
        ("file://host/x", "the path is missing"),
        ("data:application/json", "a data: URI without a comma"),
        ("data:;base64,e30", '^not a JWK Set: an object with an array "keys" is needed'),
        ("data:;base64,***", "not base64"),
        ("data:,x", "^not JSON: put a JWK Set there"),
        ({}, "^not a JWK Set"),
        ({"keys": {}}, "^not a JWK Set"),
        ({"keys": []}, "^no key in it can verify: put the public"),
        ({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}, "key 0: a symmetric key; whoever can read it can sign"),
        ({"keys": [{**KEY, "d": "c2VjcmV0"}]}, "key 0: a private key; whoever can read it can sign"),
        ({"keys": [KEY] * 65}, "65 keys, at most 64"),
    ],
)
def test_no_keys(written: object, message: str) -> None:
    """Keys that are written out and cannot verify are a mistake now, not with the first token."""
    with pytest.raises(ValueError, match=message) as caught:
        parse_jwks(written)
    assert "c2VjcmV0" not in str(caught.value)
