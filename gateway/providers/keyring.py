"""The keys of all providers: one mapping that the decision reads, and the one answer to its wish for more."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

import aiohttp

from gateway.config.settings import KeySourceSettings
from gateway.core.jwks import KeySet
from gateway.core.verification import NeedKeys
from gateway.providers.clock import Clock, SystemClock
from gateway.providers.fetch import open_session
from gateway.providers.keeper import Keeper
from gateway.providers.source import FetchResult, KeySource, SourceStatus


class Keyring:
    """
    Fetches, refreshes and holds the keys of every provider while its context is open.

    Entering never fails for an outage: a provider whose issuer is down has no entry in ``sets`` until it answers.
    ``on_fetch`` is called with the provider's name after each fetch. ``jitter`` returns a random number from 0 to 1.
    """

    def __init__(
        self,
        settings: Sequence[KeySourceSettings],
        *,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
        on_fetch: Callable[[str, FetchResult], None] = lambda provider, result: None,
    ) -> None:
        self._settings = tuple(settings)
        self._clock = clock or SystemClock()
        self._jitter = jitter
        self._on_fetch = on_fetch
        self._sources: dict[str, KeySource] = {}
        self._sets: dict[str, KeySet] = {}
        self._session: aiohttp.ClientSession | None = None
        # Its thread begins with the first snapshot.
        self._disk = ThreadPoolExecutor(1, "snapshots")
        self._reloading = asyncio.Lock()
        self._was_ready = False

    async def __aenter__(self) -> Self:
        """Open the session and begin to fetch; waits for nothing."""
        self._session = open_session()
        self._swap({settings.provider: self._open_source(settings) for settings in self._settings})
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End every fetch and close the session."""
        async with self._reloading:
            await asyncio.gather(*(source.close() for source in self._sources.values()))
        if self._session is not None:
            await self._session.close()
        self._disk.shutdown(wait=False)

    @property
    def sets(self) -> Mapping[str, KeySet]:
        """
        The usable set of each provider that has one, by name; kept up to date in place.

        ``reload`` puts a new mapping in its place, so a request takes it along with the policy that it belongs to.
        """
        return self._sets

    @property
    def is_ready(self) -> bool:
        """Whether the keys of every provider were loaded once. Stays so: a new provider takes no replica away."""
        self._was_ready = self._was_ready or not self.waiting
        return self._was_ready

    @property
    def waiting(self) -> tuple[str, ...]:
        """The names of the providers whose keys were never loaded, from wherever."""
        return tuple(name for name, source in self._sources.items() if not source.has_loaded)

    def status(self) -> tuple[SourceStatus, ...]:
        """Return what is known of each provider's keys, in file order."""
        return tuple(source.status() for source in self._sources.values())

    async def supply(self, need: NeedKeys) -> bool:
        """
        Wait, no longer than the provider's timeout, while there is something to wait for. Never raises.

        Return whether the issuer's last word was an answer; without one, a key that is not there may yet exist.
        """
        source = self._sources.get(need.provider)
        if source is None:
            return False
        try:
            async with asyncio.timeout(source.settings.timeout_seconds):
                await source.supply(need.kid)
        except TimeoutError:
            return False
        return source.is_answering

    async def reload(self, settings: Sequence[KeySourceSettings]) -> None:
        """
        Go over to the sources of a changed file; those that did not change keep their sets.

        New sources are given one fetch before all is swapped at once. Swap the policy directly after, with no await
        between: a policy must never meet keys that another file fetched for a provider of the same name.
        """
        async with self._reloading:
            was_ready = self.is_ready
            old = self._sources
            new = {entry.provider: self._keep_or_open(entry) for entry in settings}
            opened = [source for name, source in new.items() if old.get(name) is not source]
            try:
                await asyncio.gather(*(self._await_first(source) for source in opened))
            except asyncio.CancelledError:
                await asyncio.gather(*(source.close() for source in opened))
                raise
            self._was_ready = was_ready
            self._swap(new)
            dropped = [source for name, source in old.items() if new.get(name) is not source]
            await asyncio.gather(*(source.close() for source in dropped))

    async def _await_first(self, source: KeySource) -> None:
        try:
            async with asyncio.timeout(source.settings.timeout_seconds):
                await source.refresh()
        except TimeoutError:
            pass

    def _keep_or_open(self, settings: KeySourceSettings) -> KeySource:
        former = self._sources.get(settings.provider)
        return former if former is not None and former.settings == settings else self._open_source(settings, former)

    def _open_source(self, settings: KeySourceSettings, former: KeySource | None = None) -> KeySource:
        if self._session is None:
            raise RuntimeError("the keyring is not open")
        path = settings.snapshot_path
        source = KeySource(
            settings,
            self._session,
            clock=self._clock,
            keeper=None if path is None else Keeper(settings, path, disk=self._disk, clock=self._clock),
            jitter=self._jitter,
            on_change=self._publish,
            on_fetch=self._on_fetch,
        )
        if former is not None:
            source.inherit(former)
        source.start()
        return source

    def _swap(self, sources: dict[str, KeySource]) -> None:
        self._sources = sources
        self._sets = {name: source.key_set for name, source in sources.items() if source.key_set is not None}

    def _publish(self, source: KeySource) -> None:
        name = source.settings.provider
        # One that is not swapped in yet, or was swapped out, speaks for nobody.
        if self._sources.get(name) is not source:
            return
        if source.key_set is None:
            self._sets.pop(name, None)
        else:
            self._sets[name] = source.key_set
