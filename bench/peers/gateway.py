"""The gateway, as a user starts it, but for its log."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import Missing
from bench.names import COMMON, SCALE, SMALL, WEBSOCKETS, WORKERS
from bench.peers.site import Peer, Site, Start
from bench.tokens import ALGORITHMS, AUDIENCE, make_key_set, name_issuer

_COMMAND = (sys.executable, "-m", "gateway")


@dataclass(frozen=True, slots=True)
class Variant:
    """What differs from a file with one provider and no routes."""

    providers: int = 1
    routes: int = 0
    cached_tokens: int | None = None
    workers: int | None = None
    has_access_log: bool = False


def build_config(site: Site, variant: Variant) -> dict[str, Any]:
    """Return the file; the last provider issues the tokens and the last route takes the requests."""
    config: dict[str, Any] = {
        "version": 1,
        "listen": f"127.0.0.1:{site.port}",
        "admin": f"127.0.0.1:{site.admin_port}",
        "upstream": f"http://127.0.0.1:{site.upstream_port}",
        "providers": [_build_provider(number) for number in range(variant.providers)],
    }
    if variant.routes:
        others = [{"path": f"/service-{number}/{{id}}/**"} for number in range(variant.routes - 1)]
        config["routes"] = [*others, {"path": "/**", "scopes": ["read:items"]}]
    if variant.cached_tokens is not None:
        config["limits"] = {"cached_tokens": variant.cached_tokens}
    if variant.workers is not None:
        config["workers"] = variant.workers
    return config


def _build_provider(number: int) -> dict[str, Any]:
    return {
        "type": "customJwt",
        "name": f"provider-{number}",
        "issuer": name_issuer(number),
        "jwks": "file:keys.json",
        "applicationID": AUDIENCE,
        "algorithm": list(ALGORITHMS),
    }


def prepare(site: Site, variant: Variant) -> Start:
    """
    Write the file and return the command.

    Raises:
        Missing: This gateway has no workers.
    """
    site.write("keys.json", make_key_set())
    path = site.write("gateway.yaml", build_config(site, variant))
    if variant.workers is not None:
        _check_accepted(path)
    level = "info" if variant.has_access_log else "warning"
    return Start((*_COMMAND, "--log-level", level, "--log-format", "json", "serve", "-c", str(path)))


def _check_accepted(path: Path) -> None:
    done = subprocess.run([*_COMMAND, "check", "-c", str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing((done.stderr or done.stdout).replace(str(path), path.name).strip().splitlines()[0])


def ask_version() -> str:
    """Return the version under measurement."""
    done = subprocess.run([*_COMMAND, "version"], capture_output=True, text=True, check=True)
    return done.stdout.split()[1]


def make_gateway(name: str, title: str, variant: Variant | None = None) -> Peer:
    """Return the gateway in a configuration."""
    chosen = variant or Variant()
    return Peer(
        name,
        title,
        lambda site: prepare(site, chosen),
        ask_version,
        suites=(SMALL,) if chosen.has_access_log else (*COMMON, WEBSOCKETS, WORKERS, SCALE),
        has_cache=True,
        is_asked_unseen=not chosen.has_access_log,
        algorithms=ALGORITHMS[:1] if chosen.has_access_log else ALGORITHMS,
    )
