"""Requests that are served where they were read: which are, and that whatever gets in between leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway.proxy.fast_path import FastPath
from tests.policies import make_route

from .faults import POST, Observed, answer_all, observe
from .gateway_harness import RawClient, bearer
from .loop import in_loop, wait_until
from .upstream import OK, Peer, never_answer

HEAD = b"Host: gateway.example\r\n"


def get(fields: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"GET / HTTP/" + version + b"\r\n" + HEAD + fields + bearer() + b"\r\n"


@contextmanager
def count_taken() -> Iterator[list[bool]]:
    """Note of each request on a warm gateway whether it was taken."""
    taken: list[bool] = []
    take = FastPath.take
    patch = pytest.MonkeyPatch()

    def note(self: FastPath, *arguments: object) -> bool:
        taken.append(take(self, *arguments))  # type: ignore[arg-type] # passed on as they came
        return taken[-1]

    with patch.context() as context:
        context.setattr(FastPath, "take", note)
        yield taken


PLAIN = {
    "GET": get(),
    "HEAD": get().replace(b"GET", b"HEAD"),
    "body": POST + bearer() + b"Content-Length: 4\r\n\r\nbody",
    "no token": b"GET / HTTP/1.1\r\n" + HEAD + b"\r\n",
    "close": get(b"Connection: close\r\n"),
    "keep-alive": get(b"Connection: keep-alive\r\n"),
}
ODD = {
    "half a head": get()[:-30],
    "a head but for its end": get()[:-2],
    "half a body": POST + bearer() + b"Content-Length: 4\r\n\r\nbo",
    "chunks": POST + bearer() + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.0": get(version=b"1.0"),
    "expectation": POST + bearer() + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\nbody",
    "malformed": get(b"Bad Name: x\r\n"),
    "two requests": get() * 2,
    "upgrade": get(b"Connection: upgrade\r\nUpgrade: h2c\r\n"),
}


@pytest.mark.parametrize("name", PLAIN)
@in_loop
async def test_a_plain_request_is_taken(name: str) -> None:
    """Else all that the others hold here would be about something else."""
    with count_taken() as taken:
        async with observe(answer_all, is_warm=True) as gateway, RawClient(gateway.application) as client:
            taken.clear()
            answer = await client.ask(PLAIN[name], is_head=name == "HEAD")
            assert taken == [True]
            assert answer.status == (401 if name == "no token" else 200)
            if name == "close":
                assert await client.reader.read() == b""


@pytest.mark.parametrize("name", ODD)
@in_loop
async def test_an_odd_request_is_left_to_aiohttp(name: str) -> None:
    """What needs care gets it, from its first octet on."""
    with count_taken() as taken:
        async with observe(answer_all, is_warm=True) as gateway, RawClient(gateway.application) as client:
            taken.clear()
            await client.send(ODD[name])
            await wait_until(lambda: bool(taken))
            assert taken == [False]


@in_loop
async def test_a_request_behind_one_that_waits_is_served_after_it() -> None:
    """The second is read while the first waits for the upstream: answers come in the order of the requests."""
    release = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await release.wait()
        await peer.send(OK.replace(b"ok", b"1."))
        await peer.read_head()
        await peer.send(OK.replace(b"ok", b"2."))
        await answer_all(peer)

    async with observe(script, is_warm=True) as gateway:
        async with RawClient(gateway.application) as client:
            await client.send(get())
            await wait_until(lambda: gateway.application._metrics.requests_in_flight == 1)
            await client.send(get())
            await asyncio.sleep(0.05)
            release.set()
            assert [(await client.read_answer()).body for _ in range(2)] == [b"1.", b"2."]
        await gateway.check_recovered((200, None), (200, None))


@in_loop
async def test_an_answer_in_pieces_is_whole() -> None:
    """Of an answer that does not come at once, a task takes care."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        for octet in OK:
            await peer.send(bytes((octet,)))
            await asyncio.sleep(0)
        await answer_all(peer)

    async with observe(script, is_warm=True) as gateway:
        async with RawClient(gateway.application) as client:
            answer = await client.ask(get())
            assert (answer.status, answer.body) == (200, b"ok")
        await gateway.check_recovered((200, None))


@in_loop
async def test_a_connection_that_waits_outlives_its_keep_alive() -> None:
    """Who waits for the upstream is not idle, however short the time for that is."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await asyncio.sleep(0.4)
        await peer.send(OK)
        await answer_all(peer)

    async with observe(script, is_warm=True, timeouts={"keep_alive_seconds": 0.1}) as gateway:
        async with RawClient(gateway.application) as client:
            assert (await client.ask(get())).status == 200
            # And the time begins with the answer.
            async with asyncio.timeout(2):
                assert await client.reader.read() == b""
        await gateway.check_recovered((200, None))


async def _leave_in_the_same_moment(gateway: Observed, pieces: int) -> None:
    clients = [RawClient(gateway.application) for _ in range(20)]
    for client in clients:
        await client.__aenter__()
    for client in clients:
        client.writer.write(get() * pieces)
        client.writer.transport.abort()


@pytest.mark.parametrize("pieces", [1, 2])
@in_loop
async def test_who_leaves_at_once_is_counted_once(pieces: int) -> None:
    """The request and the end arrive in one iteration of the loop, before any task has taken a step."""
    async with observe(answer_all, is_warm=True) as gateway:
        await _leave_in_the_same_moment(gateway, pieces)
        await wait_until(lambda: not gateway.application._server.connections)
        await gateway.check_at_rest()
        async with RawClient(gateway.application) as client:
            assert (await client.ask(get())).status == 200


@in_loop
async def test_a_client_that_goes_as_its_request_is_handed_over_is_counted() -> None:
    """aiohttp cancels a task before its first step, so nobody but the connection knows of the request."""
    async with observe(never_answer, is_warm=True) as gateway:
        async with RawClient(gateway.application) as client:
            await client.send(get())
            await wait_until(lambda: gateway.application._metrics.requests_in_flight == 1)
            [connection] = gateway.application._server.connections
            connection.hand_over()
            connection.transport.abort()
        await gateway.check_recovered((499, None))


@in_loop
async def test_a_defect_hangs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """What should never be raised ends the connection, and is counted as any request."""
    async with observe(answer_all, is_warm=True) as gateway:
        loop = asyncio.get_running_loop()
        seen: list[object] = []
        loop.set_exception_handler(lambda _, context: seen.append(context.get("exception")))
        with monkeypatch.context() as patch:
            patch.setattr(FastPath, "_relay", lambda *_: 1 / 0)
            async with RawClient(gateway.application) as client:
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await client.ask(get())
        assert [type(error) for error in seen] == [ZeroDivisionError]
        await gateway.check_recovered((499, None))


@in_loop
async def test_a_stop_waits_for_who_was_taken() -> None:
    """A request in flight is finished, whoever serves it, and its connection ends behind the answer."""
    asked = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        asked.set()
        await asyncio.sleep(0.1)
        await peer.send(OK)

    async with observe(script, is_warm=True) as gateway, RawClient(gateway.application) as client:
        await client.send(get())
        await asked.wait()
        stop = asyncio.ensure_future(gateway.application.__aexit__(None, None, None))
        answer = await client.read_answer()
        assert (answer.status, answer.body) == (200, b"ok")
        assert answer.fields(b"connection") == [b"close"]
        assert await client.reader.read() == b""
        await stop


@pytest.mark.parametrize("is_at_once", [True, False], ids=["with the first", "while it is served"])
@in_loop
async def test_a_head_that_has_begun_goes_on(is_at_once: bool) -> None:
    """What looks like a whole request is the rest of a field, if a head began while another request was served."""
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            heads.append(await peer.read_head())
            await asyncio.sleep(0.05)
            await peer.send(OK)

    part = b"POST /first HTTP/1.1\r\nContent-Length: 0\r\nX-Note: "
    async with observe(script, is_warm=True) as gateway, RawClient(gateway.application) as client:
        heads.clear()
        if is_at_once:
            await client.send(get() + part)
        else:
            await client.send(get())
            await wait_until(lambda: bool(heads))
            await client.send(part)
        assert (await client.read_answer()).status == 200
        assert (await client.ask(get())).status == 200
        assert heads[1].startswith(b"POST /first ")
        assert b"X-Note: GET / HTTP/1.1\r\n" in heads[1]
        assert len(heads) == 2


@in_loop
async def test_each_proof_is_timed_once() -> None:
    """Also that of a token whose request is refused before it is looked at, where refusals are only written down."""
    routes = (make_route("/posted/**", methods=["POST"]),)
    async with (
        observe(answer_all, is_warm=True, routes=routes, policy={"is_observed": True}) as gateway,
        RawClient(gateway.application) as client,
    ):

        def count() -> float:
            [(_, numbers)] = gateway.application._metrics.snapshot()["token_verify_duration_seconds"]
            *counts, _ = numbers
            return sum(counts)

        known = bearer()
        for target, token, times in (
            (b"/", known, 1),
            (b"/", known, 0),
            (b"/posted/1", bearer(sub="another"), 1),
            (b"/posted/%2e", bearer(sub="a third"), 1),
        ):
            before = count()
            assert (await client.get(target, token)).status == 200
            assert count() - before == times
