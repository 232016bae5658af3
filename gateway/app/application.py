"""One running gateway: its parts, and the order in which they begin, are replaced, and end."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import aiohttp

from gateway.admin.access import AccessLog
from gateway.admin.logs import LogOutput
from gateway.admin.metrics import Metrics, Snapshot
from gateway.admin.server import AdminListener, start_admin
from gateway.admin.status import ProcessStatus, build_status, count_keys, describe_restored
from gateway.app.events import announce, list_fixed_changes, reload, say_draining
from gateway.app.public import CUT_SECONDS, build_server_tls, describe_listen, load_certificate, open_listeners
from gateway.app.upstream import build_pool, describe_pool
from gateway.app.watch import list_watched
from gateway.config.served import Served
from gateway.config.settings import ListenAddress, Settings
from gateway.core.proofs import ProofCache
from gateway.providers.clock import Clock
from gateway.providers.fetch import open_session
from gateway.providers.keyring import Keyring
from gateway.providers.organizations import OrganizationCheck
from gateway.proxy.client_server import ClientServer
from gateway.proxy.plain import PlainReader
from gateway.proxy.pool import UpstreamPool
from gateway.proxy.request_head import RequestRewriter
from gateway.proxy.runtime import Runtime
from gateway.proxy.server import Gateway

logger = logging.getLogger(__name__)


class Application:
    """
    A gateway made from a file; use it as an asynchronous context.

    ``load`` reads the file anew on each reload, in a thread. Entering listens, leaving drains and stops. A worker
    listens on the ``sockets`` that it was given, and leaves reloads, the admin listener and what is said once to its
    supervisor. Keys age by the ``clock``.
    """

    def __init__(
        self,
        served: Served,
        output: LogOutput,
        sockets: Sequence[socket.socket] = (),
        *,
        load: Callable[[], Served] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._sockets = sockets
        self._clock = clock
        self._load = load or (lambda: served)
        self._output = output
        self._served = served
        self._metrics = Metrics()
        self._stack = AsyncExitStack()
        self._pools: list[UpstreamPool] = []
        self._check: OrganizationCheck | None = None
        self._tls: ssl.SSLContext | None = None
        self._started_at = time.time()
        self._reloading = asyncio.Lock()
        self._keyring: Keyring
        self._session: aiohttp.ClientSession
        self._gateway: Gateway
        self._server: ClientServer
        self._listeners: Sequence[asyncio.Server] = ()
        self._admin: AdminListener
        self.listen: ListenAddress
        self.admin: ListenAddress

    @property
    def settings(self) -> Settings:
        """The file as it is served now."""
        return self._served.settings

    @property
    def path(self) -> str:
        """Where the file is."""
        return self._served.path

    @property
    def watched(self) -> tuple[str, ...]:
        """The files whose change is worth a reload."""
        return list_watched(self._served)

    async def start(self) -> None:
        """
        Begin to fetch keys, then listen; admin first, so that a probe never meets a closed port.

        Raises:
            OSError: An address cannot be had, or a file of TLS not be read.
        """
        settings = self.settings
        self._keyring = await self._stack.enter_async_context(
            Keyring(settings.key_sources, clock=self._clock, on_fetch=self._metrics.count_jwks_fetch)
        )
        self._session = await self._stack.enter_async_context(open_session())
        self._gateway = Gateway(
            self._build_runtime(settings, self._choose_pool(settings)), self._metrics, AccessLog(self._output)
        )
        self._stack.push_async_callback(self._close_pools)
        if self._sockets:
            await self._listen(settings)
            return
        self._admin = await start_admin(self, settings.admin)
        self._stack.push_async_callback(self._admin.stop)
        self.admin = self._admin.address
        await self._listen(settings)
        announce(settings, self.path, self.listen, self.admin, {})

    async def __aenter__(self) -> Application:
        """Start; whatever began is ended again where that fails."""
        try:
            await self.start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Drain and stop."""
        try:
            await self._drain()
        finally:
            await self._stack.aclose()

    def _choose_pool(self, settings: Settings, old: Runtime | None = None) -> UpstreamPool:
        if old is not None and describe_pool(old.settings) == describe_pool(settings):
            return old.pool
        pool = build_pool(settings)
        self._pools.append(pool)
        return pool

    def _build_runtime(self, settings: Settings, pool: UpstreamPool) -> Runtime:
        rewriter = RequestRewriter(settings.policy)
        proofs = ProofCache(settings.limits.cached_tokens)
        plain = PlainReader(rewriter, settings.limits)
        keyring, check = self._keyring, self._choose_check(settings)
        return Runtime(settings, rewriter, pool, keyring.sets, keyring.supply, check, proofs, plain)

    def _choose_check(self, settings: Settings) -> OrganizationCheck | None:
        """Return who knows the organizations: the same as before, with all that it knows, where the file says so."""
        wanted = settings.organization_check
        if wanted is None:
            self._check = None
        elif self._check is None or self._check.settings != wanted:
            self._check = OrganizationCheck(wanted, self._session)
        return self._check

    async def _close_pools(self) -> None:
        await asyncio.gather(*(pool.close() for pool in self._pools))

    async def _listen(self, settings: Settings) -> None:
        self._tls = build_server_tls(settings.tls) if settings.tls is not None else None
        self._server = self._gateway.build_server()
        self._stack.push_async_callback(self._server.shutdown, CUT_SECONDS)
        self._stack.callback(self._close_listeners)
        self._listeners = await open_listeners(self._server, settings, self._tls, self._sockets)
        self.listen = describe_listen(settings.listen, self._listeners[0].sockets)

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()

    # --- reload ------------------------------------------------------------------------------------------------------

    async def reload(self) -> None:
        """Take the file and its certificates as they are now; bad ones change nothing but a log line and a gauge."""
        await reload(lambda: self.take(self._load), self._metrics)

    async def take(self, load: Callable[[], Served]) -> Mapping[str, object] | None:
        """
        Go over to what ``load`` returns, and return what to say of it; None where it is what is in use.

        Raises:
            OSError: A file that it names cannot be used; nothing has changed.
        """
        # One after the other, or what was read first could be taken last.
        async with self._reloading:
            served = await asyncio.to_thread(load)
            settings, old = served.settings, self.settings
            if self._tls is not None and settings.tls is not None:
                # Renewed certificates come under the same names, so an unchanged file is no reason to keep them.
                load_certificate(self._tls, settings.tls)
            if settings.digest == old.digest:
                return None
            await self._swap(served)
            return {"digest": settings.digest, "needs_restart": list_fixed_changes(old, settings)}

    def _count_proofs(self) -> None:
        """Move the counters of the cache, which a reload replaces, to where they last."""
        proofs, metrics = self._gateway.runtime.proofs, self._metrics
        metrics.token_cache_requests += proofs.requests
        metrics.token_cache_hits += proofs.hits
        metrics.token_cache_evictions += proofs.evictions
        proofs.requests = proofs.hits = proofs.evictions = 0

    async def _swap(self, served: Served) -> None:
        old, settings = self._gateway.runtime, served.settings
        # What can fail comes first: from the new keys on, the old policy's are no longer kept fresh.
        pool = self._choose_pool(settings, old)
        await self._keyring.reload(settings.key_sources)
        # No await from here on: a policy must never meet the keys of another file.
        self._count_proofs()
        self._gateway.runtime = self._build_runtime(settings, pool)
        self._server.limits, self._server.timeouts = settings.limits, settings.timeouts
        self._served = served

    # --- the end -----------------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Stop being ready, wait for load balancers to see it, stop listening, finish what is in flight."""
        timeouts = self.settings.timeouts
        self._gateway.is_draining = True
        if not self._sockets:
            say_draining()
        await asyncio.sleep(timeouts.drain_delay_seconds)
        self._close_listeners()
        self._gateway.end_streams()
        self._server.end_connections()
        try:
            async with asyncio.timeout(timeouts.shutdown_seconds):
                await self._gateway.wait_until_idle()
        except TimeoutError:
            logger.warning(
                "requests were still in flight and are cut",
                extra={"event": "cut", "fields": {"requests": self._metrics.requests_in_flight}},
            )
        await self._server.shutdown(CUT_SECONDS)

    # --- what the admin listener asks --------------------------------------------------------------------------------

    @property
    def is_draining(self) -> bool:
        """Whether the gateway is about to stop."""
        return self._gateway.is_draining

    async def is_alive(self) -> bool:
        """Return True: what answers is what serves."""
        return True

    async def readiness(self) -> tuple[bool, str]:
        """Return whether requests can be served, and the reason why not, or whose keys are from a snapshot."""
        status = await self.report()
        reason = status["not_ready_reason"] or describe_restored(status["providers"])
        return status["ready"], reason

    async def status(self) -> Mapping[str, Any]:
        """Return the document of ``/status``."""
        return {**await self.report(), "refused": self.list_refused()}

    def list_refused(self) -> list[dict[str, Any]]:
        """Return the last requests that were refused, newest first."""
        return self._gateway.refused.describe()

    async def report(self) -> Mapping[str, Any]:
        """Return what ``/status`` says of this process itself."""
        not_ready = "" if self._keyring.is_ready else f"no keys yet: {', '.join(self._keyring.waiting)}"
        process = ProcessStatus(self.path, self.settings.digest, self._started_at)
        return build_status(process, self._keyring.status(), time.time(), not_ready=not_ready)

    async def collect(self) -> Snapshot:
        """Return the numbers of this process."""
        self._count_proofs()
        return {**self._metrics.snapshot(self._output.writer.lost_lines), **count_keys(self._keyring.status())}
