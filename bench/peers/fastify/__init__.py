"""Fastify with ``@fastify/http-proxy`` and ``jose``: a proxy in Node.js as its users write it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from bench.errors import Missing
from bench.install import run_installer
from bench.names import COMMON
from bench.peers.site import Peer, Site, Start
from bench.tokens import ALGORITHMS, AUDIENCE, make_key_set, name_issuer

_FOLDER = Path(__file__).parent
_STAMP = _FOLDER / "node_modules/.package-lock.json"


def prepare(site: Site) -> Start:
    """Write the settings and return the command."""
    settings = {
        "port": site.port,
        "upstream": f"http://127.0.0.1:{site.upstream_port}",
        "keys": make_key_set(),
        "issuer": name_issuer(0),
        "audience": AUDIENCE,
        "algorithms": list(ALGORITHMS),
    }
    return Start(
        ("node", str(_FOLDER / "server.mjs"), str(site.write("fastify.json", settings))), {"NODE_ENV": "production"}
    )


def install() -> str:
    """
    Install it from npm and return its version.

    Raises:
        Missing: There is no npm, or it fails.
    """
    if shutil.which("npm") is None:
        raise Missing("Node.js and npm are not installed")
    lock = _FOLDER / "package-lock.json"
    if not _STAMP.exists() or _STAMP.stat().st_mtime < lock.stat().st_mtime:
        run_installer(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(_FOLDER)])
        _STAMP.touch()
    version: str = json.loads(lock.read_text(encoding="utf-8"))["packages"]["node_modules/fastify"]["version"]
    return version


FASTIFY = Peer("fastify", "Fastify http-proxy + jose", prepare, install, suites=COMMON)
