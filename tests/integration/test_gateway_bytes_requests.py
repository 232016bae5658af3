"""What the upstream gets, octet for octet: each request goes once straight to it and once through the gateway."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import suppress

import pytest

from .gateway_harness import RawClient, bearer, open_gateway
from .loop import in_loop
from .twin import Case, Recorder, check_same_answers, check_same_requests, see_both
from .upstream import Upstream
from .wire import Message, read_answer

END = b"{token}\r\n\r\n"
HEAD_END = b"Host: gateway.example\r\n" + END
GZIPPED = gzip.compress(b"hello world", mtime=0)


def get(target: bytes = b"/", fields: bytes = b"", method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    return method + b" " + target + b" HTTP/" + version + b"\r\nHost: gateway.example\r\n" + fields + END


def post(body: bytes, fields: bytes = b"", method: bytes = b"POST", version: bytes = b"1.1") -> bytes:
    return get(b"/", fields + b"Content-Length: %d\r\n" % len(body), method, version) + body


def post_chunks(chunks: bytes, fields: bytes = b"") -> bytes:
    return get(b"/", fields + b"Transfer-Encoding: chunked\r\n", b"POST") + chunks


TARGETS = {
    "plain": b"/",
    "query": b"/a?b=c&b=d",
    "empty query": b"/a?",
    "query of marks": b"/a??/?#".replace(b"#", b"&=&;"),
    "broken escape": b"/a%zz%",
    "escape in lower case": b"/%7e%2f%c3%a9",
    "escape in upper case": b"/%7E%2F%C3%A9",
    "escape of a letter": b"/%61",
    "escape of an escape": b"/%252e%25",
    "semicolons": b"/a;b=c;d/..;/e",
    "two slashes": b"//a//b//",
    "dot segment": b"/./a/./",
    "parent segment": b"/a/../../b",
    "escaped dots": b"/a/%2e%2e/%2E",
    "brackets": b"/[a]{b}|c^d",
    "brackets in the query": b'/?a[]=1&b={x|y}^z`"<>',
    "quotes and plus": b"/a+b'c\"d*e(f)!$,@:~",
    "NUL in the query": b"/a?b=%00",
    "URL in the path": b"/http://other.example/x",
    "URL in the query": b"/go?to=https://other.example/?a=b",
    "long": b"/" + b"a" * 7900,
    "long query": b"/?" + b"a=b&" * 1900,
    "absolute": b"http://gateway.example/a//b?c",
    "absolute, upper case": b"HTTP://Gateway.Example/a",
    "absolute, no path": b"http://gateway.example",
}


@pytest.mark.parametrize("name", TARGETS)
@in_loop
async def test_a_target_passes(name: str) -> None:
    """No target is decoded, encoded, resolved or cut; of an absolute one, what is behind the authority."""
    direct, relayed = await see_both(Case((get(TARGETS[name]),)))
    check_same_requests(direct, relayed)
    check_same_answers(direct, relayed)


FIELDS = {
    "obs-text": b"X-Latin: caf\xe9\r\nX-All: " + bytes(range(0x80, 0x100)) + b"\r\n",
    "UTF-8": "X-Name: ☃ \N{SMILING FACE WITH OPEN MOUTH} é\r\n".encode(),
    "casing": b"x-lower: 1\r\nX-UPPER: 2\r\nx-MiXeD-cAsE: 3\r\nuser-AGENT: me\r\nACCEPT: */*\r\n",
    "duplicates": b"X-Twice: 1\r\nOther: x\r\nx-twice: 2\r\nX-TWICE: 1\r\n",
    "order": b"Z: 1\r\nA: 2\r\nM: 3\r\nAccept: a\r\nB: 4\r\nUser-Agent: u\r\nAccept: b\r\n",
    "empty": b"Empty:\r\nBlank:   \r\nX: y\r\nEmpty:\r\n",
    "blanks inside": b"X: a  b\t\tc\r\nY:z\r\nZ: \t z \t \r\n",
    "commas": b'X: a,b , c,,\r\nAccept: a;q=0.5, b;q="1,0"\r\n',
    "quotes": b'If-None-Match: W/"a\\"b", "c"\r\nETag: "\xe9"\r\n',
    "token octets": b"!#$%&'*+-.^_`|~0: x\r\nx_y: 1\r\nx.y: 2\r\nx-y: 3\r\n",
    "cookies": b'Cookie: a=b; c="d e"\r\nCookie: f=g\r\ncookie: h\r\n',
    "long value": b"X-Long: " + b"v" * 16000 + b"\r\n",
    "many": b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(90)),
    "large": b"".join(b"X-%d: %b\r\n" % (n, b"v" * 15000) for n in range(4)),
    "accept-encoding": b'Accept-Encoding: gzip, br, zstd;q=0\r\nRange: bytes=0-1,5-\r\nIf-Range: "x"\r\n',
    "odd but ours to pass": b"Server: s\r\nDate: yesterday\r\nContent-Type:\r\nMax-Forwards: 0\r\nPriority: u=1\r\n",
    "trace context": b"traceparent: 00-"
    + b"a" * 32
    + b"-"
    + b"b" * 16
    + b"-01\r\ntracestate: a=b\r\ntracestate: c=d\r\n",
    "method override": b"X-HTTP-Method-Override: DELETE\r\nX-Method-Override: PUT\r\n",
    "listed by Connection": b"Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nx-hop: 2\r\nX-Hops: 3\r\n",
    "hop-by-hop": b"Keep-Alive: timeout=5\r\nTE: trailers\r\nProxy-Connection: keep-alive\r\nX: y\r\n",
    "closes": b"Connection: close\r\nX: y\r\n",
    "an unknown upgrade": b"Connection: Upgrade\r\nUpgrade: foo/2\r\nX: y\r\n",
    "its own request id": b"X-Request-ID: abc.DEF_1-2\r\n",
    "no more": b"",
}


@pytest.mark.parametrize("name", FIELDS)
@in_loop
async def test_fields_pass(name: str) -> None:
    """No field is recoded, renamed, joined, reordered or made up."""
    direct, relayed = await see_both(Case((get(b"/", FIELDS[name]),)))
    check_same_requests(direct, relayed)
    check_same_answers(direct, relayed)
    assert relayed.is_kept == (name not in ("closes", "an unknown upgrade"))


METHODS = [
    b"PATCH",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"HEAD",
    b"PROPFIND",
    b"QUERY",
    b"M-SEARCH",
    b"MKCALENDAR",
    b"PURGE",
]


@pytest.mark.parametrize("method", METHODS, ids=bytes.decode)
@in_loop
async def test_a_method_passes(method: bytes) -> None:
    """Every registered method passes, with no idea of what it means (RFC 9110, section 16.1)."""
    direct, relayed = await see_both(Case((get(method=method),)))
    check_same_requests(direct, relayed)
    check_same_answers(direct, relayed)
    assert relayed.is_kept


@pytest.mark.parametrize("method", [b"get", b"Post", b"FOO", b"X-Y", b"GETS", b"GE"], ids=bytes.decode)
@in_loop
async def test_an_unknown_method_is_refused(method: bytes) -> None:
    """The parser knows the registered methods and no others; it refuses those, and makes none of them another."""
    _, relayed = await see_both(Case((get(method=method),)))
    assert relayed.requests == []
    assert [answer.status for answer in relayed.answers] == [400]
    assert not relayed.is_kept


@in_loop
async def test_the_asterisk_passes() -> None:
    """``OPTIONS *`` asks the server as a whole (RFC 9112, section 3.2.4)."""
    direct, relayed = await see_both(Case((get(b"*", method=b"OPTIONS"),)))
    check_same_requests(direct, relayed)


BODIES = {
    "length": post(b"hello"),
    "length 0": post(b""),
    "length with zeros": get(b"/", b"Content-Length: 0005\r\n", b"POST") + b"hello",
    "all octets": post(bytes(range(256)) * 3),
    "a gzipped body": post(GZIPPED, b"Content-Encoding: gzip\r\n"),
    "a body that is not gzipped": post(b"not gzip", b"Content-Encoding: gzip\r\n"),
    "a gzipped body in chunks": post_chunks(
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(GZIPPED), GZIPPED), b"Content-Encoding: gzip\r\n"
    ),
    "a deflated body": post(b"\x78\x9c\x03\x00\x00\x00\x00\x01", b"Content-Encoding: deflate\r\n"),
    "GET with a body": post(b"hello", method=b"GET"),
    "DELETE with a body": post(b"hello", method=b"DELETE"),
    "PATCH with a body": post(b"hello", method=b"PATCH"),
    "OPTIONS with a body": post(b"hello", method=b"OPTIONS"),
    "HEAD with a body": post(b"hello", method=b"HEAD"),
    "a body like a request": post(b"GET /inner HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a large body": post(b"x" * 3_000_000),
    "POST without a body": get(method=b"POST"),
    "GET of length 0": post(b"", method=b"GET"),
    "chunks": post_chunks(b"1\r\na\r\n2\r\nbc\r\nA\r\n0123456789\r\n0\r\n\r\n"),
    "no chunk": post_chunks(b"0\r\n\r\n"),
    "chunk sizes with zeros": post_chunks(b"0005\r\nhello\r\n000\r\n\r\n"),
    "chunk extensions": post_chunks(b'5;a=b;c="d;e"\r\nhello\r\n0;last\r\n\r\n'),
    "one octet a chunk": post_chunks(b"".join(b"1\r\n%c\r\n" % octet for octet in range(256)) + b"0\r\n\r\n"),
    "a large chunk": post_chunks(b"f4240\r\n" + b"x" * 1_000_000 + b"\r\n0\r\n\r\n"),
    "trailers": post_chunks(b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n", b"Trailer: X-Sum\r\n"),
    "chunks in capitals": get(b"/", b"transfer-encoding: Chunked\r\n", b"POST") + b"2\r\nok\r\n0\r\n\r\n",
    "type and digest": post(b"{}", b'Content-Type: application/json; charset="x"\r\nDigest: sha-256=abc=\r\n'),
}


@pytest.mark.parametrize("name", BODIES)
@in_loop
async def test_a_body_passes(name: str) -> None:
    """A body keeps its octets, its codings and its kind of framing, whatever the method."""
    direct, relayed = await see_both(Case((BODIES[name],)))
    check_same_requests(direct, relayed)
    check_same_answers(direct, relayed)
    # An end that trailers could stand in is the last: see test_a_trailer_never_enters_the_next_request.
    assert relayed.is_kept == (name not in ("trailers", "chunk extensions", "chunk sizes with zeros"))
    assert _framing_of(relayed.requests[0]) == _framing_of(direct.requests[0])


def _framing_of(message: Message) -> list[bytes]:
    return message.values(b"content-length") + [value.lower() for value in message.values(b"transfer-encoding")]


@pytest.mark.parametrize("name", ["length", "chunks"])
@in_loop
async def test_a_body_waits_for_the_100(name: str) -> None:
    """``Expect: 100-continue``: the client gets its 100, and the upstream the body (RFC 9110, section 10.1.1)."""
    request = BODIES[name].replace(b"Host:", b"Expect: 100-continue\r\nHost:", 1)
    direct, relayed = await see_both(Case((request,), may_continue=True))
    check_same_requests(direct, relayed)
    check_same_answers(direct, relayed)
    assert [answer.status for answer in relayed.answers] == [answer.status for answer in direct.answers] == [100, 200]


OLD = {
    "plain": get(version=b"1.0"),
    "a body": post(b"hello", version=b"1.0"),
    "kept alive": get(b"/", b"Connection: keep-alive\r\n", version=b"1.0"),
}


@pytest.mark.parametrize("name", OLD)
@in_loop
async def test_an_old_client_is_served(name: str) -> None:
    """A client of HTTP/1.0 is one of HTTP/1.1 to the upstream, and its connection ends unless it asked for more."""
    direct, relayed = await see_both(Case((OLD[name],)))
    check_same_requests(direct, relayed)
    check_same_answers(direct, relayed, is_http_1_0=True)
    assert relayed.is_kept == (name == "kept alive")


@in_loop
async def test_an_old_client_may_do_without_a_host() -> None:
    """HTTP/1.0 knows no Host; the upstream gets its own."""
    direct, relayed = await see_both(Case((b"GET /a HTTP/1.0\r\nX: y\r\n{token}\r\n\r\n",)))
    assert [request.values(b"x") for request in relayed.requests] == [[b"y"]]
    check_same_answers(direct, relayed, is_http_1_0=True)


def answer(text: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)


PIPELINES = {
    "two": (get(b"/1"), get(b"/2")),
    "ten": tuple(get(b"/%d" % n) for n in range(10)),
    "behind a length": (post(b"hello"), get(b"/2"), post(b"world"), get(b"/4")),
    "behind HEAD": (get(b"/1", method=b"HEAD"), get(b"/2")),
    "behind a large body": (post(b"x" * 1_000_000), get(b"/2")),
}


@pytest.mark.parametrize("name", PIPELINES)
@in_loop
async def test_pipelined_requests_stay_apart(name: str) -> None:
    """Requests of one segment arrive each by itself, and are answered in their order (RFC 9112, section 9.3.2)."""
    requests = PIPELINES[name]
    answers = tuple(answer(b"%d" % number) for number in range(len(requests)))
    if name == "behind HEAD":
        answers = (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", answers[1])
    direct, relayed = await see_both(Case(requests, answers))
    assert len(relayed.requests) >= len(requests)
    check_same_requests(direct, relayed)
    check_same_answers(direct, relayed)
    assert relayed.is_kept


LAST = {
    "chunks": BODIES["chunks"],
    "trailers": BODIES["trailers"],
    "an unknown upgrade": get(b"/1", FIELDS["an unknown upgrade"]),
    "h2c": get(b"/1", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
    "an upgrade with a body": post(b"hello", FIELDS["an unknown upgrade"]),
    "two upgrades": get(b"/1", b"Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n"),
}


@pytest.mark.parametrize("name", LAST)
@in_loop
async def test_nothing_is_served_behind_a_close(name: str) -> None:
    """Where the next request could be read wrongly, the answer says close, and what is pipelined is not served."""
    recorder = Recorder(Case(()))
    async with (
        Upstream(recorder) as upstream,
        open_gateway(upstream.port) as application,
        RawClient(application) as client,
    ):
        first = LAST[name].replace(b"{token}\r\n", bearer())
        body = b"GET /smuggled HTTP/1.1\r\nHost: g\r\n" + bearer() + b"\r\n"
        await client.send(first + b"POST /2 HTTP/1.1\r\nHost: g\r\nContent-Length: %d\r\n\r\n" % len(body))
        await client.send(body)
        answer = await read_answer(client.reader)
        assert (answer.status, answer.options) == (200, {b"close"})
        assert await client.reader.read() == b""
    assert len(recorder.requests) == 1


@in_loop
async def test_a_trailer_never_enters_the_next_request() -> None:
    """A field that stands behind one body is in no header, of neither this request nor one that follows."""
    recorder = Recorder(Case(()))
    request = BODIES["chunks"].replace(b"0\r\n\r\n", b"0\r\nA: 1\r\nCookie: theirs\r\n\r\n")
    async with Upstream(recorder) as upstream, open_gateway(upstream.port) as application:
        for pause_seconds in (0.0, 0.02):
            async with RawClient(application) as client:
                await client.send(request.replace(b"{token}\r\n", bearer()))
                await asyncio.sleep(pause_seconds)
                with suppress(ConnectionError, asyncio.IncompleteReadError):
                    await client.get(b"/next", bearer())
                    await client.get(b"/next", bearer())
    assert recorder.requests
    assert not any(seen.values(b"cookie") or seen.values(b"a") for seen in recorder.requests)
