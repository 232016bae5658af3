"""Where a token may come from, and where none is looked for, on the bytes of both sides."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trustme
from joserfc import jwt
from joserfc.jwk import ECKey

from gateway.config.settings import ListenerTLS, UpstreamSettings

from .gateway_harness import API, ISSUER, RawClient, ask_once, bearer, make_settings, make_token, open_gateway
from .issuer import Issuer, publish
from .loop import in_loop
from .test_gateway_forwarding import Recorder
from .test_gateway_lifecycle import File, open_file
from .upstream import Upstream

FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


def post_form(*fields: bytes, method: bytes = b"POST") -> bytes:
    """Return a request with a good token in its form."""
    body = b"access_token=" + make_token().encode()
    head = b"%b /a HTTP/1.1\r\nHost: a\r\n%b%bContent-Length: %d\r\n\r\n"
    return head % (method, FORM, b"".join(fields), len(body)) + body


def get_query(*fields: bytes) -> bytes:
    """Return a request with a good token in its query."""
    return b"GET /a?access_token=%b&b=c HTTP/1.1\r\nHost: a\r\n%b\r\n" % (make_token().encode(), b"".join(fields))


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(post_form, id="form", marks=pytest.mark.norm("6750-10")),
        pytest.param(partial(post_form, method=b"GET"), id="form-of-get", marks=pytest.mark.norm("6750-10")),
        pytest.param(get_query, id="query", marks=pytest.mark.norm("6750-11")),
    ],
)
@in_loop
async def test_a_token_elsewhere_is_none(build: Callable[..., bytes]) -> None:
    """RFC 6750, sections 2.2 and 2.3, are optional and not offered: no token, no error, and nothing to be stored."""
    recorder = Recorder()
    async with Upstream(recorder) as upstream, open_gateway(upstream.port) as application:
        answer = await ask_once(application, build())
    assert (answer.status, json.loads(answer.body)["reason"]) == (401, "missing_token")
    assert answer.fields(b"www-authenticate") == [b'Bearer realm="auth-gateway"']
    assert answer.fields(b"cache-control") == [b"no-store"]
    assert recorder.heads == []


@pytest.mark.norm("6750-2")
@pytest.mark.parametrize("build", [post_form, get_query], ids=["form", "query"])
@in_loop
async def test_a_parameter_beside_the_field_is_data(build: Callable[..., bytes]) -> None:
    """The field alone is a place of a token here, so the parameter is none, and goes on as any other one does."""
    recorder = Recorder()
    request = build(bearer())
    async with Upstream(recorder) as upstream, open_gateway(upstream.port) as application:
        answer = await ask_once(application, request)
    assert answer.status == 200
    assert recorder.heads[0].split(b" ")[1] == request.split(b" ")[1]


@pytest.mark.norm("6750-2", "6750-3", "6750-4")
@pytest.mark.parametrize("second", [b"Bearer x", b"DPoP x", b"Basic dTpw"])
@in_loop
async def test_two_fields_are_refused_and_asked_for_one(second: bytes) -> None:
    """RFC 6750, sections 3 and 3.1: 400, with the challenge that says which credentials would do."""
    recorder = Recorder()
    async with Upstream(recorder) as upstream, open_gateway(upstream.port) as application:
        async with RawClient(application) as client:
            answer = await client.get(b"/", bearer(), b"Authorization: %b\r\n" % second)
    assert (answer.status, json.loads(answer.body)["reason"]) == (400, "multiple_credentials")
    [challenge] = answer.fields(b"www-authenticate")
    assert challenge.startswith(b'Bearer realm="auth-gateway", error="invalid_request"')
    assert recorder.heads == []


@pytest.mark.norm("8725-7", "7515-3")
@pytest.mark.parametrize("issuer", [ISSUER, None], ids=["known-issuer", "issuer-of-the-attacker"])
@in_loop
async def test_no_address_in_a_token_is_asked(issuer: str | None) -> None:
    """RFC 8725, section 3.10: whoever writes a token would choose whom we connect to, and by which key we believe."""
    key = ECKey.generate_key("P-256", {"kid": "evil"})
    async with Issuer({"/jwks": publish([key.as_dict(private=False)])}) as evil, Upstream(Recorder()) as upstream:
        url, now = evil.locate("/jwks"), int(time.time())
        header = {"alg": "ES256", "typ": "at+jwt", "kid": "evil", "jku": url, "x5u": url, "jwk": key.as_dict(False)}
        claims = {"iss": issuer or evil.locate(""), "sub": "u", "aud": API, "iat": now, "exp": now + 60}
        token = jwt.encode(header, claims, key).encode()
        async with open_gateway(upstream.port) as application, RawClient(application) as client:
            answer = await client.get(b"/", b"Authorization: Bearer %b\r\n" % token)
    assert (answer.status, json.loads(answer.body)["reason"]) == (401, "unknown_key" if issuer else "unknown_issuer")
    assert evil.heads == []


@pytest.mark.norm("6750-12")
@in_loop
async def test_a_listener_of_tls_reads_nothing_in_plain(tmp_path: Path) -> None:
    """RFC 6750, section 5.3: a client that forgot the s of https learns it, and its request goes nowhere."""
    certificate = trustme.CA().issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    tls = ListenerTLS(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"), None)
    recorder = Recorder()
    async with Upstream(recorder) as upstream:
        settings = make_settings(UpstreamSettings("http", "127.0.0.1", upstream.port), tls=tls)
        async with open_file(File(settings)) as application, RawClient(application) as client:
            await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n" % bearer())
            try:
                answered = await client.reader.read()
            except ConnectionError:
                answered = b""
    assert b"HTTP/" not in answered
    assert recorder.heads == []
