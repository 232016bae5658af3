"""
A worker: a process that serves on sockets that its supervisor bound, and does what the supervisor says.

It is started anew, not forked: neither a thread nor an event loop survives a fork, and a supervisor that has replaced
a worker has both. It ends when the supervisor does: the channel's end tells, however the supervisor ended.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, NoReturn

from gateway.admin.logs import LogOutput, configure_logging
from gateway.app.application import Application
from gateway.app.channel import Channel, Message, read_served
from gateway.app.loop import find_loop_factory
from gateway.config.served import Served
from gateway.config.settings import Settings

logger = logging.getLogger(__name__)


def main() -> NoReturn:
    """Run the process: the arguments are the numbers of the channel's socket and of those to listen on."""
    # To stop is the supervisor's word alone: whoever signals all processes has told it too.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    side, *sockets = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
    with asyncio.Runner(loop_factory=find_loop_factory()) as runner:
        code = runner.run(work(side, sockets))
    sys.exit(code)


async def work(side: socket.socket, sockets: Sequence[socket.socket]) -> int:
    """Serve until told to stop; return the exit code."""
    channel = await Channel.open(side)
    start = await channel.receive()
    if start is None:
        return 1
    # The supervisor and its workers write to the same pipe.
    output = configure_logging(start["level"], start["format"], is_shared=True)
    async with AsyncExitStack() as stack:
        try:
            application = Application(read_share(start, start["workers"]), output, sockets)
            await stack.enter_async_context(application)
        except OSError as error:
            channel.send({"number": start["number"], "error": str(error)})
            return 1
        channel.send({"number": start["number"]})
        async with asyncio.TaskGroup() as group:
            worker = Worker(channel, application, output, start["workers"])
            obeying = group.create_task(worker.obey())
            await worker.stopping.wait()
            # Orders are obeyed, and the supervisor's end noticed, until the last request is answered.
            await stack.aclose()
            obeying.cancel()
    output.writer.flush()
    return 0


def read_share(message: Message, workers: int) -> Served:
    """Return what one worker of so many serves by, of a message that has the file."""
    served = read_served(message)
    return replace(served, settings=share(served.settings, workers))


def share(settings: Settings, workers: int) -> Settings:
    """Return the settings of one worker of so many: what protects a machine or an upstream is meant for all of them."""
    limits = settings.limits
    limits = replace(
        limits,
        connections=math.ceil(limits.connections / workers),
        upstream_connections=math.ceil(limits.upstream_connections / workers),
    )
    return replace(settings, limits=limits)


class Worker:
    """Does what a supervisor says; ``stopping`` is set when it says to end."""

    def __init__(self, channel: Channel, application: Application, output: LogOutput, workers: int) -> None:
        self.stopping = asyncio.Event()
        self._channel = channel
        self._application = application
        self._output = output
        self._workers = workers
        self._orders = {"take": self._take, "report": self._report, "refused": self._list_refused, "drain": self._drain}

    async def obey(self) -> None:
        """Do what is ordered, until cancelled; end the process where the supervisor is gone."""
        async with asyncio.TaskGroup() as group:
            while (message := await self._channel.receive()) is not None:
                group.create_task(self._answer(message))
            # Nobody could stop it any more, or see what it does, and its port must be free for the next.
            logger.error("the supervisor is gone", extra={"event": "orphaned"})
            self._output.writer.flush()
            os._exit(1)

    async def _answer(self, message: Message) -> None:
        try:
            answer = await self._orders[message["order"]](message)
        except OSError as error:
            answer = {"error": str(error)}
        except Exception as error:
            # A defect in a report is no reason to cut the requests of everyone here.
            logger.exception("an order failed: %s", message["order"])
            answer = {"error": f"internal error: {type(error).__name__}"}
        self._channel.send({"number": message["number"], **answer})

    async def _take(self, message: Message) -> dict[str, Any]:
        await self._application.take(lambda: read_share(message, self._workers))
        return {}

    async def _report(self, _message: Message) -> dict[str, Any]:
        return {"status": await self._application.report(), "snapshot": await self._application.collect()}

    async def _list_refused(self, _message: Message) -> dict[str, Any]:
        return {"refused": self._application.list_refused()}

    async def _drain(self, _message: Message) -> dict[str, Any]:
        self.stopping.set()
        return {}


if __name__ == "__main__":
    main()
