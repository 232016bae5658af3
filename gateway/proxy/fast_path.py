"""
The fast path: a plain request served where it was read, with no task and no future.

It decides nothing by itself. It does, in one go, what ``server`` does for every request, as long as there is nothing to
wait for but the upstream: a whole request, keys that are there, a connection that lies idle, and a whole answer. Where
one of them is missing, aiohttp starts a task that goes on from there.

Requests that come in one turn of the loop are decided together, as ``core.steps`` says why. Signatures wait for as long
as each turn brings more of them: they are checked when nothing else is to be done, or when they are many.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway.core.errors import GatewayError
from gateway.proxy.connection import UpstreamConnection, Whole
from gateway.proxy.plain import is_persistent
from gateway.proxy.preparation import Proving
from gateway.proxy.response import ResponseHead
from gateway.proxy.response_head import build_answer_head, build_chunk, build_trailers
from gateway.proxy.visit import Visit

if TYPE_CHECKING:
    from gateway.proxy.listener import ClientProtocol
    from gateway.proxy.plain_connection import PlainConnection
    from gateway.proxy.server import Gateway


# So many requests are decided together at most: the first is not to wait for any number of others.
_MAX_TOGETHER = 32


class FastPath:
    """Serves plain requests of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        # Requests that were read in this turn of the loop, and are begun with at its end.
        self._waiting: list[Visit] = []
        # Those whose signatures are to be checked, and those with the same tokens as one of them.
        self._unproven: list[tuple[Visit, Proving]] = []
        self._twins: list[Visit] = []
        self._due: asyncio.Handle | None = None

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
        self._waiting.append(visit)
        if len(self._waiting) + len(self._unproven) + len(self._twins) >= _MAX_TOGETHER:
            self._go_on()
        else:
            self._go_on_soon()
        return True

    def _go_on_soon(self) -> None:
        if self._due is None:
            self._due = asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        """Begin with the requests that wait, and prove those that lack it, once no more of them come."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        waiting, self._waiting = self._waiting, []
        before = len(self._unproven)
        names = {visit.token_name for visit, _ in self._unproven}
        for visit, steps in self._begin(waiting):
            if visit.token_name and visit.token_name in names:
                self._twins.append(visit)
            else:
                names.add(visit.token_name)
                self._unproven.append((visit, steps))
        if before < len(self._unproven) < _MAX_TOGETHER - len(self._twins):
            self._go_on_soon()
            return
        unproven, self._unproven = self._unproven, []
        twins, self._twins = self._twins, []
        self._prove(unproven)
        # By now their token is known, if it is good.
        self._prove(self._begin(twins))

    def _begin(self, visits: list[Visit]) -> list[tuple[Visit, Proving]]:
        return self._take_steps([(visit, None) for visit in visits])

    def _prove(self, running: list[tuple[Visit, Proving]]) -> None:
        while running:
            running = self._take_steps(running)

    def _take_steps(self, running: Sequence[tuple[Visit, Proving | None]]) -> list[tuple[Visit, Proving]]:
        """Begin with these requests, or take the next step of each, and send on who is allowed; return the others."""
        unfinished: list[tuple[Visit, Proving]] = []
        allowed: list[Visit] = []
        for visit, steps in running:
            # Of those whose clients have gone, or sent more behind them, somebody else takes care.
            if visit.protocol.visit is not visit:
                continue
            try:
                rest = self._decide(visit, steps)
            except Exception as error:  # noqa: BLE001 - what one request meets is nobody else's
                self._give_up(visit, error)
                continue
            if rest is not None:
                unfinished.append((visit, rest))
            elif visit.head:
                allowed.append(visit)
        for visit in allowed:
            try:
                self._send(visit)
            except Exception as error:  # noqa: BLE001 - as above
                self._give_up(visit, error)
        return unfinished

    def _decide(self, visit: Visit, steps: Proving | None) -> Proving | None:
        """Begin with a decision, or take the next step of it; return the steps that are left, if any."""
        gateway, protocol = self._gateway, visit.protocol
        try:
            rest = gateway.preparation.begin(visit) if steps is None else gateway.preparation.go_on(visit, steps)
            if rest is None and not visit.head:
                protocol.hand_over()
        except GatewayError as error:
            visit.keep_alive = gateway.refuse(visit, error)
            if protocol.writing_paused:
                protocol.hand_over()
            else:
                gateway.end(visit)
                protocol.leave(keep_alive=visit.keep_alive)
            return None
        return rest

    def _give_up(self, visit: Visit, error: Exception) -> None:
        """Tell of a defect, and whoever waits that there is no answer."""
        transport = visit.protocol.transport
        context = {"message": "A request could not be served.", "exception": error, "transport": transport}
        asyncio.get_running_loop().call_exception_handler(context)
        if transport is not None:
            transport.abort()

    def _send(self, visit: Visit) -> None:
        """Send an allowed request to the upstream, if a connection lies idle."""
        connection = visit.runtime.pool.take()
        if connection is None:
            visit.protocol.hand_over()
            return
        visit.connection = connection
        visit.began_at = time.perf_counter()
        visit.bytes_in = len(visit.body)
        connection.ask(visit.method.encode("ascii"), visit.head + visit.body, self._answer, visit)

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
