"""What stands behind the peers: nginx for answers, and a program of our own that swallows bodies and echoes frames."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.install import install_debian
from bench.process import find_port, running

SMALL_ANSWER = "0123456789" * 10
BODY_SIZES = {"1 MiB": 2**20, "100 MiB": 100 * 2**20}

_NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
user {user};
events {{ worker_connections 16384; }}
http {{
    access_log off;
    sendfile on;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{ return 200 "{answer}"; }}
        location /bodies/ {{ root {folder}; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Upstream:
    """The ports of the two."""

    answers_port: int
    sink_port: int


def name_body(size: int) -> str:
    """Return the path of an answer of this size."""
    return f"/bodies/{size}.bin"


@contextmanager
def serving(folder: Path, cores: Sequence[int]) -> Iterator[Upstream]:
    """Run both for as long as the context lasts."""
    install_debian("nginx", "nginx-light")
    upstream = Upstream(find_port(), find_port())
    (folder / "bodies").mkdir()
    for size in BODY_SIZES.values():
        (folder / name_body(size)[1:]).write_bytes(b"x" * size)
    config = folder / "nginx.conf"
    config.write_text(
        _NGINX.format(folder=folder, user=getpass.getuser(), port=upstream.answers_port, answer=SMALL_ANSWER),
        encoding="utf-8",
    )
    with ExitStack() as stack:
        nginx = stack.enter_context(running(["nginx", "-c", str(config)], cores, folder / "nginx.log"))
        argv = [sys.executable, "-m", "bench.sink", str(upstream.sink_port)]
        sink = stack.enter_context(running(argv, cores, folder / "sink.log"))
        nginx.wait_for_port(upstream.answers_port)
        sink.wait_for_port(upstream.sink_port)
        yield upstream
