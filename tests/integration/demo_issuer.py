"""The demo issuer in a process of its own, and a file for a gateway that believes it."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .command import start_command

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextmanager
def open_issuer(folder: Path) -> Iterator[str]:
    """Run the issuer while the block runs; yields its address."""
    port = find_free_port()
    url = f"http://127.0.0.1:{port}/oidc"
    with start_command("demo", "issuer", "--listen", f"127.0.0.1:{port}", "--issuer", url, folder=folder) as running:
        running.wait_line(lambda line: "listening" in line, "stderr")
        yield url
        assert running.stop() == 0


def read_token(issuer: str, case: str) -> str:
    """Return a token of the issuer."""
    with DIRECT.open(f"{issuer}/token?case={case}", timeout=10) as answer:
        return str(answer.read(), "ascii")


def find_free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def write_config(folder: Path, provider: str, backend: str = "http://127.0.0.1:9") -> Path:
    """Write a file with one provider for https://my-api.example, whose source of keys is given as lines."""
    path = folder / "gateway.yaml"
    path.write_text(f"""\
version: 1
listen: 127.0.0.1:0
admin: 127.0.0.1:0
upstream: {backend}
providers:
  - applicationID: https://my-api.example
    algorithm: [ES384, RS256, EdDSA]
    {provider}
""")
    return path
