"""What takes the place of HTTP on a connection after a 101."""

from __future__ import annotations

from typing import Protocol


class Sink(Protocol):
    """Gets what the upstream sends, in asyncio's words; its owner writes to the connection itself."""

    def feed_data(self, data: bytes, /) -> None:
        """Take the next bytes; ``pause_reading`` of the connection makes the upstream wait."""

    def pause_writing(self) -> None:
        """Write no more to the upstream for now: it does not take it."""

    def resume_writing(self) -> None:
        """Go on writing."""

    def connection_lost(self, exc: Exception | None, /) -> None:
        """Take note that the connection is gone; ``None`` if it was closed in order."""
