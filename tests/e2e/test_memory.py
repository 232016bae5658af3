"""A gibibyte each way through the real command, whose memory stays flat."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from joserfc.jwk import ECKey

GIBIBYTE = 1 << 30
BLOCK = bytes(1 << 18)
# A few buffers of a quarter of a megabyte each, and what the allocator rounds them up to.
MAX_GROWTH_KIB = 16 * 1024

FILE = """
version: 1
listen: 127.0.0.1:0
admin: 127.0.0.1:0
upstream: ${UPSTREAM}
providers:
  - {type: customJwt, issuer: "https://issuer.example", jwks: {keys: [KEY]}, applicationID: unused}
routes:
  - {path: /**, access: public}
"""


@pytest.fixture
def bulk_upstream() -> Iterator[str]:
    """An upstream that swallows a gibibyte on POST and sends one on GET."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        thread = threading.Thread(target=serve_bulk, args=(server,))
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def serve_bulk(server: socket.socket) -> None:
    for _ in range(2):
        connection, _ = server.accept()
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(1 << 16)
            if head.startswith(b"POST"):
                swallow(connection, GIBIBYTE - len(head.partition(b"\r\n\r\n")[2]))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            else:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % GIBIBYTE)
                send_all(connection)


def swallow(connection: socket.socket, size: int) -> None:
    buffer = bytearray(1 << 20)
    while size > 0:
        received = connection.recv_into(buffer)
        assert received, "cut"
        size -= received


def send_all(connection: socket.socket) -> None:
    for _ in range(GIBIBYTE // len(BLOCK)):
        connection.sendall(BLOCK)


def read_peak_kib(pid: int) -> int:
    """Return the most memory that the process ever had, and forget it."""
    status = Path(f"/proc/{pid}/status").read_text()
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks of memory are read from Linux's /proc")
def test_a_gibibyte_each_way_leaves_memory_flat(gateway, bulk_upstream):
    """Both bodies are streamed: what the gateway holds is bounded by buffers, not by sizes."""
    key = ECKey.generate_key("P-256").as_dict(private=False)
    started = gateway(FILE.replace("KEY", json.dumps(key)), UPSTREAM=bulk_upstream)
    before = read_peak_kib(started.process.pid)
    with socket.create_connection(started.address, timeout=30) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % GIBIBYTE)
        send_all(client)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 OK\r\n")
    up = read_peak_kib(started.process.pid) - before
    with socket.create_connection(started.address, timeout=30) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        head = client.recv(1 << 16)
        swallow(client, GIBIBYTE - len(head.partition(b"\r\n\r\n")[2]))
    down = read_peak_kib(started.process.pid) - before
    assert max(up, down) < MAX_GROWTH_KIB, f"memory before {before} KiB, growth up {up} KiB, down {down} KiB"
