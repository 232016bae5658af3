"""Notices that a file has changed, be it swapped through links as Kubernetes does, or on a mount without inotify."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

INTERVAL_SECONDS = 1.0


async def watch_file(path: str, on_change: Callable[[], Awaitable[None]], seconds: float = INTERVAL_SECONDS) -> None:
    """Call ``on_change`` after each change of the file, until cancelled; a file that is away has not changed."""
    known = _identify(path)
    while True:
        await asyncio.sleep(seconds)
        current = _identify(path)
        if current is not None and current != known:
            known = current
            await on_change()


def _identify(path: str) -> tuple[int, int, int] | None:
    # Follows links: a ConfigMap is a link to a folder that is replaced as a whole.
    try:
        status = os.stat(path)  # noqa: PTH116 - one system call, no object
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
