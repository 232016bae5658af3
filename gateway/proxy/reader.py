"""
One exchange's response as it arrives: bytes in, heads and body out.

Pure: no socket, no clock, no loop; however the bytes were split on their way, the same comes out. A reader serves one
exchange and is thrown away, so no state of one response can reach into the next.
"""

from __future__ import annotations

from httptools import HttpParserError, HttpResponseParser

from gateway.core.errors import UpstreamFailed
from gateway.core.fields import Field
from gateway.proxy.response import (
    MAX_FIELDS,
    MAX_HEAD_BYTES,
    SWITCHING_PROTOCOLS,
    Framing,
    ResponseHead,
    build_failure,
    check_start,
    parse_response_head,
)

# An upstream may report progress (102, 103) before it answers; one that does nothing else is not answering.
MAX_INTERIM_HEADS = 16

_HEAD_END = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
_OK = 200


class ResponseReader:
    """
    Reads the heads and the body of the response to one request.

    ``heads`` are the heads not yet taken, interim ones first. ``buffered`` counts the body bytes not yet taken.
    ``is_complete`` says that the response has arrived to its last byte, ``has_surplus`` that more than that has.
    After a 101, the body is whatever follows on the connection.
    """

    # What follows stands here and not in __init__, as most responses set little of it.
    _partial = b""
    _interim = 0
    _remaining = 0
    _chunks: ChunkedDecoder | None = None
    final: ResponseHead | None = None
    buffered = 0
    is_complete = False
    has_surplus = False

    def __init__(self, method: bytes, *, asks_upgrade: bool = False) -> None:
        self._method = method
        self._upgrade = asks_upgrade
        self._pieces: list[bytes] = []
        self.heads: list[ResponseHead] = []

    @property
    def trailers(self) -> tuple[Field, ...]:
        """The trailer fields, whole once the response is complete; they are never part of the head's fields."""
        return tuple(self._chunks.trailers) if self._chunks is not None else ()

    @property
    def has_body(self) -> bool:
        """Whether anything of the body, or its end, has arrived and is not yet taken."""
        return self.is_complete or self.buffered > 0

    @property
    def missing(self) -> int:
        """How many octets have yet to arrive, of a body with a length; else 0."""
        return self._remaining

    def skip(self, count: int) -> None:
        """Take note that so many of the missing octets have gone another way."""
        self._remaining -= count
        self.is_complete = not self._remaining

    def feed(self, data: bytes) -> None:
        """
        Read the next bytes of the connection.

        What was read before a fault stays there to be taken.

        Raises:
            UpstreamFailed: ``UPSTREAM_BAD_RESPONSE``; the response is malformed or ambiguous. Feed no more.
        """
        final = self.final
        while final is None:
            if self._partial:
                data = self._partial + data
            end = data.find(_HEAD_END) + len(_HEAD_END)
            if end < len(_HEAD_END):
                check_start(data)
                self._partial = data
                return
            self._partial = b""
            head = parse_response_head(data[:end], self._method)
            data = data[end:]
            if head.is_interim:
                self._count_interim()
            else:
                self._begin(head)
                final = head
            self.heads.append(head)
        if not data:
            return
        if final.framing is Framing.LENGTH and len(data) == self._remaining:
            # All that was missing, as it mostly is with the head.
            self._pieces.append(data)
            self.buffered += len(data)
            self._remaining = 0
            self.is_complete = True
        else:
            self._feed_body(data, final.framing)

    def feed_eof(self) -> None:
        """
        Take note that the upstream has ended the connection, in order.

        Raises:
            UpstreamFailed: ``UPSTREAM_BAD_RESPONSE``; the response was not complete.
        """
        if self.is_complete:
            return
        if self.final is None or self.final.framing is not Framing.CLOSE:
            raise build_failure("The upstream closed the connection before the end of its response.")
        self.is_complete = True

    def take(self) -> bytes:
        """Return the body that has arrived since the last call, decoded; empty if none has."""
        pieces = self._pieces
        if not pieces:
            return b""
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.buffered = 0
        return body

    def _count_interim(self) -> None:
        self._interim += 1
        if self._interim > MAX_INTERIM_HEADS:
            raise build_failure("The upstream sent too many interim responses.")

    def _begin(self, head: ResponseHead) -> None:
        """Begin the final response."""
        self.final = head
        if head.framing is Framing.LENGTH:
            self._remaining = head.length or 0
        elif head.framing is Framing.NONE:
            self.is_complete = True
        elif head.framing is Framing.CHUNKED:
            self._chunks = ChunkedDecoder(self._pieces)
        elif head.status == SWITCHING_PROTOCOLS and not self._upgrade:
            # Whoever sends a 101 that nobody asked for decides alone what the bytes behind it are.
            raise build_failure("The upstream switched protocols without being asked.")

    def _feed_body(self, data: bytes, framing: Framing) -> None:
        if self.is_complete:
            self.has_surplus = True
        elif framing is Framing.LENGTH:
            if len(data) > self._remaining:
                data = data[: self._remaining]
                self.has_surplus = True
            self._pieces.append(data)
            self.buffered += len(data)
            self._remaining -= len(data)
            self.is_complete = not self._remaining
        elif self._chunks is not None:
            self._feed_chunks(self._chunks, data)
        else:
            self._pieces.append(data)
            self.buffered += len(data)

    def _feed_chunks(self, chunks: ChunkedDecoder, data: bytes) -> None:
        self.buffered += chunks.feed(data)
        self.is_complete = chunks.is_complete
        self.has_surplus = chunks.has_surplus


def read_whole(data: bytes, method: bytes) -> tuple[ResponseHead, bytes] | None:
    """
    Return head and body of a response that these bytes are, to the last one and with its length declared, else None.

    Most are such, and a reader would be made for one call.
    """
    if data.endswith(_LAST_CHUNK):
        return None
    end = data.find(_HEAD_END) + len(_HEAD_END)
    if end < len(_HEAD_END):
        return None
    try:
        head = parse_response_head(data[:end], method)
    except UpstreamFailed:
        # Who reads it again knows what to do.
        return None
    size = len(data) - end
    if head.framing is Framing.LENGTH:
        return (head, data[end:]) if size == head.length else None
    return (head, b"") if head.framing is Framing.NONE and not size and head.status >= _OK else None


class ChunkedDecoder:
    """
    Decodes a chunked body (RFC 9112, section 7.1) into ``pieces``; chunk extensions are dropped, trailers collected.

    llhttp does it, strictly: sizes are hexadecimal digits and nothing else, every line ends with CR LF, and trailer
    fields obey the grammar of header fields.
    """

    __slots__ = ("_collected", "_overhead", "_parser")

    # llhttp decodes messages; this begins one of which nothing but the chunks is ours to read.
    _HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    def __init__(self, pieces: list[bytes]) -> None:
        # The parser holds the collector's methods, so the collector must not hold the parser: no cycle, nothing for the
        # garbage collector.
        self._collected = _ChunkCollector(pieces)
        self._parser = HttpResponseParser(self._collected)
        self._parser.feed_data(self._HEAD)
        self._collected.trailers.clear()
        self._overhead = 0

    @property
    def trailers(self) -> list[Field]:
        """The trailer fields so far."""
        return self._collected.trailers

    @property
    def is_complete(self) -> bool:
        """Whether the last chunk and the trailers have arrived."""
        return self._collected.ended

    @property
    def has_surplus(self) -> bool:
        """Whether bytes have arrived behind the end; llhttp skips a lone CR LF, which is no message to anybody."""
        return self._collected.has_surplus

    def feed(self, data: bytes) -> int:
        """
        Decode the next bytes and return how many of the body they held.

        Raises:
            UpstreamFailed: ``UPSTREAM_BAD_RESPONSE``; the chunks or the trailers are malformed or too large.
        """
        collected = self._collected
        before = collected.decoded
        try:
            self._parser.feed_data(data)
        except HttpParserError as exc:
            # Bytes behind the end stop llhttp too, but then the body is whole.
            if not collected.ended:
                raise build_failure("The upstream's chunked body is malformed.", str(exc)) from exc
        decoded = collected.decoded - before
        self._check_overhead(0 if decoded else len(data))
        return decoded

    def _check_overhead(self, size: int) -> None:
        # An extension or a trailer without end would be kept by the parser, and no byte of a body would ever come out.
        self._overhead = self._overhead + size if size else 0
        if self._overhead > MAX_HEAD_BYTES or len(self.trailers) > MAX_FIELDS:
            raise build_failure("The upstream's chunk extension or trailer section is too large.")


class _ChunkCollector:
    """What llhttp says about a chunked body."""

    __slots__ = ("decoded", "ended", "has_surplus", "pieces", "trailers")

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.trailers: list[Field] = []
        self.decoded = 0
        self.ended = False
        self.has_surplus = False

    def on_message_begin(self) -> None:
        # llhttp goes on with what stands behind the end, as with another message, whose body would be added to ours.
        if self.ended:
            self.has_surplus = True
            raise build_failure("The upstream sent more than its response.")

    def on_body(self, piece: bytes) -> None:
        self.decoded += len(piece)
        self.pieces.append(piece)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.trailers.append((name, value.rstrip(b" \t")))

    def on_message_complete(self) -> None:
        self.ended = True
