"""An issuer that publishes its keys as a test tells it: well, late, huge, cut short, somewhere else or not at all."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Self

from joserfc.jwk import ECKey

Script = Callable[[asyncio.StreamWriter], Awaitable[None]]
Answer = bytes | Script


def make_key(kid: str | None = None, **members: object) -> dict[str, Any]:
    """Return a fresh public EC key as a JWK."""
    key: dict[str, Any] = dict(ECKey.generate_key("P-256").as_dict(private=False))
    key.pop("kid", None)
    return key | ({} if kid is None else {"kid": kid}) | members


def respond(body: bytes = b"", status: str = "200 OK", **fields: str) -> bytes:
    """Return a whole response; ``cache_control="x"`` is the field ``Cache-Control: x``."""
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
    if "content_length" not in fields:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def publish(keys: Iterable[object], **fields: str) -> bytes:
    """Return the response that holds a JWK Set."""
    return respond(json.dumps({"keys": list(keys)}).encode(), **fields)


async def hang(writer: asyncio.StreamWriter) -> None:
    """Answer nothing, and keep the connection."""
    await asyncio.Event().wait()


async def drip(writer: asyncio.StreamWriter) -> None:
    """Begin well and go on with an octet at a time, for ever."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


class Gate:
    """An answer that waits until the test opens it."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self._is_open = asyncio.Event()

    def open(self) -> None:
        self._is_open.set()

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        await self._is_open.wait()
        writer.write(self.answer)


class Issuer:
    """
    A server on a free port of 127.0.0.1, or a fixed one to come back on; one request a connection.

    ``answers`` maps a request-target to what is sent. ``heads`` are the request heads received, in order.
    """

    def __init__(self, answers: dict[str, Answer] | None = None, *, port: int = 0, tls: ssl.SSLContext | None = None):
        self.answers: dict[str, Answer] = answers or {}
        self.heads: list[bytes] = []
        self.port = port
        self._tls = tls
        self._connections: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    def locate(self, target: str = "/jwks") -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}{target}"

    def count(self, target: str = "/jwks") -> int:
        """Return how often a target was asked for."""
        return sum(head.startswith(f"GET {target} ".encode()) for head in self.heads)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went, or the test ends: both are what the tests are about
        finally:
            self._connections.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        answer = self.answers.get(head.split(b" ")[1].decode(), respond(status="404 Not Found"))
        if isinstance(answer, bytes):
            writer.write(answer)
        else:
            await answer(writer)
        await writer.drain()
