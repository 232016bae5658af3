"""What a process that serves has of a file: what it comes to, and nothing of how that was found."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from gateway.config.settings import Settings
from gateway.core.memory import Memory


@dataclass(frozen=True, slots=True)
class Served:
    """A file to serve by; ``octets`` are its settings, for another process of the same program."""

    path: str
    settings: Settings = field(repr=False)
    octets: bytes = field(repr=False)

    @classmethod
    def pack(cls, path: str, settings: Settings) -> Served:
        """Return a file that other processes may serve by too."""
        buffer = io.BytesIO()
        _Packer(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(settings)
        return cls(path, settings, buffer.getvalue())

    @classmethod
    def unpack(cls, path: str, octets: bytes) -> Served:
        """Return a file that another process of ours has packed, never one from outside: pickles run code."""
        return cls(path, pickle.loads(octets), octets)  # noqa: S301 - from our own process, over a pipe of ours


class _Packer(pickle.Pickler):
    """Knows the one type in settings that pickle does not, and leaves what was remembered to who remembers it."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is MappingProxyType:
            return _protect, (dict(value),)
        if type(value) is Memory:
            return Memory, (value.maxsize,)
        return NotImplemented


def _protect(value: dict[Any, Any]) -> Mapping[Any, Any]:
    return MappingProxyType(value)
