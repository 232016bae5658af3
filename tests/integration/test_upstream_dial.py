"""Ways to the upstream: names, several addresses, unix sockets, TLS, and every way to fail."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from gateway.core.errors import Reason, UpstreamFailed
from gateway.proxy.address import UpstreamAddress, dial
from gateway.proxy.pool import UpstreamPool
from tests.integration.loop import in_each_loop, in_loop, wait_until
from tests.integration.upstream import OK, Peer, Upstream, exchange, open_pool, play, play_and_wait


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("backend.test").configure_cert(context)
    return context


@pytest.fixture
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port whose queue of connections is full: whoever dials it waits."""
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


async def fail(pool: UpstreamPool) -> UpstreamFailed:
    with pytest.raises(UpstreamFailed) as caught:
        await exchange(pool)
    assert caught.value.__cause__ is not None
    return caught.value


@in_each_loop
async def test_closed_port_is_unreachable() -> None:
    """Connection refused."""
    async with Upstream(play()) as upstream:
        address = upstream.address
    async with open_pool(address) as pool:
        error = await fail(pool)
        assert error.reason is Reason.UPSTREAM_UNREACHABLE
        assert str(address.port) not in error.description


@pytest.mark.parametrize("host", ["does-not-exist.invalid", "x" * 64 + ".invalid", "a..b"])
@in_each_loop
async def test_unknown_name_is_unreachable(host: str) -> None:
    """A name that is not known, or that is none."""
    async with open_pool(UpstreamAddress(scheme="http", host=host, port=1)) as pool:
        assert (await fail(pool)).reason is Reason.UPSTREAM_UNREACHABLE


@in_each_loop
async def test_silent_port_is_a_timeout(silent_port: int) -> None:
    """No answer to the SYN within the time."""
    address = UpstreamAddress(scheme="http", host="127.0.0.1", port=silent_port)
    async with open_pool(address, connect_seconds=0.1) as pool:
        assert (await fail(pool)).reason is Reason.UPSTREAM_TIMEOUT


@in_each_loop
async def test_another_address_of_the_name_is_tried() -> None:
    """`localhost` is two addresses on most hosts, and the upstream listens on one of them."""
    async with Upstream(play(OK)) as upstream:
        address = dataclasses.replace(upstream.address, host="localhost")
        async with open_pool(address) as pool:
            assert (await exchange(pool))[1] == b"ok"


@in_each_loop
async def test_small_writes_are_not_delayed() -> None:
    """Nagle's algorithm would hold the next message of a stream back for a round trip."""
    async with Upstream(play_and_wait(OK)) as upstream, open_pool(upstream.address) as pool:
        connection = await pool.acquire()
        assert connection._transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        pool.release(connection)


@in_each_loop
async def test_unix_socket(tmp_path: Path) -> None:
    """As TCP, and a missing one is unreachable."""
    async with (
        Upstream(play_and_wait(OK, OK), path=str(tmp_path / "upstream")) as upstream,
        open_pool(upstream.address) as pool,
    ):
        for _ in range(2):
            assert (await exchange(pool))[1] == b"ok"
        assert upstream.connections == 1
    async with open_pool(UpstreamAddress(scheme="unix", path=str(tmp_path / "none"))) as pool:
        assert (await fail(pool)).reason is Reason.UPSTREAM_UNREACHABLE


def build_tls_address(upstream: Upstream, tls: ssl.SSLContext, server_name: str | None) -> UpstreamAddress:
    return dataclasses.replace(upstream.address, scheme="https", tls=tls, server_name=server_name)


@in_each_loop
async def test_tls(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    """The certificate proves the server name; the connection is used again."""
    async with (
        Upstream(play_and_wait(OK, OK, OK), tls=server_tls) as upstream,
        open_pool(build_tls_address(upstream, client_tls, "backend.test")) as pool,
    ):
        for _ in range(3):
            assert (await exchange(pool))[1] == b"ok"
        assert upstream.connections == 1
        await pool.close()
        await wait_until(lambda: upstream.open_connections == 0)


@pytest.mark.parametrize("server_name", [None, "other.test"])
@in_each_loop
async def test_tls_name_must_be_proven(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, server_name: str | None
) -> None:
    """Without a server name the host's own must be proven, and 127.0.0.1 is not."""
    async with (
        Upstream(play(), tls=server_tls) as upstream,
        open_pool(build_tls_address(upstream, client_tls, server_name)) as pool,
    ):
        for _ in range(3):
            error = await fail(pool)
            assert (error.reason, "certificate" in str(error.received)) == (Reason.UPSTREAM_UNREACHABLE, True)


@in_each_loop
async def test_tls_authority_must_be_known(server_tls: ssl.SSLContext) -> None:
    """A certificate of an authority that nobody configured is none."""
    async with Upstream(play(), tls=server_tls) as upstream:
        address = build_tls_address(upstream, ssl.create_default_context(), "backend.test")
        async with open_pool(address) as pool:
            assert (await fail(pool)).reason is Reason.UPSTREAM_UNREACHABLE


@in_each_loop
async def test_tls_to_a_plain_upstream_is_unreachable(client_tls: ssl.SSLContext) -> None:
    """It answers the handshake with something else, or not at all."""

    async def script(peer: Peer) -> None:
        if peer.number:
            await peer.wait_for_end()
        else:
            await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with Upstream(script) as upstream:
        address = build_tls_address(upstream, client_tls, "backend.test")
        async with open_pool(address, connect_seconds=0.2) as pool:
            assert (await fail(pool)).reason is Reason.UPSTREAM_UNREACHABLE
            assert (await fail(pool)).reason is Reason.UPSTREAM_TIMEOUT


@pytest.mark.parametrize("is_proper", [True, False])
@in_each_loop
async def test_end_of_a_body_until_close_must_be_proven_by_tls(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, is_proper: bool
) -> None:
    """RFC 9112, section 9.8: without close_notify, anybody on the way may have cut the body."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1000)
        if not is_proper:
            # Past the TLS of the server, as a middlebox would.
            with socket.socket(fileno=socket.dup(peer.writer.get_extra_info("socket").fileno())) as plain:
                plain.shutdown(socket.SHUT_WR)
            await peer.wait_for_end()

    async with (
        Upstream(script, tls=server_tls) as upstream,
        open_pool(build_tls_address(upstream, client_tls, "backend.test")) as pool,
    ):
        if is_proper:
            assert len((await exchange(pool))[1]) == 1000
        else:
            with pytest.raises(UpstreamFailed) as caught:
                await exchange(pool)
            assert caught.value.reason is Reason.UPSTREAM_BAD_RESPONSE


@in_loop
async def test_upstream_that_closes_at_once_harms_nobody_elses_descriptor() -> None:
    """Connections that end while they are set up: a socket closed twice would close another one of its number."""

    async def script(peer: Peer) -> None:
        if peer.number % 2:
            peer.reset()

    async with Upstream(script) as upstream, open_pool(upstream.address, max_connections=50) as pool:
        results = await asyncio.gather(*[exchange(pool) for _ in range(200)], return_exceptions=True)
        assert {type(result).__name__ for result in results} <= {"UpstreamFailed", "Unavailable"}


@in_each_loop
async def test_cancelled_dial_leaves_nothing(silent_port: int) -> None:
    """A client that goes while we connect."""
    address = UpstreamAddress(scheme="http", host="127.0.0.1", port=silent_port)
    task = asyncio.create_task(dial(address, asyncio.Protocol, 5))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
