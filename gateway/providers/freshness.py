"""
How long keys are good, when to ask again, and who may ask early. Pure: no clock, no socket, ``now`` is an argument.

All times are in seconds. Lifetimes follow RFC 9111, section 4.2, as a private cache reads it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from cachetools import LRUCache

# An issuer that says max-age=0 is not to be asked for each request, one that says a year would hide a rotation.
FLOOR_SECONDS = 60.0
CEILING_SECONDS = 3600.0
DEFAULT_SECONDS = 600.0

FIRST_RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 30.0
# A fleet that was started at once must not come back at once, neither to refresh nor to retry.
REFRESH_SPREAD = 0.1
RETRY_SPREAD = 0.25

# A kid that the issuer did not have is not asked for again for so many cooldowns: long enough that a client with a
# dead token costs nothing, short enough that a key which the issuer published late is found.
REMEMBERED_COOLDOWNS = 4
MAX_REMEMBERED_KIDS = 1024

_MAX_AGE = re.compile(r"max-age\s*=\s*\"?([0-9]{1,18})\"?", re.IGNORECASE)
_DELTA_SECONDS = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class FreshnessFields:
    """The response fields that say how long a document is fresh, as received; empty where absent."""

    cache_control: str = ""
    expires: str = ""
    age: str = ""
    date: str = ""


def parse_date(text: str) -> float | None:
    """Return an HTTP date (RFC 9110, section 5.6.7) in seconds since the epoch, or None if it is none."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def read_lifetime(fields: FreshnessFields, calendar_now: float) -> float | None:
    """Return for how many seconds more the issuer says its document is fresh, or None if it does not say."""
    directives = [part.strip() for part in fields.cache_control.split(",")]
    names = {directive.partition("=")[0].strip().lower() for directive in directives}
    if names & {"no-store", "no-cache"}:
        return 0.0
    max_ages = [int(found[1]) for found in map(_MAX_AGE.fullmatch, directives) if found]
    age = int(fields.age) if _DELTA_SECONDS.fullmatch(fields.age) else 0
    if max_ages:
        return max(0.0, float(min(max_ages) - age))
    if not fields.expires:
        return None
    expires = parse_date(fields.expires)
    # RFC 9111, section 5.3: an invalid date, "0" above all, means "already expired".
    if expires is None:
        return 0.0
    date = parse_date(fields.date)
    return max(0.0, expires - (calendar_now if date is None else date) - age)


def plan_refresh(lifetime_seconds: float | None, refresh_seconds: float | None, jitter: float) -> float:
    """
    Return after how many seconds to refresh: before the document ages, and never later than the file says.

    ``refresh_seconds`` is the file's wish, None where it has none; ``jitter`` a random number from 0 to 1.
    """
    interval = DEFAULT_SECONDS
    if lifetime_seconds is not None:
        interval = max(FLOOR_SECONDS, min(lifetime_seconds, CEILING_SECONDS))
    if refresh_seconds is not None:
        interval = refresh_seconds if lifetime_seconds is None else min(interval, refresh_seconds)
    return interval * (1.0 - REFRESH_SPREAD * jitter)


def plan_retry(failures: int, jitter: float) -> float:
    """Return after how many seconds to try again after so many failures in a row (from 1): 1, 2, 4 ... at most 30."""
    # The exponent is bounded too: 2.0 ** 1024 overflows after nine hours of outage.
    delay = min(FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 16), MAX_RETRY_SECONDS)
    return delay * (1.0 - RETRY_SPREAD * jitter)


def is_stale(fetched_at: float, max_stale_seconds: float, now: float) -> bool:
    """Return whether a set is too old to trust, whatever the issuer's outage lasts."""
    return now - fetched_at >= max_stale_seconds


class UnknownKids:
    """
    Who may ask the issuer early: at most one ``kid`` per cooldown, and none that it did not have a moment ago.

    A kid is whatever a caller wrote into an unverified token: without this, each request could cost a fetch.
    """

    def __init__(self, cooldown_seconds: float) -> None:
        self._cooldown_seconds = cooldown_seconds
        self._asked_at: float | None = None
        self._missed_at: LRUCache[str, float] = LRUCache(maxsize=MAX_REMEMBERED_KIDS)

    def may_ask(self, kid: str, now: float) -> bool:
        """Return whether a fetch may be made for this kid now."""
        if self._asked_at is not None and now - self._asked_at < self._cooldown_seconds:
            return False
        missed_at = self._missed_at.get(kid)
        return missed_at is None or now - missed_at >= self._cooldown_seconds * REMEMBERED_COOLDOWNS

    def record_asked(self, now: float) -> None:
        """Begin a cooldown."""
        self._asked_at = now

    def record_missed(self, kid: str, now: float) -> None:
        """Remember a kid for which a fetch was made, and which the issuer's answer did not have."""
        self._missed_at[kid] = now
