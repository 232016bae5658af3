"""
Keeps the last good keys of one provider on disk, and has them back after a start.

A disk can be as slow as an issuer, or hang: nothing here is waited for by a request, but for what has no keys at all,
and that no longer than for a fetch. Nothing here raises.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Executor

from gateway.config.settings import KeySourceSettings
from gateway.providers.clock import Clock
from gateway.providers.snapshot import Snapshot, SnapshotError, read_snapshot, write_snapshot

# What a write has to end in when the gateway does.
_CLOSE_SECONDS = 1.0

_logger = logging.getLogger("gateway.providers")


class Keeper:
    """
    The snapshot of one provider.

    ``disk`` is where reading and writing run: a thread that is not one of those in which names are resolved, so that a
    disk that hangs does not keep keys from being fetched.
    """

    def __init__(self, settings: KeySourceSettings, path: str, *, disk: Executor, clock: Clock) -> None:
        self._settings = settings
        self._path = path
        self._disk = disk
        self._clock = clock
        self._latest: Snapshot | None = None
        self._writing: asyncio.Task[None] | None = None
        self._complaints: dict[str, str] = {}

    def keep(self, snapshot: Snapshot) -> None:
        """Write this one, in a while and unless a newer one comes first."""
        self._latest = snapshot
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name=f"snapshot of {self._settings.provider}")

    async def recall(self) -> Snapshot | None:
        """Return what was kept, or None if there is nothing that may be used."""
        loop, calendar_now = asyncio.get_running_loop(), self._clock.calendar_now()
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                return await loop.run_in_executor(self._disk, read_snapshot, self._path, self._settings, calendar_now)
        except SnapshotError as error:
            self._refuse(str(error))
        except TimeoutError:
            self._refuse("the disk does not answer")
        except Exception:
            # A mistake of ours must not end the refreshing of what has no keys yet.
            _logger.exception("reading the snapshot of the keys of %s failed unexpectedly", self._settings.provider)
        return None

    async def close(self) -> None:
        """Let a write that has begun end, if it does so soon."""
        writing = self._writing
        if writing is not None:
            await asyncio.wait({writing}, timeout=_CLOSE_SECONDS)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while (snapshot := self._latest) is not None:
                self._latest = None
                await loop.run_in_executor(self._disk, write_snapshot, self._path, self._settings, snapshot)
                self._complaints.clear()
        except OSError as error:
            why = error.strerror or type(error).__name__
            self._say(logging.WARNING, "snapshot_failed", "the keys of %s cannot be kept on disk", why)
        finally:
            self._writing = None

    def _refuse(self, why: str) -> None:
        self._say(logging.WARNING, "snapshot_refused", "the snapshot of the keys of %s is not used", why)

    def _say(self, level: int, event: str, message: str, why: str) -> None:
        """Say what is wrong once, until something else is or all is well."""
        if self._complaints.get(event) == why:
            return
        self._complaints[event] = why
        name = self._settings.provider
        fields = {"provider": name, "file": self._path, "why": why}
        _logger.log(level, message, name, extra={"event": event, "fields": fields})
