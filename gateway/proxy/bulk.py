"""
Large bodies of a known length: their beginning is relayed as any body is, and the kernel moves the rest.

What follows a body on its connection is read as ever, as exactly so many octets are moved as the body still has.
"""

from __future__ import annotations

import asyncio

from gateway.core.errors import Reason, RequestRefused
from gateway.proxy.client_writer import ClientWriter
from gateway.proxy.connection import UpstreamConnection
from gateway.proxy.splice import Splice, SpliceEnded
from gateway.proxy.visit import ClientGone, Visit

# What must be left of a body; for less, the files that it takes cost more than they save.
MIN_BYTES = 256 * 1024
# How long an exchange may go on whose request cannot be sent on.
_GRACE_SECONDS = 1.0


class Bulk:
    """The large bodies of one exchange."""

    def __init__(self, visit: Visit, client: ClientWriter, idle_seconds: float) -> None:
        self._visit = visit
        self._client = client
        self._idle_seconds = idle_seconds

    async def send_answer(self, connection: UpstreamConnection, head: bytes) -> bytes:
        """
        Send a large answer, and return what is left to be written; of the body, none or all of what is there.

        Raises:
            ClientGone: The client reads no more. Of the upstream's end, the next read tells.
        """
        response = connection.response
        if response.missing < MIN_BYTES:
            return head
        splice = connection.open_splice(
            self._client.transport, response.missing, is_upload=False, idle_seconds=self._idle_seconds
        )
        if splice is None:
            return head
        body = response.take()
        try:
            self._visit.bytes_out += len(body)
            await self._client.write(head + body)
            await self._client.flush()
            await splice.run()
        except SpliceEnded as end:
            if not end.is_source:
                raise ClientGone from end
        finally:
            self._visit.bytes_out += splice.moved
            response.skip(splice.moved)
            connection.close_splice(splice)
        return b""

    async def send_body(self, connection: UpstreamConnection, piece: bytes) -> bool:
        """
        Send a piece that has just been read of a large body, and all the rest; return whether that is possible.

        Raises:
            RequestRefused: The client sends no more.
        """
        visit = self._visit
        missing = int(visit.fields.content_length[0]) - visit.bytes_in if visit.fields.content_length else 0
        if missing < MIN_BYTES or (source := visit.protocol.hold_body(visit.bytes_in)) is None:
            return False
        splice = connection.open_splice(source, missing, is_upload=True, idle_seconds=self._idle_seconds)
        if splice is None:
            source.resume_reading()
            return False
        try:
            connection.write(piece)
            await connection.flush()
            await splice.run()
            visit.protocol.skip_body()
        except SpliceEnded as end:
            await self._give_up(end, splice, connection, source)
        finally:
            visit.bytes_in += splice.moved
            connection.close_splice(splice)
        return True

    @staticmethod
    async def _give_up(
        end: SpliceEnded, splice: Splice, connection: UpstreamConnection, source: asyncio.Transport
    ) -> None:
        if end.is_stalled:
            raise RequestRefused(Reason.REQUEST_TIMEOUT, "The request body stalled.") from end
        if end.is_source and not splice.moved:
            # The next read tells what it is.
            source.resume_reading()
            return
        if end.is_source:
            # What is left of the body, if anything is, would be counted wrongly.
            source.abort()
        # Who reads the answer mostly learns of it too, and ends this, maybe with an early answer.
        await asyncio.sleep(_GRACE_SECONDS)
        connection.abort()
        await asyncio.get_running_loop().create_future()
