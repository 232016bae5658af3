"""
The head of an upstream's response: bytes to a value, or a refusal.

Pure: no socket, no clock, no loop. llhttp (through httptools) reads the head, in its strict mode. What it lets pass and
a gateway must not is refused here: a status line that is none, transfer codings other than ``chunked``, and framing
that HTTP/1.0 does not have. A response of two meanings is refused whole, never mended (RFC 9112, sections 5 and 6.3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from gateway.core.errors import Reason, UpstreamFailed
from gateway.core.fields import HOP_BY_HOP, build_name_pattern, split_list
from gateway.core.memory import Memory

# The precedent for both is Envoy, and our own limits on a request.
MAX_HEAD_BYTES = 65536
MAX_FIELDS = 100

SWITCHING_PROTOCOLS = 101
_MAX_LENGTH_DIGITS = 19
_MIN_FIELD_BYTES = len(b"a:\r\n")
_OK = 200

# RFC 9112, section 4, with the statuses of RFC 9110, section 15. llhttp takes 000 and 999, HTTP/2.0 and HTTP/0.9,
# control octets in the reason, and empty lines before all that. With the reason, many leave out the space before it.
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t -~\x80-\xff]*))?")
_START = b"HTTP/1."

# RFC 9110, sections 8.6 and 15: 204 and 304 end with their head, whatever their fields say; so does any 1xx.
_BODILESS = frozenset({204, 304})

# Not for the client: about this connection, about the framing, or ours to write; each with its value.
_OWN = re.compile(build_name_pattern(HOP_BY_HOP | {b"content-length", b"x-request-id"}) + rb"[ \t]*([^\r\n]*)")
_EVENT_STREAM = re.compile(rb"(?i:\r\ncontent-type:[ \t]*text/event-stream[ \t]*(?:;|\r\n|\Z))")
# What Connection mostly says, if anything.
_KEEP_ALIVE = [b"keep-alive"]

# What says what an answer is like, and is neither a secret nor another in each. Many heads of such fields alone are the
# same as one before, and to read one anew is a sixth of what a whole request costs. 2 MiB of them at the most.
_USUAL_FIELDS = build_name_pattern(
    (
        *(rb"access-control-[!#-9;-~]+", b"age", b"allow", b"cache-control", b"connection", b"content-encoding"),
        *(b"content-language", b"content-length", b"content-type", rb"cross-origin-[!#-9;-~]+", b"date", b"expires"),
        *(b"keep-alive", b"last-modified", b"permissions-policy", b"pragma", b"referrer-policy", b"server"),
        *(b"strict-transport-security", b"transfer-encoding", b"vary", b"via", b"x-content-type-options"),
        *(b"x-frame-options", b"x-powered-by"),
    )
)
_USUAL = re.compile(rb"[^\r\n]*(?:%b[^\r\n]*)*\r\n\r\n" % _USUAL_FIELDS)
_MAX_KNOWN_BYTES = 1024
_known: Memory[tuple[bytes, bytes], ResponseHead] = Memory(512)


class Framing(Enum):
    """Where the body of a response ends (RFC 9112, section 6.3)."""

    NONE = auto()
    LENGTH = auto()
    CHUNKED = auto()
    CLOSE = auto()


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """
    A response up to its empty line; the octets are those of the wire, in its order and casing.

    ``fields`` are the field lines that are for the client, each behind its CR LF: all but those that are about this
    connection (RFC 9110, section 7.6.1), about the framing, or ours to write. ``length`` is the ``Content-Length`` as
    declared, also where no body follows (HEAD, 304). After a 101 the connection itself is the body.
    """

    status: int
    reason: bytes
    fields: bytes
    framing: Framing
    length: int | None
    is_event_stream: bool
    keep_alive: bool

    @property
    def is_interim(self) -> bool:
        """Whether another head of the same exchange follows (RFC 9110, section 15.2)."""
        return self.status < _OK and self.status != SWITCHING_PROTOCOLS


def build_failure(description: str, received: object = None) -> UpstreamFailed:
    """Return the refusal of an upstream's response that is not HTTP, ambiguous, or cut."""
    return UpstreamFailed(Reason.UPSTREAM_BAD_RESPONSE, description, received=received)


def check_start(head: bytes) -> None:
    """
    Refuse the first part of a head that can never become a whole one.

    An upstream that speaks something else, or ends its lines with LF alone, would else be waited for until the timeout.

    Raises:
        UpstreamFailed: ``UPSTREAM_BAD_RESPONSE``.
    """
    if len(head) > MAX_HEAD_BYTES:
        raise build_failure("The upstream's response head is too large.", len(head))
    if not (head.startswith(_START) or _START.startswith(head)):
        raise build_failure("The upstream did not answer in HTTP/1.", head[:32])
    if head.count(b"\n") != head.count(b"\r\n"):
        raise build_failure("The upstream's response head has a line that does not end with CR LF.")


def parse_response_head(head: bytes, method: bytes) -> ResponseHead:
    """
    Parse one whole response head, its empty line included, of the answer to a request with that method.

    Raises:
        UpstreamFailed: ``UPSTREAM_BAD_RESPONSE``; the head is malformed, ambiguous or too large.
    """
    key = head, method
    parsed = _known[key]
    if parsed is None:
        parsed = _parse_new(head, method)
        if len(head) <= _MAX_KNOWN_BYTES and _USUAL.fullmatch(head):
            _known[key] = parsed
    return parsed


def _parse_new(head: bytes, method: bytes) -> ResponseHead:
    if len(head) > MAX_HEAD_BYTES:
        raise build_failure("The upstream's response head is too large.", len(head))
    line, _, _ = head.partition(b"\r\n")
    status, reason, is_http_1_1 = _parse_status_line(line)
    _check_grammar(head)
    # As none is shorter than four octets, a short head need not be counted.
    if len(head) > _MIN_FIELD_BYTES * MAX_FIELDS and head.count(b"\n") - 2 > MAX_FIELDS:
        raise build_failure("The upstream's response has too many fields.", head.count(b"\n") - 2)
    # From the end of the status line on, without the empty line; what is for the client stays together as it came.
    pieces = _OWN.split(head[len(line) : -4])
    fields = b"".join(pieces[::3])
    length, codings, options, protocols = _sort(pieces)
    if codings:
        _check_coding(codings, is_http_1_1=is_http_1_1)
    if status == SWITCHING_PROTOCOLS:
        _check_switch(protocols, has_body=length is not None or bool(codings))
    framing = _choose_framing(method, status, length, is_coded=bool(codings))
    keep_alive = is_http_1_1
    if options == _KEEP_ALIVE:
        keep_alive = True
    elif options:
        listed = frozenset(split_list(options))
        fields = _drop_listed(fields, listed)
        # RFC 9112, section 9.3
        keep_alive = b"close" not in listed and (is_http_1_1 or b"keep-alive" in listed)
    if framing is Framing.CLOSE:
        keep_alive = False
    is_event_stream = length is None and _EVENT_STREAM.search(fields) is not None
    return ResponseHead(status, reason, fields, framing, length, is_event_stream, keep_alive)


# Upstreams know few of them.
@lru_cache(maxsize=256)
def _parse_status_line(line: bytes) -> tuple[int, bytes, bool]:
    """Return the status, the reason and whether this is HTTP/1.1."""
    found = _STATUS_LINE.fullmatch(line)
    if found is None:
        raise build_failure("The upstream's status line is malformed.", line[:64])
    minor, status, reason = found.groups(b"")
    return int(status), reason, minor == b"1"


def _sort(pieces: list[bytes]) -> tuple[int | None, list[bytes], list[bytes], list[bytes]]:
    """Return the length, the codings, the connection options and the protocols that a split header names."""
    length = None
    codings: list[bytes] = []
    options: list[bytes] = []
    protocols: list[bytes] = []
    for name, value in zip(pieces[1::3], pieces[2::3]):  # noqa: B905 - of one list, a name and a value each
        key = name.lower()
        if key == b"content-length":
            # llhttp has refused a second one.
            length = _read_length(value)
        elif key == b"connection":
            options.append(value)
        elif key == b"transfer-encoding":
            codings.append(value)
        elif key == b"upgrade":
            protocols.append(value)
    return length, codings, options, protocols


def _drop_listed(fields: bytes, listed: frozenset[bytes]) -> bytes:
    """Return the lines without those of fields that Connection names (RFC 9110, section 7.6.1)."""
    lines = fields.split(b"\r\n")
    return b"\r\n".join(line for line in lines if line.partition(b":")[0].lower() not in listed)


def _choose_framing(method: bytes, status: int, length: int | None, *, is_coded: bool) -> Framing:
    """Return how the body ends (RFC 9112, section 6.3); llhttp has refused two lengths, and a length with a coding."""
    if status == SWITCHING_PROTOCOLS:
        return Framing.CLOSE
    if method == b"HEAD" or status < _OK or status in _BODILESS:
        return Framing.NONE
    if length is not None:
        return Framing.LENGTH if length else Framing.NONE
    return Framing.CHUNKED if is_coded else Framing.CLOSE


class _Deaf:
    """Listens to nothing that llhttp says about a head: a call for each field costs more than all the rest."""

    __slots__ = ()


_DEAF = _Deaf()


def _check_grammar(head: bytes) -> None:
    # A parser of its own for each head: nothing of one response can reach into the next.
    try:
        HttpResponseParser(_DEAF).feed_data(head)
    except HttpParserUpgrade:
        pass
    except HttpParserError as exc:
        raise build_failure("The upstream's response head is malformed or ambiguous.", str(exc)) from exc


def _read_length(value: bytes) -> int:
    # llhttp takes any number of zeros, and Python refuses to read more than 4300 digits.
    if len(value.strip()) > _MAX_LENGTH_DIGITS:
        raise build_failure("The upstream's Content-Length is not a length.")
    return int(value)


def _check_coding(codings: list[bytes], *, is_http_1_1: bool) -> None:
    # RFC 9112, section 6.1: with HTTP/1.0 the framing is faulty, even if whoever wrote it meant chunks.
    if not is_http_1_1:
        raise build_failure("The upstream's HTTP/1.0 response has a Transfer-Encoding.")
    # We never ask for another coding, and where it finds one llhttp reads on until the connection ends.
    if len(codings) != 1 or codings[0].rstrip(b" \t").lower() != b"chunked":
        raise build_failure("The upstream's Transfer-Encoding is not chunked.", b", ".join(codings))


def _check_switch(protocols: list[bytes], *, has_body: bool) -> None:
    """
    Refuse a 101 that is not to a WebSocket, the one protocol that we ask for, or that has a body.

    RFC 6455, section 4.1; RFC 9110, sections 7.8 and 8.6. Whom we told of a WebSocket must not talk to something else.
    """
    if split_list(protocols) != [b"websocket"]:
        raise build_failure("The upstream switched to another protocol than was asked for.", b", ".join(protocols))
    if has_body:
        raise build_failure("The upstream switched protocols with a body.")
