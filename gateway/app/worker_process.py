"""A worker as its supervisor sees it: started, asked, ended."""

from __future__ import annotations

import asyncio
import socket
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence
from typing import Any, Self

from gateway.admin.metrics import Snapshot
from gateway.app.channel import Channel, Message, Orders
from gateway.config.compiler import describe_module

# A worker that works answers within milliseconds; a probe waits no longer than a second.
REPORT_SECONDS = 0.5


class WorkerProcess:
    """
    A process that serves. ``snapshot`` are its numbers as last told.

    It has a session of its own, so that Ctrl-C on a terminal reaches the supervisor alone.
    """

    def __init__(self, process: Process, channel: Channel) -> None:
        self.pid = process.pid
        self.snapshot: Snapshot = {}
        self._process = process
        self._channel = channel
        self._orders = Orders(channel)
        self._receiving = asyncio.create_task(self._orders.receive_answers(), name=f"answers of {process.pid}")
        self._started_at = time.monotonic()

    @classmethod
    async def start(cls, sockets: Sequence[socket.socket], seconds: float, **fields: object) -> Self:
        """
        Start a worker on bound sockets; ``fields`` are what it is told, and ``seconds`` what it has to begin.

        Raises:
            OSError: It does not come up, and why.
        """
        worker = await cls._spawn(sockets)
        try:
            await worker.ask("start", seconds, **fields)
        except BaseException:
            worker.kill()
            await worker.wait()
            raise
        return worker

    @classmethod
    async def _spawn(cls, sockets: Sequence[socket.socket]) -> Self:
        side, other = socket.socketpair()
        numbers = [each.fileno() for each in (other, *sockets)]
        command, environment = describe_module("gateway.app.worker", *map(str, numbers))
        with other:
            try:
                process = await asyncio.create_subprocess_exec(
                    *command, stdin=DEVNULL, pass_fds=numbers, env=environment, start_new_session=True
                )
            except BaseException:
                side.close()
                raise
        return cls(process, await Channel.open(side))

    @property
    def age_seconds(self) -> float:
        """How long ago it was started."""
        return time.monotonic() - self._started_at

    async def ask(self, order: str, seconds: float, /, **fields: object) -> Message:
        """Give an order and return the answer; raises as ``Orders.ask`` does."""
        return await self._orders.ask(order, seconds, **fields)

    async def report(self) -> Message | None:
        """Return what it knows of itself, None where it does not answer in time; keep its numbers."""
        try:
            message = await self.ask("report", REPORT_SECONDS)
        except OSError:
            return None
        self.snapshot = message["snapshot"]
        return message

    async def list_refused(self) -> list[Mapping[str, Any]]:
        """Return the last requests that it refused, newest first; none where it does not answer in time."""
        # Not a part of the report, which every probe asks for.
        try:
            message = await self.ask("refused", REPORT_SECONDS)
        except OSError:
            return []
        return list(message["refused"])

    async def wait(self) -> int:
        """Wait until it has ended; return its exit code, or the negative number of a signal."""
        code = await self._process.wait()
        await self._receiving
        self._channel.close()
        return code

    def kill(self) -> None:
        """End it now, whatever it does."""
        try:
            self._process.kill()
        except ProcessLookupError:
            pass
