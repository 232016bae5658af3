"""A point in time that is moved often and met seldom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_NEVER = float("inf")


class Deadline:
    """
    Calls ``on_passed`` once the time is over; each ``set`` and ``clear`` replaces what was set before.

    One timer that looks at the deadline when it fires: moving the deadline costs an assignment, where a timer for each
    wait costs 1.4 µs, of which an exchange has several.
    """

    __slots__ = ("_looks_at", "_loop", "_on_passed", "_timer", "_when")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_passed: Callable[[], None]) -> None:
        self._loop = loop
        self._on_passed = on_passed
        self._timer: asyncio.TimerHandle | None = None
        self._when = _NEVER
        self._looks_at = _NEVER

    def set(self, seconds: float) -> None:
        """Have the time be over in that many seconds from now."""
        self._when = when = self._loop.time() + seconds
        if when >= self._looks_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._look_at(when)

    def clear(self) -> None:
        """Have the time never be over."""
        self._when = _NEVER

    def stop(self) -> None:
        """Clear, and keep no timer."""
        self._when = self._looks_at = _NEVER
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_at(self, when: float) -> None:
        self._looks_at = when
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        self._timer, self._looks_at = None, _NEVER
        if self._when <= self._loop.time():
            self._when = _NEVER
            self._on_passed()
        elif self._when != _NEVER:
            self._look_at(self._when)
