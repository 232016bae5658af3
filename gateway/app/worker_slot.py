"""The place of one worker: filled, watched, filled again when the worker dies."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping

from gateway.admin.metrics import Snapshot, merge, select_counts
from gateway.app.sockets import PublicSockets
from gateway.app.worker_process import WorkerProcess

logger = logging.getLogger(__name__)

# An interpreter with all that we import takes half a second, on a busy machine several.
_START_SECONDS = 60.0
# One that lived this long did not die of its start.
_STABLE_SECONDS = 10.0
_MAX_DELAY_SECONDS = 30.0


class WorkerSlot:
    """
    The place of one worker and its successors.

    ``describe`` returns what a new worker is told; ``changing`` is held while all are told something else. ``gone`` are
    the counters of those that died.
    """

    def __init__(
        self, public: PublicSockets, describe: Callable[[], Mapping[str, object]], changing: asyncio.Lock
    ) -> None:
        self.worker: WorkerProcess | None = None
        self.gone: Snapshot = {"worker_deaths_total": [((), (0,))]}
        self._public = public
        self._sockets = public.open()
        self._describe = describe
        self._changing = changing
        self._failures = 0
        self._is_ending = False
        self._keeping: asyncio.Task[None] | None = None

    async def fill(self) -> None:
        """
        Start a worker.

        Raises:
            OSError: It does not come up, and why.
        """
        self.worker = await WorkerProcess.start(self._sockets, _START_SECONDS, **self._describe())

    def keep(self, group: asyncio.TaskGroup) -> None:
        """Replace the worker when it dies, until ``end``."""
        self._keeping = group.create_task(self._keep())

    def end(self) -> None:
        """Let the worker be the last one here, and hold its sockets no more: they would take connections to nobody."""
        self._is_ending = True
        self.close()
        if self._keeping is not None and self.worker is None:
            self._keeping.cancel()

    def close(self) -> None:
        """Let go of the sockets; a worker goes on to listen."""
        for each in self._sockets:
            each.close()

    async def wait(self) -> None:
        """Wait until the last worker has ended."""
        if self._keeping is not None:
            await asyncio.wait([self._keeping])

    async def _keep(self) -> None:
        while not self._is_ending:
            if self.worker is not None:
                await self._watch(self.worker)
            else:
                await self._replace()

    async def _watch(self, worker: WorkerProcess) -> None:
        code = await worker.wait()
        self.worker = None
        # Counters must not fall when a worker goes: a rate over them would leap.
        self.gone = merge([self.gone, select_counts(worker.snapshot)])
        if self._is_ending:
            return
        is_stable = worker.age_seconds >= _STABLE_SECONDS
        self._note_death(_describe_end(code), worker.pid, 1 if is_stable else self._failures + 1)

    async def _replace(self) -> None:
        delay_seconds = plan_restart(self._failures)
        if delay_seconds:
            # Connections that nobody would accept for so long go to the others.
            self.close()
            await asyncio.sleep(delay_seconds)
            self._sockets = self._public.open()
        try:
            # Not while a file is being taken: this one would begin with the old.
            async with self._changing:
                await self.fill()
        except OSError as error:
            self._note_death(str(error) or "it did not begin in time", None, self._failures + 1)

    def _note_death(self, why: str, pid: int | None, failures: int) -> None:
        self._failures = failures
        self.gone = merge([self.gone, {"worker_deaths_total": [((), (1,))]}])
        fields = {"pid": pid, "why": why, "replaced_in_seconds": plan_restart(failures)}
        logger.error("a worker ended and is replaced", extra={"event": "worker_died", "fields": fields})


def plan_restart(failures: int) -> float:
    """Return for how many seconds to wait after so many deaths in a row: the first is made good at once."""
    return min(0.5 * 2.0 ** min(failures - 2, 10), _MAX_DELAY_SECONDS) if failures > 1 else 0.0


def _describe_end(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
