"""FastAPI with httpx and PyJWT: what one would write in Python."""

from __future__ import annotations

import re
from pathlib import Path

from bench.install import VENV, install_python
from bench.names import COMMON
from bench.peers.site import Peer, Site, Start
from bench.tokens import ALGORITHMS, AUDIENCE, make_key_set, name_issuer

_FOLDER = Path(__file__).parent


def prepare(site: Site) -> Start:
    """Write the settings and return the command."""
    settings = {
        "upstream": f"http://127.0.0.1:{site.upstream_port}",
        "keys": make_key_set(),
        "issuer": name_issuer(0),
        "audience": AUDIENCE,
        "algorithms": list(ALGORITHMS),
    }
    path = site.write("fastapi.json", settings)
    options = (
        "--host",
        "127.0.0.1",
        "--port",
        str(site.port),
        "--no-access-log",
        "--timeout-keep-alive",
        "75",
        "--log-level",
        "warning",
    )
    return Start(
        (str(VENV / "bin/uvicorn"), "--app-dir", str(_FOLDER), *options, "server:app"), {"BENCH_SETTINGS": str(path)}
    )


def install() -> str:
    """Install it from PyPI and return its version."""
    install_python("fastapi")
    found = re.search(r"^fastapi==(\S+)", (_FOLDER / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else "unknown"


FASTAPI = Peer("fastapi", "FastAPI + httpx + PyJWT", prepare, install, suites=COMMON)
