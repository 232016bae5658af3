"""
The admin listener: ``/livez``, ``/readyz``, ``/metrics``, ``/status``; GET and HEAD only.

It has an address of its own and no way to the public listener, so that no path of a caller leads here. It says nothing
of the software it is made of, and repeats nothing of a request.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web

from gateway.admin.exposition import render
from gateway.admin.metrics import Snapshot
from gateway.config.settings import ListenAddress

# A scrape or a probe that is being answered when we stop.
SHUTDOWN_SECONDS = 2.0
BACKLOG = 16


class AdminState(Protocol):
    """What the listener asks of the running gateway."""

    @property
    def is_draining(self) -> bool:
        """Whether the gateway is about to stop."""

    async def is_alive(self) -> bool:
        """Return whether a process that serves is there to answer."""

    async def readiness(self) -> tuple[bool, str]:
        """Return whether requests can be served, and the reason why not, or what to know although they can."""

    async def status(self) -> Mapping[str, Any]:
        """Return the document of ``/status``."""

    async def collect(self) -> Snapshot:
        """Return the numbers of all processes."""


class AdminServer(web.Server):
    """Answers the four paths from an ``AdminState``."""

    def __init__(self, state: AdminState) -> None:
        super().__init__(self._answer, access_log=None)
        self._state = state
        self._paths: Mapping[str, Callable[[web.BaseRequest], Awaitable[web.Response]]] = {
            "/livez": self._answer_livez,
            "/healthz": self._answer_livez,
            "/readyz": self._answer_readyz,
            "/metrics": self._answer_metrics,
            "/status": self._answer_status,
        }

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of one new connection."""
        return _AdminConnection(self, loop=self._loop, **self._kwargs)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        answer = self._paths.get(request.path)
        if answer is None:
            return _build_text(404, "not found")
        if request.method not in ("GET", "HEAD"):
            return _build_text(405, "method not allowed", {"Allow": "GET, HEAD"})
        return await answer(request)

    async def _answer_livez(self, _request: web.BaseRequest) -> web.Response:
        return _build_text(200, "ok") if await self._state.is_alive() else _build_text(503, "no worker answers")

    async def _answer_readyz(self, _request: web.BaseRequest) -> web.Response:
        if self._state.is_draining:
            return _build_text(503, "draining")
        is_ready, reason = await self._state.readiness()
        if not is_ready:
            return _build_text(503, reason)
        return _build_text(200, f"ok, {reason}" if reason else "ok")

    async def _answer_metrics(self, request: web.BaseRequest) -> web.Response:
        body, content_type = render(await self._state.collect(), request.headers.get("Accept", ""))
        return _build_response(200, body, {"Content-Type": content_type})

    async def _answer_status(self, _request: web.BaseRequest) -> web.Response:
        body = json.dumps(await self._state.status(), indent=2).encode() + b"\n"
        return _build_response(200, body, {"Content-Type": "application/json"})


class _AdminConnection(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what aiohttp could not parse, or what failed, without its words: they quote the request."""
        super().handle_error(request, status, exc, message)
        response = _build_text(status, "bad request" if status < 500 else "internal error")  # noqa: PLR2004
        response.force_close()
        return response


def _build_text(status: int, text: str, fields: Mapping[str, str] | None = None) -> web.Response:
    return _build_response(
        status, f"{text}\n".encode(), {"Content-Type": "text/plain; charset=utf-8", **(fields or {})}
    )


def _build_response(status: int, body: bytes, fields: Mapping[str, str]) -> web.Response:
    # aiohttp names itself and Python's version unless there is a Server field already.
    return web.Response(
        status=status, body=body, headers={"Server": "auth-gateway", "Cache-Control": "no-store", **fields}
    )


@dataclass(frozen=True, slots=True)
class AdminListener:
    """A running admin listener; ``address`` has the port that it got."""

    address: ListenAddress
    _runner: web.ServerRunner

    async def stop(self) -> None:
        """Stop listening, and give answers under way a moment to end."""
        await self._runner.cleanup()


async def start_admin(state: AdminState, address: ListenAddress) -> AdminListener:
    """
    Listen on an address.

    Raises:
        OSError: The address cannot be had.
    """
    runner = web.ServerRunner(AdminServer(state), shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    site: web.BaseSite
    if address.path is not None:
        site = web.UnixSite(runner, address.path, backlog=BACKLOG)
    else:
        site = web.TCPSite(runner, address.host, address.port, backlog=BACKLOG)
    try:
        await site.start()
    except OSError:
        await runner.cleanup()
        raise
    if address.path is None:
        address = ListenAddress(host=address.host, port=runner.addresses[0][1])
    return AdminListener(address, runner)
