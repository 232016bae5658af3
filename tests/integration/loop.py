"""Tests that are coroutines: each runs in a loop of its own, and leaves no task and no socket behind."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import uvloop

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

# A closed socket is gone an iteration or two later, a TLS one after its goodbye.
_SETTLE_SECONDS = 2.0


def in_loop(test: Callable[_Arguments, Coroutine[Any, Any, None]]) -> Callable[_Arguments, None]:
    """Run a test on uvloop, as the gateway does, and fail it if it leaves a task or a socket behind."""

    @functools.wraps(test)
    def run_test(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> None:
        run(test(*args, **kwargs))

    return run_test


def in_each_loop(test: Callable[_Arguments, Coroutine[Any, Any, None]]) -> Callable[_Arguments, None]:
    """Run a test on uvloop and then on asyncio's own loop, where the two are known to differ (TLS, closing)."""

    @functools.wraps(test)
    def run_test(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> None:
        for loop_factory in (uvloop.new_event_loop, asyncio.new_event_loop):
            run(test(*args, **kwargs), loop_factory=loop_factory)

    return run_test


def run(
    main: Coroutine[Any, Any, _Result],
    *,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop,
) -> _Result:
    """Run a coroutine in a new loop and return its result; an AssertionError names what it left behind."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(_run_cleanly(main))


async def wait_until(is_so: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for a condition; an AssertionError says that it did not come true in time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not is_so():
        assert loop.time() < end, "the condition did not come true in time"
        await asyncio.sleep(0.002)


def select_files(process: int | str = "self") -> frozenset[str]:
    """Return the sockets and the pipes that a process has open, this one or that of a number."""
    files = set()
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:
            # It was closed in between.
            continue
        if target.startswith(("socket:", "pipe:")):
            files.add(target)
    return frozenset(files)


async def _run_cleanly(main: Coroutine[Any, Any, _Result]) -> _Result:
    own_task = asyncio.current_task()
    before = select_files()
    result = await main
    try:
        await wait_until(
            lambda: asyncio.all_tasks() == {own_task} and not select_files() - before, seconds=_SETTLE_SECONDS
        )
    except AssertionError:
        tasks = [task for task in asyncio.all_tasks() if task is not own_task]
        files = sorted(select_files() - before)
        raise AssertionError(f"left behind: tasks {tasks}, files {files}") from None
    return result
