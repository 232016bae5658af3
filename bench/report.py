"""Writes what came out: the raw figures, the tables, the picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.cells import Result
from bench.chart import build_chart
from bench.machine import Machine
from bench.ratios import build_ratios
from bench.tables import TABLES, build_missing, build_table

RAW, TEXT, PICTURE = "results.json", "results.md", "results.svg"


def write_report(folder: Path, machine: Machine, results: Sequence[Result], *, rounds: int, seconds: int) -> None:
    """Write the three files."""
    folder.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {
        "machine": machine.as_dict(),
        "rounds": rounds,
        "seconds": seconds,
        "results": [result.as_dict() for result in results],
    }
    (folder / RAW).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (folder / TEXT).write_text(build_text(report), encoding="utf-8")
    (folder / PICTURE).write_text(build_chart(report["results"], _name_machine(machine.as_dict())), encoding="utf-8")


def build_text(report: Mapping[str, Any]) -> str:
    """Return the tables of a report, as Markdown; what was not measured has none."""
    results = report["results"]
    parts = [
        _build_head(report),
        build_ratios(results),
        *(build_table(table, results) for table in TABLES),
        build_missing(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _build_head(report: Mapping[str, Any]) -> str:
    machine = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"# What a request costs\n\n{_name_machine(machine)}, {machine['memory_gib']} GiB, {machine['system']}.\n\n"
        f"{versions}.\n\n"
        f"Medians of {report['rounds']} rounds; in each, every cell was measured once, for {report['seconds']} s. "
        "What is measured has one core to itself, load and upstream have the others. "
        "[How to read and repeat it](../README.md)."
    )


def _name_machine(machine: Mapping[str, Any]) -> str:
    return f"{machine['date']}, {machine['cpu']}, {machine['cores']} cores, {machine['kernel']}"
