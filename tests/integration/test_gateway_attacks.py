"""Attacks that once worked, on this gateway or on what it is built of; each must go on failing."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace

import pytest

from gateway.config.settings import KeySourceSettings, UpstreamSettings
from gateway.core.routes import Access, Route, parse_path_pattern

from .gateway_harness import ISSUER, RawClient, ask_once, bearer, make_settings, open_gateway, signing_key
from .issuer import Issuer, publish
from .loop import in_loop, wait_until
from .test_gateway_lifecycle import File, open_file, open_until_stopped
from .upstream import OK, Peer, Upstream, never_answer, play_and_wait

PUBLIC = [Route(parse_path_pattern("/public/**"), access=Access.PUBLIC)]
CHUNKED = b"Transfer-Encoding: chunked\r\n"
UPGRADE = b"Connection: upgrade\r\nUpgrade: websocket\r\n"


def read_all(application, request: bytes):
    """Return all that comes back on a connection for these bytes, until it ends or is silent."""

    async def read() -> bytes:
        async with RawClient(application) as client:
            await client.send(request)
            got = b""
            try:
                async with asyncio.timeout(1):
                    while piece := await client.reader.read(65536):
                        got += piece
            except (TimeoutError, ConnectionError):
                pass
            return got

    return read()


@pytest.mark.parametrize(
    "first",
    [
        b"POST /nope HTTP/1.1\r\nHost: a\r\n" + CHUNKED + b"\r\n0\r\n",
        b"POST /public/a HTTP/1.1\r\nHost: a\r\n" + CHUNKED + b"\r\n1\r\nx\r\n0\r\n",
        b"POST /nope HTTP/1.1\r\nHost: a\r\n" + UPGRADE + CHUNKED + b"\r\n0\r\n",
        b"POST /public/a HTTP/1.1\r\nHost: a\r\n" + UPGRADE + CHUNKED + b"\r\n0\r\n",
    ],
    ids=["refused", "allowed", "refused with upgrade", "allowed with upgrade"],
)
@pytest.mark.parametrize("second", [b"", CHUNKED], ids=["plain behind", "chunked behind"])
@in_loop
async def test_a_trailer_is_no_header_of_the_next_request(first: bytes, second: bytes) -> None:
    """aiohttp's parser gives the last trailer to the next request: one caller's token would be another's."""
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            heads.append(await peer.read_head())
            if b"chunked" in heads[-1]:
                await peer.reader.readuntil(b"0\r\n\r\n")
            await peer.send(OK)

    body = b"1\r\nx\r\n0\r\n\r\n" if second else b""
    victim = b"POST /victim HTTP/1.1\r\nHost: b\r\n" + second + b"\r\n" + body
    async with Upstream(script) as upstream, open_gateway(upstream.port, routes=PUBLIC) as application:
        await read_all(application, first + bearer() + b"\r\n" + victim)
    assert not any(b"/victim" in head or b"user-1" in head for head in heads)


@pytest.mark.parametrize("name", [b"h2c", b"websoc\xe2\x84\xaaet", b"foo, websocket", b"websocket"])
@in_loop
async def test_nothing_behind_an_upgrade_becomes_a_request(name: bytes) -> None:
    """aiohttp drops bytes behind an upgrade that it does not take, so half a body would be read as a request."""
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            heads.append(await peer.read_head())
            await peer.send(OK)

    request = b"GET /public/a HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: " + name + b"\r\n\r\n"
    lost = b"POST /public/lost HTTP/1.1\r\nHost: a\r\nContent-Length: 52\r\n\r\n"
    async with Upstream(script) as upstream, open_gateway(upstream.port, routes=PUBLIC) as application:
        async with RawClient(application) as client:
            await client.send(request + lost)
            await asyncio.sleep(0.1)
            try:
                await client.send(b"GET /public/smuggled HTTP/1.1\r\nHost: a\r\n\r\n".ljust(52))
                async with asyncio.timeout(1):
                    await client.reader.read()
            except (TimeoutError, ConnectionError):
                pass
    assert not any(b"/public/smuggled" in head for head in heads)


@in_loop
async def test_a_refused_reload_keeps_the_keys_fresh() -> None:
    """A file that cannot be taken changes nothing, and the keys in use go on being refreshed."""
    key = signing_key().as_dict(private=False)
    async with Issuer({"/jwks": publish([key])}) as issuer:
        source = KeySourceSettings("logto", (ISSUER,), url=issuer.locate(), cooldown_seconds=0.01)
        settings = replace(make_settings(UpstreamSettings("http", "127.0.0.1", 1), key_sources=(source,)), digest="1")
        file = File(settings)
        async with open_file(file) as application:
            await wait_until(lambda: application._keyring.is_ready)
            keys = application._gateway.runtime.keys
            bad = UpstreamSettings("https", "127.0.0.1", 1, ca_file=os.devnull + "/none.pem")
            moved = (replace(source, url=issuer.locate("/moved")),)
            file.settings = replace(settings, upstream=bad, key_sources=moved, digest="2")
            await application.reload()
            assert application._gateway.runtime.keys is keys is application._keyring.sets


@in_loop
async def test_refusals_that_nobody_reads_do_not_pile_up() -> None:
    """Who sends request after request and reads no answer is not read from any more."""
    async with open_gateway(1) as application:
        async with RawClient(application) as client:
            request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 1000
            client.writer.transport.pause_reading()
            sent = 0
            try:
                while sent < 64 * 1024 * 1024:
                    client.writer.write(request)
                    async with asyncio.timeout(0.5):
                        await client.writer.drain()
                    sent += len(request)
            except TimeoutError:
                pass
            assert sent < 32 * 1024 * 1024
            [connection] = application._server.connections
            assert connection.transport.get_write_buffer_size() < 1024 * 1024
            client.writer.transport.abort()


@pytest.mark.parametrize("target", [b"http://xn--/", b"http://xn--a/", b"http://a:99999/", b"http://[::1/"])
@in_loop
async def test_an_odd_target_is_answered(target: bytes) -> None:
    """A target that aiohttp's URL cannot hold must not leave a connection open without an answer."""
    async with open_gateway(1) as application:
        answer = await ask_once(application, b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.status == 400


@pytest.mark.parametrize("kind", [b"", b"Content-Type: text/event-stream\r\n"], ids=["body", "events"])
@in_loop
async def test_a_reader_that_stops_is_let_go(kind: bytes) -> None:
    """After the idle time, who takes nothing more has no socket here."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\n" + kind + b"\r\n")
        while True:
            await peer.send(bytes(65536))

    async with Upstream(script) as upstream:
        async with open_gateway(upstream.port, timeouts={"idle_stream_seconds": 0.5}) as application:
            async with RawClient(application) as client:
                client.writer.transport.pause_reading()
                await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + bearer() + b"\r\n")
                await wait_until(lambda: len(application._server.connections) == 1)
                await wait_until(lambda: not application._server.connections)


@in_loop
async def test_a_stop_lets_an_upload_end() -> None:
    """What is in flight when the gateway stops includes the rest of a request's body."""
    got = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.reader.readexactly(4)
        got.set()
        await peer.reader.readexactly(4)
        await peer.send(OK)

    async with Upstream(script) as upstream, open_until_stopped(upstream.port) as application:
        async with RawClient(application) as client:
            await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n" + bearer() + b"\r\nhalf")
            await got.wait()
            stopping = asyncio.create_task(application.__aexit__())
            await wait_until(lambda: application._server.connections and application.is_draining)
            await asyncio.sleep(0.05)
            await client.send(b"rest")
            assert (await client.read_answer()).status == 200
            await stopping


@in_loop
async def test_a_length_without_end_is_refused() -> None:
    """Leading zeros are digits to llhttp, and too many to Python."""
    length = b"Content-Length: " + b"0" * 5000 + b"5\r\n"
    async with Upstream(play_and_wait(OK.replace(b"Content-Length: 2\r\n", length))) as upstream:
        async with open_gateway(upstream.port, routes=PUBLIC) as application:
            answer = await ask_once(application, b"POST /public/a HTTP/1.1\r\nHost: a\r\n" + length + b"\r\nhello")
            assert answer.status == 400
            answer = await ask_once(application, b"GET /public/a HTTP/1.1\r\nHost: a\r\n\r\n")
            assert answer.status == 502


@in_loop
async def test_a_broken_chunk_is_noticed_at_once() -> None:
    """A chunk that is malformed in a later segment is 400, and not waited for."""
    async with Upstream(never_answer) as upstream, open_gateway(upstream.port) as application:
        async with RawClient(application) as client:
            await client.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + CHUNKED + bearer() + b"\r\n1\r\nx\r\n")
            await wait_until(lambda: upstream.connections == 1)
            await client.send(b"ZZ\r\n")
            answer = await client.read_answer()
    assert (answer.status, json.loads(answer.body)["reason"]) == (400, "malformed_request")


@pytest.mark.parametrize("target", [b"/../tenant2/x", b"/%2e%2e/tenant2/x", b"/a/..;/../x"])
@in_loop
async def test_no_path_leads_out_of_the_base_path(target: bytes) -> None:
    """Below a base path the path decides, so what leads out of it is refused, with or without routes."""
    upstream = UpstreamSettings("http", "127.0.0.1", 1, base_path="/tenant1")
    forwarding = {"forwarding": {"base_path": "/tenant1"}}
    async with open_file(File(make_settings(upstream, **forwarding))) as application:
        answer = await ask_once(application, b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n" + bearer() + b"\r\n")
    assert (answer.status, json.loads(answer.body)["reason"]) == (400, "ambiguous_path")
