"""What a peer is told, and what it answers with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.tokens import ALGORITHMS


@dataclass(frozen=True, slots=True)
class Site:
    """Where a peer puts its files, where it listens, and whom it asks; all addresses are of 127.0.0.1."""

    folder: Path
    port: int
    admin_port: int
    upstream_port: int

    def write(self, name: str, document: str | Mapping[str, Any]) -> Path:
        """Write a configuration file, a mapping as JSON (which YAML is a superset of)."""
        path = self.folder / name
        path.write_text(document if isinstance(document, str) else json.dumps(document, indent=1), encoding="utf-8")
        return path


@dataclass(frozen=True, slots=True)
class Start:
    """How to start it."""

    argv: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Peer:
    """One row of the tables: a program in one configuration."""

    name: str
    title: str
    prepare: Callable[[Site], Start]
    # Raises Missing where it cannot be had; returns its version.
    install: Callable[[], str]
    suites: tuple[str, ...]
    has_cache: bool = False
    # What the table of small answers asks of it.
    is_asked_unseen: bool = True
    algorithms: tuple[str, ...] = ALGORITHMS
