"""A deadline that is moved: earlier, later, away; it is met once, when it was set for last."""

from __future__ import annotations

import asyncio

from gateway.proxy.deadline import Deadline
from tests.integration.loop import in_each_loop


@in_each_loop
async def test_deadline_is_met_when_it_was_set_for_last() -> None:
    """Neither an earlier time nor a later one that was set before counts."""
    loop = asyncio.get_running_loop()
    for seconds in ((0.05,), (60.0, 0.05), (0.01, 0.05), (0.01, 60.0, 0.05)):
        passed = asyncio.Event()
        deadline = Deadline(loop, passed.set)
        started = loop.time()
        for each in seconds:
            deadline.set(each)
        await passed.wait()
        assert 0.04 < loop.time() - started < 5


@in_each_loop
async def test_cleared_deadline_is_never_met() -> None:
    """Cleared or stopped; and it can be set again."""
    loop = asyncio.get_running_loop()
    met: list[str] = []
    cleared, stopped = Deadline(loop, lambda: met.append("cleared")), Deadline(loop, lambda: met.append("stopped"))
    cleared.set(0.01)
    cleared.clear()
    stopped.set(0.01)
    stopped.stop()
    await asyncio.sleep(0.03)
    assert met == []
    cleared.set(0.01)
    await asyncio.sleep(0.03)
    assert met == ["cleared"]
