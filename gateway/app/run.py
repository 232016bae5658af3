"""The gateway as a process: an event loop, signals, and an exit code."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import signal
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Protocol

from aiohttp import http_parser

from gateway.admin.logs import LogFormat, LogOutput, configure_logging
from gateway.app.application import Application
from gateway.app.cores import count_workers
from gateway.app.loop import find_loop_factory
from gateway.app.supervisor import Supervisor
from gateway.app.watch import watch_files
from gateway.config.files import describe_fault, find_fault, list_start_files
from gateway.config.problems import format_path
from gateway.config.served import Served
from gateway.config.settings import Settings

logger = logging.getLogger(__name__)

EXIT_OK, EXIT_FAILED = 0, 1
# 128 + SIGTERM, as shells have it.
_EXIT_FORCED = 143
# What asyncio and uvloop say of an address that they cannot have.
_NOT_BOUND = re.compile(r"on address \('[^']*', (?P<port>[0-9]+)[^)]*\): (?P<why>.+)")


class Service(Protocol):
    """A gateway of one process or of several: entering its context listens, leaving it drains and stops."""

    @property
    def watched(self) -> tuple[str, ...]: ...
    async def reload(self) -> None: ...
    async def __aenter__(self) -> object: ...
    async def __aexit__(self, *_: object) -> None: ...


def run_gateway(load: Callable[[], Served], log_level: str, log_format: LogFormat) -> int:
    """
    Serve until SIGTERM or SIGINT and return the exit code; ``load`` reads the file, now and on each reload.

    Raises:
        ConfigError: The file has mistakes; nothing was listened on.
    """
    served = load()
    settings = served.settings
    workers = count_workers(settings.workers)
    output = configure_logging(log_level, log_format, is_shared=workers > 1)
    if workers == 1:
        with asyncio.Runner(loop_factory=find_loop_factory()) as runner:
            return runner.run(serve(lambda: Application(served, output, load=load), output, settings))
    with asyncio.Runner() as runner:
        build = partial(Supervisor, served, load, output, workers, log_level, log_format)
        return runner.run(serve(build, output, settings))


async def serve(build: Callable[[], Service], output: LogOutput, settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; SIGHUP or a change of the file reloads. ``settings`` are for what goes wrong."""
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        logger.error(
            "aiohttp's parser in C is missing; the one in Python lets ambiguous requests pass, so it is not used",
            extra={"event": "refused_to_start"},
        )
        return EXIT_FAILED
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    hangups: asyncio.Queue[None] = asyncio.Queue()
    # From the first moment on: unhandled, a SIGHUP during the start would end the process.
    loop.add_signal_handler(signal.SIGHUP, hangups.put_nowait, None)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, stopping, output)
    service = build()
    try:
        async with AsyncExitStack() as stack:
            if not await _start(stack, service, settings):
                return EXIT_FAILED
            await _serve_until(stopping, hangups, service)
    finally:
        output.writer.flush()
    return EXIT_OK


async def _start(stack: AsyncExitStack, service: Service, settings: Settings) -> bool:
    try:
        await stack.enter_async_context(service)
    except OSError as error:
        # Addresses that are taken, certificates that are not there.
        message = f"the gateway cannot start: {_describe_failure(error, settings)}"
        logger.error(message, extra={"event": "failed_to_start"})  # noqa: TRY400 - the operator's mistake, no defect
        return False
    return True


def _describe_failure(error: OSError, settings: Settings) -> str:
    """Return what could not be had, with the key that names it; the error alone says "no such file" and no name."""
    files = list(list_start_files(settings))
    missing = [describe_fault(path, file, why) for path, file in files if (why := find_fault(file)) is not None]
    if missing:
        return "; ".join(missing)
    if isinstance(error, ssl.SSLError):
        named = ", ".join(f"{format_path(path)} {file}" for path, file in files)
        return f"not usable for TLS: {error.reason or error}: look at {named}"
    found = _NOT_BOUND.search(str(error))
    addresses = {"listen": settings.listen, "admin": settings.admin}
    wanted = [f"{name} {each}" for name, each in addresses.items() if found and str(each.port) == found["port"]]
    if found and wanted:
        return f"{' or '.join(wanted)} {'is taken' if error.errno == errno.EADDRINUSE else found['why']}"
    return str(error)


async def _serve_until(stopping: asyncio.Event, hangups: asyncio.Queue[None], service: Service) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(watch_files(lambda: service.watched, service.reload)),
            group.create_task(_reload_on_hangup(hangups, service)),
        ]
        await stopping.wait()
        for task in tasks:
            task.cancel()


async def _reload_on_hangup(hangups: asyncio.Queue[None], service: Service) -> None:
    while True:
        await hangups.get()
        await service.reload()


def _stop(stopping: asyncio.Event, output: LogOutput) -> None:
    if stopping.is_set():
        # Asked twice: whoever does so does not want to wait.
        logger.warning("stopped at once", extra={"event": "forced"})
        output.writer.flush()
        os._exit(_EXIT_FORCED)
    stopping.set()
