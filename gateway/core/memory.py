"""What was worked out before, as much of it as fits."""

from __future__ import annotations

from typing import TypeVar

from cachetools import FIFOCache

K = TypeVar("K")
V = TypeVar("V")


class Memory(FIFOCache[K, V | None]):
    """
    Values by what they were worked out from; the first that came is the first that goes.

    So a hit writes nothing, and one among many costs as little as one among few. What is not there is None, and no
    exception behind which a refusal would stand.
    """

    def __missing__(self, key: K) -> None:
        """Return what stands for nothing; it is not kept."""
