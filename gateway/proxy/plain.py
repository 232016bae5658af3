"""
Plain requests, read at once: HTTP/1.1, all of it in one read, and nothing about it that needs care.

Most requests are such. What is not, or may not be, is None here, and aiohttp reads it from its first byte, with its own
verdict on it: nothing is refused here. Pure: bytes in, a value or None out.
"""

from __future__ import annotations

import re

from httptools import HttpParserError, HttpRequestParser

from gateway.config.settings import Limits
from gateway.core.fields import split_list
from gateway.proxy.known_headers import KnownHeaders, cut_token
from gateway.proxy.request_head import Client, RequestHeader, RequestRewriter

# Method, request-target, header, body.
PlainRequest = tuple[str, str, RequestHeader, bytes]

_START = re.compile(rb"(DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT) (/[!-~]*) HTTP/1\.1")
# What ends the connection to llhttp, for which Proxy-Connection means the same as Connection; and perhaps some others.
_LAST = re.compile(rb"(?i:connection:[^\r\n]*close)")


class PlainReader:
    """
    Takes requests apart and has llhttp check them; of heads that are within every limit, whatever they are made of.

    Of a header that is known, llhttp has checked all but the token, whose grammar is narrower than that of a field; and
    any target that is taken here is one to it.

    The parser is one for all connections. It is fed whole messages only, so that it keeps nothing of one, and thrown
    away when it refuses something or has been told that nothing follows.
    """

    def __init__(self, rewriter: RequestRewriter, limits: Limits) -> None:
        self._rewriter = rewriter
        self._max_head_bytes = min(limits.request_line_bytes, limits.header_field_bytes, limits.headers_bytes)
        self._max_fields = limits.header_count
        self._parser = HttpRequestParser(_DEAF)
        # The answer to a token in a query needs care.
        self._carried = rewriter.carried
        self._known = KnownHeaders()

    def read(self, data: bytes, client: Client) -> PlainRequest | None:
        """Return the request that these bytes are, if they are one plain request and nothing else."""
        head, end, body = data.partition(b"\r\n\r\n")
        line, _, _ = head.partition(b"\r\n")
        start = _START.fullmatch(line)
        if start is None or not end or len(head) > self._max_head_bytes:
            return None
        if self._carried is not None and self._carried.may_stand_in(line.decode("ascii")):
            return None
        octets = head[len(line) :]
        shape, authorization = cut_token(octets, is_from_trusted=self._rewriter.trusts(client))
        known = self._known.find(shape)
        if known is None and octets.count(b"\n") > self._max_fields:
            return None
        header = self._rewriter.read(octets, client) if known is None else known.repeat(octets, authorization)
        lengths = header.content_length
        if (lengths or body) and lengths != (b"%d" % len(body),):
            return None
        if known is None and not self._is_plain(header, data):
            return None
        if known is None and self._rewriter.drops_tokens:
            self._known.keep(shape, authorization, header)
        method, target = start.groups()
        return method.decode("ascii"), target.decode("ascii"), header, body

    def _is_plain(self, header: RequestHeader, data: bytes) -> bool:
        if header.has_repeated or header.upgrade or header.transfer_encoding or header.expect or not header.host:
            return False
        # llhttp takes a NUL in a value; aiohttp looks for it too.
        if b"\0" in header.octets or not self._is_http(data):
            return False
        if _LAST.search(header.octets):
            # llhttp reads nothing behind a last request.
            self._parser = HttpRequestParser(_DEAF)
        return True

    def _is_http(self, data: bytes) -> bool:
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            self._parser = HttpRequestParser(_DEAF)
            return False
        return True


def is_persistent(header: RequestHeader) -> bool:
    """Return whether the connection outlives the request (RFC 9112, section 9.3)."""
    return not header.connection or b"close" not in split_list(header.connection)


class _Deaf:
    """Listens to nothing that llhttp says: a call for each field costs more than all the rest."""

    __slots__ = ()


_DEAF = _Deaf()
