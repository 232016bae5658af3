"""Listening for demonstrations: a small server for as long as a block runs, and the wish to stop."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click
from aiohttp import web

Address = tuple[str, int]


class HostAndPort(click.ParamType[Address]):
    """``HOST:PORT`` of a command line; IPv6 hosts stand in brackets."""

    name = "host:port"

    def convert(self, value: str | Address, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        """Return host and port."""
        if isinstance(value, tuple):
            return value
        host, mark, port = value.rpartition(":")
        if not mark or not port.isascii() or not port.isdigit():
            self.fail(f"{value!r} is not HOST:PORT", param, ctx)
        return host.strip("[]"), int(port)


def bind(address: Address) -> socket.socket:
    """
    Return a socket that listens; port 0 stands for any free one.

    Raises:
        OSError: The address is taken, or is not of this machine.
    """
    return socket.create_server(address, family=socket.AF_INET6 if ":" in address[0] else socket.AF_INET)


def find_free_port(host: str, preferred: int) -> int:
    """Return the preferred port if nobody listens there, else one that is free now."""
    for port in (preferred, 0):
        try:
            with bind((host, port)) as probe:
                return read_port(probe)
        except OSError:
            continue
    return preferred


def read_port(listener: socket.socket) -> int:
    """Return the port that a socket listens on."""
    return int(listener.getsockname()[1])


@asynccontextmanager
async def listen(app: web.Application, listener: socket.socket) -> AsyncIterator[None]:
    """Serve an application while the block runs, and close the socket."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield
    finally:
        await runner.cleanup()


async def wait_for_stop() -> None:
    """Return when somebody asks this process to end: Ctrl-C or SIGTERM."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
