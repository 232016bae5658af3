"""
Step-up: how recently, and how, the user must have signed in for what a route guards.

RFC 9470, sections 3 and 5. The claims are those of OpenID Connect Core, section 2: ``auth_time`` and ``acr``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.core.errors import AccessRefused, Reason


@dataclass(frozen=True, slots=True)
class StepUp:
    """
    What a route demands of the sign-in behind a token.

    ``max_age_seconds`` is the longest time since then, None for any. Of ``acr_values`` the token must have one; none
    stands for any.
    """

    max_age_seconds: int | None = None
    acr_values: tuple[str, ...] = ()


def check_step_up(claims: Mapping[str, Any], step_up: StepUp, *, leeway_seconds: float, now: float) -> None:
    """
    Check that the user signed in recently enough, and in a way that is strong enough.

    What is missing or of another type says nothing, and so meets no demand. Times are in seconds since the epoch.

    Raises:
        AccessRefused: ``stale_authentication`` or ``weak_authentication``, with all that would let the caller in.
    """
    auth_time, acr = claims.get("auth_time"), claims.get("acr")
    if step_up.max_age_seconds is not None and not _is_recent(auth_time, step_up.max_age_seconds, leeway_seconds, now):
        raise _build_refusal(
            Reason.STALE_AUTHENTICATION, "A more recent sign-in is needed.", auth_time, step_up.max_age_seconds, step_up
        )
    if step_up.acr_values and not (isinstance(acr, str) and acr in step_up.acr_values):
        raise _build_refusal(
            Reason.WEAK_AUTHENTICATION, "A stronger sign-in is needed.", acr, step_up.acr_values, step_up
        )


def _is_recent(auth_time: object, max_age_seconds: int, leeway_seconds: float, now: float) -> bool:
    # Only numbers, and true is none; compared and never computed with, as neither infinity nor NaN nor a number of a
    # thousand digits lies between two others.
    if isinstance(auth_time, bool) or not isinstance(auth_time, int | float):
        return False
    return now - max_age_seconds - leeway_seconds <= auth_time <= now + leeway_seconds


def _build_refusal(
    reason: Reason, description: str, received: object, expected: object, step_up: StepUp
) -> AccessRefused:
    # Both demands in either challenge: else a client would learn of the second one after a sign-in for the first.
    return AccessRefused(
        reason,
        description,
        received=received,
        expected=expected,
        max_age_seconds=step_up.max_age_seconds,
        acr_values=step_up.acr_values,
    )
