"""Times as people say them: "4 min", "issued 4 min ago, expires in 56 min"; and as they type them after ``--at``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
# The year 5138 in seconds, and 1973 in milliseconds: no token is of either.
_MILLISECONDS_FROM = 1e11


def describe_duration(seconds: float) -> str:
    """Return a length of time in its largest unit, and the next one where that says more."""
    size = round(abs(seconds))
    if size < _MINUTE:
        return f"{size} s"
    if size < _HOUR:
        return f"{size // _MINUTE} min"
    if size < 2 * _DAY:
        hours, rest = divmod(size, _HOUR)
        return f"{hours} h {rest // _MINUTE} min" if rest >= _MINUTE else f"{hours} h"
    return f"{size // _DAY} days"


def describe_time(when: float) -> str:
    """Return seconds since the epoch as RFC 3339 in UTC, or as they are where no calendar has them."""
    try:
        return datetime.fromtimestamp(int(when), UTC).isoformat().replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return str(when)


def describe_times(claims: Mapping[str, Any], now: float) -> str:
    """Return what ``iat``, ``nbf`` and ``exp`` of a token say at a time."""
    parts = []
    if "iat" in claims:
        parts.append(f"issued {_describe_distance(claims['iat'], now)}")
    if "nbf" in claims and claims["nbf"] > now:
        parts.append(f"valid {_describe_distance(claims['nbf'], now)}")
    if "exp" not in claims:
        parts.append("never expires (no exp)")
    else:
        verb = "expires" if claims["exp"] > now else "expired"
        parts.append(f"{verb} {_describe_distance(claims['exp'], now)} ({describe_time(claims['exp'])})")
    return ", ".join(parts)


def is_in_milliseconds(when: float) -> bool:
    """Return whether a NumericDate is so large that somebody forgot to divide it (RFC 7519, section 2)."""
    return when >= _MILLISECONDS_FROM


def _describe_distance(when: float, now: float) -> str:
    text = describe_duration(when - now)
    return f"in {text}" if when > now else f"{text} ago"


def parse_time(text: str) -> float:
    """
    Return seconds since the epoch for a number of them or an RFC 3339 time; without an offset it is UTC.

    Raises:
        ValueError: Neither of the two.
    """
    try:
        seconds = float(text)
    except ValueError:
        parsed = datetime.fromisoformat(text)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(seconds):
        raise ValueError(text)
    return seconds
