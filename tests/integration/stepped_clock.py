"""Time that a test moves: a day of refreshes in a moment, while every request is a real one."""

from __future__ import annotations

import asyncio

# Some moment in 2026, so that a mix-up of the two clocks shows.
EPOCH_SECONDS = 1_780_000_000.0


class SteppedClock:
    """
    A clock that stands still until ``run`` moves it from one sleeper's end to the next.

    Between two steps it waits until all of its sleepers sleep again, so the work between two sleeps takes no time.
    """

    def __init__(self) -> None:
        self._now = 1000.0
        self._sleepers: dict[asyncio.Future[None], float] = {}
        self._fell_asleep = asyncio.Event()

    def now(self) -> float:
        return self._now

    def calendar_now(self) -> float:
        return EPOCH_SECONDS + self._now

    async def sleep(self, seconds: float) -> None:
        sleeper = asyncio.get_running_loop().create_future()
        self._sleepers[sleeper] = self._now + seconds
        self._fell_asleep.set()
        try:
            await sleeper
        finally:
            self._sleepers.pop(sleeper, None)

    async def settle(self, sleepers: int = 1) -> None:
        """Wait until so many sleep."""
        async with asyncio.timeout(20):
            while len(self._sleepers) < sleepers:
                self._fell_asleep.clear()
                await self._fell_asleep.wait()

    async def run(self, seconds: float, sleepers: int = 1) -> None:
        """Let so much time pass for so many sleepers."""
        end = self._now + seconds
        await self.settle(sleepers)
        while (first := min(self._sleepers.values())) <= end:
            self._now = max(self._now, first)
            for sleeper in [each for each, until in self._sleepers.items() if until <= self._now]:
                # Taken out here, so that who sleeps again is told from who has not yet run.
                del self._sleepers[sleeper]
                sleeper.set_result(None)
            await self.settle(sleepers)
        self._now = end
