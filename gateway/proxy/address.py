"""Where the upstream is, and how to get a connection to it: names, addresses, unix sockets, TLS."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from aiohappyeyeballs import start_connection

from gateway.core.errors import Reason, UpstreamFailed

# RFC 8305, section 8: the recommended Connection Attempt Delay.
_NEXT_ADDRESS_SECONDS = 0.25

_Protocol = TypeVar("_Protocol", bound=asyncio.Protocol)


@dataclass(frozen=True, slots=True)
class UpstreamAddress:
    """
    One upstream: ``http`` and ``https`` have ``host`` and ``port``, ``unix`` has ``path``.

    ``tls`` is set where the scheme is ``https``; ``server_name`` is then the name that the certificate must prove,
    the host's own where it is None.
    """

    scheme: Literal["http", "https", "unix"]
    host: str = ""
    port: int = 0
    path: str = ""
    tls: ssl.SSLContext | None = None
    server_name: str | None = None


async def dial(
    address: UpstreamAddress, protocol_factory: Callable[[], _Protocol], connect_seconds: float
) -> _Protocol:
    """
    Connect to the upstream and return the protocol of the new connection; the look-up and TLS count as connecting.

    Raises:
        UpstreamFailed: ``UPSTREAM_UNREACHABLE``, or ``UPSTREAM_TIMEOUT`` if it took too long.
    """
    try:
        async with asyncio.timeout(connect_seconds):
            return await _connect(address, protocol_factory)
    except TimeoutError as exc:
        description = "The connection to the upstream took too long."
        raise UpstreamFailed(Reason.UPSTREAM_TIMEOUT, description, received=str(exc)) from exc
    # RuntimeError: uvloop, of a socket that broke while it was set up. UnicodeError: a name that IDNA cannot encode.
    except (OSError, RuntimeError, UnicodeError) as exc:
        description = "The upstream could not be reached."
        raise UpstreamFailed(Reason.UPSTREAM_UNREACHABLE, description, received=str(exc)) from exc


def has_proper_end(transport: asyncio.BaseTransport) -> bool:
    """Return whether the end of a connection was said by its TLS, and not by TCP alone (RFC 8446, section 6.1)."""
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if tls is None:
        return True
    try:
        return not tls.read(1)
    except ssl.SSLError:
        return False


def read_rest(transport: asyncio.BaseTransport, size: int) -> bytes:
    """
    Return what the kernel still has of a connection that has broken; call it from ``connection_lost`` only.

    No loop reads it once a write has failed. An upstream that refuses an upload and closes has its connection reset by
    its kernel, and the refusal stands there: without this, three of four such answers were lost.
    """
    # Of TLS there is nothing to be had but ciphertext.
    if transport.get_extra_info("ssl_object") is not None:
        return b""
    try:
        # Both loops close the socket only behind connection_lost.
        return os.read(transport.get_extra_info("socket").fileno(), size)
    except OSError:
        return b""


async def _connect(address: UpstreamAddress, protocol_factory: Callable[[], _Protocol]) -> _Protocol:
    loop = asyncio.get_running_loop()
    if address.scheme == "unix":
        _, protocol = await loop.create_unix_connection(protocol_factory, address.path)
        return protocol
    # Looked up for each connection: the resolver caches, and an address that has changed is found.
    infos = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    connected = await start_connection(infos, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS)
    # Both loops set TCP_NODELAY, and close the socket if this fails.
    _, protocol = await loop.create_connection(
        protocol_factory,
        sock=connected,
        ssl=address.tls,
        server_hostname=(address.server_name or address.host) if address.tls is not None else None,
    )
    return protocol
