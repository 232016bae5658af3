"""
Which organizations may call at all, whatever their tokens say: lists of the file, and the word of a service.

A token lives on after its organization was closed or has not paid. What is here is looked at on each request, so it
holds for tokens that were proven before as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from gateway.core.errors import AccessRefused, Reason, Unavailable

UNAVAILABLE_RETRY_SECONDS = 5


class Standing(Enum):
    """What a service says of an organization; ``UNKNOWN`` is no answer, and none from before that still counts."""

    EXISTS = "exists"
    GONE = "gone"
    UNKNOWN = "unknown"


class Standings(Protocol):
    """The standings that are known now; None for one that the service was not asked for yet, or too long ago."""

    def get(self, organization: str, /) -> Standing | None: ...


@dataclass(frozen=True, slots=True)
class OrganizationRules:
    """
    Who may call: those of ``allowed`` (None: all), but never those of ``denied``.

    With ``is_checked``, only those besides of which a service says that they exist.
    """

    allowed: frozenset[str] | None = None
    denied: frozenset[str] = frozenset()
    is_checked: bool = False


@dataclass(frozen=True, slots=True)
class NeedStanding:
    """No decision before the service was asked for this organization."""

    organization: str


def check_lists(organization: str | None, rules: OrganizationRules) -> None:
    """
    Check the organization of a token, None where it names none, against the lists.

    Where only some may call, a token of none may not: absence never permits.

    Raises:
        AccessRefused: ``organization_denied``.
    """
    if organization is None:
        if rules.allowed is None and not rules.is_checked:
            return
        raise AccessRefused(
            Reason.ORGANIZATION_DENIED, "The token names no organization.", expected="an organization that is allowed"
        )
    if organization in rules.denied or (rules.allowed is not None and organization not in rules.allowed):
        raise _build_denied(organization)


def check_standing(organization: str | None, rules: OrganizationRules, standings: Standings) -> NeedStanding | None:
    """
    Check that the service knows an organization that passed ``check_lists``; return the wish to ask it, if need be.

    Raises:
        AccessRefused: ``organization_denied``.
        Unavailable: ``authorization_unavailable``, where the service was asked and there is no answer.
    """
    if not rules.is_checked or organization is None:
        return None
    standing = standings.get(organization)
    if standing is None:
        return NeedStanding(organization)
    if standing is Standing.GONE:
        raise _build_denied(organization)
    if standing is Standing.UNKNOWN:
        raise Unavailable(
            Reason.AUTHORIZATION_UNAVAILABLE,
            "Whether the token's organization may call cannot be found out now.",
            retry_after_seconds=UNAVAILABLE_RETRY_SECONDS,
        )
    return None


def _build_denied(organization: str) -> AccessRefused:
    # The list itself names other customers, so that no detail of an error ever shows it.
    return AccessRefused(
        Reason.ORGANIZATION_DENIED,
        "The token's organization may not call.",
        received=organization,
        expected="an organization that is allowed",
    )
