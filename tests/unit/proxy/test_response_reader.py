"""A response as it arrives: the same however it is split, whole or refused, and never more than itself."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from gateway.core.errors import Reason, UpstreamFailed
from gateway.proxy.reader import MAX_INTERIM_HEADS, ResponseReader, read_whole
from gateway.proxy.response import MAX_FIELDS, MAX_HEAD_BYTES

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\n"
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"

WHOLE = {
    "length": (LENGTH + b"abc", [200], b"abc", ()),
    "empty": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", [200], b"", ()),
    "chunked": (CHUNKED + b"3\r\nabc\r\n00002\r\nde\r\n0\r\n\r\n", [200], b"abcde", ()),
    "extensions": (CHUNKED + b'3;a=b;c="d;\\"e"\r\nabc\r\n0;last\r\n\r\n', [200], b"abc", ()),
    "trailers": (
        CHUNKED + b"1\r\na\r\n0\r\nX-Sum: caf\xe9 \r\nx-sum: 2\r\n\r\n",
        [200],
        b"a",
        ((b"X-Sum", b"caf\xe9"), (b"x-sum", b"2")),
    ),
    "interim": (EARLY_HINTS * 2 + LENGTH + b"abc", [103, 103, 200], b"abc", ()),
    "204": (b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", [204], b"", ()),
    "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", [304], b"", ()),
}


def feed(data: bytes | Iterable[bytes], method: bytes = b"GET", *, asks_upgrade: bool = False) -> ResponseReader:
    reader = ResponseReader(method, asks_upgrade=asks_upgrade)
    for piece in [data] if isinstance(data, bytes) else data:
        reader.feed(piece)
    return reader


def refuse(data: bytes, *, asks_upgrade: bool = False) -> UpstreamFailed:
    with pytest.raises(UpstreamFailed) as caught:
        feed(data, asks_upgrade=asks_upgrade)
    assert caught.value.reason is Reason.UPSTREAM_BAD_RESPONSE
    return caught.value


@pytest.mark.parametrize("name", WHOLE)
def test_every_split_reads_the_same(name: str) -> None:
    """Whole, octet by octet, or cut in two at any place: TCP has no message boundaries."""
    wire, statuses, body, trailers = WHOLE[name]
    splits: list[list[bytes]] = [[wire], [wire[i : i + 1] for i in range(len(wire))]]
    splits += [[wire[:i], wire[i:]] for i in range(1, len(wire))]
    for split in splits:
        reader = feed(split)
        assert [head.status for head in reader.heads] == statuses
        assert reader.take() == body
        assert reader.trailers == trailers
        assert (reader.is_complete, reader.has_surplus, reader.buffered) == (True, False, 0)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("surplus", [b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", b"x", b"0\r\n\r\n"])
def test_surplus_is_seen_and_never_read(name: str, surplus: bytes) -> None:
    """What stands behind a response is nobody's, in the same read or in the next one."""
    wire, statuses, body, trailers = WHOLE[name]
    for split in ([wire + surplus], [wire, surplus], [wire[:-1], wire[-1:] + surplus]):
        reader = feed(split)
        assert reader.has_surplus
        assert [head.status for head in reader.heads] == statuses
        assert reader.take() == body
        assert reader.trailers == trailers


@pytest.mark.parametrize("framing", [LENGTH + b"abc", CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"])
def test_body_behind_the_answer_to_head_is_surplus(framing: bytes) -> None:
    """RFC 9112, section 6.3: it has no body, so these are not its."""
    reader = feed(framing, b"HEAD")
    assert (reader.is_complete, reader.has_surplus, reader.take()) == (True, True, b"")


@pytest.mark.parametrize("name", [name for name in WHOLE if name != "empty"])
def test_end_before_the_end_is_a_cut(name: str) -> None:
    """RFC 9112, section 8: a message whose connection ended early is incomplete, at whichever octet."""
    wire, *_ = WHOLE[name]
    for length in range(len(wire)):
        reader = feed([wire[:length]] if length else [])
        with pytest.raises(UpstreamFailed) as caught:
            reader.feed_eof()
        assert caught.value.reason is Reason.UPSTREAM_BAD_RESPONSE
        assert not reader.is_complete


def test_body_without_length_ends_with_the_connection() -> None:
    """RFC 9112, section 6.3, rule 8."""
    reader = feed([UNTIL_CLOSE + b"abc", b"def"])
    assert not reader.is_complete
    reader.feed_eof()
    assert (reader.is_complete, reader.take(), reader.take()) == (True, b"abcdef", b"")


def test_end_after_the_end_is_nothing() -> None:
    """An upstream may close behind a whole response."""
    reader = feed(LENGTH + b"abc")
    reader.feed_eof()
    assert (reader.is_complete, reader.take()) == (True, b"abc")


def test_pieces_are_joined_and_counted() -> None:
    """What has arrived is taken at once; the count is what back-pressure goes by."""
    reader = feed([CHUNKED, b"3\r\nabc\r\n", b"2\r\nde\r\n"])
    assert reader.buffered == 5
    assert (reader.take(), reader.take(), reader.buffered) == (b"abcde", b"", 0)


@pytest.mark.parametrize(
    "chunks",
    [
        b"0x3\r\nabc\r\n",
        b"+3\r\nabc\r\n",
        b"-3\r\nabc\r\n",
        b" 3\r\nabc\r\n",
        b"3 \r\nabc\r\n",
        b"3_\r\nabc\r\n",
        b"\r\nabc\r\n",
        b"g\r\nabc\r\n",
        b"fffffffffffffffff\r\nabc\r\n",
        b"3\nabc\r\n",
        b"3\rabc\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3\r\nabcd\r\n",
        b"3\r\nabc0\r\n\r\n",
        b"3;a\nabc\r\n",
        b"3;a\rb\r\nabc\r\n",
        b"3;a\x00b\r\nabc\r\n",
        b'3;a="b\r\nabc\r\n',
        b"0\r\n\n",
        b"0\n\r\n",
        b"0\r\nA: b\r\n folded\r\n\r\n",
        b"0\r\nA: b\nC: d\r\n\r\n",
        b"0\r\nA: b\rc\r\n\r\n",
        b"0\r\nA: b\x00\r\n\r\n",
        b"0\r\nA: b\x01\r\n\r\n",
        b"0\r\nA : b\r\n\r\n",
        b"0\r\n: b\r\n\r\n",
        b"0\r\nNo colon\r\n\r\n",
        b"0\r\nContent-Length: 3\r\n\r\n",
    ],
)
def test_malformed_chunks_are_refused(chunks: bytes) -> None:
    """RFC 9112, section 7.1: to the letter, trailers too; each leniency has been a smuggling."""
    refuse(CHUNKED + chunks)


def test_what_came_before_a_fault_can_be_taken() -> None:
    """The client gets what the upstream sent in order, and then the cut."""
    reader = ResponseReader(b"GET")
    with pytest.raises(UpstreamFailed):
        reader.feed(CHUNKED + b"3\r\nabc\r\nzz")
    assert ([head.status for head in reader.heads], reader.take()) == ([200], b"abc")
    assert not reader.is_complete


def test_unasked_switch_is_refused() -> None:
    """Behind a 101 that nobody asked for, the upstream alone would say what the bytes are."""
    assert "without being asked" in refuse(SWITCHING).description


def test_asked_switch_hands_over_the_bytes_behind_it() -> None:
    """The first frame may come in the segment of the 101 (RFC 9110, section 7.8)."""
    reader = feed([SWITCHING + b"\x81\x02hi", b"HTTP/1.1 200 OK\r\n\r\n"], asks_upgrade=True)
    assert [head.status for head in reader.heads] == [101]
    assert reader.take() == b"\x81\x02hiHTTP/1.1 200 OK\r\n\r\n"
    assert not reader.is_complete


def test_refused_switch_is_an_ordinary_response() -> None:
    """The upstream may answer a request for an upgrade as it likes."""
    reader = feed(LENGTH + b"abc", asks_upgrade=True)
    assert (reader.is_complete, reader.take()) == (True, b"abc")


def test_interim_heads_are_bounded() -> None:
    """An upstream that says only that it will answer does not answer."""
    assert len(feed(EARLY_HINTS * MAX_INTERIM_HEADS).heads) == MAX_INTERIM_HEADS
    assert "interim" in refuse(EARLY_HINTS * (MAX_INTERIM_HEADS + 1)).description


def test_endless_head_is_refused_before_its_end() -> None:
    """The limit holds while the head is still coming."""
    reader = feed([b"HTTP/1.1 200 OK\r\nA: ", *[b"x" * 1000] * (MAX_HEAD_BYTES // 1000)])
    with pytest.raises(UpstreamFailed) as caught:
        reader.feed(b"x" * 1000)
    assert "too large" in caught.value.description


@pytest.mark.parametrize("start", [b"3;", b"0\r\nA: "], ids=["extension", "trailer"])
def test_endless_overhead_is_refused(start: bytes) -> None:
    """An extension or a trailer without end must not fill the memory: no byte of a body comes out meanwhile."""
    reader = feed([CHUNKED + start, *[b"x" * 1000] * (MAX_HEAD_BYTES // 1000)])
    with pytest.raises(UpstreamFailed) as caught:
        reader.feed(b"x" * 1000)
    assert "too large" in caught.value.description


def test_too_many_trailers_are_refused() -> None:
    """The limit of the head's fields holds for them too, and is exact."""
    assert len(feed(CHUNKED + b"0\r\n" + b"A: b\r\n" * MAX_FIELDS + b"\r\n").trailers) == MAX_FIELDS
    refuse(CHUNKED + b"0\r\n" + b"A: b\r\n" * (MAX_FIELDS + 1) + b"\r\n")


def test_long_chunked_body_is_no_overhead() -> None:
    """The bound is on what is not body."""
    reader = feed(CHUNKED)
    for _ in range(100):
        reader.feed(b"2000;" + b"x" * 1000 + b"\r\n" + b"a" * 0x2000 + b"\r\n")
        assert len(reader.take()) == 0x2000


AT_ONCE = {
    "length": (LENGTH + b"abc", b"GET", b"abc"),
    "close": (LENGTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + b"abc", b"GET", b"abc"),
    "HTTP/1.0": (LENGTH.replace(b"HTTP/1.1", b"HTTP/1.0") + b"abc", b"POST", b"abc"),
    "two lines": (LENGTH.replace(b"3", b"4") + b"\r\n\r\n", b"GET", b"\r\n\r\n"),
    "empty": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: b\r\n\r\n", b"GET", b""),
    "204": (WHOLE["204"][0], b"GET", b""),
    "304": (WHOLE["304"][0], b"GET", b""),
    "HEAD": (LENGTH, b"HEAD", b""),
    "HEAD, chunked": (CHUNKED, b"HEAD", b""),
    "HEAD, no length": (UNTIL_CLOSE, b"HEAD", b""),
}
NOT_AT_ONCE = {
    "chunked": WHOLE["chunked"][0],
    "trailers": WHOLE["trailers"][0],
    "chunked, more to come": CHUNKED + b"3\r\nabc\r\n",
    "until close": UNTIL_CLOSE,
    "until close, with body": UNTIL_CLOSE + b"abc",
    "interim": EARLY_HINTS,
    "interim, then all": EARLY_HINTS + LENGTH + b"abc",
    "switch": SWITCHING,
    "surplus": LENGTH + b"abcd",
    "surplus behind 204": WHOLE["204"][0] + b"abc",
    "another response": LENGTH + b"abc" + LENGTH + b"abc",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "length and coding": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
    "LF alone": b"HTTP/1.1 200 OK\nContent-Length: 3\r\n\r\nabc",
    "no HTTP": b"<html>\r\n\r\n",
    "too large": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", AT_ONCE)
def test_whole_response_is_read_at_once(name: str) -> None:
    """With its length declared and nothing missing, head and body are those that a reader would give."""
    wire, method, body = AT_ONCE[name]
    reader = feed(wire, method)
    assert read_whole(wire, method) == (reader.heads[0], body)
    assert (reader.is_complete, reader.has_surplus, reader.take()) == (True, False, body)


@pytest.mark.parametrize("name", AT_ONCE)
def test_response_that_is_not_whole_yet_is_left_to_a_reader(name: str) -> None:
    """At whichever octet it was cut, and with whatever stands behind it."""
    wire, method, _ = AT_ONCE[name]
    for length in range(len(wire)):
        assert read_whole(wire[:length], method) is None
    for surplus in (b"x", b"\r\n", LENGTH + b"abc"):
        assert read_whole(wire + surplus, method) is None


@pytest.mark.parametrize("name", NOT_AT_ONCE)
def test_any_other_response_is_left_to_a_reader(name: str) -> None:
    """Chunks, interim heads, what ends with the connection and what is refused: nothing is decided here."""
    assert read_whole(NOT_AT_ONCE[name], b"GET") is None


def test_body_that_ends_like_chunks_is_read_all_the_same() -> None:
    """By a reader, if not at once: a body may hold any octets."""
    wire = LENGTH.replace(b"3", b"5") + b"0\r\n\r\n"
    whole, reader = read_whole(wire, b"GET"), feed(wire)
    assert whole in (None, (reader.heads[0], b"0\r\n\r\n"))
    assert (reader.is_complete, reader.has_surplus, reader.take()) == (True, False, b"0\r\n\r\n")
