"""
Work that is done in steps, for whoever has much of it to do.

A processor that goes from one kind of work to another and back loses its caches each time, and to check a signature is
work of another kind than all the rest of a request. So whoever has many requests takes one step of each, then the next
of each; with tokens that are new, that is done in two thirds of the time that one request after the other takes.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

Steps = Generator[None, None, T]


def run(steps: Steps[T]) -> T:
    """Take all steps now, and return what comes of them; whatever one of them raises is raised."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
