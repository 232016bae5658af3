"""
Several workers as one gateway: one address, one admin listener, one reload, one end. It serves no request itself.

Each worker fetches the keys for itself. One fetcher would have to hand sets on, take a worker's wish for an unknown
``kid``, and answer it within a request: a way through the supervisor for what has none now, to save a few fetches of
some kilobytes every ten minutes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from gateway.admin.logs import LogFormat, LogOutput
from gateway.admin.metrics import Metrics, Snapshot, merge
from gateway.admin.refused import merge_refused
from gateway.admin.server import start_admin
from gateway.admin.status import ProcessStatus, build_status, describe_restored
from gateway.app.channel import ChannelClosed, Message, describe_served
from gateway.app.events import announce, list_fixed_changes, reload, say_draining
from gateway.app.sockets import PublicSockets
from gateway.app.watch import list_watched
from gateway.app.worker_process import WorkerProcess
from gateway.app.worker_slot import WorkerSlot
from gateway.config.served import Served

logger = logging.getLogger(__name__)

# New sources of keys are given their one fetch before a file is taken.
_TAKE_SECONDS = 60.0
# What a worker needs beyond its own deadlines, to end.
_GRACE_SECONDS = 5.0


class Supervisor:
    """
    A gateway of several processes; use it as an asynchronous context.

    ``load`` reads the file anew on each reload, in a thread. Workers get what it came to, so that one that is started
    later serves the same as the others, whatever became of the file.
    """

    def __init__(
        self,
        served: Served,
        load: Callable[[], Served],
        output: LogOutput,
        workers: int,
        log_level: str,
        log_format: LogFormat,
    ) -> None:
        self.is_draining = False
        self._load = load
        self._served = served
        self._output = output
        self._log = {"level": log_level, "format": log_format}
        self._count = workers
        self._metrics = Metrics()
        self._slots: list[WorkerSlot] = []
        self._stack = AsyncExitStack()
        self._changing = asyncio.Lock()
        self._was_ready = False
        self._started_at = time.time()
        self._public: PublicSockets

    @property
    def watched(self) -> tuple[str, ...]:
        """The files whose change is worth a reload."""
        return list_watched(self._served)

    async def __aenter__(self) -> Supervisor:
        """
        Listen and start all workers.

        Raises:
            OSError: An address cannot be had, or a worker does not come up.
        """
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Drain and stop."""
        try:
            await self._drain()
        finally:
            await self._stack.aclose()

    async def _start(self) -> None:
        settings = self._served.settings
        admin = await start_admin(self, settings.admin)
        self._stack.push_async_callback(admin.stop)
        self._public = await PublicSockets.bind(settings.listen)
        self._stack.callback(self._release)
        for _ in range(self._count):
            self._slots.append(WorkerSlot(self._public, self._describe_start, self._changing))
        self._stack.push_async_callback(self._kill)
        started = await asyncio.gather(*(slot.fill() for slot in self._slots), return_exceptions=True)
        for error in filter(None, started):
            raise error
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        for slot in self._slots:
            slot.keep(group)
        announce(settings, self._served.path, self._public.listen, admin.address, {"workers": self._count})

    def _describe_start(self) -> Mapping[str, object]:
        return {"workers": self._count, **self._log, **describe_served(self._served)}

    def _release(self) -> None:
        for slot in self._slots:
            slot.close()
        self._public.close()

    @property
    def _workers(self) -> list[WorkerProcess]:
        return [slot.worker for slot in self._slots if slot.worker is not None]

    # --- reload and the end ------------------------------------------------------------------------------------------

    async def reload(self) -> None:
        """Take the file and its certificates as they are now; bad ones change nothing but a log line and a gauge."""
        await reload(self._take, self._metrics)

    async def _take(self) -> Mapping[str, object] | None:
        # One after the other, or what was read first could be taken last.
        async with self._changing:
            served = await asyncio.to_thread(self._load)
            file = describe_served(served)
            asked = (worker.ask("take", _TAKE_SECONDS, **file) for worker in self._workers)
            for answer in await asyncio.gather(*asked, return_exceptions=True):
                # One that is gone has its successor begin with the new file.
                if isinstance(answer, BaseException) and not isinstance(answer, ChannelClosed):
                    raise answer
            settings, old = served.settings, self._served.settings
            if settings.digest == old.digest:
                return None
            self._served = served
            return {"digest": settings.digest, "needs_restart": list_fixed_changes(old, settings)}

    async def _drain(self) -> None:
        """Stop being ready, have every worker drain, and wait for the last."""
        self.is_draining = True
        say_draining()
        for slot in self._slots:
            slot.end()
        timeouts = self._served.settings.timeouts
        try:
            async with asyncio.timeout(timeouts.drain_delay_seconds + timeouts.shutdown_seconds + _GRACE_SECONDS):
                asked = (worker.ask("drain", _GRACE_SECONDS) for worker in self._workers)
                await asyncio.gather(*asked, return_exceptions=True)
                await asyncio.gather(*(slot.wait() for slot in self._slots))
        except TimeoutError:
            fields = {"pids": [worker.pid for worker in self._workers]}
            logger.warning("workers did not end and are killed", extra={"event": "killed", "fields": fields})
            for worker in self._workers:
                worker.kill()

    async def _kill(self) -> None:
        workers = self._workers
        for worker in workers:
            worker.kill()
        await asyncio.gather(*(worker.wait() for worker in workers))

    # --- what the admin listener asks --------------------------------------------------------------------------------

    async def _collect_reports(self) -> list[tuple[int, Message | None]]:
        workers = self._workers
        reports = await asyncio.gather(*(worker.report() for worker in workers))
        return [(worker.pid, report) for worker, report in zip(workers, reports, strict=True)]

    async def is_alive(self) -> bool:
        """Return whether a worker answers; while all are being replaced, a restart would not help."""
        reports = await self._collect_reports()
        return not reports or any(report for _, report in reports)

    async def readiness(self) -> tuple[bool, str]:
        """Return whether requests can be served, and the reason why not, or whose keys are from a snapshot."""
        reports = await self._collect_reports()
        is_ready, reason = self._judge([report for _, report in reports])
        return is_ready, reason or describe_restored(_list_providers(reports))

    def _judge(self, reports: Sequence[Message | None]) -> tuple[bool, str]:
        answers = [report["status"] for report in reports if report is not None]
        reasons = [status["not_ready_reason"] for status in answers if not status["ready"]]
        if not answers:
            return False, "no worker answers"
        # All have to be ready once; then an issuer that is away while one is replaced takes no replica away.
        self._was_ready = self._was_ready or not reasons
        is_ready = self._was_ready and len(reasons) < len(answers)
        return is_ready, "" if is_ready else reasons[0]

    async def status(self) -> Mapping[str, Any]:
        """Return the document of ``/status``: each provider as the worker has it whose keys are oldest."""
        refused = asyncio.gather(*(worker.list_refused() for worker in self._workers))
        reports = await self._collect_reports()
        _, not_ready = self._judge([report for _, report in reports])
        process = ProcessStatus(self._served.path, self._served.settings.digest, self._started_at)
        return {
            **build_status(process, [], time.time(), not_ready=not_ready),
            "providers": _list_providers(reports),
            "workers": [
                {"pid": pid, "answers": report is not None, "ready": bool(report and report["status"]["ready"])}
                for pid, report in reports
            ],
            "refused": merge_refused(await refused),
        }

    async def collect(self) -> Snapshot:
        """Return the numbers of all workers, of one that does not answer as it last told them, and of those gone."""
        reports = await self._collect_reports()
        silent = sum(report is None for _, report in reports)
        states: Snapshot = {"workers": [(("answering",), (len(reports) - silent,)), (("silent",), (silent,))]}
        own = self._metrics.snapshot(self._output.writer.lost_lines)
        return merge(
            [own, states, *(slot.gone for slot in self._slots), *(worker.snapshot for worker in self._workers)]
        )


def _list_providers(reports: Sequence[tuple[int, Message | None]]) -> list[Mapping[str, Any]]:
    """Return each provider as the worker has it whose keys are oldest, or were never loaded."""

    def measure(provider: Mapping[str, Any]) -> float:
        age = provider["age_seconds"]
        return float("inf") if age is None else float(age)

    lists = [report["status"]["providers"] for _, report in reports if report]
    return [max(same, key=measure) for same in zip(*lists, strict=False)]
