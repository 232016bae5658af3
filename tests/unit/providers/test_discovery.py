"""What is believed of an issuer's metadata."""

from __future__ import annotations

import json

import pytest

from gateway.providers.discovery import parse_metadata
from gateway.providers.fetch import FetchError

HTTPS = "https://issuer.example/.well-known/openid-configuration"
HTTP = "http://localhost:3001/.well-known/openid-configuration"
ISSUER = "https://issuer.example"
KEYS = "https://issuer.example/jwks"


def write(**members: object) -> bytes:
    return json.dumps({"issuer": ISSUER, "jwks_uri": KEYS} | members).encode()


@pytest.mark.norm("8414-1")
@pytest.mark.parametrize(
    ("body", "discovery_url", "issuers"),
    [
        pytest.param(write(), HTTPS, (ISSUER,), id="as-configured"),
        pytest.param(write(issuer=ISSUER + "/"), HTTPS, (ISSUER,), id="slash-in-the-document"),
        pytest.param(write(), HTTPS, (ISSUER + "/",), id="slash-in-the-file"),
        pytest.param(write(), HTTPS, ("https://other.example", ISSUER), id="one-of-several"),
        pytest.param(write(jwks_uris=5, scopes_supported=[]), HTTPS, (ISSUER,), id="other-members-are-nothing-to-us"),
    ],
)
def test_jwks_uri_of_the_configured_issuer(body: bytes, discovery_url: str, issuers: tuple[str, ...]) -> None:
    """The metadata of an issuer in the file names where its keys are."""
    assert parse_metadata(body, discovery_url, issuers).jwks_uri == KEYS


@pytest.mark.norm("8414-3")
def test_http_may_name_http() -> None:
    """Where the file already says http, as on a developer's machine, so may the document."""
    body = write(issuer="http://localhost:3001", jwks_uri="http://localhost:3001/jwks")
    assert parse_metadata(body, HTTP, ("http://localhost:3001",)).jwks_uri == "http://localhost:3001/jwks"


@pytest.mark.norm("8414-1")
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"<html>", "not JSON", id="html"),
        pytest.param(b"", "not JSON", id="empty"),
        pytest.param(write() + b"}", "not JSON", id="trailing-garbage"),
        pytest.param(b"\xff\xfe", "not JSON", id="not-utf-8"),
        pytest.param(b"[" * 100_000, "not JSON", id="deep"),
        pytest.param(b"[]", "not a JSON object", id="list"),
        pytest.param(b"null", "not a JSON object", id="null"),
        pytest.param(write(issuer="https://evil.example"), "another issuer: https://evil.example", id="other-issuer"),
        pytest.param(write(issuer="http://issuer.example"), "another issuer", id="scheme"),
        pytest.param(write(issuer="https://ISSUER.example"), "another issuer", id="letter-case"),
        pytest.param(write(issuer=None), "another issuer: no issuer", id="no-issuer"),
        pytest.param(write(issuer=[ISSUER]), "another issuer: no issuer", id="issuers-in-a-list"),
        pytest.param(write(issuer="x\r\n\x1b[2J"), "another issuer: x???[2J", id="control-characters-removed"),
        pytest.param(write(issuer="\ud800" * 9999), "another issuer: ????", id="surrogates-removed"),
        pytest.param(write(jwks_uri=None), "no jwks_uri", id="no-jwks-uri"),
        pytest.param(write(jwks_uri=7), "no jwks_uri", id="number"),
        pytest.param(write(jwks_uri=""), "not an http or https URL", id="empty-jwks-uri"),
        pytest.param(write(jwks_uri="/jwks"), "not an http or https URL", id="relative"),
        pytest.param(write(jwks_uri="file:///etc/passwd"), "not an http or https URL", id="file"),
        pytest.param(write(jwks_uri="data:,{}"), "not an http or https URL", id="data"),
        pytest.param(write(jwks_uri="https://"), "jwks_uri is not", id="no-host"),
        pytest.param(write(jwks_uri="https://a:99999999/"), "jwks_uri is not", id="bad-port"),
        pytest.param(write(jwks_uri="https://[::1"), "jwks_uri is not", id="bad-host"),
        pytest.param(
            write(jwks_uri="http://issuer.example/jwks"),
            "http although",
            id="to-http",
            marks=pytest.mark.norm("8414-3"),
        ),
    ],
)
def test_other_metadata_is_not_used(body: bytes, reason: str) -> None:
    """Metadata that is not of the configured issuer, or names no place that we fetch from, is not used."""
    with pytest.raises(FetchError) as caught:
        parse_metadata(body, HTTPS, (ISSUER,))
    assert reason in str(caught.value)
    assert str(caught.value).isascii()
    assert len(str(caught.value)) <= 200
