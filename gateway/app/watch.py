"""Notices that a file has changed, be it swapped through links as Kubernetes does, or on a mount without inotify."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable

from gateway.config.served import Served

INTERVAL_SECONDS = 1.0


async def watch_files(
    list_paths: Callable[[], Iterable[str]], on_change: Callable[[], Awaitable[None]], seconds: float = INTERVAL_SECONDS
) -> None:
    """Call ``on_change`` after each change of one of the files, until cancelled; one that is away has not changed."""
    known = {path: _identify(path) for path in list_paths()}
    while True:
        await asyncio.sleep(seconds)
        seen = {path: _identify(path) or known.get(path) for path in list_paths()}
        if seen != known:
            known = seen
            await on_change()


def list_watched(served: Served) -> tuple[str, ...]:
    """Return the files whose change is worth a reload: the file, and the certificates and lists that it names."""
    tls, lists = served.settings.tls, served.settings.organization_files
    return (served.path, *lists) if tls is None else (served.path, tls.certificate, tls.key, *lists)


def _identify(path: str) -> tuple[int, int, int] | None:
    # Follows links: a ConfigMap is a link to a folder that is replaced as a whole.
    try:
        status = os.stat(path)  # noqa: PTH116 - one system call, no object
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
