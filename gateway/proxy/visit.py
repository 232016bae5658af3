"""One request while it is served: what came, what was decided, what became of it."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING

from aiohttp import StreamReader
from aiohttp.streams import EMPTY_PAYLOAD

from gateway.core.decision import Allow, RequestHead
from gateway.core.errors import GatewayError
from gateway.core.organizations import NeedStanding
from gateway.core.verification import NeedKeys
from gateway.proxy.connection import UpstreamConnection
from gateway.proxy.request_head import RequestHeader
from gateway.proxy.runtime import Runtime

if TYPE_CHECKING:
    from gateway.proxy.listener import ClientProtocol


class ClientGone(Exception):
    """The client has gone, or reads no more; there is nobody left to answer."""


class StreamKind(Enum):
    """Answers that do not end by themselves."""

    WEBSOCKET = "websocket"
    EVENTS = "sse"


class Visit(RequestHead):
    """
    One request; aiohttp's server gets it in place of its own, of which a relay needs little.

    It names nothing that names it, so that it is gone as soon as it is served. Sizes are of bodies, in bytes; times are
    of ``time.perf_counter``, as uvloop's own clock counts milliseconds.
    """

    __slots__ = (
        *("_task", "allow", "began_at", "body", "bytes_in", "bytes_out", "connection", "content", "error", "head"),
        *("head_at", "is_chunked", "is_http_1_1", "is_taken", "is_upgrade", "keep_alive", "lack", "observed"),
        *("protocol", "proving_seconds", "request_id", "runtime", "started", "status", "stream", "token_name"),
        "upstream_status",
    )

    fields: RequestHeader

    def __init__(
        self,
        method: str,
        target: str,
        fields: RequestHeader,
        protocol: ClientProtocol,
        runtime: Runtime,
        request_id: bytes,
        started: float,
    ) -> None:
        self.method = method
        self.target = target
        self.fields = fields
        self.protocol = protocol
        self.runtime = runtime
        self.request_id = request_id
        self.started = started
        # The whole body of a request that arrived in one piece; else the body's stream, and whether it has chunks.
        self.body = b""
        self.content: StreamReader = EMPTY_PAYLOAD
        self.is_chunked = False
        self.is_http_1_1 = True
        self.keep_alive = True
        self.is_upgrade = False
        # Whether it is in flight, and no task serves it (yet).
        self.is_taken = False

        # What was decided: one of the two, or neither for one that left before.
        self.allow: Allow | None = None
        self.error: GatewayError | None = None
        # The refusal of one that was allowed all the same, because refusals are only observed.
        self.observed: GatewayError | None = None
        # What a decision needs to know first.
        self.lack: NeedKeys | NeedStanding | None = None
        # By what its token is known once it is proven, if it is then, and what was spent on that so far.
        self.token_name = b""
        self.proving_seconds = 0.0

        # The head that goes upstream, what carries it, and when the two met.
        self.head = b""
        self.connection: UpstreamConnection | None = None
        self.began_at: float | None = None
        # Of the upstream's answer; None before its head has come.
        self.upstream_status: int | None = None
        self.head_at: float | None = None
        self.stream: StreamKind | None = None
        # Of the answer that the client got, or of the lack of one.
        self.status = 0
        self.bytes_in = 0
        self.bytes_out = 0

        # Set by aiohttp's server: whose task serves this.
        self._task: asyncio.Task[None] | None = None

    @property
    def has_stream(self) -> bool:
        """Whether there is a body that did not arrive with the head."""
        return self.content is not EMPTY_PAYLOAD

    def set_task(self, task: asyncio.Task[None]) -> None:
        """Take note of the task that serves this from now on."""
        self._task = task

    # --- what aiohttp's server does with a request -------------------------------------------------------------------

    def _finish(self) -> None:
        """Let go of nothing: there are no uploaded files here."""

    def _cancel(self, exc: BaseException) -> None:
        self.content.set_exception(exc)
