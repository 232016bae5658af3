"""The public listener: its sockets and its TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from gateway.config.settings import ListenAddress, ListenerTLS, Settings
from gateway.proxy.client_server import ClientServer

# Connections that the kernel has accepted and we have not.
_BACKLOG = 1024
# What is left at the end has had its time; 0 would be for ever to aiohttp.
CUT_SECONDS = 0.05


async def open_listeners(
    server: ClientServer, settings: Settings, tls: ssl.SSLContext | None, sockets: Iterable[socket.socket] = ()
) -> tuple[asyncio.Server, ...]:
    """
    Listen on the public address of a file, or on sockets that are bound to it.

    Raises:
        OSError: The address cannot be had.
    """
    # A handshake is as slow as its client; until it is over, no other deadline holds.
    seconds = settings.timeouts.header_read_seconds if tls is not None else None
    options = {"ssl": tls, "backlog": _BACKLOG, "ssl_handshake_timeout": seconds}
    bound = [await _serve_socket(server, each, options) for each in sockets]
    return tuple(bound) or (await bind_listener(server, settings.listen, **options),)


async def bind_listener(
    protocol_factory: Callable[[], asyncio.BaseProtocol], listen: ListenAddress, **options: Any
) -> asyncio.Server:
    """
    Bind an address as asyncio does, and listen unless the options say otherwise.

    Raises:
        OSError: The address cannot be had.
    """
    loop = asyncio.get_running_loop()
    if listen.path is not None:
        return await loop.create_unix_server(protocol_factory, listen.path, **options)
    return await loop.create_server(protocol_factory, listen.host, listen.port or 0, **options)


async def _serve_socket(server: ClientServer, bound: socket.socket, options: Mapping[str, Any]) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    if bound.family != socket.AF_UNIX:
        return await loop.create_server(server, sock=bound, **options)
    # From Python 3.13 on a server removes the file that others still listen on.
    keeping: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
    return await loop.create_unix_server(server, sock=bound, **options, **keeping)


def describe_listen(listen: ListenAddress, sockets: Sequence[Any]) -> ListenAddress:
    """Return an address of a file with the port that it got, the one of the first socket."""
    return listen if listen.path else ListenAddress(listen.host, int(sockets[0].getsockname()[1]))


def build_server_tls(tls: ListenerTLS) -> ssl.SSLContext:
    """Return the TLS of the public listener."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, tls)
    if tls.client_ca is not None:
        context.load_verify_locations(tls.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def load_certificate(context: ssl.SSLContext, tls: ListenerTLS) -> None:
    """Have new connections see this certificate."""
    context.load_cert_chain(tls.certificate, tls.key)
