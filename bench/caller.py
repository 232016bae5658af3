"""One caller by hand, for what no load generator does."""

from __future__ import annotations

import socket

from bench.errors import BenchError
from bench.upstream import SMALL_ANSWER

_TIMEOUT_SECONDS = 10.0


def open_connection(port: int) -> socket.socket:
    """Return a connection."""
    return socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_SECONDS)


def ask(connection: socket.socket, port: int, token: str) -> None:
    """
    Send a request and read its answer, which is the small one.

    Raises:
        BenchError: It is another one.
    """
    connection.sendall(
        f"GET /items HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )
    answer = b""
    while not answer.endswith(SMALL_ANSWER.encode()):
        piece = connection.recv(4096)
        if not piece:
            raise BenchError(f"not the answer that was hoped for: {answer[:200]!r}")
        answer += piece
    if not answer.startswith(b"HTTP/1.1 200"):
        raise BenchError(f"not the answer that was hoped for: {answer[:200]!r}")
