"""
One look at a provider's keys, as the gateway would fetch them now: every step, and what each of them brought.

The steps are those of ``discovery``, so that what fails here fails in the gateway. Nothing is retried or kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp

from gateway.config.settings import KeySourceSettings
from gateway.core.jwks import KeySet, KeySetError, parse_key_set
from gateway.providers.clock import Clock, SystemClock
from gateway.providers.discovery import Metadata, fetch_keys, fetch_metadata, parse_metadata
from gateway.providers.fetch import Document, FetchError, NoAnswer, open_session

# The resolution of the Date field (RFC 9110, section 5.6.7).
_DATE_SECONDS = 1.0


@dataclass(slots=True)
class Probe:
    """
    What one provider's keys were when they were asked for; what was not reached is None.

    ``error`` says what went wrong in the last step that was taken, and ``is_outage`` that it says nothing of the
    provider's settings. ``clock_difference_seconds`` is how far the issuer's clock is surely ahead of ours, negative
    where it is behind.
    """

    settings: KeySourceSettings
    metadata: Metadata | None = None
    key_set: KeySet | None = None
    error: str | None = None
    is_outage: bool = False
    clock_difference_seconds: float | None = None
    seconds: float = 0.0


async def probe_providers(sources: Sequence[KeySourceSettings], clock: Clock | None = None) -> list[Probe]:
    """Return a look at the keys of each provider, taken at the same time."""
    async with open_session() as session:
        return await asyncio.gather(*(_Look(source, session, clock or SystemClock()).take() for source in sources))


@dataclass(slots=True)
class _Look:
    settings: KeySourceSettings
    session: aiohttp.ClientSession
    clock: Clock
    probe: Probe = field(init=False)

    def __post_init__(self) -> None:
        self.probe = Probe(self.settings, key_set=self.settings.key_set)

    async def take(self) -> Probe:
        began = self.clock.now()
        if self.settings.key_set is None:
            try:
                await self._fetch()
            except (FetchError, KeySetError) as error:
                self.probe.error, self.probe.is_outage = str(error), isinstance(error, NoAnswer)
        self.probe.seconds = self.clock.now() - began
        return self.probe

    async def _fetch(self) -> None:
        settings, url = self.settings, self.settings.url
        if settings.discovery_url is not None:
            asked_at = self.clock.calendar_now()
            document = await fetch_metadata(self.session, settings, settings.discovery_url)
            self._compare_clocks(document, asked_at)
            self.probe.metadata = parse_metadata(document.body, settings.discovery_url, settings.issuers)
            url = self.probe.metadata.jwks_uri
        asked_at = self.clock.calendar_now()
        document = await fetch_keys(self.session, settings, url)
        self._compare_clocks(document, asked_at)
        self.probe.key_set = parse_key_set(document.body)

    def _compare_clocks(self, document: Document, asked_at: float) -> None:
        difference = measure_clock(document, asked_at, self.clock.calendar_now())
        if difference is not None:
            self.probe.clock_difference_seconds = difference


def measure_clock(document: Document, asked_at: float, answered_at: float) -> float | None:
    """
    Return by how many seconds the clock of an answer is surely ahead, negative if behind; None if it does not say.

    ``asked_at`` and ``answered_at`` are of our clock, in seconds since the epoch. The answer was dated at some time
    between the two, to a whole second. One with an ``Age`` is of a cache, and its date that of another time (RFC 9111,
    section 5.1).
    """
    if document.date is None or document.freshness.age not in ("", "0"):
        return None
    least, most = document.date - answered_at, document.date + _DATE_SECONDS - asked_at
    return least if least > 0 else min(most, 0.0)
