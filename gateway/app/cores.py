"""How many workers ``auto`` comes to."""

from __future__ import annotations

import math
import os
from pathlib import Path

from gateway.config.settings import MAX_WORKERS

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def count_workers(workers: int | None) -> int:
    """Return a number of workers; None is one for each core that this process may use."""
    return workers or max(1, min(_count_cores(), _read_quota(_QUOTA) or MAX_WORKERS, MAX_WORKERS))


def _count_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read_quota(path: Path) -> int | None:
    """Return the cores that a container may use, rounded up, where the machine has more."""
    try:
        quota, period = path.read_text("ascii").split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):
        # No container, or "max".
        return None
