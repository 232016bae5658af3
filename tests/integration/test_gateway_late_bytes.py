"""
Two users behind one gateway: what an upstream sends too late, or too much, is never the second one's answer.

The same five shapes as the pool's own test, through the whole gateway, with tokens, and on connections of their own.
"""

from __future__ import annotations

import asyncio
import os

import pytest

from .gateway_harness import API, RawClient, bearer, open_gateway
from .loop import in_each_loop, in_loop, wait_until
from .upstream import Peer, Upstream

POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"

# An answer to the first user that is over, and how the poison may come behind it.
SHAPES = {
    "204": (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
    "304": (b"GET", b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 45\r\n\r\n'),
    "length": (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst"),
    "last chunk": (b"GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n"),
    "HEAD": (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\n"),
}
WHEN = ["in the segment", "while idle", "unread"]


async def answer_with_target(peer: Peer) -> None:
    """Answer each request with who it says it is of."""
    while True:
        head = await peer.read_head()
        subject = head.partition(b'"subject":"')[2].partition(b'"')[0]
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(subject), subject))


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("shape", SHAPES)
@in_each_loop
async def test_each_user_gets_his_own_answer(shape: str, when: str) -> None:
    """The connection that the surplus came on is dropped; the second user's answer is of a connection of his own."""
    method, answer = SHAPES[shape]
    is_idle = asyncio.Event()
    peers: list[Peer] = []

    async def script(peer: Peer) -> None:
        peers.append(peer)
        if peer.number:
            await answer_with_target(peer)
            return
        await peer.read_head()
        await peer.send(answer + POISON if when == "in the segment" else answer)
        await is_idle.wait()
        if when == "while idle":
            await peer.send(POISON)
        assert await peer.wait_for_end() == b""

    async with (
        Upstream(script) as upstream,
        open_gateway(upstream.port) as application,
        RawClient(application) as alice,
        RawClient(application) as bob,
    ):
        request = method + b" /alice HTTP/1.1\r\nHost: g\r\n" + bearer(API, sub="alice") + b"\r\n"
        first = await alice.ask(request, is_head=method == b"HEAD")
        assert b"poison" not in first.body
        is_idle.set()
        if when == "unread":
            # Past the loop, so that nothing of it has been read when the second request is sent.
            os.write(peers[0].writer.get_extra_info("socket").fileno(), POISON)
        else:
            await wait_until(lambda: upstream.open_connections == 0)
        assert (await bob.get(b"/bob", bearer(API, sub="bob"))).body == b"bob"
        assert (await alice.get(b"/alice", bearer(API, sub="alice"))).body == b"alice"
        assert upstream.connections == 2


@in_loop
async def test_a_thousand_answers_stay_with_their_users() -> None:
    """Fifty users at once on few connections, one answer in seven poisoned: each gets nothing but his own."""

    async def script(peer: Peer) -> None:
        count = 0
        while True:
            head = await peer.read_head()
            subject = head.partition(b'"subject":"')[2].partition(b'"')[0]
            count += 1
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(subject), subject)
            await peer.send(answer + POISON if (count + peer.number) % 7 == 0 else answer)

    async def visit(number: int) -> None:
        name = b"user-%d" % number
        fields = bearer(API, sub=name.decode())
        async with RawClient(application) as client:
            for _ in range(20):
                assert (await client.get(b"/", fields)).body == name

    async with (
        Upstream(script) as upstream,
        open_gateway(upstream.port, limits={"upstream_connections": 5}) as application,
    ):
        await asyncio.gather(*map(visit, range(50)))


@in_loop
async def test_an_upload_that_was_not_read_is_no_request() -> None:
    """An upstream that answers before it has read the body keeps what it has not read from the next user's request."""
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            seen.append((await peer.read_head()).split(b"\r\n")[0])
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    inner = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    async with (
        Upstream(script) as upstream,
        open_gateway(upstream.port) as application,
        RawClient(application) as alice,
        RawClient(application) as bob,
    ):
        # The body comes only behind the answer, and for good.
        await alice.send(b"POST /alice HTTP/1.1\r\nHost: g\r\nContent-Length: 999\r\n" + bearer() + b"\r\n")
        assert (await alice.read_answer()).status == 200
        await alice.send(inner * 2)
        assert (await bob.get(b"/bob", bearer())).status == 200
    assert seen == [b"POST /alice HTTP/1.1", b"GET /bob HTTP/1.1"]
