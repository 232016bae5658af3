"""WebSocket handshakes and refusals of them, octet for octet, and what stands around the 101."""

from __future__ import annotations

import asyncio

import pytest

from .gateway_harness import RawClient, bearer, open_gateway
from .loop import in_loop
from .twin import Case, check_same_answers, check_same_requests, see_both
from .upstream import OK, Peer, Upstream
from .wire import Message, normalise_answer, normalise_request, read_answer, read_head

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPTED = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
PLAIN = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n"
# Frames: text of two octets, masked and not, a ping, the beginning of a frame of 100 octets, a close.
TO_UPSTREAM = (
    b"\x81\x82\x00\x00\x00\x00hi" + b"\x89\x80\x01\x02\x03\x04" + b"\x82\xe4\x00\x00\x00\x00" + bytes(range(100))
)
TO_CLIENT = b"\x81\x02ok" + b"\x8a\x00" + b"\xc1\x03\xff\xfe\xfd" + b"\x82\x7e\x01\x00" + bytes(range(256))


def handshake(fields: bytes = PLAIN, connection: bytes = b"Upgrade", upgrade: bytes = b"websocket") -> bytes:
    return (
        b"GET /chat?a=b HTTP/1.1\r\nHost: gateway.example\r\nConnection: "
        + connection
        + b"\r\nUpgrade: "
        + upgrade
        + b"\r\n"
        + fields
        + b"{token}\r\n\r\n"
    )


HANDSHAKES = {
    "plain": (handshake(), ACCEPTED),
    "casing": (
        handshake(PLAIN.replace(b"Sec-WebSocket", b"SEC-webSocket"), b"keep-alive, UPGRADE", b"WebSocket"),
        ACCEPTED.replace(b"Sec-WebSocket", b"sec-websocket"),
    ),
    "extensions": (
        handshake(PLAIN + b'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-foo; a="b"\r\n'),
        ACCEPTED + b"Sec-WebSocket-Extensions: permessage-deflate;server_no_context_takeover\r\n",
    ),
    "extensions in two fields": (
        handshake(b"Sec-WebSocket-Extensions: a\r\n" + PLAIN + b"Sec-WebSocket-Extensions: b; c=1\r\n"),
        b"Sec-WebSocket-Extensions: b\r\n" + ACCEPTED,
    ),
    "protocols": (
        handshake(PLAIN + b"Sec-WebSocket-Protocol: graphql-ws, v1.x~y\r\nSec-WebSocket-Protocol: z\r\n"),
        ACCEPTED + b"Sec-WebSocket-Protocol: v1.x~y\r\n",
    ),
    "other fields": (
        handshake(b"Origin: null\r\nCookie: a=\xe9\r\nUser-Agent:\r\n" + PLAIN),
        b"Set-Cookie: a\r\nServer: s\r\n" + ACCEPTED + b"Set-Cookie: b\r\nX-Odd: \xe9\r\n",
    ),
}


class Acceptor:
    """An upstream that says 101 and sends at once; it keeps the handshake and what came behind it."""

    def __init__(self, fields: bytes, early: bytes, expected: int) -> None:
        self._answer = (
            b"HTTP/1.1 101 Switching \xe9\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n" + fields + b"\r\n"
        )
        self._early = early
        self._expected = expected
        self.requests: list[Message] = []
        self.received = b""

    async def __call__(self, peer: Peer) -> None:
        self.requests.append(await read_head(peer.reader))
        await peer.send(self._answer + self._early)
        self.received = await peer.reader.readexactly(self._expected)
        await peer.wait_for_end()


async def switch(port: int, request: bytes, *, is_early: bool, expected: int) -> tuple[Message, bytes]:
    """Do a handshake, send the frames behind it or after its 101, and return the 101 and what came behind it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request + TO_UPSTREAM if is_early else request)
        answer = await read_answer(reader)
        if not is_early:
            writer.write(TO_UPSTREAM)
        return answer, await asyncio.wait_for(reader.readexactly(expected), 5)
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("is_early", [False, True], ids=["data after the 101", "data before the 101"])
@pytest.mark.parametrize("name", HANDSHAKES)
@in_loop
async def test_a_handshake_passes(name: str, is_early: bool) -> None:
    """
    All of a handshake but its two hop-by-hop fields passes, both ways, and so does each octet behind it.

    Also where a client does not wait for the 101, and where the upstream's first frames are in the segment of its 101.
    """
    request, fields = HANDSHAKES[name]
    request = request.replace(b"{token}\r\n", bearer())
    seen = []
    for is_direct in (True, False):
        acceptor = Acceptor(fields, TO_CLIENT, len(TO_UPSTREAM))
        async with Upstream(acceptor) as upstream, open_gateway(upstream.port) as application:
            port = upstream.port if is_direct else application.listen.port
            answer, received = await switch(port, request, is_early=is_early, expected=len(TO_CLIENT))
        assert acceptor.received == TO_UPSTREAM
        assert received == TO_CLIENT
        [asked] = acceptor.requests
        assert [value.lower() for value in asked.values(b"upgrade")] == [b"websocket"]
        assert b"upgrade" in asked.options
        assert [value.lower() for value in answer.values(b"upgrade")] == [b"websocket"]
        assert answer.options == {b"upgrade"}
        seen.append((normalise_request(asked), normalise_answer(answer)))
    assert seen[0] == seen[1]


REFUSALS = {
    "200": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
    "200 in chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\nX-Sum: 1\r\n\r\n",
    "302": b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
    "400": b"HTTP/1.1 400 Bad\r\nSec-WebSocket-Version: 13, 8\r\nContent-Length: 3\r\n\r\nbad",
    "401": b'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 2\r\n\r\nno',
    "403": b"HTTP/1.1 403 Forbidden\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 6\r\n\r\nforbid",
    "426": b"HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 8\r\nContent-Length: 0\r\n\r\n",
    "503": b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
    "204": b"HTTP/1.1 204 None\r\n\r\n",
}


@pytest.mark.parametrize("name", REFUSALS)
@in_loop
async def test_a_refusal_of_the_upstream_passes(name: str) -> None:
    """No 101, no tunnel: the answer comes with its body, and is the connection's last."""
    direct, relayed = await see_both(Case((handshake(),), (REFUSALS[name],)))
    check_same_requests(direct, relayed)
    check_same_answers(direct, relayed)
    assert relayed.answers[-1].options == {b"close"}
    assert not relayed.is_kept


@in_loop
async def test_frames_behind_a_refused_handshake_go_nowhere() -> None:
    """What a client sends before it knows of the refusal is neither a frame nor a request to anybody."""
    heads = []

    async def script(peer: Peer) -> None:
        heads.append(await peer.read_head())
        await peer.send(OK)
        heads.append(await peer.wait_for_end())

    behind = TO_UPSTREAM + b"GET /smuggled HTTP/1.1\r\nHost: g\r\n\r\n"
    async with Upstream(script) as upstream, open_gateway(upstream.port) as application:
        async with RawClient(application) as client:
            await client.send(handshake().replace(b"{token}\r\n", bearer()) + behind)
            assert (await client.read_answer()).body == b"ok"
            assert await client.reader.read() == b""
    assert heads[1:] == [b""]


BAD_SWITCHES = {
    "another protocol": b"Connection: upgrade\r\nUpgrade: h2c\r\n",
    "no upgrade": b"",
    "a length": b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n",
    "chunks": b"Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n",
}


@pytest.mark.parametrize("name", BAD_SWITCHES)
@in_loop
async def test_a_switch_to_something_else_is_502(name: str) -> None:
    """A 101 must be to what was asked for, and has no body (RFC 9110, sections 7.8 and 8.6; RFC 6455, section 4.1)."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 101 Switching Protocols\r\n" + BAD_SWITCHES[name] + ACCEPTED + b"\r\n")
        await peer.wait_for_end()

    async with Upstream(script) as upstream, open_gateway(upstream.port) as application:
        async with RawClient(application) as client:
            answer = await client.ask(handshake().replace(b"{token}\r\n", bearer()))
    assert answer.status == 502
