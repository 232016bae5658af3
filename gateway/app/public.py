"""The public listener: its sockets and its TLS."""

from __future__ import annotations

import asyncio
import ssl

from gateway.config.settings import ListenerTLS, Settings
from gateway.proxy.listener import ClientServer

# Connections that the kernel has accepted and we have not.
_BACKLOG = 1024
# What is left at the end has had its time; 0 would be for ever to aiohttp.
CUT_SECONDS = 0.05


async def open_listener(server: ClientServer, settings: Settings, tls: ssl.SSLContext | None) -> asyncio.Server:
    """
    Listen on the public address of a file.

    Raises:
        OSError: The address cannot be had.
    """
    loop, listen = asyncio.get_running_loop(), settings.listen
    # A handshake is as slow as its client; until it is over, no other deadline holds.
    seconds = settings.timeouts.header_read_seconds if tls is not None else None
    if listen.path is not None:
        return await loop.create_unix_server(
            server, listen.path, ssl=tls, backlog=_BACKLOG, ssl_handshake_timeout=seconds
        )
    port = listen.port or 0
    return await loop.create_server(server, listen.host, port, ssl=tls, backlog=_BACKLOG, ssl_handshake_timeout=seconds)


def find_port(listener: asyncio.Server) -> int:
    """Return the port that a listener got, the one of its first address."""
    return int(listener.sockets[0].getsockname()[1])


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
