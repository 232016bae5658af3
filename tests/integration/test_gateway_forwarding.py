"""What the upstream and the client get, on the bytes that they got."""

from __future__ import annotations

import json

import pytest

from gateway.core.routes import Access, Route, parse_path_pattern

from .gateway_harness import API, RawClient, ask_once, bearer, open_gateway
from .loop import in_loop
from .upstream import OK, Peer, Upstream, play_and_wait


class Recorder:
    """An upstream that keeps what it got and answers 200."""

    def __init__(self, answer: bytes = OK) -> None:
        self.heads: list[bytes] = []
        self._answer = answer

    async def __call__(self, peer: Peer) -> None:
        while True:
            self.heads.append(await peer.read_head())
            await peer.send(self._answer)

    def values(self, name: bytes) -> list[bytes]:
        lines = (line.partition(b":") for line in self.heads[-1].split(b"\r\n")[1:])
        return [value.strip() for key, _, value in lines if key.lower() == name.lower()]


@in_loop
async def test_the_identity_arrives() -> None:
    """The upstream gets the identity as JSON, and not the token."""
    recorder = Recorder()
    async with Upstream(recorder) as upstream, open_gateway(upstream.port) as application:
        async with RawClient(application) as client:
            answer = await client.get(b"/a?b=c", bearer(email="e@example.org", scope="read write"))
    assert (answer.status, answer.body) == (200, b"ok")
    identity = json.loads(recorder.values(b"x-identity")[0])
    assert identity["email"] == "e@example.org"
    assert identity["scopes"] == ["read", "write"]
    assert identity["audience"] == [API]
    assert recorder.values(b"authorization") == []
    assert recorder.heads[0].startswith(b"GET /a?b=c HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "forged",
    [
        b"X-Identity: forged\r\n",
        b"x_identity: forged\r\n",
        b"X.Identity: forged\r\n",
        b"x-IDENTITY: forged\r\nX-Identity: forged\r\n",
        b"X-Identity-Extra: forged\r\n",
        b"Connection: X-Identity\r\nX-Identity: forged\r\n",
        b"Connection: close, x-identity\r\n",
        b"X_User.Id: forged\r\n",
        b"Connection: X-User-Id\r\nX-User-Id: forged\r\n",
    ],
    ids=lambda forged: forged.decode().strip().replace("\r\n", " | "),
)
@pytest.mark.parametrize("path", [b"/private", b"/public/a"], ids=["with a token", "on a public route"])
@in_loop
async def test_a_client_neither_sets_nor_removes_ours(forged: bytes, path: bytes) -> None:
    """Whatever a client says of our fields, the upstream gets just one of each, and it is ours."""
    recorder = Recorder()
    changed = {
        "identity": {"headers": ((b"X-User-Id", "subject"),)},
        "routes": [Route(parse_path_pattern("/public/**"), access=Access.PUBLIC)],
    }
    async with Upstream(recorder) as upstream, open_gateway(upstream.port, **changed) as application:
        async with RawClient(application) as client:
            answer = await client.get(path, forged, bearer())
    assert answer.status == 200
    assert b"forged" not in recorder.heads[0]
    [identity] = recorder.values(b"x-identity")
    is_public = path.startswith(b"/public")
    assert identity == b"null" if is_public else json.loads(identity)["subject"] == "user-1"
    assert recorder.values(b"x-user-id") == ([] if is_public else [b"user-1"])


@in_loop
async def test_an_organization_token_arrives_with_its_organization() -> None:
    """What the pattern captures from the audience is the organization."""
    recorder = Recorder()
    async with Upstream(recorder) as upstream, open_gateway(upstream.port) as application:
        async with RawClient(application) as client:
            await client.get(b"/", bearer("urn:logto:organization:org_1"))
    assert json.loads(recorder.values(b"x-identity")[0])["organization"] == "org_1"


@pytest.mark.parametrize(
    "audience", ["urn:logto:organization:", "urn:logto:organization:a:b", "xurn:logto:organization:a"]
)
@in_loop
async def test_another_audience_is_refused(audience: str) -> None:
    """A pattern is anchored, and its wildcard neither empty nor beyond a colon."""
    recorder = Recorder()
    async with Upstream(recorder) as upstream, open_gateway(upstream.port) as application:
        async with RawClient(application) as client:
            answer = await client.get(b"/", bearer(audience))
    assert (answer.status, json.loads(answer.body)["reason"]) == (401, "audience_mismatch")
    assert recorder.heads == []


@in_loop
async def test_fields_pass_as_they_came() -> None:
    """Order, casing, duplicates and octets beyond ASCII are the client's; hop-by-hop fields end here."""
    recorder = Recorder()
    sent = b"b-field: 1\r\nA-FIELD: \xe9\xff\r\nb-field: 2\r\nCookie: a=b\r\ncookie: c=d\r\nEmpty:\r\n"
    dropped = (
        b"Connection: keep-alive, Listed\r\nListed: x\r\nKeep-Alive: 1\r\nTE: trailers\r\nProxy-Authorization: x\r\n"
    )
    async with Upstream(recorder) as upstream, open_gateway(upstream.port) as application:
        async with RawClient(application) as client:
            await client.get(b"/%7e/../a//b?&=%zz;", sent, dropped, bearer())
    head = recorder.heads[0]
    assert head.startswith(b"GET /%7e/../a//b?&=%zz; HTTP/1.1\r\nHost: 127.0.0.1:")
    assert sent.replace(b"Empty:", b"Empty: ") in head
    assert not {b"listed", b"keep-alive", b"te", b"proxy-authorization", b"connection"} & {
        line.partition(b":")[0].lower() for line in head.split(b"\r\n")
    }


@in_loop
async def test_an_answer_passes_as_it_came() -> None:
    """Status, reason, order, casing, duplicates and octets are the upstream's; our request id replaces its own."""
    fields = b"set-cookie: a\r\nSet-Cookie: b\r\nX-Odd: \xe9\r\nContent-Encoding: gzip\r\nServer: s\r\n"
    answer = b"HTTP/1.1 299 Odd \xe9 Reason\r\n" + fields + b"X-Request-ID: theirs\r\nContent-Length: 3\r\n\r\nabc"
    recorder = Recorder(answer)
    async with Upstream(recorder) as upstream, open_gateway(upstream.port) as application:
        async with RawClient(application) as client:
            got = await client.get(b"/", b"X-Request-ID: mine-1\r\n", bearer())
    assert got.head == (
        b"HTTP/1.1 299 Odd \xe9 Reason\r\n" + fields + b"X-Request-ID: mine-1\r\nContent-Length: 3\r\n\r\n"
    )
    assert recorder.values(b"x-request-id") == [b"mine-1"]


@pytest.mark.parametrize("given", [b"has space", b"a" * 129, b"", b'quo"te', b"one\r\nX-Request-ID: two"])
@in_loop
async def test_a_bad_request_id_is_replaced(given: bytes) -> None:
    """An id that is not of the plain alphabet, or not alone, is replaced; both sides get the same one."""
    recorder = Recorder()
    async with Upstream(recorder) as upstream, open_gateway(upstream.port) as application:
        async with RawClient(application) as client:
            answer = await client.get(b"/", b"X-Request-ID: " + given + b"\r\n", bearer())
    [minted] = recorder.values(b"x-request-id")
    assert minted not in given.split(b"\r\n")
    assert len(minted) == 32
    assert answer.fields(b"x-request-id") == [minted]


@in_loop
async def test_who_asked_is_told_anew() -> None:
    """What an untrusted client says of addresses and hosts is removed as one set, and said by us."""
    recorder = Recorder()
    lies = b"".join(
        name + b": 6.6.6.6\r\n"
        for name in (
            b"X-Forwarded-For",
            b"X_Forwarded_Proto",
            b"Forwarded",
            b"X-Real-IP",
            b"X-Original-URL",
            b"Client-Cert",
        )
    )
    async with Upstream(recorder) as upstream, open_gateway(upstream.port) as application:
        async with RawClient(application) as client:
            await client.get(b"/", lies, bearer())
    assert b"6.6.6.6" not in recorder.heads[0]
    assert recorder.values(b"x-forwarded-for") == [b"127.0.0.1"]
    assert recorder.values(b"forwarded") == [b'for=127.0.0.1;proto=http;host="gateway.example"']
    assert recorder.values(b"x-forwarded-host") == [b"gateway.example"]
    assert recorder.values(b"via") == [b"1.1 auth-gateway"]


@pytest.mark.parametrize(
    ("framing", "body", "expected"),
    [
        (b"Content-Length: 5\r\n", b"hello", b"Content-Length: 5\r\n\r\nhello"),
        (b"Content-Length: 0\r\n", b"", b"Content-Length: 0\r\n\r\n"),
        (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        (b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ],
    ids=["a length", "length 0", "chunks", "no chunk"],
)
@in_loop
async def test_a_body_keeps_its_framing(framing: bytes, body: bytes, expected: bytes) -> None:
    """A length stays a length, and chunks stay chunks; no inflating, no joining."""
    got = []

    async def script(peer: Peer) -> None:
        data = await peer.read_head()
        while not data.endswith(expected):
            data += await peer.reader.read(1024)
        got.append(data)
        await peer.send(OK)
        await peer.wait_for_end()

    async with Upstream(script) as upstream, open_gateway(upstream.port) as application:
        request = b"POST / HTTP/1.1\r\nHost: g\r\nContent-Encoding: gzip\r\n" + framing + bearer() + b"\r\n" + body
        answer = await ask_once(application, request)
    assert answer.status == 200
    assert got[0].endswith(expected)


@in_loop
async def test_100_continue_comes_after_the_decision() -> None:
    """Nobody who is refused is asked for the body; whoever is allowed is, and the upstream sees no expectation."""
    recorder = Recorder()
    async with Upstream(recorder) as upstream, open_gateway(upstream.port) as application:
        head = b"POST / HTTP/1.1\r\nHost: g\r\nExpect: 100-continue\r\nContent-Length: 0\r\n"
        refused = await ask_once(application, head.replace(b"Length: 0", b"Length: 9") + b"\r\n")
        assert refused.status == 401
        async with RawClient(application) as client:
            await client.send(head.replace(b"Length: 0", b"Length: 2") + bearer() + b"\r\n")
            assert (await client.read_answer()).status == 100
            await client.send(b"hi")
            assert (await client.read_answer()).status == 200
    assert recorder.values(b"expect") == []


@in_loop
async def test_an_early_hint_passes() -> None:
    """An interim answer goes to a client of HTTP/1.1 at once (RFC 9110, section 15.2)."""
    answer = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK
    async with Upstream(play_and_wait(answer)) as upstream, open_gateway(upstream.port) as application:
        async with RawClient(application) as client:
            hint = await client.get(b"/", bearer())
            final = await client.read_answer()
    assert hint.head == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    assert final.status == 200


@in_loop
async def test_trailers_of_an_answer_pass() -> None:
    """Trailers go to the client after the body (RFC 9112, section 7.1.2)."""
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n2\r\nok\r\n0\r\nT: v\r\n\r\n"
    async with Upstream(play_and_wait(answer)) as upstream, open_gateway(upstream.port) as application:
        async with RawClient(application) as client:
            await client.send(b"GET / HTTP/1.1\r\nHost: g\r\n" + bearer() + b"\r\n")
            data = await client.reader.readuntil(b"0\r\nT: v\r\n\r\n")
    assert b"Trailer: T\r\n" in data


@pytest.mark.parametrize(
    ("method", "head"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n"),
    ],
    ids=["HEAD", "204", "304"],
)
@in_loop
async def test_no_body_where_none_is_due(method: bytes, head: bytes) -> None:
    """HEAD, 204 and 304 end with their head, and the connection goes on (RFC 9110, section 6.4.1)."""
    async with Upstream(play_and_wait(head, OK)) as upstream, open_gateway(upstream.port) as application:
        async with RawClient(application) as client:
            answer = await client.ask(method + b" / HTTP/1.1\r\nHost: g\r\n" + bearer() + b"\r\n", is_head=True)
            after = await client.get(b"/", bearer())
    assert answer.fields(b"content-length") == ([b"10"] if b"10" in head else [])
    assert after.body == b"ok"


@in_loop
async def test_a_body_without_end_is_chunked() -> None:
    """An answer that ends with the upstream's connection is chunked for HTTP/1.1, and closed for HTTP/1.0."""
    answer = b"HTTP/1.0 200 OK\r\n\r\nuntil the end"

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(answer)

    async with Upstream(script) as upstream, open_gateway(upstream.port) as application:
        async with RawClient(application) as client:
            new = await client.get(b"/", bearer())
        old = await ask_once(application, b"GET / HTTP/1.0\r\nHost: g\r\n" + bearer() + b"\r\n")
    assert new.fields(b"transfer-encoding") == [b"chunked"]
    assert old.fields(b"transfer-encoding") == []
    assert new.body == old.body == b"until the end"
