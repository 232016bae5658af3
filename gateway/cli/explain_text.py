"""An explanation as lines for people. No line ever holds the token or its signature."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import click

from gateway.cli.checks import Check
from gateway.cli.explanation import CheckResult, Explanation, Result, Verdict
from gateway.cli.near_misses import find_near_misses
from gateway.cli.refusals import is_unsigned
from gateway.cli.times import describe_duration, describe_times
from gateway.core.claims import read_audiences, read_first_string, read_scopes
from gateway.core.decision import Allow
from gateway.core.fields import Field
from gateway.core.jwt import Token
from gateway.core.routes import Access, Route
from gateway.core.step_up import StepUp

_LONGEST_TEXT = 300
_NOT_PLAIN = re.compile(r"[^ -~]")
_MARKS = {
    Result.PASSED: ("ok", "green"),
    Result.FAILED: ("FAIL", "red"),
    Result.UNKNOWN: ("????", "yellow"),
}
_VERDICT_COLOURS = {Verdict.ACCEPTED: "green", Verdict.REFUSED: "red", Verdict.UNKNOWN: "yellow"}
_ACCESS = {
    Access.PUBLIC: "no token is looked at",
    Access.OPTIONAL: "a token may be there, and must be valid",
    Access.REQUIRED: "a valid token is needed",
    Access.DENY: "refused",
}


def make_plain(text: str) -> str:
    """Return text with anything but visible ASCII and spaces escaped: a claim must not steer a terminal."""
    return _NOT_PLAIN.sub(lambda found: found[0].encode("unicode_escape", "replace").decode("ascii"), text)


def _show(text: str) -> str:
    return make_plain(text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}...")


def render_text(explanation: Explanation, notes: Sequence[str]) -> Iterator[str]:
    """Yield the lines, with colours that a plain stream does without."""
    for note in notes:
        yield f"Note: {note}"
    if explanation.token is not None:
        yield from _render_token(explanation.token, explanation)
    for result in explanation.providers:
        yield ""
        yield f"Provider {make_plain(result.provider.name)} ({result.where})"
        yield from _render_checks(result.checks)
    yield ""
    yield _render_verdict(explanation)
    yield _render_route(explanation)
    if isinstance(explanation.outcome, Allow):
        yield from _render_upstream(explanation.outcome.fields, explanation)
    for hint in find_near_misses(explanation):
        yield f"Hint: {make_plain(hint)}"


def _render_token(token: Token, explanation: Explanation) -> Iterator[str]:
    kind = "no typ" if token.typ == "none" else _show(token.typ)
    key = "no kid" if token.kid is None else f"kid {_show(token.kid)}"
    algorithm = "alg none" if is_unsigned(token) else _show(token.algorithm)
    yield f"Token: {kind}, {algorithm}, {key}, {len(explanation.situation.text)} characters"
    summary = {
        "issuer": token.issuer,
        "subject": token.claims.get("sub"),
        "audience": ", ".join(read_audiences(token.claims, "aud") or ()),
        "client": read_first_string(token.claims, ("client_id", "azp")),
        "scope": " ".join(read_scopes(token.claims, ("scope", "scp"))),
        "time": describe_times(token.claims, explanation.situation.now),
    }
    for name, value in summary.items():
        if value:
            yield f"  {name:<13} {_show(value)}"


def _render_checks(checks: Sequence[CheckResult]) -> Iterator[str]:
    for each in checks:
        if each.result is not Result.NOT_CHECKED:
            yield from _render_check(each)
    skipped = [each.check.title for each in checks if each.result is Result.NOT_CHECKED]
    if skipped:
        yield f"  not checked   {', '.join(skipped)}"


def _render_check(each: CheckResult) -> Iterator[str]:
    mark, colour = _MARKS[each.result]
    start = f"  {each.check.title:<13} {click.style(f'{mark:<4}', fg=colour)}"
    if each.result is not Result.PASSED:
        yield from _render_sides(start, each)
    elif each.check is Check.SIGNATURE:
        yield f"{start} valid"
    else:
        yield f"{start} {_show(', '.join(each.sides.received))}"


def _render_sides(start: str, each: CheckResult) -> Iterator[str]:
    yield f"{start} the token has     {_show(', '.join(each.sides.received))}"
    is_key = each.check in (Check.KEY, Check.SIGNATURE)
    for index, text in enumerate(each.sides.accepted):
        label = ("the provider has " if is_key else "the file accepts ") if index == 0 else ""
        place = f"   ({each.where})" if index == 0 else ""
        yield f"{'':<21}{label:<17} {_show(text)}{place}"


def _render_verdict(explanation: Explanation) -> str:
    error, decisive = explanation.error, explanation.decisive
    word = click.style(explanation.verdict.value.upper(), fg=_VERDICT_COLOURS[explanation.verdict], bold=True)
    name = make_plain(decisive.provider.name) if decisive else ""
    if error is not None:
        by = f" by {name}" if decisive and decisive.error is not None else ""
        return f"{word}{by}: {error.reason.word} ({error.reason.status}). {make_plain(error.description)}"
    is_verified = isinstance(explanation.outcome, Allow) and explanation.outcome.verified is not None
    return f"{word} by {name}" if is_verified else f"{word}: the route is public, so the token is not looked at"


def _render_route(explanation: Explanation) -> str:
    head, match = explanation.situation.head, explanation.match
    request = f"Request: {make_plain(head.method)} {_show(head.target)}"
    if match is None:
        return f"{request} (refused before the token is looked at)"
    if match.route is None:
        return f"{request}, no rule of its own: {_ACCESS[match.access]}"
    return f"{request}, rule {match.route.pattern.text} ({explanation.route_where}): {_describe_demands(match.route)}"


def _describe_demands(route: Route) -> str:
    demands = [_ACCESS[route.access]]
    demands += _describe_step_up(route.step_up)
    demands += [f"scopes {' '.join(route.scopes)}"] if route.scopes else []
    demands += [f"one of the scopes {' '.join(route.any_scope)}"] if route.any_scope else []
    for each in route.requirements:
        wanted = f"the path's {{{each.capture}}}" if each.capture else " or ".join(map(str, each.values))
        demands.append(f"{each.claim} must be {wanted}")
    return ", ".join(demands)


def _describe_step_up(step_up: StepUp | None) -> Iterator[str]:
    if step_up is None:
        return
    if step_up.max_age_seconds is not None:
        yield f"signed in at most {describe_duration(step_up.max_age_seconds)} ago"
    if step_up.acr_values:
        yield f"acr {' or '.join(step_up.acr_values)}"


def _render_upstream(fields: Sequence[Field], explanation: Explanation) -> Iterator[str]:
    yield "The upstream would get:"
    for name, value in fields:
        yield f"  {name.decode('ascii')}: {value.decode('ascii')}"
    is_forwarded = explanation.situation.policy.passes_authorization
    yield f"  Authorization: {'as it came' if is_forwarded else 'removed'}"
