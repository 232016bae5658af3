"""Tokens in cookies, queries, subprotocols and headers of other names, over real sockets: in, checked, taken out."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.core.places import AUTHORIZATION, PlaceKind, TokenPlace
from tests.policies import make_route

from .gateway_harness import Answer, RawClient, make_token, open_gateway
from .loop import in_loop
from .test_gateway_bytes_upgrades import ACCEPTED, PLAIN
from .upstream import OK, Peer, Upstream

PLACES = (
    AUTHORIZATION,
    TokenPlace(PlaceKind.HEADER, "x-token"),
    TokenPlace(PlaceKind.COOKIE, "session"),
    TokenPlace(PlaceKind.QUERY, "access_token"),
    TokenPlace(PlaceKind.WEBSOCKET_PROTOCOL),
)
APP = b"https://app.example"
ORIGIN = b"Origin: " + APP + b"\r\n"
FOREIGN = b"Origin: https://evil.example\r\n"
# More than one, and the later ones find a connection to the upstream that lies idle, so that they are served otherwise.
REPEATED = 3


class Backend:
    """An upstream that says OK, or 101 with a subprotocol to a handshake, and keeps the heads that it got."""

    def __init__(self, protocol: bytes = b"") -> None:
        self.heads: list[bytes] = []
        self._switch = (
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + ACCEPTED + protocol
        )

    async def __call__(self, peer: Peer) -> None:
        while True:
            self.heads.append(await peer.read_head())
            if b"\r\nUpgrade:" in self.heads[-1]:
                await peer.send(self._switch + b"\r\n")
                await peer.wait_for_end()
                return
            await peer.send(OK)

    def lines(self, *names: bytes) -> list[bytes]:
        """Return the request line of the last head, and its lines of these names in order."""
        start, *lines = self.heads[-1].split(b"\r\n")
        return [start, *(line for line in lines if line.partition(b":")[0].lower() in names)]


@asynccontextmanager
async def open_both(backend: Backend, **changed: Any) -> AsyncIterator[RawClient]:
    """Open a gateway that takes tokens from everywhere, unless changed, before that backend, and a client of it."""
    changed = {"token_places": PLACES, **changed}
    policy = {"allowed_origins": frozenset({APP}), **changed.pop("policy", {})}
    async with (
        Upstream(backend) as upstream,
        open_gateway(upstream.port, policy=policy, **changed) as application,
        RawClient(application) as client,
    ):
        yield client


def read_reason(answer: Answer) -> object:
    """Return the status of an answer, and of a refusal its reason."""
    return answer.status if answer.status < 400 else (answer.status, json.loads(answer.body)["reason"])


def ask(target: bytes = b"/a", fields: bytes = b"", method: bytes = b"GET") -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\nHost: gateway.example\r\n" + fields + b"\r\n"


CARRIED = {
    "authorization": (ask(fields=b"Authorization: Bearer TOKEN\r\n"), [b"GET /a HTTP/1.1"]),
    "header": (ask(fields=b"X_Token: a\r\nX-toKEN: TOKEN\r\nA: b\r\n"), [b"GET /a HTTP/1.1", b"A: b"]),
    "cookie": (
        ask(fields=b"Cookie: a=1;  b=\xe9; session=TOKEN; c=3\r\nA: b\r\n"),
        [b"GET /a HTTP/1.1", b"Cookie: a=1;  b=\xe9; c=3", b"A: b"],
    ),
    "cookie alone": (ask(fields=b"A: b\r\ncookie: session=TOKEN\r\n"), [b"GET /a HTTP/1.1", b"A: b"]),
    "cookie, POST": (
        ask(fields=ORIGIN + b"Cookie: session=TOKEN; a=1\r\nContent-Length: 0\r\n", method=b"POST"),
        [b"POST /a HTTP/1.1", ORIGIN[:-2], b"Cookie: a=1"],
    ),
    "cookie, PUT of its own origin": (
        ask(fields=b"Sec-Fetch-Site: same-origin\r\nCookie: session=TOKEN\r\n", method=b"PUT"),
        [b"PUT /a HTTP/1.1"],
    ),
    "query": (ask(b"/a%2e?b=%31&access_token=TOKEN&c"), [b"GET /a%2e?b=%31&c HTTP/1.1"]),
    "query alone": (ask(b"/a?access_token=TOKEN"), [b"GET /a HTTP/1.1"]),
    "query, absolute": (ask(b"http://gateway.example?access_token=TOKEN"), [b"GET / HTTP/1.1"]),
}
SHOWN = (b"a", b"cookie", b"origin", b"x-token", b"x_token", b"authorization")


@pytest.mark.parametrize("name", CARRIED)
@in_loop
async def test_a_token_is_taken_and_taken_out(name: str) -> None:
    """The upstream gets the identity, and the request as it came but for the token."""
    request, expected = CARRIED[name]
    backend, token = Backend(), make_token().encode()
    async with open_both(backend) as client:
        for _ in range(REPEATED):
            answer = await client.ask(request.replace(b"TOKEN", token))
            assert read_reason(answer) == 200
            assert backend.lines(*SHOWN) == expected
            assert b'"subject":"user-1"' in backend.heads[-1]
            assert token not in backend.heads[-1]
            assert answer.fields(b"Cache-Control") == ([b"private"] if "query" in name else [])
    assert len(backend.heads) == REPEATED


@pytest.mark.parametrize("name", [name for name in CARRIED if "absolute" not in name])
@in_loop
async def test_a_token_goes_on_where_the_file_says_so(name: str) -> None:
    """``forward_token``: what was checked is what goes on, octet for octet; what was not checked does not."""
    request, expected = CARRIED[name]
    token = make_token().encode()
    request = request.replace(b"TOKEN", token)
    backend = Backend()
    async with open_both(backend, forwarding={"forward_token": True}) as client:
        for _ in range(REPEATED):
            assert (await client.ask(request)).status == 200
            start, *lines = request[:-4].split(b"\r\n")
            kept = [line for line in lines if line.partition(b":")[0].lower() in SHOWN and b"X_Token" not in line]
            assert backend.lines(*SHOWN) == [start, *kept]
            assert [start, *kept] != expected


REFUSED = {
    "nowhere": (ask(), (401, "missing_token")),
    "in another cookie": (ask(fields=b"Cookie: Session=TOKEN\r\n"), (401, "missing_token")),
    "in a subprotocol without a handshake": (
        ask(fields=b"Sec-WebSocket-Protocol: bearer, TOKEN\r\n"),
        (401, "missing_token"),
    ),
    "header and cookie": (
        ask(fields=b"Authorization: Bearer TOKEN\r\nCookie: session=TOKEN\r\n"),
        (400, "multiple_credentials"),
    ),
    "query and header": (
        ask(b"/?access_token=TOKEN", b"Authorization: Bearer TOKEN\r\n"),
        (400, "multiple_credentials"),
    ),
    "two cookies": (ask(fields=b"Cookie: session=TOKEN; session=x\r\n"), (400, "multiple_credentials")),
    "two Cookie fields": (
        ask(fields=b"Cookie: session=TOKEN\r\nCookie: session=x\r\n"),
        (400, "multiple_credentials"),
    ),
    "hidden by quotes": (ask(fields=b'Cookie: a="; session=x"; session=TOKEN\r\n'), (400, "multiple_credentials")),
    "two parameters": (ask(b"/?access_token=x&access%5ftoken=TOKEN"), (400, "multiple_credentials")),
    "a parameter in escapes": (ask(b"/?access%5ftoken=TOKEN"), (400, "malformed_credentials")),
    "no token": (ask(fields=b"X-Token: Bearer TOKEN\r\n"), (400, "malformed_credentials")),
    "an empty cookie": (ask(fields=b"Cookie: session=\r\n"), (400, "malformed_credentials")),
    "another token": (ask(fields=b"Cookie: session=xTOKEN\r\n"), (401, "malformed_token")),
    "POST from nowhere": (
        ask(fields=b"Cookie: session=TOKEN\r\nContent-Length: 0\r\n", method=b"POST"),
        (403, "origin_denied"),
    ),
    "POST from elsewhere": (
        ask(fields=FOREIGN + b"Cookie: session=TOKEN\r\nContent-Length: 0\r\n", method=b"POST"),
        (403, "origin_denied"),
    ),
    "POST from a sandbox": (
        ask(fields=b"Origin: null\r\nCookie: session=TOKEN\r\nContent-Length: 0\r\n", method=b"POST"),
        (403, "origin_denied"),
    ),
    "a cookie to the same site": (
        ask(fields=b"Sec-Fetch-Site: same-site\r\nCookie: session=TOKEN\r\n", method=b"DELETE"),
        (403, "origin_denied"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@in_loop
async def test_what_is_ambiguous_or_of_a_stranger_is_refused(name: str) -> None:
    """Each time anew: what was proven of a token says nothing of where it stands, or of who sends it."""
    request, expected = REFUSED[name]
    token = make_token().encode()
    backend = Backend()
    async with open_both(backend) as client:
        for _ in range(REPEATED):
            assert (await client.ask(ask(fields=b"X-Token: " + token + b"\r\n"))).status == 200
            answer = await client.ask(request.replace(b"TOKEN", token))
            assert read_reason(answer) == expected
            assert bool(answer.fields(b"WWW-Authenticate")) is (expected[1] != "origin_denied")
    assert len(backend.heads) == REPEATED


@in_loop
async def test_by_default_nothing_but_the_header_is_looked_at() -> None:
    """Cookies, queries and subprotocols are the upstream's own, and pass as they came."""
    token = make_token().encode()
    line = b"/a?access_token=" + token
    fields = b"Cookie: session=" + token + b"; a=1\r\nX-Token: " + token + b"\r\n"
    backend = Backend()
    async with open_both(backend, token_places=(AUTHORIZATION,)) as client:
        for _ in range(REPEATED):
            assert read_reason(await client.ask(ask(line, fields))) == (401, "missing_token")
            answer = await client.ask(ask(line, b"Authorization: Bearer " + token + b"\r\n" + fields, b"DELETE"))
            assert (read_reason(answer), answer.fields(b"Cache-Control")) == (200, [])
            expected = [b"DELETE " + line + b" HTTP/1.1", *fields.split(b"\r\n")[:-1]]
            assert backend.lines(*SHOWN) == expected


@in_loop
async def test_no_log_has_a_token(tmp_path: Path) -> None:
    """Neither of a request that passes nor of one that is refused, wherever the token stood."""
    log = tmp_path / "log"
    backend, token = Backend(), make_token().encode()
    async with open_both(backend, output_path=str(log)) as client:
        for request, _ in (*CARRIED.values(), *REFUSED.values()):
            await client.ask(request.replace(b"TOKEN", token))
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["request"] * (len(CARRIED) + len(REFUSED))
    assert {line["path"] for line in lines} == {"/a", "/a%2e", "/"}
    assert token.decode()[:40] not in log.read_text()
    assert "access_token" not in log.read_text()


# --- WebSocket -------------------------------------------------------------------------------------------------------

FIELD = b"Sec-WebSocket-Protocol: "


def handshake(fields: bytes, target: bytes = b"/chat") -> bytes:
    return ask(target, b"Connection: Upgrade\r\nUpgrade: websocket\r\n" + PLAIN + fields)


@pytest.mark.parametrize(
    ("fields", "chosen", "offered", "answered"),
    [
        (FIELD + b"bearer, TOKEN\r\n", b"", [], [b"bearer"]),
        (FIELD + b"chat, bearer, TOKEN, v1\r\n", b"", [b"chat, v1"], [b"bearer"]),
        (FIELD + b"chat, bearer, TOKEN, v1\r\n", b"v1", [b"chat, v1"], [b"v1"]),
        (FIELD + b"bearer\r\nA: b\r\n" + FIELD + b"TOKEN, chat\r\n", b"chat", [b"chat"], [b"chat"]),
        (FIELD + b"base64url.bearer.authorization.ENCODED, chat\r\n", b"chat", [b"chat"], [b"chat"]),
        (FIELD + b"base64url.bearer.authorization.k8s.io.ENCODED, chat\r\n", b"", [b"chat"], []),
        (ORIGIN + b"Cookie: session=TOKEN\r\n" + FIELD + b"chat,v1\r\n", b"v1", [b"chat, v1"], [b"v1"]),
        (b"Authorization: Bearer TOKEN\r\n", b"", [], []),
    ],
)
@in_loop
async def test_a_handshake_carries_a_token(
    fields: bytes, chosen: bytes, offered: list[bytes], answered: list[bytes]
) -> None:
    """The upstream chooses among what is no token; where it chooses nothing, the marker is the answer (6455-3)."""
    token = make_token().encode()
    encoded = base64.urlsafe_b64encode(token).rstrip(b"=")
    backend = Backend(FIELD + chosen + b"\r\n" if chosen else b"")
    async with open_both(backend) as client:
        request = handshake(fields.replace(b"TOKEN", token).replace(b"ENCODED", encoded))
        answer = await client.ask(request)
        assert answer.status == 101
        assert answer.fields(b"Sec-WebSocket-Protocol") == answered
        assert answer.fields(b"Sec-WebSocket-Accept") == [ACCEPTED.partition(b": ")[2].strip()]
        assert backend.lines(b"sec-websocket-protocol")[1:] == [FIELD + value for value in offered]
        assert token not in backend.heads[-1]
        assert encoded not in backend.heads[-1]
        assert b'"subject":"user-1"' in backend.heads[-1]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (FIELD + b"chat\r\n", (401, "missing_token")),
        (FIELD + b"chat, bearer\r\n", (400, "malformed_credentials")),
        (FIELD + b"bearer, TOKEN, bearer, TOKEN\r\n", (400, "multiple_credentials")),
        (FIELD + b"bearer, TOKEN\r\nAuthorization: Bearer TOKEN\r\n", (400, "multiple_credentials")),
        (FIELD + b"base64url.bearer.authorization.a\r\n", (400, "malformed_credentials")),
        (FIELD + b"bearer, chat\r\n", (401, "not_a_jwt")),
        (b"Cookie: session=TOKEN\r\n", (403, "origin_denied")),
        (b"Cookie: session=TOKEN\r\nSec-Fetch-Site: same-origin\r\n", (403, "origin_denied")),
        (FOREIGN + b"Cookie: session=TOKEN\r\n", (403, "origin_denied")),
        (b"Origin: null\r\nCookie: session=TOKEN\r\n", (403, "origin_denied")),
        (b"Origin: https://app.example.evil.example\r\nCookie: session=TOKEN\r\n", (403, "origin_denied")),
        # The key is no key: such a handshake is malformed, and its cookie is of a stranger all the same.
        (b"Sec-WebSocket-Key: a\r\n" + FOREIGN + b"Cookie: session=TOKEN\r\n", (403, "origin_denied")),
    ],
)
@in_loop
async def test_a_handshake_is_refused_before_the_101(fields: bytes, expected: object) -> None:
    """A page of another site could else read what the WebSocket says in the user's name (6455-2, 6455-8)."""
    backend = Backend()
    async with open_both(backend) as client:
        request = handshake(fields.replace(b"TOKEN", make_token().encode()))
        assert read_reason(await client.ask(request)) == expected
    assert backend.heads == []


@in_loop
async def test_a_websocket_of_a_public_route_leaves_no_token_either() -> None:
    """Nobody looks at it, and nobody behind us shall."""
    backend, token = Backend(), make_token().encode()
    async with open_both(backend, routes=(make_route("/**", "public"),)) as client:
        request = handshake(FOREIGN + b"Cookie: session=" + token + b"\r\n" + FIELD + b"bearer, " + token + b"\r\n")
        answer = await client.ask(request.replace(b"/chat", b"/chat?access_token=" + token))
        assert (answer.status, answer.fields(b"Sec-WebSocket-Protocol")) == (101, [b"bearer"])
        assert token not in backend.heads[-1]
        assert b"X-Identity: null" in backend.heads[-1]
