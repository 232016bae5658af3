"""Sign-ins that are too old or too weak: what a client has to ask its issuer for (RFC 9470)."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.cli.refusals import Case
from gateway.cli.times import describe_duration, is_in_milliseconds

_NO_NUMBER = (
    "Let the issuer put auth_time (seconds since the epoch, as a number) into its access tokens; by RFC 9068 they have "
    "it only if the issuer was told so. The token of a machine has none, as nobody signed in."
)


def find_stale(case: Case) -> Iterator[str]:
    """Yield why a sign-in is not recent enough, and what to do."""
    auth_time, max_age_seconds = case.error.received, case.error.max_age_seconds or 0
    if isinstance(auth_time, bool) or not isinstance(auth_time, int | float):
        yield f"{'It has no auth_time' if auth_time is None else 'Its auth_time is no number'}. {_NO_NUMBER}"
        return
    if is_in_milliseconds(auth_time):
        yield "Its auth_time looks like milliseconds, and is read as seconds: let the issuer write seconds."
        return
    age_seconds = case.explanation.situation.now - auth_time
    if age_seconds < 0:
        yield f"Its auth_time is {describe_duration(age_seconds)} ahead of this clock, so a clock is off."
        return
    yield (
        f"The user signed in {describe_duration(age_seconds)} ago, and max_age is "
        f"{describe_duration(max_age_seconds)}: send them through a new sign-in, with max_age={max_age_seconds} in the "
        "authorization request. A refreshed token keeps the old auth_time."
    )


def find_weak(case: Case) -> Iterator[str]:
    """Yield how the user signed in, and how they should."""
    wanted = " ".join(case.error.acr_values)
    has = "no acr" if case.error.received is None else f"acr {case.error.received}"
    yield (
        f"The token has {has}, the route wants one of: {wanted}. Ask for those in acr_values of "
        "the authorization request, and let the issuer put acr into its access tokens."
    )
