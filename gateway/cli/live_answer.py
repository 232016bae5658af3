"""``check --live`` as lines for people, and as JSON whose members only ever get company."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import click

from gateway.cli.explain_text import make_plain
from gateway.cli.invocation import ExitCode
from gateway.cli.live import LiveCheck, LiveReport, Mark, check_live, find_unserved, locate_keys
from gateway.config.load import Loaded
from gateway.providers.source import describe_location

_MARKS = {
    Mark.PASSED: ("ok", "green"),
    Mark.WARNING: ("warn", "yellow"),
    Mark.UNKNOWN: ("????", "yellow"),
    Mark.FAILED: ("FAIL", "red"),
}


@dataclass(frozen=True, slots=True)
class LiveAnswer:
    """What is to be said of all providers of a file."""

    reports: Sequence[LiveReport]

    @classmethod
    def ask(cls, loaded: Loaded) -> Self:
        """Ask the issuers of a file."""
        return cls(check_live(loaded))

    def judge(self, *, is_strict: bool) -> ExitCode:
        """Return the answer on all of them: what is certainly wrong outweighs what could not be found out."""
        marks = {report.mark for report in self.reports}
        if Mark.FAILED in marks or (is_strict and Mark.WARNING in marks):
            return ExitCode.NO
        return ExitCode.UNKNOWN if Mark.UNKNOWN in marks else ExitCode.YES

    def render(self) -> Iterator[str]:
        """Yield the lines, with colours that a plain stream does without."""
        for report in self.reports:
            yield ""
            yield f"Provider {make_plain(report.provider.name)} ({report.where})"
            for check in report.checks:
                yield from _render_check(check)

    def build_document(self) -> list[dict[str, Any]]:
        """Return one JSON object for each provider; durations are in seconds."""
        return [_build_report(report) for report in self.reports]


def _render_check(check: LiveCheck) -> Iterator[str]:
    mark, colour = _MARKS[check.mark]
    # What an issuer says must not steer a terminal.
    yield f"  {check.name:<13} {click.style(f'{mark:<4}', fg=colour)} {make_plain(check.text)}"
    for line in check.more:
        yield f"{'':<21}{make_plain(line)}"


def _build_report(report: LiveReport) -> dict[str, Any]:
    probe, provider = report.probe, report.provider
    keys, skipped = (probe.key_set.keys, probe.key_set.skipped) if probe.key_set else ((), ())
    difference = probe.clock_difference_seconds
    return {
        "name": provider.name,
        "result": report.mark.value,
        "error": probe.error,
        "location": describe_location(probe.settings),
        "keys_location": locate_keys(probe),
        "issuer": probe.metadata.issuer if probe.metadata else None,
        "keys": [{"kid": key.kid, "algorithms": sorted(key.algorithms)} for key in keys],
        "skipped_keys": [{"index": key.index, "kid": key.kid, "why": key.why} for key in skipped],
        "algorithms_without_key": sorted(find_unserved(provider, keys)),
        "clock_difference_seconds": None if difference is None else round(difference, 3),
        "leeway_seconds": provider.leeway_seconds,
        "duration_seconds": round(probe.seconds, 3),
        "checks": [
            {"check": check.name, "result": check.mark.value, "text": check.text, "more": list(check.more)}
            for check in report.checks
        ],
    }
