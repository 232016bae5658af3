"""What ``/status`` says of requests that were refused, by whichever way they came."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.app.application import Application
from gateway.config.served import Served
from gateway.core.routes import Route, RouteTable, parse_path_pattern

from .gateway_harness import API, ISSUER, RawClient, ask_once, bearer, make_token, open_gateway
from .loop import in_loop, wait_until
from .upstream import OK, Peer, Upstream, play, play_and_wait

OTHER = "https://other-api.example"


async def list_refused(application: Application) -> list[dict[str, Any]]:
    return list((await application.status())["refused"])


@in_loop
async def test_refusal_is_found_by_the_id_of_its_answer() -> None:
    """On the fast path and on the other: newest first, each once, and nothing of requests that were served."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.read_head()
            await peer.send(OK)

    async with (
        Upstream(script) as upstream,
        open_gateway(upstream.port) as application,
        RawClient(application) as client,
    ):
        cold = await client.get(b"/cold?code=secret", bearer(OTHER))
        assert (await client.get(b"/", bearer())).status == 200
        warm = await client.get(b"/warm?code=secret", bearer(OTHER, sub="user-9"), b"X-Request-ID: mine\r\n")
        assert (await client.get(b"/", bearer())).status == 200
        newest, oldest = await list_refused(application)
    assert (newest["request_id"], newest["path"]) == ("mine", "/warm")
    assert oldest.pop("time") <= newest["time"]
    assert oldest == {
        "request_id": json.loads(cold.body)["request_id"],
        "method": "GET",
        "path": "/cold",
        "status": 401,
        "route": "default",
        "provider": "logto",
        "reason": "audience_mismatch",
        "description": "The token is for another audience.",
        "received": [OTHER],
        "expected": [API, "urn:logto:organization:{organization}"],
        "token_iss": ISSUER,
        "token_aud": OTHER,
        "token_alg": "ES256",
        "token_kid": "k1",
    }
    assert json.loads(warm.body)["request_id"] == "mine"


@in_loop
async def test_no_secret_is_kept() -> None:
    """Neither a token, wherever it stands, nor a query, nor what else a caller sends."""
    token = make_token(OTHER)
    async with open_gateway(1) as application, RawClient(application) as client:
        for target in (b"/?t=%b", b"/%b", b"/a/%b/b"):
            fields = (f"Authorization: Bearer {token}\r\n".encode(), b"Cookie: session=canary\r\n")
            assert (await client.get(target % token.encode(), *fields)).status == 401
        assert (await client.get(b"/", b"Authorization: Basic canary\r\n")).status in (400, 401)
        text = json.dumps(await application.status())
    assert text.count('"request_id"') == 4
    assert "[token]" in text
    assert "canary" not in text
    assert not any(part in text for part in token.split("."))


@in_loop
async def test_request_that_cannot_be_read_is_kept() -> None:
    """Its id is in the answer as well."""
    async with open_gateway(1) as application:
        answer = await ask_once(application, b"GET / HTTP/1.1\r\nHost: g\r\nA: b\x00canary\r\n\r\n")
        [refused] = await list_refused(application)
    assert refused["request_id"] == json.loads(answer.body)["request_id"]
    assert (refused["method"], refused["path"], refused["reason"]) == ("", "", "malformed_request")
    assert "canary" not in json.dumps(refused)


@in_loop
async def test_failure_of_the_upstream_is_kept_with_its_cause() -> None:
    """An allowed request that gets 502 is one that a caller asks about too."""
    async with Upstream(play()) as upstream:
        port = upstream.port
    async with open_gateway(port) as application, RawClient(application) as client:
        answer = await client.get(b"/", bearer())
        [refused] = await list_refused(application)
    assert (answer.status, refused["status"], refused["reason"]) == (502, 502, "upstream_unreachable")
    assert (refused["provider"], len(refused["received"])) == ("logto", 1)


@pytest.mark.parametrize(
    "answer",
    [b"canary\r\n\r\n", b"HTTP/1.1 canary\r\n\r\n", b"HTTP/1.1 200 OK\r\nSet-Cookie: a=canary\r\n : b\r\n\r\n"],
    ids=["no-http", "status-line", "field"],
)
@in_loop
async def test_octets_of_the_upstream_are_not_kept(answer: bytes) -> None:
    """What is not HTTP may be anybody's secret; that it was none is said."""
    async with Upstream(play(answer)) as upstream, open_gateway(upstream.port) as application:
        async with RawClient(application) as client:
            assert (await client.get(b"/", bearer())).status == 502
        [refused] = await list_refused(application)
    assert (refused["reason"], refused["received"]) == ("upstream_bad_response", [])
    assert "canary" not in json.dumps(refused)


@in_loop
async def test_answer_that_was_cut_has_the_status_that_the_client_saw() -> None:
    """200, and why there was no end to it."""
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    async with Upstream(play(half)) as upstream, open_gateway(upstream.port) as application:
        async with RawClient(application) as client:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                await client.get(b"/", bearer())
        [refused] = await list_refused(application)
    assert (refused["status"], refused["reason"]) == (200, "upstream_bad_response")


@in_loop
async def test_caller_who_leaves_is_refused_nothing() -> None:
    """Only a refusal is one."""
    async with Upstream(play_and_wait()) as upstream, open_gateway(upstream.port) as application:
        async with RawClient(application) as client:
            await client.send(b"GET / HTTP/1.1\r\nHost: g\r\n" + bearer() + b"\r\n")
            await wait_until(lambda: upstream.connections == 1)
        await wait_until(lambda: not application._metrics.requests_in_flight)
        assert await list_refused(application) == []


@in_loop
async def test_refusals_outlive_a_reload_and_are_told_by_the_file_of_their_time() -> None:
    """Who asks after a deployment asks about what was before it."""
    orders = Route(parse_path_pattern("/orders"))
    request = b"GET /orders HTTP/1.1\r\nHost: g\r\n\r\n"
    async with open_gateway(1, routes=[orders]) as application:
        await ask_once(application, request)
        settings = application.settings
        changed = replace(settings, policy=replace(settings.policy, routes=RouteTable()), digest="another")
        assert await application.take(lambda: Served("f", changed, b"")) is not None
        await ask_once(application, request)
        assert [each["route"] for each in await list_refused(application)] == ["default", "/orders"]
