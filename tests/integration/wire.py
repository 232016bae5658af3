"""
HTTP/1.1 as octets, for tests that compare: a reader of messages that shares nothing with the gateway's, and the list of
what a gateway may change.

``normalise_request`` and ``normalise_answer`` are that list. What they leave must be the same octets on both ways.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass

Field = tuple[bytes, bytes]

# RFC 9110, section 7.6.1: they end with each connection. The framing is compared by itself.
HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade", b"content-length"}
)
# Said by the gateway alone, or answered by it.
REMOVED_FROM_REQUESTS = HOP_BY_HOP | {b"authorization", b"expect", b"trailer", b"x-request-id", b"x-identity"}
ADDED_TO_REQUESTS = frozenset(
    {
        *(b"x-request-id", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded"),
        *(b"x-identity", b"via"),
    }
)
REMOVED_FROM_ANSWERS = HOP_BY_HOP | {b"x-request-id"}

READ_SECONDS = 10.0


@dataclass(frozen=True)
class Message:
    """One message as it came; ``framing`` is none, length, chunked or close, ``body`` is decoded."""

    start: bytes
    fields: tuple[Field, ...]
    framing: str = "none"
    body: bytes = b""
    trailers: tuple[Field, ...] = ()

    @property
    def status(self) -> int:
        return int(self.start.split(b" ")[1])

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key.lower() == name]

    @property
    def options(self) -> frozenset[bytes]:
        """What the Connection fields list."""
        return frozenset(part.strip().lower() for value in self.values(b"connection") for part in value.split(b","))


def split_lines(lines: Iterable[bytes]) -> tuple[Field, ...]:
    """Return the fields of lines; the blanks around a value are the line's (RFC 9112, section 5)."""
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        assert colon, line
        assert name, line
        assert not re.search(rb"\s", name), line
        assert not re.search(rb"[\r\n]", value), line
        fields.append((name, value.strip(b" \t")))
    return tuple(fields)


async def read_head(reader: asyncio.StreamReader) -> Message:
    """Return the next head; asyncio.IncompleteReadError at the connection's end."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), READ_SECONDS)
    start, *lines = head[:-4].split(b"\r\n")
    return Message(start, split_lines(lines))


async def read_request(reader: asyncio.StreamReader, head: Message | None = None) -> Message:
    """Return the next request, whole."""
    head = head or await read_head(reader)
    return await read_body(reader, head, "none")


async def read_answer(reader: asyncio.StreamReader, *, is_head: bool = False) -> Message:
    """Return the next answer, interim ones too, whole; a cut body raises asyncio.IncompleteReadError."""
    head = await read_head(reader)
    if is_head or head.status in (204, 304) or head.status < 200:
        return head
    return await read_body(reader, head, "close")


async def read_body(reader: asyncio.StreamReader, head: Message, otherwise: str) -> Message:
    """Return the message with its body; ``otherwise`` is its framing if it names none (RFC 9112, section 6.3)."""
    lengths, codings = head.values(b"content-length"), head.values(b"transfer-encoding")
    assert len(lengths) + len(codings) <= 1, f"the framing is ambiguous: {head}"
    if lengths:
        body = await asyncio.wait_for(reader.readexactly(int(lengths[0])), READ_SECONDS)
        return Message(head.start, head.fields, "length", body)
    if codings:
        assert [coding.lower() for coding in codings] == [b"chunked"], codings
        body, trailers = await asyncio.wait_for(_read_chunks(reader), READ_SECONDS)
        return Message(head.start, head.fields, "chunked", body, trailers)
    if otherwise == "none":
        return head
    return Message(head.start, head.fields, "close", await asyncio.wait_for(reader.read(), READ_SECONDS))


async def _read_chunks(reader: asyncio.StreamReader) -> tuple[bytes, tuple[Field, ...]]:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        piece = await reader.readexactly(size + 2)
        assert piece.endswith(b"\r\n"), piece
        body += piece[:-2]
    lines = []
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        lines.append(line[:-2])
    return body, split_lines(lines)


def normalise_request(message: Message) -> Message:
    """Return a request without what the gateway may add, remove or write anew; Host keeps its place."""
    method, target, _ = message.start.split(b" ")
    if b"://" in target:
        # RFC 9112, section 3.2.1: to an origin server, the origin-form.
        target = b"/" + target.partition(b"://")[2].partition(b"/")[2]
    fields = tuple(
        (name, b"(host)" if name.lower() == b"host" else value)
        for name, value in message.fields
        if (lower := name.lower()) not in REMOVED_FROM_REQUESTS | ADDED_TO_REQUESTS and lower not in message.options
    )
    # Trailers of a request end here: they could be taken for fields (RFC 9110, section 6.5.1).
    return Message(b"%b %b HTTP/1.1" % (method, target), fields, message.framing, message.body)


def normalise_answer(message: Message, *, is_http_1_0: bool = False) -> Message:
    """Return an answer without what the gateway may add, remove or write anew."""
    version, _, rest = message.start.partition(b" ")
    assert version in (b"HTTP/1.0", b"HTTP/1.1")
    code, _, reason = rest.partition(b" ")
    fields = [
        (name, value)
        for name, value in message.fields
        if (lower := name.lower()) not in REMOVED_FROM_ANSWERS and lower not in message.options
    ]
    # A body without length is chunked for whoever knows chunks, and else ends with the connection.
    framing = "open" if message.framing in ("chunked", "close") else message.framing
    if message.status != 204:
        fields += [(b"(length)", b"%d" % int(value)) for value in message.values(b"content-length")]
    trailers = () if is_http_1_0 else message.trailers
    return Message(b"%b %b" % (code, reason), tuple(fields), framing, message.body, trailers)
