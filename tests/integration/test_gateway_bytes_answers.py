"""What the client gets, octet for octet: each answer comes once straight from the upstream and once through."""

from __future__ import annotations

import gzip

import pytest

from .gateway_harness import RawClient, bearer, open_gateway
from .loop import in_loop
from .twin import Case, Seen, check_same_answers, check_same_requests, see_both
from .upstream import Peer, Upstream
from .wire import read_answer, read_request

GET = b"GET / HTTP/1.1\r\nHost: gateway.example\r\n{token}\r\n\r\n"
HEAD = GET.replace(b"GET", b"HEAD")
OLD_GET = GET.replace(b"1.1", b"1.0")
GZIPPED = gzip.compress(b"hello world", mtime=0)


def ok(fields: bytes = b"", body: bytes = b"ok") -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def chunked(chunks: bytes, fields: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + fields + b"Transfer-Encoding: chunked\r\n\r\n" + chunks


def status(line: bytes, fields: bytes = b"Content-Length: 0\r\n") -> bytes:
    return b"HTTP/1.1 " + line + b"\r\n" + fields + b"\r\n"


ANSWERS = {
    "plain": ok(),
    # Status lines
    "no reason": status(b"200 "),
    "no reason, no space": status(b"200"),
    "another reason": status(b"200 Everything's (mostly) fine"),
    "obs-text reason": status(b"200 Tr\xe8s bien \xff"),
    "UTF-8 reason": status("200 Gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n ☃".encode()),
    "reason of blanks": status(b"200  two  \tblanks"),
    "unknown 2xx": status(b"299 Odd"),
    "unknown 4xx": status(b"499 Odd"),
    "unknown 5xx": status(b"599 Odd"),
    "redirect": status(b"302 Found", b"Location: http://127.0.0.1:1/x?y#z\r\nContent-Length: 0\r\n"),
    "redirect of a method": status(b"308 P", b"Location: //other/\r\nContent-Length: 0\r\n"),
    "401 of the upstream": status(b"401 No", b'WWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n'),
    "403 with a body": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
    "407": status(b"407 P"),
    "413": status(b"413 Too Large", b"Retry-After: 5\r\nContent-Length: 0\r\n"),
    "426": status(b"426 Upgrade Required", b"Connection: upgrade\r\nUpgrade: foo/2\r\nContent-Length: 0\r\n"),
    "500": b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops",
    "503 of the upstream": status(b"503 Busy", b"Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\nContent-Length: 0\r\n"),
    # Fields
    "obs-text": ok(b"X-All: " + bytes(range(0x80, 0x100)) + b'\r\nETag: "\xe9"\r\n'),
    "casing": ok(b"x-lower: 1\r\nX-UPPER: 2\r\ncOnTeNt-TyPe: a/b\r\n"),
    "duplicates": ok(b"X-Twice: 1\r\nOther: x\r\nx-twice: 2\r\nX-Twice: 1\r\n"),
    "order": ok(b"Z: 1\r\nServer: s\r\nA: 2\r\nDate: d\r\nM: 3\r\nContent-Type: t\r\nB: 4\r\n"),
    "empty values": ok(b"Empty:\r\nBlank:   \r\nContent-Type:\r\nServer:\r\n"),
    "blanks inside": ok(b"X: a  b\t\tc\r\nY:z\r\nZ: \t z \t \r\n"),
    "cookies": ok(
        b'Set-Cookie: a=b; Path=/; Expires=Wed, 09 Jun 2021 10:18:14 GMT\r\nset-cookie: c="d,e"\r\n'
        b"Set-Cookie: a=b\r\nSet-Cookie: \r\n"
    ),
    "Date and Server": ok(b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: a/1 (b) c/2\r\n"),
    "neither Date nor Server": ok(),
    "Via and Age": ok(b'Via: 1.1 a, 1.0 b\r\nAge: 7\r\nWarning: 110 - "x"\r\nCache-Control: private, no-cache="x"\r\n'),
    "an identity of the upstream": ok(b"X-Identity: {}\r\nX-User-Id: 7\r\nAuthorization: x\r\n"),
    "listed by Connection": ok(b"Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nx-hop: 2\r\nX-Hops: 3\r\n"),
    "hop-by-hop": ok(b"Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c\r\nX: y\r\n"),
    "token octets": ok(b"!#$%&'*+-.^_`|~0: x\r\n"),
    "long value": ok(b"X-Long: " + b"v" * 60000 + b"\r\n"),
    "many": ok(b"".join(b"X-%d: %d\r\n" % (number, number) for number in range(99))),
    "CORS and CSP": ok(
        b"Access-Control-Allow-Origin: *\r\nContent-Security-Policy: default-src 'self'; x\r\nVary: *\r\n"
    ),
    "an Expect and a TE": ok(b'Trailer: X-Sum\r\nAllow: GET, FOO\r\nAccept-Ranges: bytes\r\nAlt-Svc: h3=":443"\r\n'),
    # Bodies
    "length 0": ok(body=b""),
    "length with zeros": b"HTTP/1.1 200 OK\r\nContent-Length: 0002\r\n\r\nok",
    "all octets": ok(body=bytes(range(256)) * 5),
    "a large body": ok(body=b"x" * 3_000_000),
    "a body like an answer": ok(body=b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"),
    "a gzipped body": ok(b"Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n", GZIPPED),
    "a body that is not gzipped": ok(b"Content-Encoding: gzip\r\n", b"not gzip"),
    "a gzipped body in chunks": chunked(
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(GZIPPED), GZIPPED), b"Content-Encoding: gzip\r\n"
    ),
    "chunks": chunked(b"1\r\na\r\n2\r\nbc\r\nA\r\n0123456789\r\n0\r\n\r\n"),
    "no chunk": chunked(b"0\r\n\r\n"),
    "chunk sizes with zeros": chunked(b"0005\r\nhello\r\n000\r\n\r\n"),
    "chunk extensions": chunked(b'5;a=b;c="d;e"\r\nhello\r\n0;last\r\n\r\n'),
    "one octet a chunk": chunked(b"".join(b"1\r\n%c\r\n" % octet for octet in range(256)) + b"0\r\n\r\n"),
    "a large chunk": chunked(b"f4240\r\n" + b"x" * 1_000_000 + b"\r\n0\r\n\r\n"),
    "a chunk like the end": chunked(b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"),
    "trailers": chunked(b"2\r\nok\r\n0\r\nX-Sum: 1\r\nx-sum: \xe9\r\nEmpty:\r\n\r\n", b"Trailer: X-Sum\r\n"),
    "trailers without a chunk": chunked(b"0\r\nX-Sum: 1\r\n\r\n"),
    "coding in capitals": b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "partial content": b"HTTP/1.1 206 P\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nok",
    "multipart": ok(b'Content-Type: multipart/byteranges; boundary="a b"\r\n', b"--a b\r\n\r\nx\r\n--a b--"),
    "205": status(b"205 Reset Content"),
    "204": status(b"204 No Content", b"X: y\r\n"),
    "204 with length 0": status(b"204 No Content"),
    "304": status(b"304 Not Modified", b'ETag: "a"\r\n'),
    "304 with a length": status(b"304 Not Modified", b'ETag: "a"\r\nContent-Length: 45\r\n'),
    "events": chunked(b"8\r\ndata: 1\n\r\n0\r\n\r\n", b"Content-Type: text/event-stream\r\n"),
    # Interim heads
    "103": status(b"103 Early Hints", b"Link: </a>; rel=preload\r\nlink: </b>\r\n") + ok(),
    "two of 103": status(b"103 E", b"A: 1\r\n") + status(b"103 E", b"A: 2\r\n") + ok(),
    "102": status(b"102 Processing", b"") + ok(),
    "100": status(b"100 Continue", b"") + ok(),
    "100 and 103": status(b"100 Continue", b"") + status(b"103 Early Hints", b"Link: </a>\r\n") + ok(),
    "unknown 1xx": status(b"199 Odd \xe9", b"X: \xe9\r\n") + ok(),
}


@pytest.mark.parametrize("name", ANSWERS)
@in_loop
async def test_an_answer_passes(name: str) -> None:
    """No answer is recoded, joined, reordered or filled up, and the next one stands right behind it."""
    direct, relayed = await see_both(Case((GET,), (ANSWERS[name],)))
    check_same_requests(direct, relayed)
    check_same_answers(direct, relayed)
    assert relayed.is_kept


HEADS = {
    "length": ok(body=b"")[: -len(b"0\r\n\r\n")] + b"10\r\n\r\n",
    "length 0": ok(body=b""),
    "chunked": chunked(b""),
    "neither": status(b"200 OK", b"X: y\r\n"),
    "304": status(b"304 Not Modified", b"Content-Length: 10\r\n"),
    "404": status(b"404 Not Found", b"Content-Length: 10\r\n"),
}


@pytest.mark.parametrize("name", HEADS)
@in_loop
async def test_a_head_passes(name: str) -> None:
    """An answer to HEAD says what GET would have got, and ends with its head (RFC 9110, section 9.3.2)."""
    direct, relayed = await see_both(Case((HEAD,), (HEADS[name],)))
    check_same_requests(direct, relayed)
    check_same_answers(direct, relayed)
    assert relayed.is_kept


CLOSING = {
    "until the end": b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    "until the end, empty": b"HTTP/1.1 200 OK\r\n\r\n",
    "until the end, HTTP/1.0": b"HTTP/1.0 200 Fine \xe9\r\nX: y\r\n\r\nuntil the end",
    "until the end, large": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 2_000_000,
    "HTTP/1.0 with a length": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.0 without a body": b"HTTP/1.0 204 None\r\n\r\n",
    "close": ok(b"Connection: close\r\nX: y\r\n"),
    "close, chunked": chunked(b"2\r\nok\r\n0\r\n\r\n", b"Connection: close\r\n"),
    "events until the end": b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n",
}


@pytest.mark.parametrize("name", CLOSING)
@in_loop
async def test_a_last_answer_passes(name: str) -> None:
    """An upstream that closes behind its answer does not close the client's connection: that one is ours."""
    direct, relayed = await see_both(Case((GET,), (CLOSING[name],), closes=True))
    check_same_answers(direct, relayed)
    assert (direct.is_kept, relayed.is_kept) == (False, True)


OLD = [
    "plain",
    "chunks",
    "no chunk",
    "trailers",
    "204",
    "304 with a length",
    "103",
    "100 and 103",
    "a large body",
    "500",
]


@pytest.mark.parametrize("name", OLD)
@in_loop
async def test_an_old_client_gets_what_it_knows(name: str) -> None:
    """To HTTP/1.0 no chunks, no trailers, no interim answers (RFC 9112, section 7; RFC 9110, section 15.2)."""
    direct, relayed = await see_both(Case((OLD_GET,), (ANSWERS[name],)))
    check_same_answers(direct, relayed, is_http_1_0=True)
    [answer] = relayed.answers
    assert answer.framing != "chunked"
    assert not relayed.is_kept


@in_loop
async def test_answers_of_all_kinds_follow_each_other() -> None:
    """All on one connection of the client, the more so where each is framed in another way."""
    names = [name for name in ANSWERS if "large" not in name]
    case = Case((GET,) * len(names), tuple(ANSWERS[name] for name in names))
    direct, relayed = await see_both(case)
    check_same_requests(direct, relayed)
    check_same_answers(direct, relayed)
    assert relayed.is_kept


@pytest.mark.parametrize(
    "name", ["plain", "chunks", "trailers", "103", "304 with a length", "204", "one octet a chunk"]
)
@in_loop
async def test_an_answer_of_single_octets_passes(name: str) -> None:
    """However an answer is cut on its way, the same comes out."""

    async def drip(peer: Peer) -> None:
        while True:
            await read_request(peer.reader)
            for octet in ANSWERS[name]:
                await peer.send(bytes((octet,)))

    seen = []
    async with Upstream(drip) as upstream, open_gateway(upstream.port) as application:
        async with RawClient(application) as client:
            for _ in range(2):
                await client.send(GET.replace(b"{token}\r\n", bearer()))
                seen.append(await read_answer(client.reader))
                if name == "103":
                    seen.append(await read_answer(client.reader))
    direct, _ = await see_both(Case((GET, GET), (ANSWERS[name],) * 2))
    check_same_answers(direct, Seen(answers=seen))
