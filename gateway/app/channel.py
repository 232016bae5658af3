"""
What a supervisor and a worker say to each other: JSON lines over a pair of sockets, orders one way, answers the other.

The pair is also how each learns of the other's death: the kernel closes it whatever way a process ends.
"""

from __future__ import annotations

import asyncio
import json
import socket
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Self

from gateway.config.served import Served

Message = Mapping[str, Any]

# A file is at most 1 MiB and its two lists 2 MiB each, and what they come to is a few times that; a snapshot of a
# thousand routes is far less.
_MAX_LINE_BYTES = 32 * 1024 * 1024


class ChannelClosed(OSError):
    """The other side is gone."""


def describe_served(served: Served) -> Message:
    """Return a file as a message has it."""
    return {"path": served.path, "settings": b64encode(served.octets).decode("ascii")}


def read_served(message: Message) -> Served:
    """Return the file that a message describes."""
    return Served.unpack(message["path"], b64decode(message["settings"]))


class Channel:
    """One side of the pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, side: socket.socket) -> Self:
        """Return a channel that owns a socket of the pair."""
        return cls(*await asyncio.open_unix_connection(sock=side, limit=_MAX_LINE_BYTES))

    def send(self, message: Message) -> None:
        """Send a message; to who is gone it is lost, and ``receive`` tells."""
        # Never waited for: who asks again before it was answered is bounded by its own deadline.
        self._writer.write(json.dumps(message).encode("ascii") + b"\n")

    async def receive(self) -> Message | None:
        """Return the next message, None where the other side is gone."""
        try:
            line = await self._reader.readuntil(b"\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        message: Message = json.loads(line)
        return message

    def close(self) -> None:
        """Let go of the socket, which tells the other side."""
        self._writer.close()


class Orders:
    """The supervisor's side: each order with its answer, whichever comes first."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._last_number = 0

    async def ask(self, order: str, seconds: float, /, **fields: object) -> Message:
        """
        Give an order and return the answer.

        Raises:
            TimeoutError: No answer in time; one that comes later is dropped.
            ChannelClosed: The worker is gone.
            OSError: The worker could not do it, and why.
        """
        self._last_number += 1
        number, answer = self._last_number, asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._channel.send({"number": number, "order": order, **fields})
        try:
            async with asyncio.timeout(seconds):
                message: Message = await answer
        finally:
            del self._waiting[number]
        if "error" in message:
            raise OSError(message["error"])
        return message

    async def receive_answers(self) -> None:
        """Give answers to who waits for them, until the worker is gone."""
        while (message := await self._channel.receive()) is not None:
            answer = self._waiting.get(message["number"])
            if answer is not None and not answer.done():
                answer.set_result(message)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ChannelClosed("the worker is gone"))
