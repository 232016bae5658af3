"""
WebSocket frames, as far as a relay must know them: where one ends, and what a close frame looks like.

Pure. RFC 6455, sections 5.2 and 5.5.1. No payload is looked at or kept, so every extension and subprotocol works.
"""

from __future__ import annotations

import struct

_CLOSE = 0x8
_FIN = 0x80
_MASK = 0x80
_SHORT, _LENGTH_16, _LENGTH_64 = 2, 126, 127
_MASK_SIZE = 4


class FrameFollower:
    """Follows the frames of one direction as they pass, in pieces of any size."""

    __slots__ = ("_header", "_remaining", "has_closed")

    def __init__(self) -> None:
        self._header = b""
        self._remaining = 0
        # Whether a close frame has begun: none may follow it (RFC 6455, section 5.5.1).
        self.has_closed = False

    @property
    def is_between_frames(self) -> bool:
        """Whether all frames so far are whole, so that one of ours may stand here."""
        return not self._header and not self._remaining

    def feed(self, data: bytes) -> int | None:
        """Follow the next bytes; return how many of them end the first whole frame among them, or None."""
        position, boundary, size = 0, None, len(data)
        while position < size:
            if not self._remaining and not self._header:
                # Small whole frames by themselves: a flood of empty ones must not hold up everybody else.
                position, boundary = self._skip_small(data, position, boundary)
                if position >= size:
                    break
            if not self._remaining:
                position = self._feed_header(data, position)
                if self._header:
                    break
            step = min(self._remaining, size - position)
            self._remaining -= step
            position += step
            if boundary is None and not self._remaining:
                boundary = position
        return boundary

    def _skip_small(self, data: bytes, position: int, boundary: int | None) -> tuple[int, int | None]:
        """Skip the frames that are whole here and no longer than 125 octets."""
        last = len(data) - _SHORT
        while position <= last:
            length = data[position + 1]
            end = position + _SHORT + (length & 0x7F) + (_MASK_SIZE if length & _MASK else 0)
            if length & 0x7F >= _LENGTH_16 or end > last + _SHORT:
                break
            if data[position] & 0x0F == _CLOSE:
                self.has_closed = True
            position = end
            if boundary is None:
                boundary = end
        return position, boundary

    def _feed_header(self, data: bytes, position: int) -> int:
        """Take what is missing of a frame's header; keep it until it is whole."""
        while (missing := _measure_header(self._header) - len(self._header)) > 0:
            piece = data[position : position + missing]
            self._header += piece
            position += len(piece)
            if len(piece) < missing:
                return position
        self._remaining = _read_length(self._header)
        self.has_closed = self.has_closed or self._header[0] & 0x0F == _CLOSE
        self._header = b""
        return position


def _measure_header(header: bytes) -> int:
    """Return the size of a frame's header in octets, as far as its beginning tells."""
    if len(header) < _SHORT:
        return _SHORT
    extended = {_LENGTH_16: 2, _LENGTH_64: 8}.get(header[1] & 0x7F, 0)
    return _SHORT + extended + (_MASK_SIZE if header[1] & _MASK else 0)


def _read_length(header: bytes) -> int:
    length = header[1] & 0x7F
    if length == _LENGTH_16:
        return int.from_bytes(header[2:4], "big")
    if length == _LENGTH_64:
        return int.from_bytes(header[2:10], "big")
    return length


def build_close_frame(code: int, *, is_masked: bool) -> bytes:
    """Return a close frame; clients mask, and a mask of zeros leaves the payload as it is (RFC 6455, section 5.3)."""
    payload = struct.pack("!H", code)
    if is_masked:
        return bytes((_FIN | _CLOSE, _MASK | len(payload))) + bytes(4) + payload
    return bytes((_FIN | _CLOSE, len(payload))) + payload
