"""Time as the key sources see it: one object to read it and to wait, so that a test can run a day in a moment."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock, the calendar, and a way to wait."""

    def now(self) -> float:
        """Return the seconds since some fixed moment; never goes back."""
        ...

    def calendar_now(self) -> float:
        """Return the seconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait so long by ``now``."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> float:
        """Return the machine's monotonic seconds."""
        return time.monotonic()

    def calendar_now(self) -> float:
        """Return the machine's seconds since the epoch."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait in the running event loop."""
        await asyncio.sleep(seconds)
