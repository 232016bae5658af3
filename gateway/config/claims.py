"""What the file says about claims and audiences: patterns to match, values to demand, paths to read."""

from __future__ import annotations

import re
from typing import Any

from gateway.config.scalars import parse_text
from gateway.core.audience import AudiencePattern, PatternError, parse_audience_pattern, parse_audience_regex
from gateway.core.routes import PathError, parse_path_pattern

_CAPTURE = re.compile(r"\{([^{}]*)\}")
_MAX_REGEX_LENGTH = 4096


def parse_audience(value: object) -> str | dict[str, str]:
    """Return one audience as it stands in the file: a pattern, or a mapping with ``regex``."""
    if isinstance(value, dict):
        if set(value) != {"regex"}:
            raise ValueError("expected text, or {regex: ...}: put a pattern with braces in quotes")
        parsed: str | dict[str, str] = {"regex": parse_text(value["regex"])}
    else:
        parsed = parse_text(value)
    build_audience(parsed)
    return parsed


def build_audience(value: str | dict[str, str]) -> AudiencePattern:
    """Return the pattern of one audience of the file."""
    try:
        if isinstance(value, str):
            return parse_audience_pattern(value)
        if len(value["regex"]) > _MAX_REGEX_LENGTH:
            raise ValueError(f"the expression is longer than {_MAX_REGEX_LENGTH} characters")
        return parse_audience_regex(value["regex"])
    except PatternError as error:
        raise ValueError(f"bad audience pattern: {error}") from error


def parse_path(value: object) -> str:
    """Return the path of a route as it stands in the file."""
    text = parse_text(value)
    try:
        parse_path_pattern(text)
    except PathError as error:
        raise ValueError(f"bad path: {error}") from error
    return text


def parse_claim_values(value: object) -> bool | tuple[Any, ...]:
    """Return what a claim must be: True for being there at all, else the values of which it must have one."""
    if value is True:
        return True
    return _read_values(value)


def _read_values(value: object) -> tuple[Any, ...]:
    if isinstance(value, list) and not value:
        raise ValueError("an empty list: write the values that are accepted")
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    if any(isinstance(member, dict | list) or member is None for member in values):
        raise ValueError("expected a value or a list of values")
    return values


def parse_requirement(value: object) -> str | tuple[Any, ...]:
    """Return what a route wants of a claim: ``"{name}"`` for what its path captures, else the values."""
    if isinstance(value, dict):
        raise ValueError('expected a value or a list: put a capture in quotes, as in "{organization}"')  # noqa: TRY004
    if isinstance(value, str) and _CAPTURE.fullmatch(value):
        return value
    values = _read_values(value)
    if any(isinstance(member, str) and _CAPTURE.search(member) for member in values):
        raise ValueError('a capture is the whole value: write "{name}" alone')
    return values


def read_capture(value: str | tuple[Any, ...]) -> str | None:
    """Return the name of the capture that a requirement refers to."""
    found = _CAPTURE.fullmatch(value) if isinstance(value, str) else None
    return found[1] if found else None
