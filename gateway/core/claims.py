"""
What a claim says, whatever the issuer's spelling: paths, lists, scopes.

RFC 7519, section 4. A claim may be any JSON value; nothing here raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ClaimRequirement:
    """One claim that a token must have: any of ``values``, or, where that is None, any value but null and false."""

    path: str
    values: tuple[Any, ...] | None


def find_claim(claims: Mapping[str, Any], path: str) -> Any:
    """Return the claim of that very name, else the one that the dotted path leads to, else None."""
    if path in claims:
        return claims[path]
    if "." not in path:
        return None
    value: Any = claims
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def read_audiences(claims: Mapping[str, Any], claim: str) -> tuple[str, ...] | None:
    """Return the audiences of a token as a tuple, or None where the claim is absent or has another type."""
    value = find_claim(claims, claim)
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and all(isinstance(member, str) for member in value):
        return tuple(value)
    return None


def read_scopes(claims: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the scopes of a token: strings split on spaces, arrays, or the keys of objects, without repetition."""
    found: list[str] = []
    for name in names:
        value = find_claim(claims, name)
        if isinstance(value, str):
            found += value.split(" ")
        elif isinstance(value, list | dict):
            found += [member for member in value if isinstance(member, str)]
    return tuple(filter(None, dict.fromkeys(found)))


def read_first_string(claims: Mapping[str, Any], paths: tuple[str, ...]) -> str | None:
    """Return the first of these claims that is a non-empty string."""
    for path in paths:
        value = find_claim(claims, path)
        if isinstance(value, str) and value:
            return value
    return None


def is_claim_met(value: Any, accepted: tuple[Any, ...] | None) -> bool:
    """
    Return whether a claim, or a member of it if it is an array, equals one of the accepted values.

    None accepts every value but false: a claim that says no is not one that is there. Types count: 1 is not true.
    """
    if accepted is None:
        return value is not False
    members = value if isinstance(value, list) else [value]
    return any(type(member) is type(one) and member == one for member in members for one in accepted)
