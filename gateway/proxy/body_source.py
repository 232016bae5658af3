"""aiohttp's protocol, with bodies of requests whose rest need not come to its parser."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.http import HttpRequestParser


class BodySource(web.RequestHandler):
    """A client connection whose body that is being read may be taken where the kernel has it."""

    __slots__ = ()

    def hold_body(self, count: int) -> asyncio.Transport | None:
        """
        Read no more, and return the transport that the rest of the body comes from.

        Only if exactly ``count`` octets of the body have come up to us, so that the next one in the kernel is the first
        of the rest; else go on, and return None.
        """
        request, transport = self._current_request, self.transport
        # As none of them waits to be read, aiohttp has not paused either, and its parser holds nothing back.
        if request is None or transport is None or self._force_close or self._close:
            return None
        if request.content.total_bytes != count:
            return None
        transport.pause_reading()
        return transport

    def skip_body(self) -> None:
        """Take note that the rest of the body has been taken, and read what follows."""
        if self._current_request is None or self.transport is None:
            return
        self._current_request.content.feed_eof()
        # The one there was would wait for the rest.
        self._parser = HttpRequestParser(
            self,
            self._loop,
            self._read_bufsize,
            max_line_size=self.max_line_size,
            max_field_size=self.max_field_size,
            max_headers=self.max_headers,
            payload_exception=web.RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=self._max_msg_queue_size,
        )
        self.transport.resume_reading()
