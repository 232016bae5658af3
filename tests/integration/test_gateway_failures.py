"""What goes wrong: at the upstream, at the client, at the issuer; right status or a cut, and nothing left behind."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.config.settings import KeySourceSettings

from .gateway_harness import ISSUER, RawClient, ask_once, bearer, open_gateway
from .loop import in_loop, wait_until
from .upstream import OK, Peer, Upstream, never_answer, play, play_and_wait

GET = b"GET / HTTP/1.1\r\nHost: g\r\n"


def reason(body: bytes) -> str:
    return str(json.loads(body)["reason"])


@in_loop
async def test_an_upstream_that_is_down_is_502() -> None:
    """Nobody there is 502, and the client's connection goes on."""
    async with Upstream(play()) as upstream:
        port = upstream.port
    async with open_gateway(port) as application, RawClient(application) as client:
        for _ in range(2):
            answer = await client.get(b"/", bearer())
            assert (answer.status, reason(answer.body)) == (502, "upstream_unreachable")
        assert await application.readiness() == (True, "")


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 000 Odd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
    ],
    ids=[
        "nothing",
        "garbage",
        "both lengths",
        "two lengths",
        "bare LF",
        "folded",
        "unasked 101",
        "999",
        "000",
        "HTTP/2.0",
    ],
)
@in_loop
async def test_an_answer_that_is_not_http_is_502(response: bytes) -> None:
    """An ambiguous or malformed answer is refused whole; the next request has a connection of its own."""
    answers = [response, OK]

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(answers.pop(0))

    async with (
        Upstream(script) as upstream,
        open_gateway(upstream.port) as application,
        RawClient(application) as client,
    ):
        answer = await client.get(b"/", bearer())
        assert (answer.status, reason(answer.body)) == (502, "upstream_bad_response")
        assert (await client.get(b"/", bearer())).body == b"ok"


@in_loop
async def test_a_silent_upstream_is_504() -> None:
    """No answer in time is 504."""
    timeouts = {"response_headers_seconds": 0.2}
    async with Upstream(never_answer) as upstream, open_gateway(upstream.port, timeouts=timeouts) as application:
        answer = await ask_once(application, GET + bearer() + b"\r\n")
    assert (answer.status, reason(answer.body)) == (504, "upstream_timeout")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
    ],
    ids=["length", "chunks", "bad chunk"],
)
@in_loop
async def test_a_cut_answer_is_cut(answer: bytes) -> None:
    """A body that the upstream cuts never ends cleanly for the client."""
    async with Upstream(play(answer)) as upstream, open_gateway(upstream.port) as application:
        async with RawClient(application) as client:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                await client.get(b"/", bearer())


@in_loop
async def test_a_stale_connection_is_tried_again() -> None:
    """A kept connection that the upstream closes costs an idempotent request nothing, and a POST is not repeated."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(OK)
        await peer.read_head()
        # Closed on the second request, without a byte of an answer.

    async with (
        Upstream(script) as upstream,
        open_gateway(upstream.port) as application,
        RawClient(application) as client,
    ):
        assert (await client.get(b"/", bearer())).status == 200
        assert (await client.get(b"/", bearer())).status == 200
        assert upstream.connections == 2
        post = b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 1\r\n" + bearer() + b"\r\nx"
        answer = await client.ask(post)
        assert (answer.status, reason(answer.body)) == (502, "upstream_bad_response")
        assert upstream.connections == 2


@in_loop
async def test_an_early_answer_comes_through() -> None:
    """An upstream that refuses in the middle of an upload is heard, and the connection ends after it."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.reader.readexactly(10)
        await peer.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        await peer.wait_for_end()

    async with (
        Upstream(script) as upstream,
        open_gateway(upstream.port) as application,
        RawClient(application) as client,
    ):
        await client.send(b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 1000\r\n" + bearer() + b"\r\n" + bytes(10))
        answer = await client.read_answer()
    assert answer.status == 413
    assert answer.fields(b"connection") == [b"close"]


@pytest.mark.parametrize("phase", ["before the head", "in the answer", "in the upload"])
@in_loop
async def test_a_client_that_goes_frees_the_upstream(phase: str) -> None:
    """Whenever a client goes, its upstream connection ends within a second."""
    reached, ended = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        if phase == "in the answer":
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        reached.set()
        await peer.wait_for_end()
        ended.set()

    length = b"Content-Length: 100\r\n" if phase == "in the upload" else b""
    async with Upstream(script) as upstream, open_gateway(upstream.port) as application:
        async with RawClient(application) as client:
            await client.send(
                b"POST / HTTP/1.1\r\nHost: g\r\n" + length + bearer() + b"\r\n" + (b"half" if length else b"")
            )
            await reached.wait()
        async with asyncio.timeout(1):
            await ended.wait()


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", (400, "malformed_request")),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", (400, "malformed_request")),
        (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", (400, "malformed_request")),
        (b"GET /#f HTTP/1.1\r\nHost: g\r\n\r\n", (400, "ambiguous_path")),
        (b"GET /\\x HTTP/1.1\r\nHost: g\r\n\r\n", (400, "ambiguous_path")),
        (b"GET /%00 HTTP/1.1\r\nHost: g\r\n\r\n", (400, "ambiguous_path")),
        (b"GET http://other/ HTTP/1.1\r\nHost: g\r\n\r\n", (400, "ambiguous_path")),
        (b"GET / HTTP/1.1\r\nHost: g\r\nA: b\x00\r\n\r\n", (400, "malformed_request")),
        (b"GET / HTTP/1.1\r\nHost: g\r\n A: b\r\n\r\n", (400, "malformed_request")),
        (b"GET / HTTP/2.0\r\nHost: g\r\n\r\n", (400, "malformed_request")),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, "malformed_request")),
        (
            b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            (400, "malformed_request"),
        ),
        (b"POST / HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", (400, "malformed_request")),
        (b"POST / HTTP/1.0\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n", (400, "malformed_request")),
        (b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: +1\r\n\r\n", (400, "malformed_request")),
        (b"GET / HTTP/1.1\r\nHost: g\r\nExpect: 200-maybe\r\n\r\n", (400, "malformed_request")),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", (405, "method_not_allowed")),
        (b"TRACE / HTTP/1.1\r\nHost: g\r\n\r\n", (405, "method_not_allowed")),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: g\r\n\r\n", (414, "uri_too_long")),
        (GET + b"A: " + b"a" * 20000 + b"\r\n\r\n", (431, "headers_too_large")),
        (GET + b"A: b\r\n" * 200 + b"\r\n", (431, "headers_too_large")),
        (GET + b"".join(b"A%d: " % n + b"a" * 15000 + b"\r\n" for n in range(5)) + b"\r\n", (431, "headers_too_large")),
        (GET + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", (400, "multiple_credentials")),
        (GET + b"Authorization: Bearer a b\r\n\r\n", (400, "malformed_credentials")),
        (GET + b"Authorization: Bearer opaque\r\n\r\n", (401, "not_a_jwt")),
        (GET + b"Authorization: Basic YTpi\r\n\r\n", (401, "missing_token")),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else None,
)
@in_loop
async def test_a_bad_request_has_its_reason(request_bytes: bytes, expected: tuple[int, str]) -> None:
    """Each is refused in our words, quoting nothing of the request, and none reaches the upstream."""
    async with Upstream(play_and_wait(OK)) as upstream, open_gateway(upstream.port) as application:
        answer = await ask_once(application, request_bytes)
        assert upstream.connections == 0
    assert (answer.status, reason(answer.body)) == expected
    assert answer.fields(b"server") == []
    assert answer.fields(b"x-request-id")


@in_loop
async def test_an_unknown_upgrade_is_declined() -> None:
    """Of h2c nothing gets to the upstream; the request is served as the HTTP/1.1 that it is (RFC 9113, section 3.1)."""
    async with Upstream(play_and_wait(OK)) as upstream, open_gateway(upstream.port) as application:
        async with RawClient(application) as client:
            fields = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
            answer = await client.get(b"/", fields, bearer())
    assert answer.status == 200


@in_loop
async def test_a_slow_head_is_408() -> None:
    """A head that begins and does not end is not waited for; nor does it matter how its bytes drip."""
    async with open_gateway(1, timeouts={"header_read_seconds": 0.3}) as application, RawClient(application) as client:
        await client.send(b"GET / HT")
        await asyncio.sleep(0.2)
        await client.send(b"TP/1.1\r\n")
        answer = await client.read_answer()
        assert (answer.status, reason(answer.body)) == (408, "request_timeout")
        assert await client.reader.read() == b""


@in_loop
async def test_a_stalled_upload_is_408() -> None:
    """A body that begins and does not go on is refused after the idle time."""
    async with Upstream(never_answer) as upstream:
        async with open_gateway(upstream.port, timeouts={"idle_stream_seconds": 0.3}) as application:
            request = b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 9\r\n" + bearer() + b"\r\nhalf"
            answer = await ask_once(application, request)
    assert (answer.status, reason(answer.body)) == (408, "request_timeout")


@pytest.mark.parametrize(
    "framed",
    [b"Content-Length: 11\r\n\r\nhello world", b"Transfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n"],
    ids=["length", "chunks"],
)
@in_loop
async def test_a_large_body_is_413(framed: bytes) -> None:
    """``limits.body`` counts octets, whatever the framing."""
    async with (
        Upstream(never_answer) as upstream,
        open_gateway(upstream.port, limits={"body_bytes": 10}) as application,
    ):
        answer = await ask_once(application, b"POST / HTTP/1.1\r\nHost: g\r\n" + bearer().strip() + b"\r\n" + framed)
    assert (answer.status, reason(answer.body)) == (413, "body_too_large")


@in_loop
async def test_too_many_connections_are_503() -> None:
    """Above the limit a connection is told so and closed; below it again, the next one is served."""
    async with open_gateway(1, limits={"connections": 1}) as application:
        async with RawClient(application) as first:
            assert (await first.get()).status == 401
            async with RawClient(application) as second:
                answer = await second.read_answer()
                assert (answer.status, reason(answer.body)) == (503, "overloaded")
                assert answer.fields(b"retry-after") == [b"1"]
        await wait_until(lambda: not application._server.connections)
        async with RawClient(application) as third:
            assert (await third.get()).status == 401


@in_loop
async def test_an_issuer_that_is_down_is_503() -> None:
    """Without keys nobody is refused for it: 503 with Retry-After, not ready, and an issuer that comes back is seen."""
    async with Upstream(play()) as dead:
        url = f"http://127.0.0.1:{dead.port}/jwks"
    source = KeySourceSettings("logto", (ISSUER,), url=url, timeout_seconds=1.0)
    async with open_gateway(1, key_sources=(source,)) as application:
        answer = await ask_once(application, GET + bearer() + b"\r\n")
        assert (answer.status, reason(answer.body)) == (503, "keys_unavailable")
        assert answer.fields(b"retry-after")
        assert answer.fields(b"www-authenticate") == []
        assert await application.readiness() == (False, "no keys yet: logto")
