"""From figures to Markdown: a row is a peer, a column is what it was asked to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.names import BODIES, MEMORY, SCALE, SMALL, STARTUP, WEBSOCKETS, WORKERS

Results = Sequence[Mapping[str, Any]]

_NONE = "–"


@dataclass(frozen=True, slots=True)
class Table:
    """A figure of a suite; ``baseline`` is a row to subtract, and is then not shown."""

    suite: str
    title: str
    note: str
    figure: str
    write: Callable[[float], str]
    baseline: str | None = None


def write_number(value: float) -> str:
    """Return three digits that matter, with spaces between thousands."""
    digits = sum(abs(value) < limit for limit in (100, 10, 1))
    return f"{value:,.{digits}f}".replace(",", " ")


def _scaled(factor: float) -> Callable[[float], str]:
    return lambda value: write_number(value * factor)


_SEEN = (
    "*seen*: 2 000 tokens in turn, each checked before. *unseen*: every request brings a token that the process never "
    "met; who has no cache of checked tokens is always there. *traced*: each request has a `traceparent` of its own, "
    "so that no header is the same as one before."
)

TABLES = (
    Table(SMALL, "CPU time a request, in µs", f"A GET, 100 octets back. {_SEEN}", "cpu_microseconds", write_number),
    Table(
        SMALL,
        "Requests a second on one core",
        "16 connections. Where a core is less than 95 % busy (next table), the load generator or the upstream is the "
        "limit: there the figure says less than CPU time does.",
        "requests_per_second",
        write_number,
    ),
    Table(SMALL, "How busy the measured core was, in %", "", "busy", _scaled(100)),
    Table(
        SMALL,
        "Latency added over direct, half of the requests, in µs",
        "One connection, one request at a time.",
        "p50_microseconds",
        write_number,
        baseline="direct",
    ),
    Table(
        SMALL,
        "Latency added over direct, 99 % of the requests, in µs",
        "",
        "p99_microseconds",
        write_number,
        baseline="direct",
    ),
    Table(
        BODIES,
        "Bodies: MB carried in a second of CPU time",
        "4 connections; more is better. nginx sends, a program that only counts receives.",
        "octets_per_cpu_second",
        _scaled(1e-6),
    ),
    Table(
        BODIES,
        "Bodies: MB a second",
        "Sender and receiver share the other core and are often the limit.",
        "octets_per_second",
        _scaled(1e-6),
    ),
    Table(
        WEBSOCKETS,
        "WebSockets: CPU time a message and its echo, in µs",
        "16 connections, each waits for its echo before it sends again.",
        "cpu_microseconds",
        write_number,
    ),
    Table(WEBSOCKETS, "WebSockets: messages a second that came back", "", "messages_per_second", write_number),
    Table(
        MEMORY,
        "Memory, in KiB",
        "Resident set size. At rest: after one request. A connection: kept alive after its one "
        "request, 3 000 of them. A WebSocket: 1 000 of them, each with its connection to the upstream.",
        "octets",
        _scaled(1 / 1024),
    ),
    Table(STARTUP, "From the command to the first answer, in ms", "", "seconds", _scaled(1000)),
    Table(
        WORKERS,
        "Workers: requests a second",
        "ES384, proofs unseen, so that load and upstream need little. With as many workers as cores they share one.",
        "requests_per_second",
        write_number,
    ),
    Table(
        SCALE,
        "Scale: CPU time a request, in µs",
        "ES256, proofs seen. The tokens are of all providers in turn; the last of the routes takes the requests.",
        "cpu_microseconds",
        write_number,
    ),
)


def build_table(table: Table, results: Results) -> str:
    """Return the table as Markdown, or nothing where nothing was measured."""
    cells = [result for result in results if result["suite"] == table.suite and table.figure in result]
    base = next((cell[table.figure] for cell in cells if cell["row"] == table.baseline), 0.0)
    shown = [cell for cell in cells if cell["row"] != table.baseline]
    if not shown:
        return ""
    rows = list(dict.fromkeys(cell["row"] for cell in shown))
    cases = list(dict.fromkeys(cell["case"] for cell in shown))
    values = {(cell["row"], cell["case"]): table.write(cell[table.figure] - base) for cell in shown}
    lines = [
        _write_row(["", *cases]),
        _write_row([" --- ", *(" ---: " for _ in cases)]),
        *(_write_row([row, *(values.get((row, case), _NONE) for case in cases)]) for row in rows),
    ]
    return "\n\n".join(part for part in (f"## {table.title}", table.note, "\n".join(lines)) if part)


def _write_row(fields: Iterable[str]) -> str:
    return f"| {' | '.join(field.strip() for field in fields)} |"


def build_missing(results: Results) -> str:
    """Return what could not be measured, and why."""
    lines = [
        f"- {result['suite']}, {result['row']}{', ' * bool(result['case'])}{result['case']}: "
        f"{' '.join(result['missing'].split())}"
        for result in results
        if result.get("missing")
    ]
    return "\n".join(["## Missing", "", *lines]) if lines else ""
