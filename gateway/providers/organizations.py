"""
Which organizations exist, by the word of a service: asked once for many requests, believed for a while.

Only the organization's name goes there: no token, no identity, nothing of the request.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote

import aiohttp
from cachetools import LRUCache

from gateway.config.settings import PLACEHOLDER, OrganizationCheckSettings
from gateway.core.organizations import Standing
from gateway.providers.clock import Clock, SystemClock
from gateway.providers.fetch import FetchError, fetch_status

MAX_ORGANIZATIONS = 10_000
# While the service is away, it is asked for an organization once in this time, not once a request.
RETRY_SECONDS = 1.0
# An outage of hours is one line a minute.
_COMPLAINT_SECONDS = 60.0
_GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})

_logger = logging.getLogger("gateway.providers")


@dataclass(frozen=True, slots=True)
class _Known:
    """What is believed of one organization until ``fresh_until``; ``answered_at`` is when the service last said so."""

    standing: Standing
    answered_at: float
    fresh_until: float


class OrganizationCheck:
    """Asks one service, one question at a time for each organization, and remembers as many answers as fit."""

    def __init__(
        self,
        settings: OrganizationCheckSettings,
        session: aiohttp.ClientSession,
        clock: Clock | None = None,
        max_organizations: int = MAX_ORGANIZATIONS,
    ) -> None:
        self.settings = settings
        self._session = session
        self._clock = clock or SystemClock()
        self._known: LRUCache[str, _Known] = LRUCache(max_organizations)
        self._flights: dict[str, asyncio.Task[Standing]] = {}
        self._complained_at: float | None = None

    def get(self, organization: str, /) -> Standing | None:
        """Return what is known of an organization without asking, or None."""
        known = self._known.get(organization)
        return known.standing if known is not None and self._clock.now() < known.fresh_until else None

    async def ask(self, organization: str) -> Standing:
        """
        Ask the service for an organization, or wait for who is asking already. Never raises for an outage.

        A caller that is cancelled leaves alone: the question goes on for the others.
        """
        flight = self._flights.get(organization)
        if flight is None:
            flight = asyncio.create_task(self._fly(organization), name="check of an organization")
            self._flights[organization] = flight
        return await asyncio.shield(flight)

    async def _fly(self, organization: str) -> Standing:
        try:
            return self._note(organization, await self._fetch(organization))
        except FetchError as error:
            return self._endure(organization, str(error))
        except Exception:
            _logger.exception("asking for an organization failed unexpectedly")
            return self._endure(organization, "internal error")
        finally:
            del self._flights[organization]

    async def _fetch(self, organization: str) -> Standing:
        segment = encode_segment(organization)
        if segment is None:
            return Standing.GONE
        url = self.settings.url.replace(PLACEHOLDER, segment)
        status = await fetch_status(self._session, url, timeout_seconds=self.settings.timeout_seconds)
        if status in _GONE:
            return Standing.GONE
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise FetchError(f"status {status}")
        return Standing.EXISTS

    def _note(self, organization: str, standing: Standing) -> Standing:
        now = self._clock.now()
        self._known[organization] = _Known(standing, now, now + self.settings.cache_seconds)
        return standing

    def _endure(self, organization: str, why: str) -> Standing:
        """Return the last answer as long as it is not too old, and ask again soon."""
        now, known = self._clock.now(), self._known.get(organization)
        if self._complained_at is None or now - self._complained_at >= _COMPLAINT_SECONDS:
            self._complained_at = now
            extra = {"event": "organizations_failed", "fields": {"why": why}}
            _logger.warning("the service of organizations does not answer", extra=extra)
        standing, answered_at, fresh_until = Standing.UNKNOWN, now, now + RETRY_SECONDS
        if known is not None and known.standing is not Standing.UNKNOWN:
            stale_at = known.answered_at + self.settings.max_stale_seconds
            if now < stale_at:
                standing, answered_at, fresh_until = known.standing, known.answered_at, min(fresh_until, stale_at)
        self._known[organization] = _Known(standing, answered_at, fresh_until)
        return standing


def encode_segment(organization: str) -> str | None:
    """
    Return a text as one segment of a path (RFC 3986, section 3.3), or None where no segment can be that text.

    Dots stay dots however they are encoded (section 6.2.2.2), and would ask for another path; half of a surrogate pair
    has no octets.
    """
    if organization in {".", ".."}:
        return None
    try:
        return quote(organization, safe="")
    except UnicodeEncodeError:
        return None
