"""
Bytes that arrive on a connection between two users, and never become the second one's answer.

This is how a pool gives one caller the response of another: most clients read what lies on an idle connection as the
answer to the next request. Every framing that an answer can have is one way to it.
"""

from __future__ import annotations

import asyncio
import os

import pytest

from tests.integration.loop import in_each_loop, in_loop, wait_until
from tests.integration.upstream import Peer, Upstream, exchange, open_pool, play_and_wait

POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"

# An answer to the first user that is over, and bytes that come behind it.
LATE = {
    "204": (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "304": (b"GET", b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 45\r\n\r\n', b""),
    "content-length": (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst", b"first"),
    "final chunk": (
        b"GET",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n",
        b"first",
    ),
    "head": (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\n", b""),
}


async def answer_second_user(peer: Peer) -> None:
    head = await peer.read_head()
    marker = head.split(b" ")[1]
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(marker), marker))
    await peer.wait_for_end()


@pytest.mark.parametrize("shape", LATE)
@in_each_loop
async def test_late_bytes_are_never_the_next_users_answer(shape: str) -> None:
    """Two users, one pool: what arrives on an idle connection drops it, and the second user gets his own answer."""
    method, answer, body = LATE[shape]
    is_idle = asyncio.Event()

    async def script(peer: Peer) -> None:
        if peer.number:
            await answer_second_user(peer)
            return
        await peer.read_head()
        await peer.send(answer)
        await is_idle.wait()
        await peer.send(POISON)
        assert await peer.wait_for_end() == b""

    async with Upstream(script) as upstream, open_pool(upstream.address) as pool:
        assert (await exchange(pool, method, b"/first"))[1] == body
        is_idle.set()
        await wait_until(lambda: upstream.open_connections == 0)
        assert (await exchange(pool, b"GET", b"/second"))[1] == b"/second"
        assert upstream.connections == 2


@pytest.mark.parametrize("shape", LATE)
@in_each_loop
async def test_bytes_that_the_loop_has_not_read_yet_are_seen(shape: str) -> None:
    """The same, with the late bytes still in the kernel when the second user comes."""
    method, answer, _ = LATE[shape]
    peers: list[Peer] = []

    async def script(peer: Peer) -> None:
        peers.append(peer)
        if peer.number:
            await answer_second_user(peer)
            return
        await peer.read_head()
        await peer.send(answer)
        await peer.wait_for_end()

    async with Upstream(script) as upstream, open_pool(upstream.address) as pool:
        await exchange(pool, method, b"/first")
        # Written past the loop, so that nothing of it has been read when acquire() looks.
        assert os.write(peers[0].writer.get_extra_info("socket").fileno(), POISON) == len(POISON)
        assert (await exchange(pool, b"GET", b"/second"))[1] == b"/second"
        assert upstream.connections == 2


@pytest.mark.parametrize("shape", LATE)
@in_loop
async def test_bytes_behind_an_answer_in_its_segment_close_the_connection(shape: str) -> None:
    """A surplus in the very read of the answer: the answer is good, the connection is not."""
    method, answer, body = LATE[shape]

    async def script(peer: Peer) -> None:
        if peer.number:
            await answer_second_user(peer)
        else:
            await play_and_wait(answer + POISON)(peer)

    async with Upstream(script) as upstream, open_pool(upstream.address) as pool:
        assert (await exchange(pool, method, b"/first"))[1] == body
        assert (await exchange(pool, b"GET", b"/second"))[1] == b"/second"
        assert upstream.connections == 2
