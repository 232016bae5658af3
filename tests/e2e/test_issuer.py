"""The fixtures themselves: tokens are as a real issuer makes them, and what is recorded is what was sent."""

import base64
import json
import socket
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import pytest

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
ALGORITHMS = ["RS256", "PS256", "ES256", "ES384", "EdDSA"]


def decode_part(token: str, index: int) -> dict[str, Any]:
    """Return the header (0) or the payload (1) of a JWS in compact form, unverified."""
    part = token.split(".")[index]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def fetch_json(url: str) -> dict[str, Any]:
    """Return the JSON document of an address."""
    with DIRECT.open(url, timeout=10) as response:
        return json.load(response)


@pytest.mark.node
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_access_token_is_signed_as_asked(issuer, alg):
    """Every algorithm can be had, as RFC 9068's ``at+jwt``, by a key of the published set."""
    header = decode_part(issuer.access_token(alg=alg), 0)
    assert header == {"alg": alg, "typ": "at+jwt", "kid": f"{alg.lower()}-0"}
    assert header["kid"] in {key["kid"] for key in fetch_json(issuer.jwks)["keys"]}


@pytest.mark.node
def test_machine_token_carries_exactly_the_claims_of_logto(issuer):
    """A client_credentials token speaks for the client itself."""
    payload = decode_part(issuer.access_token(scope="read:items write:items"), 1)
    assert set(payload) == {"jti", "sub", "iat", "exp", "scope", "client_id", "iss", "aud"}
    assert payload["iss"] == issuer.issuer
    assert payload["aud"] == "https://my-api.example"
    assert payload["sub"] == payload["client_id"] == "m2m"
    assert payload["scope"] == "read:items write:items"


@pytest.mark.node
def test_organization_token_names_its_organization_in_the_audience_only(issuer):
    """Logto puts the organization of such a token nowhere but in ``aud``."""
    payload = decode_part(issuer.access_token("urn:logto:organization:org_1"), 1)
    assert payload["aud"] == "urn:logto:organization:org_1"
    assert "organization_id" not in payload


@pytest.mark.node
def test_user_token_carries_the_claims_of_the_user(issuer):
    """A signed-in user's access token adds ``email`` and ``username`` to the machine's."""
    payload = decode_part(issuer.user_access_token(), 1)
    assert set(payload) == {"jti", "sub", "iat", "exp", "scope", "client_id", "iss", "aud", "email", "username"}
    assert (payload["sub"], payload["client_id"]) == ("user_1", "web")
    assert (payload["email"], payload["username"]) == ("foo@example.com", "foo")


@pytest.mark.node
def test_id_token_is_for_the_client_and_has_another_type(issuer):
    """An ID token is no access token: its audience is the client, and its type is not ``at+jwt``."""
    token = issuer.id_token()
    assert decode_part(token, 0).get("typ", "JWT") == "JWT"
    payload = decode_part(token, 1)
    assert (payload["sub"], payload["aud"], payload["iss"]) == ("user_1", "web", issuer.issuer)
    assert payload["email"] == "foo@example.com"


@pytest.mark.node
def test_lifetime_is_as_asked(issuer):
    """A token can be had that ends soon."""
    payload = decode_part(issuer.access_token(ttl_seconds=2), 1)
    assert payload["exp"] - payload["iat"] == 2


@pytest.mark.node
def test_discovery_names_the_issuer(issuer):
    """The discovery document lies below the issuer's own path, as OpenID Connect Discovery 1.0, section 4, has it."""
    document = fetch_json(f"{issuer.issuer}/.well-known/openid-configuration")
    assert (document["issuer"], document["jwks_uri"]) == (issuer.issuer, issuer.jwks)


@pytest.mark.node
def test_rotation_replaces_every_key(own_issuer):
    """After a rotation the old keys are gone, and tokens are signed by the new ones."""
    old = {key["kid"] for key in fetch_json(own_issuer.jwks)["keys"]}
    own_issuer.rotate_keys()
    new = {key["kid"] for key in fetch_json(own_issuer.jwks)["keys"]}
    assert not old & new
    assert decode_part(own_issuer.access_token(), 0)["kid"] in new


@pytest.mark.node
def test_outage_ends(own_issuer):
    """An issuer in outage answers nobody, and everybody after it."""
    own_issuer.begin_outage()
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        fetch_json(own_issuer.jwks)
    own_issuer.end_outage()
    assert fetch_json(own_issuer.jwks)["keys"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /a%2Fb?x=1 HTTP/1.1\r\nHost: h\r\nX-Odd-CASE:  spaced \r\nX-Odd-CASE: twice\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\ncontent-length: 5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-Trailer: t\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["fields", "length", "chunks-and-trailer", "empty-chunked"],
)
def test_upstream_records_the_exact_bytes(recording_upstream, request_bytes):
    """Two requests on one connection are kept apart, byte for byte, and each has its answer."""
    address = urllib.parse.urlsplit(recording_upstream.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(request_bytes * 2)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert recording_upstream.requests == [request_bytes, request_bytes]
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 2


def test_upstream_tells_fields_apart(recording_upstream):
    """Each field line counts by itself, whatever its case."""
    recording_upstream.requests.append(b"GET / HTTP/1.1\r\nX-A: 1\r\nx-a:  2\r\nX_A: 3\r\n\r\n")
    assert recording_upstream.head()[0] == b"GET / HTTP/1.1"
    assert recording_upstream.values("X-A") == ["1", "2"]
