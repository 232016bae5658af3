"""Beginning, changing and ending: listeners, reloads, drains."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from gateway.app.application import Application
from gateway.config.problems import ConfigError
from gateway.config.served import Served
from gateway.config.settings import ListenAddress, ListenerTLS, Settings, UpstreamSettings
from gateway.core.routes import Access, RouteTable

from .gateway_harness import RawClient, ask_once, bearer, make_settings, open_gateway, open_output
from .loop import in_loop, wait_until
from .upstream import OK, Peer, Upstream, play_and_wait

REQUEST = b"GET / HTTP/1.1\r\nHost: g\r\n"


class File:
    """A file that a test may change; one that is broken is a ConfigError."""

    def __init__(self, settings: Settings) -> None:
        self.settings: Settings | None = settings

    def __call__(self) -> Served:
        if self.settings is None:
            raise ConfigError([])
        return Served("gateway.yaml", self.settings, b"")


@asynccontextmanager
async def open_file(file: File) -> AsyncIterator[Application]:
    with open_output() as output:
        async with Application(file(), output, load=file) as application:
            yield application


@asynccontextmanager
async def open_until_stopped(port: int, **changed: Any) -> AsyncIterator[Application]:
    """Open a gateway that the test itself stops."""
    with open_output() as output:
        file = File(make_settings(UpstreamSettings("http", "127.0.0.1", port), **changed))
        application = Application(file(), output, load=file)
        await application.__aenter__()
        yield application


@in_loop
async def test_a_reload_swaps_whole_and_a_request_keeps_what_it_began_with() -> None:
    """The next request meets the new file; the one under way ends with its own upstream."""
    release = asyncio.Event()

    async def slow(peer: Peer) -> None:
        await peer.read_head()
        await release.wait()
        await peer.send(OK.replace(b"ok", b"1."))
        await peer.wait_for_end()

    async with Upstream(slow) as first, Upstream(play_and_wait(OK.replace(b"ok", b"2."))) as second:
        file = File(replace(make_settings(UpstreamSettings("http", "127.0.0.1", first.port)), digest="1"))
        async with open_file(file) as application, RawClient(application) as client:
            await client.send(REQUEST + bearer() + b"\r\n")
            await wait_until(lambda: first.connections == 1)
            file.settings = replace(make_settings(UpstreamSettings("http", "127.0.0.1", second.port)), digest="2")
            await application.reload()
            assert (await ask_once(application, REQUEST + bearer() + b"\r\n")).body == b"2."
            release.set()
            assert (await client.read_answer()).body == b"1."


@in_loop
async def test_requests_are_served_while_a_file_is_read() -> None:
    """However long that takes; and of two reloads, the file that was read last is the one that is taken."""
    began, may_end = threading.Event(), threading.Event()
    async with Upstream(play_and_wait(*[OK] * 2)) as upstream:
        settings = replace(make_settings(UpstreamSettings("http", "127.0.0.1", upstream.port)), digest="1")
        digests = iter(("2", "3"))

        def load() -> Served:
            began.set()
            # The first is slow, and was asked for before there was a second.
            digest = next(digests)
            if digest == "2":
                assert may_end.wait(5)
            return Served("gateway.yaml", replace(settings, digest=digest), b"")

        with open_output() as output:
            served = Served("gateway.yaml", settings, b"")
            async with (
                Application(served, output, load=load) as application,
                RawClient(application) as client,
                asyncio.TaskGroup() as group,
            ):
                group.create_task(application.reload())
                await wait_until(began.is_set)
                group.create_task(application.reload())
                for _ in range(2):
                    assert (await client.get(b"/", bearer())).status == 200
                assert application.settings.digest == "1"
                may_end.set()
                await wait_until(lambda: application.settings.digest == "3")


@in_loop
async def test_a_bad_file_changes_nothing() -> None:
    """The old policy stays, and the gauge says so until a good file comes."""
    async with Upstream(play_and_wait(OK, OK)) as upstream:
        settings = replace(make_settings(UpstreamSettings("http", "127.0.0.1", upstream.port)), digest="1")
        file = File(settings)
        async with open_file(file) as application, RawClient(application) as client:
            file.settings = None
            await application.reload()
            assert (await client.get(b"/", bearer())).status == 200
            snapshot = await application.collect()
            assert snapshot["config_last_reload_successful"] == [((), (0,))]
            policy = replace(settings.policy, routes=RouteTable((), Access.DENY))
            file.settings = replace(settings, policy=policy, digest="2")
            await application.reload()
            assert (await client.get(b"/", bearer())).status == 404
            snapshot = await application.collect()
            assert snapshot["config_last_reload_successful"] == [((), (1,))]


@in_loop
async def test_a_stop_finishes_what_is_in_flight() -> None:
    """After the stop began nobody new gets in, idle connections end, and the request under way is answered."""
    release = asyncio.Event()

    async def slow(peer: Peer) -> None:
        await peer.read_head()
        await release.wait()
        await peer.send(OK)
        await peer.wait_for_end()

    async with Upstream(slow) as upstream:
        async with open_until_stopped(upstream.port) as application:
            idle, busy = RawClient(application), RawClient(application)
            await idle.__aenter__()
            await busy.__aenter__()
            await busy.send(REQUEST + bearer() + b"\r\n")
            await wait_until(lambda: upstream.connections == 1)
            stopping = asyncio.create_task(application.__aexit__())
            assert await idle.reader.read() == b""
            assert application.is_draining
            with pytest.raises(OSError, match=r"refused|Connect"):
                await asyncio.open_connection(application.listen.host, application.listen.port)
            release.set()
            answer = await busy.read_answer()
            assert answer.body == b"ok"
            assert await busy.reader.read() == b""
            await stopping
            for client in (idle, busy):
                await client.__aexit__()


@in_loop
async def test_a_stop_ends_event_streams_cleanly() -> None:
    """An endless answer is ended at once and whole, not cut when time is up."""

    async def events(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await peer.wait_for_end()

    async with Upstream(events) as upstream:
        async with open_gateway(upstream.port) as application:
            client = RawClient(application)
            await client.__aenter__()
            await client.send(REQUEST + bearer() + b"\r\n")
            await client.reader.readuntil(b"data: 1\n\n")
            began = time.monotonic()
        assert (await client.reader.read()).endswith(b"0\r\n\r\n")
        assert time.monotonic() - began < 1.5
        await client.__aexit__()


@in_loop
async def test_a_stop_cuts_what_does_not_end() -> None:
    """``shutdown_timeout`` is a bound: what is not done by then is cut, once, and nothing hangs."""

    async def silent(peer: Peer) -> None:
        await peer.read_head()
        await peer.wait_for_end()

    async with Upstream(silent) as upstream:
        async with open_gateway(upstream.port, timeouts={"shutdown_seconds": 0.3}) as application:
            client = RawClient(application)
            await client.__aenter__()
            await client.send(REQUEST + bearer() + b"\r\n")
            await wait_until(lambda: upstream.connections == 1)
            began = time.monotonic()
        assert await client.reader.read() == b""
        assert time.monotonic() - began < 1.5
        await client.__aexit__()


@in_loop
async def test_readiness_ends_before_listening_does() -> None:
    """For ``drain_delay`` the gateway is not ready and still serves, so that load balancers can turn away."""
    async with Upstream(play_and_wait(OK)) as upstream:
        async with open_until_stopped(upstream.port, timeouts={"drain_delay_seconds": 0.5}) as application:
            stopping = asyncio.create_task(application.__aexit__())
            await wait_until(lambda: application.is_draining)
            answer = await ask_once(application, REQUEST + bearer() + b"\r\n")
            assert answer.status == 200
            assert answer.fields(b"connection") == [b"close"]
            await stopping


@in_loop
async def test_tls_on_both_sides(tmp_path: Path) -> None:
    """Clients come by TLS with a certificate of theirs, and the upstream is reached by TLS and its name checked."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "upstream.example")
    client_certificate = authority.issue_cert("client@example.org")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    server_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(server_tls)
    heads = []

    async def script(peer: Peer) -> None:
        heads.append(await peer.read_head())
        await peer.send(OK)
        await peer.wait_for_end()

    async with Upstream(script, tls=server_tls) as upstream:
        address = UpstreamSettings(
            "https", "127.0.0.1", upstream.port, ca_file=str(tmp_path / "ca.pem"), server_name="upstream.example"
        )
        tls = ListenerTLS(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"), str(tmp_path / "ca.pem"))
        async with open_file(File(make_settings(address, tls=tls))) as application:
            listen = application.listen
            client_tls = ssl.create_default_context()
            authority.configure_trust(client_tls)
            assert await ask_by_tls(listen, client_tls) == b""
            client_certificate.configure_cert(client_tls)
            assert (await ask_by_tls(listen, client_tls)).startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"X-Forwarded-Proto: https\r\n" in heads[0]


async def ask_by_tls(listen: ListenAddress, tls: ssl.SSLContext) -> bytes:
    """Return all that the gateway answers, nothing where it ends the connection."""
    try:
        reader, writer = await asyncio.open_connection(listen.host, listen.port, ssl=tls)
        try:
            writer.write(REQUEST + b"Connection: close\r\n" + bearer() + b"\r\n")
            return await reader.read()
        finally:
            writer.transport.abort()
    except (ssl.SSLError, ConnectionError):
        return b""


@in_loop
async def test_unix_sockets_on_both_sides(tmp_path: Path) -> None:
    """The public listener, the admin listener and the upstream may each be a Unix socket."""
    heads = []

    async def script(peer: Peer) -> None:
        heads.append(await peer.read_head())
        await peer.send(OK)
        await peer.wait_for_end()

    paths = {name: str(tmp_path / f"{name}.sock") for name in ("up", "public", "admin")}
    async with Upstream(script, path=paths["up"]):
        address = UpstreamSettings("http", "localhost", 80, socket_path=paths["up"])
        settings = replace(
            make_settings(address), listen=ListenAddress(path=paths["public"]), admin=ListenAddress(path=paths["admin"])
        )
        async with open_file(File(settings)):
            reader, writer = await asyncio.open_unix_connection(paths["public"])
            writer.write(REQUEST + b"Connection: close\r\n" + bearer() + b"\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
            writer.close()
            reader, writer = await asyncio.open_unix_connection(paths["admin"])
            writer.write(b"GET /livez HTTP/1.0\r\n\r\n")
            assert b" 200 OK\r\n" in await reader.read()
            writer.close()
    assert b"Forwarded: for=unknown;proto=http" in heads[0]


@in_loop
async def test_an_address_that_is_taken_leaves_nothing_behind() -> None:
    """A gateway that cannot listen ends what it had begun."""
    taken = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    settings = replace(make_settings(UpstreamSettings("http", "127.0.0.1", 1)), listen=ListenAddress("127.0.0.1", port))
    with pytest.raises(OSError, match="in use"):
        async with open_file(File(settings)):
            pass
    taken.close()
    await taken.wait_closed()
