"""``auth-gateway explain --request-id``: what the running gateway remembers of a request that it refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from gateway.admin.health import Unhealthy, find_address, read_answer
from gateway.admin.refused import MAX_REFUSED
from gateway.cli.explain_text import make_plain
from gateway.cli.invocation import ExitCode, echo_json, read_config_option
from gateway.cli.times import describe_duration, describe_time
from gateway.core.errors import Reason
from gateway.core.routes import DEFAULT_LABEL

TIMEOUT_SECONDS = 5.0
# A hundred refusals with the longest paths and texts, every character escaped.
MAX_STATUS_BYTES = 8 * 1024 * 1024

# Their sides are times: the token's and the gateway's.
_ABOUT_TIME = frozenset(each.word for each in (Reason.EXPIRED, Reason.NOT_YET_VALID, Reason.ISSUED_IN_FUTURE))


def explain_request(context: click.Context, request_id: str, output: str, now: float) -> ExitCode:
    """Print what the gateway at the admin address refused under this id, and return the exit code."""
    try:
        address = find_address(read_config_option(context))
        refused = _find_refused(address, request_id)
    except Unhealthy as error:
        click.echo(f"error: {make_plain(str(error))}", err=True)
        return ExitCode.UNKNOWN
    if output == "json":
        echo_json({"request_id": request_id, "refused": refused})
    elif refused:
        for line in render_refused(refused, now):
            click.echo(line)
    if not refused:
        click.echo(f"error: {make_plain(_describe_absence(request_id, address))}", err=True)
        return ExitCode.UNKNOWN
    return ExitCode.NO


def _find_refused(address: str, request_id: str) -> list[Mapping[str, Any]]:
    body = read_answer(address, "/status", TIMEOUT_SECONDS, MAX_STATUS_BYTES)
    try:
        return [each for each in json.loads(body)["refused"] if each["request_id"] == request_id]
    except (ValueError, LookupError, TypeError) as error:
        raise Unhealthy(f"{address}: not the status of an auth-gateway of this version") from error


def _describe_absence(request_id: str, address: str) -> str:
    return (
        f"{request_id} is not among the last {MAX_REFUSED} refused requests of the gateway at {address}: it was not "
        "refused, another gateway has refused it, or too many were after it; the log has them all"
    )


def render_refused(refused: Sequence[Mapping[str, Any]], now: float) -> Iterator[str]:
    """Yield the lines for requests that were refused; ``now`` is in seconds since the epoch."""
    for index, each in enumerate(refused):
        if index:
            yield ""
        yield from map(make_plain, _render(each, now))


def _render(each: Mapping[str, Any], now: float) -> Iterator[str]:
    route = {None: "", DEFAULT_LABEL: ", no rule of its own"}.get(each["route"], f", rule {each['route']}")
    request = f"{each['method']} {each['path']}".strip() or "one that could not be read"
    ago = describe_duration(now - datetime.fromisoformat(each["time"]).timestamp())
    by = f" by {each['provider']}" if each["provider"] else ""
    yield f"Request: {request}{route}, {ago} ago ({each['time']})"
    yield f"REFUSED{by}: {each['reason']} ({each['status']}). {each['description']}"
    for name in ("received", "expected"):
        yield from _render_values(name, [_name_value(each["reason"], value) for value in each[name]])
    for name in ("token_iss", "token_aud", "token_alg", "token_kid"):
        yield from _render_values(name, [each[name]] if each[name] is not None else [])
    yield f"See docs/reasons.md#{each['reason']}"


def _render_values(label: str, values: Sequence[str]) -> Iterator[str]:
    for index, value in enumerate(values):
        yield f"  {label if index == 0 else '':<13} {value}"


def _name_value(reason: str, value: str) -> str:
    return describe_time(float(value)) if reason in _ABOUT_TIME else value
