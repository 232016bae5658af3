"""
Bodies, both ways: ``python -m bench.transfer PORT TOKEN down|up SIZE SECONDS CONNECTIONS`` prints octets and seconds.

Processes with blocking sockets and large buffers: nearly all of the time is in the kernel. Threads would halve it, by
waiting for the interpreter's lock after each piece.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from bench.errors import BenchError
from bench.upstream import name_body

_PIECE = 2**18
_TIMEOUT_SECONDS = 30.0


class Transfer:
    """One connection that carries one body after the other until the time is over."""

    def __init__(self, port: int, token: str, direction: str, size: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_SECONDS)
        # Else the last piece of a body waits for the receiver's delayed acknowledgement.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._is_upload = direction == "up"
        self._size = size
        self._buffer = bytearray(b"x" * _PIECE)
        fields = f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
        if self._is_upload:
            fields += f"Content-Length: {size}\r\n"
        line = f"PUT / HTTP/1.1\r\n{fields}" if self._is_upload else f"GET {name_body(size)} HTTP/1.1\r\n{fields}"
        self._head = f"{line}\r\n".encode()
        self.octets = 0

    def run(self, end: float) -> None:
        """Transfer until then; a body that began is finished."""
        while time.monotonic() < end:
            self._socket.sendall(self._head)
            if self._is_upload:
                self._send_body()
            received = self._receive_answer()
            self.octets += self._size if self._is_upload else received
        self._socket.close()

    def _send_body(self) -> None:
        view, left = memoryview(self._buffer), self._size
        while left:
            sent = min(left, _PIECE)
            self._socket.sendall(view[:sent])
            left -= sent

    def _receive_answer(self) -> int:
        """Return how long the body was; it has to have a length."""
        head = b""
        while b"\r\n\r\n" not in head:
            piece = self._socket.recv(_PIECE)
            if not piece:
                raise BenchError("the connection ended before the answer")
            head += piece
        head, _, begun = head.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if not head.startswith(b"HTTP/1.1 200") or length is None:
            raise BenchError(f"not the answer that was hoped for: {head[:200]!r}")
        left = int(length[1]) - len(begun)
        while left > 0:
            count = self._socket.recv_into(self._buffer)
            if not count:
                raise BenchError("the connection ended inside of the body")
            left -= count
        return int(length[1])


def _carry(port: int, token: str, direction: str, size: int, end: float) -> int:
    transfer = Transfer(port, token, direction, size)
    transfer.run(end)
    return transfer.octets


def run_transfers(port: int, token: str, direction: str, size: int, seconds: float, connections: int) -> None:
    """Run all connections and print what they carried."""
    with ProcessPoolExecutor(connections) as pool:
        # Processes take their time to begin; that is not the peer's.
        list(pool.map(abs, range(connections)))
        began = time.monotonic()
        carried = [pool.submit(_carry, port, token, direction, size, began + seconds) for _ in range(connections)]
        octets = sum(each.result() for each in carried)
        print(json.dumps({"octets": octets, "seconds": time.monotonic() - began}))


if __name__ == "__main__":
    run_transfers(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5]), int(sys.argv[6]))
