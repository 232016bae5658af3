"""Frame boundaries, whatever pieces the frames come in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader

from gateway.proxy.frames import FrameFollower, build_close_frame


def build_frame(payload: bytes, opcode: Opcode = Opcode.BINARY, *, is_masked: bool = False) -> bytes:
    return Frame(opcode, payload).serialize(mask=is_masked)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
@pytest.mark.parametrize("is_masked", [False, True])
def test_a_frame_ends_where_its_length_says(size: int, is_masked: bool) -> None:
    """RFC 6455, section 5.2: lengths of 7, 16 and 64 bits, with and without a mask."""
    frame = build_frame(bytes(size), is_masked=is_masked)
    follower = FrameFollower()
    assert follower.feed(frame + b"\x82") == len(frame)
    assert not follower.is_between_frames


@given(
    st.lists(st.tuples(st.binary(max_size=300), st.booleans()), max_size=5),
    st.lists(st.integers(min_value=1, max_value=50), max_size=60),
)
def test_pieces_do_not_matter(frames: list[tuple[bytes, bool]], sizes: list[int]) -> None:
    """However the bytes are cut, boundaries are known just where a frame ends."""
    octets, ends = b"", {0}
    for payload, is_masked in frames:
        octets += build_frame(payload, is_masked=is_masked)
        ends.add(len(octets))
    follower, position = FrameFollower(), 0
    for size in [*sizes, len(octets)]:
        piece = octets[position : position + size]
        boundary = follower.feed(piece)
        inside = [end - position for end in sorted(ends) if position < end <= position + len(piece)]
        assert boundary == (inside[0] if inside else None)
        position += len(piece)
        assert follower.is_between_frames == (position in ends)


def test_a_close_frame_is_noticed() -> None:
    """After a close frame, no other may follow; a payload that looks like one is none."""
    follower = FrameFollower()
    follower.feed(build_frame(b"\x88\x00"))
    assert not follower.has_closed
    follower.feed(build_frame(b"", Opcode.CLOSE))
    assert follower.has_closed


@pytest.mark.parametrize("is_masked", [False, True])
def test_our_close_frame_is_read_by_others(is_masked: bool) -> None:
    """What we send, an independent reader of the RFC takes for a close with that code."""
    reader = StreamReader()
    reader.feed_data(build_close_frame(3000, is_masked=is_masked))
    parser = Frame.parse(reader.read_exact, mask=is_masked, max_size=None)
    with pytest.raises(StopIteration) as parsed:
        next(parser)
    frame = parsed.value.value
    assert (frame.opcode, frame.fin) == (Opcode.CLOSE, True)
    assert Close.parse(frame.data).code == 3000
