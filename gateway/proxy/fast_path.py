"""
The fast path: a plain request served where it was read, with no task and no future.

It decides nothing by itself. It does, in one go, what ``server`` does for every request, as long as there is nothing to
wait for but the upstream: a whole request, keys that are there, a connection that lies idle, and a whole answer. Where
one of them is missing, aiohttp starts a task that goes on from there.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from gateway.core.errors import GatewayError
from gateway.proxy.connection import UpstreamConnection, Whole
from gateway.proxy.plain import is_persistent
from gateway.proxy.response import ResponseHead
from gateway.proxy.response_head import build_answer_head, build_chunk, build_trailers
from gateway.proxy.visit import Visit

if TYPE_CHECKING:
    from gateway.proxy.listener import ClientProtocol
    from gateway.proxy.plain_connection import PlainConnection
    from gateway.proxy.server import Gateway


class FastPath:
    """Serves plain requests of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def take(self, protocol: PlainConnection | ClientProtocol, data: bytes) -> bool:
        """
        Serve what was read, where that is one plain request; return whether it was.

        ``protocol.visit`` is then a request that waits for the upstream, or None.
        """
        gateway = self._gateway
        runtime = gateway.runtime
        if not runtime.pool.has_idle:
            return False
        plain = runtime.plain.read(data, protocol.client)
        if plain is None:
            return False
        method, target, fields, body = plain
        if target in runtime.settings.policy.documents:
            return False
        # A plain one is good for all that is asked before a task serves the request, and is replaced when one does.
        protocol.visit = visit = gateway.begin(protocol, method, target, fields)  # type: ignore[arg-type] # see above
        gateway.take(visit)
        visit.body = body
        visit.keep_alive = is_persistent(fields)
        try:
            if gateway.prepare(visit) is not None or not self._send(visit):
                protocol.hand_over()
        except GatewayError as error:
            visit.keep_alive = gateway.refuse(visit, error)
            if protocol.writing_paused:
                protocol.hand_over()
            else:
                gateway.end(visit)
                protocol.leave(keep_alive=visit.keep_alive)
        return True

    def _send(self, visit: Visit) -> bool:
        connection = visit.runtime.pool.take()
        if connection is None:
            return False
        visit.connection = connection
        visit.began_at = time.perf_counter()
        visit.bytes_in = len(visit.body)
        connection.ask(visit.method.encode("ascii"), visit.head + visit.body, self._answer, visit)
        return True

    def _answer(self, visit: Visit, whole: Whole | None) -> None:
        """Answer with what has come, if that is all of the answer; an exchange goes on with anything else."""
        protocol, connection = visit.protocol, visit.connection
        transport = protocol.transport
        if transport is None or transport.is_closing():
            protocol.visit = None
            self.lose(visit)
            return
        if whole is None or connection is None:
            protocol.hand_over()
            return
        try:
            self._relay(visit, connection, transport, *whole)
        except BaseException:
            # A defect, or what memory there was is gone; whoever waits must learn that there is no answer.
            transport.abort()
            raise

    def _relay(
        self,
        visit: Visit,
        connection: UpstreamConnection,
        transport: asyncio.Transport,
        head: ResponseHead,
        body: bytes,
    ) -> None:
        keep_alive = visit.keep_alive and not self._gateway.is_draining
        octets, is_chunked, keep_alive = build_answer_head(
            head, visit.request_id, is_http_1_1=True, keep_alive=keep_alive
        )
        visit.status = visit.upstream_status = head.status
        visit.head_at = time.perf_counter()
        visit.bytes_out = len(body)
        if is_chunked:
            body = build_chunk(body) + build_trailers(connection.response.trailers)
        transport.write(octets + body)
        visit.connection = None
        visit.runtime.pool.release(connection)
        self._gateway.end(visit)
        visit.protocol.leave(keep_alive=keep_alive)

    def lose(self, visit: Visit) -> None:
        """Give up a request that waits, as its client has gone."""
        # One that has a task is the task's, and one that a defect met at its very end is accounted for.
        if not visit.is_taken:
            return
        if visit.connection is not None:
            visit.connection.stop_asking()
            visit.runtime.pool.release(visit.connection)
        self._gateway.abandon(visit)
