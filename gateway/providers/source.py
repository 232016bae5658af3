"""
The keys of one provider over time: loaded, refreshed before they age, kept through an outage, dropped when too old.

A source owns its tasks: the loop, the loop's nap, and the one fetch that may be in flight. It never raises for an
outage.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

import aiohttp
from yarl import URL

from gateway.config.settings import KeySourceSettings
from gateway.core.jwks import KeySet, KeySetError
from gateway.providers.clock import Clock
from gateway.providers.discovery import fetch_key_document
from gateway.providers.fetch import Document, FetchError
from gateway.providers.freshness import UnknownKids, is_stale, plan_refresh, plan_retry, read_lifetime
from gateway.providers.keeper import Keeper
from gateway.providers.snapshot import Snapshot
from gateway.providers.usable import describe_skipped, parse_usable

# An outage of hours is one line a minute, not one a retry.
COMPLAINT_SECONDS = 60.0

# What may change without a doubt about the keys that are there.
_INCIDENTALS = ("refresh_seconds", "cooldown_seconds", "max_stale_seconds", "timeout_seconds", "snapshot_path")

_logger = logging.getLogger("gateway.providers")


class FetchResult(StrEnum):
    """How one fetch ended, in the word of the metric; ``unusable`` arrived and held no key that works."""

    SUCCESS = "success"
    FAILURE = "failure"
    UNUSABLE = "unusable"


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """
    What is known of one provider's keys, for ``/status`` and the metrics.

    ``key_set`` is the one in use. ``age_seconds`` and ``last_success_at`` (seconds since the epoch) are of the last
    good answer; None if there was none, and for keys that stand in the file. ``last_error`` is of the last attempt.
    ``is_from_snapshot`` says that the keys in use were kept on disk, and that the issuer has not answered since.
    """

    provider: str
    location: str
    key_set: KeySet | None
    age_seconds: float | None
    last_success_at: float | None
    last_error: str | None
    is_from_snapshot: bool


class KeySource:
    """
    Where the keys of one provider come from, and the last good set that came.

    ``keeper`` has the set on disk, None where that is not wished.
    ``on_change`` is called after ``key_set`` was replaced or dropped, ``on_fetch`` with the provider's name after each
    fetch. ``jitter`` returns a random number from 0 to 1.
    """

    def __init__(
        self,
        settings: KeySourceSettings,
        session: aiohttp.ClientSession,
        *,
        clock: Clock,
        keeper: Keeper | None,
        jitter: Callable[[], float],
        on_change: Callable[[KeySource], None],
        on_fetch: Callable[[str, FetchResult], None],
    ) -> None:
        self.settings = settings
        self.key_set: KeySet | None = settings.key_set
        self.has_loaded = settings.key_set is not None
        self._session = session
        self._clock = clock
        self._keeper = keeper
        self._jitter = jitter
        self._on_change = on_change
        self._on_fetch = on_fetch
        self._unknown_kids = UnknownKids(settings.cooldown_seconds)
        self._loop: asyncio.Task[None] | None = None
        self._flight: asyncio.Task[None] | None = None
        self._nap: asyncio.Task[None] | None = None
        self._is_closed = False
        self._is_restored = False
        self._fetched_at: float | None = None
        self._last_success_at: float | None = None
        self._next_refresh_at = clock.now()
        self._last_error: str | None = None
        self._failures = 0
        self._complained_at: float | None = None

    def inherit(self, former: KeySource) -> None:
        """Take over the last good set of a source of the same place: other timings are no reason to lose it."""
        incidentals = {name: getattr(self.settings, name) for name in _INCIDENTALS}
        if replace(former.settings, **incidentals) != self.settings:
            return
        self.key_set, self.has_loaded = former.key_set, former.has_loaded
        self._is_restored = former._is_restored
        self._fetched_at, self._last_success_at = former._fetched_at, former._last_success_at

    def start(self) -> None:
        """Begin to fetch and refresh; keys that stand in the file need neither."""
        if self.settings.key_set is None:
            self._loop = asyncio.create_task(self._keep_fresh(), name=f"keys of {self.settings.provider}")

    async def close(self) -> None:
        """End the loop and the fetch in flight; whoever waits for it goes on."""
        self._is_closed = True
        tasks = [task for task in (self._loop, self._flight, self._nap) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._keeper is not None:
            await self._keeper.close()

    async def refresh(self) -> None:
        """
        Fetch the set now, or wait for the fetch in flight. Returns when it has ended, well or not.

        There is never more than one, so an older answer cannot overwrite a newer one; and a caller that is cancelled
        leaves alone, the fetch goes on for the others.
        """
        if self._is_closed or self.settings.key_set is not None:
            return
        if self._flight is None:
            self._flight = asyncio.create_task(self._fly(), name=f"fetch keys of {self.settings.provider}")
        await asyncio.wait({self._flight})

    async def supply(self, kid: str | None) -> None:
        """
        Do what may be done so that a request's key is there: wait, fetch, or nothing.

        Without a set, the first fetch is waited for, unless the issuer just failed and is given time. With one, a
        ``kid`` that is not in it is worth one fetch per cooldown, and none if the issuer did not have it before.
        """
        if self.key_set is None:
            if self._flight is not None or self._clock.now() >= self._next_refresh_at:
                await self.refresh()
            return
        if kid is None:
            return
        # A fetch that began before this token came may bring its key; whether it does decides if another is due.
        if self._flight is not None:
            await self.refresh()
        if self._has_kid(kid) or not self._unknown_kids.may_ask(kid, self._clock.now()):
            return
        self._unknown_kids.record_asked(self._clock.now())
        await self.refresh()
        # An outage says nothing about the kid: only an answer without it does.
        if self._failures == 0 and not self._has_kid(kid):
            self._unknown_kids.record_missed(kid, self._clock.now())

    @property
    def is_answering(self) -> bool:
        """Whether the last fetch brought usable keys; keys that stand in the file always do."""
        return self.has_loaded and self._failures == 0

    def status(self) -> SourceStatus:
        """Return what is known of the keys now."""
        return SourceStatus(
            provider=self.settings.provider,
            location=describe_location(self.settings),
            key_set=self.key_set,
            age_seconds=None if self._fetched_at is None else self._clock.now() - self._fetched_at,
            last_success_at=self._last_success_at,
            last_error=self._last_error,
            is_from_snapshot=self._is_restored and self.key_set is not None,
        )

    def _has_kid(self, kid: str) -> bool:
        return self.key_set is not None and self.key_set.has_kid(kid)

    async def _keep_fresh(self) -> None:
        while True:
            if self._clock.now() >= self._next_refresh_at:
                await self.refresh()
            self._drop_stale()
            delay_seconds = max(0.0, self._wake_at() - self._clock.now())
            self._nap = asyncio.create_task(self._clock.sleep(delay_seconds), name=f"nap of {self.settings.provider}")
            await asyncio.wait({self._nap})

    def _wake_at(self) -> float:
        if self.key_set is None or self._fetched_at is None or not self._failures:
            return self._next_refresh_at
        return min(self._next_refresh_at, self._fetched_at + self.settings.max_stale_seconds)

    def _drop_stale(self) -> None:
        # Until a fetch fails the keys are as fresh as the issuer wished, though max_stale be shorter than that.
        if self.key_set is None or self._fetched_at is None or not self._failures:
            return
        if is_stale(self._fetched_at, self.settings.max_stale_seconds, self._clock.now()):
            self.key_set = None
            self._say(logging.ERROR, "keys_dropped", "the keys of %s are too old and are no longer used")
            self._on_change(self)

    async def _fly(self) -> None:
        try:
            failure = await self._fetch()
            if failure is not None:
                await self._restore()
                self._endure(*failure)
        finally:
            self._flight = None

    async def _fetch(self) -> tuple[FetchResult, str] | None:
        """Fetch the set and take it; return how that failed and why, or None."""
        try:
            document = await fetch_key_document(self._session, self.settings)
            self._accept(document, parse_usable(document.body))
        except FetchError as error:
            return FetchResult.FAILURE, str(error)
        except KeySetError as error:
            return FetchResult.UNUSABLE, str(error)
        except Exception:
            # A mistake of ours must not end the refreshing: that would be an outage a day later.
            _logger.exception("fetching the keys of %s failed unexpectedly", self.settings.provider)
            return FetchResult.FAILURE, "internal error"
        return None

    async def _restore(self) -> None:
        """Take the set that was kept on disk, where the issuer has not answered since the start."""
        if self.has_loaded or self._keeper is None:
            return
        snapshot = await self._keeper.recall()
        if snapshot is None:
            return
        # By the calendar: no other clock goes on while the machine is off.
        age_seconds = max(0.0, self._clock.calendar_now() - snapshot.fetched_at)
        self.key_set, self.has_loaded, self._is_restored = snapshot.key_set, True, True
        self._fetched_at, self._last_success_at = self._clock.now() - age_seconds, snapshot.fetched_at
        fields = {"keys": len(snapshot.key_set.keys), "age_seconds": round(age_seconds)}
        self._say(logging.WARNING, "keys_restored", "the keys of %s are those of the snapshot", **fields)
        self._on_change(self)

    def _accept(self, document: Document, key_set: KeySet) -> None:
        now, calendar_now = self._clock.now(), self._clock.calendar_now()
        lifetime_seconds = read_lifetime(document.freshness, calendar_now)
        self._next_refresh_at = now + plan_refresh(lifetime_seconds, self.settings.refresh_seconds, self._jitter())
        self._fetched_at, self._last_success_at = now, calendar_now
        if self._failures:
            self._say(logging.INFO, "keys_recovered", "the keys of %s can be fetched again")
        self._failures, self._last_error, self._complained_at = 0, None, None
        self.has_loaded, self._is_restored = True, False
        if self._keeper is not None:
            self._keeper.keep(Snapshot(key_set, calendar_now))
        self._on_fetch(self.settings.provider, FetchResult.SUCCESS)
        if self.key_set is None or self.key_set.generation != key_set.generation:
            self.key_set = key_set
            self._announce(key_set)
            self._on_change(self)

    def _endure(self, result: FetchResult, reason: str) -> None:
        """Keep the last good set, say why, and try again soon."""
        now = self._clock.now()
        self._failures += 1
        self._last_error = reason
        self._next_refresh_at = now + plan_retry(self._failures, self._jitter())
        # The loop may have lain down for ten minutes before a request's fetch failed.
        if self._nap is not None:
            self._nap.cancel()
        self._on_fetch(self.settings.provider, result)
        if self._complained_at is None or now - self._complained_at >= COMPLAINT_SECONDS:
            self._complained_at = now
            self._say(logging.WARNING, "keys_failed", "the keys of %s cannot be fetched", why=reason)

    def _announce(self, key_set: KeySet) -> None:
        self._say(logging.INFO, "keys_loaded", "loaded the keys of %s", keys=len(key_set.keys))
        if key_set.skipped:
            named = [describe_skipped(skipped) for skipped in key_set.skipped]
            # RFC 7517, section 9.2: with a key to sign with in public, anyone makes tokens that other readers accept.
            level = logging.ERROR if any(skipped.is_exposed for skipped in key_set.skipped) else logging.WARNING
            self._say(level, "keys_skipped", "some keys of %s cannot be used", skipped=named)

    def _say(self, level: int, event: str, message: str, **fields: object) -> None:
        name = self.settings.provider
        _logger.log(level, message, name, extra={"event": event, "fields": {"provider": name, **fields}})


def describe_location(settings: KeySourceSettings) -> str:
    """Return where the keys come from, without a password or a query that may be one."""
    if settings.path is not None:
        return f"file:{settings.path}"
    url = settings.discovery_url or settings.url
    return "inline" if url is None else hide_secrets(url)


def hide_secrets(url: str) -> str:
    """Return a URL without what may be a password: its user and its query."""
    return str(URL(url).with_user(None).with_query(None))
