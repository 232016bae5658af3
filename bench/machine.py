"""The machine: which cores are whose, and what to say about it beside the figures."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Cores:
    """One core for what is measured, the others for the load and the upstream."""

    measured: int
    others: tuple[int, ...]

    @property
    def all(self) -> tuple[int, ...]:
        """Every core that we may use, the measured one first."""
        return (self.measured, *self.others)


def split_cores() -> Cores:
    """Return who runs where; with one core only, everything shares it and the figures are worth little."""
    first, *others = sorted(os.sched_getaffinity(0))
    return Cores(first, tuple(others) or (first,))


@dataclass(frozen=True, slots=True)
class Machine:
    """What a reader needs to judge the figures."""

    date: str
    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    system: str
    versions: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def describe_machine(versions: dict[str, str]) -> Machine:
    """Return the description of this machine, today."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        cpu=_find(r"model name\s*:\s*(.+)", "/proc/cpuinfo") or platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(pages / 2**30, 1),
        kernel=f"{platform.system()} {platform.release()}",
        system=_find(r'PRETTY_NAME="(.+)"', "/etc/os-release") or "unknown",
        versions={"Python": platform.python_version(), **versions},
    )


def _find(pattern: str, path: str) -> str:
    try:
        found = re.search(pattern, Path(path).read_text(encoding="utf-8"))
    except OSError:
        return ""
    return found[1].strip() if found else ""


def ask_version(argv: list[str], pattern: str = r"\d+(?:\.\d+)+") -> str:
    """Return the version that a program says it has."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    found = re.search(pattern, done.stdout + done.stderr)
    return found[0] if found else "unknown"


def is_supported() -> bool:
    """Whether the kernel tells what we measure."""
    return sys.platform == "linux" and Path("/proc/self/task").is_dir()
