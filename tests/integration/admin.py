"""A running admin listener for tests, with a gateway behind it that is as they say."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.admin.metrics import Metrics, Snapshot
from gateway.admin.server import AdminListener, start_admin
from gateway.config.settings import ListenAddress

CANARY = "S3CR3T-eyJhbGciOiJSUzI1NiJ9"


@dataclass(slots=True)
class State:
    """A gateway as the listener sees it."""

    is_draining: bool = False
    not_ready: str = ""
    metrics: Metrics = field(default_factory=Metrics)
    is_broken: bool = False
    is_dead: bool = False

    async def is_alive(self) -> bool:
        return not self.is_dead

    async def readiness(self) -> tuple[bool, str]:
        return not self.not_ready, self.not_ready

    async def status(self) -> Mapping[str, Any]:
        if self.is_broken:
            raise RuntimeError(CANARY)
        return {"version": "1"}

    async def collect(self) -> Snapshot:
        return self.metrics.snapshot()


@contextlib.asynccontextmanager
async def run_admin(state: State, address: ListenAddress | None = None) -> AsyncIterator[AdminListener]:
    listener = await start_admin(state, address or ListenAddress(host="127.0.0.1", port=0))
    try:
        yield listener
    finally:
        await listener.stop()
