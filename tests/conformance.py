"""
Which test holds which line of a standard, and the page that says so.

``norms.toml`` has the lines; tests name them with ``@pytest.mark.norm("7519-4")``, which works on functions, on single
cases (``pytest.param(..., marks=...)``) and, as a member ``norm``, on vectors. ``python -m tests.conformance [PAGE]``
runs those tests, with this module as a plugin, and writes the page from what came of them.
"""

from __future__ import annotations

import functools
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "conformance.md"
HOLDS, HOLDS_IN_PART = "holds", "in part"

# Where a norm is held; what needs Node.js could be skipped.
_FOLDERS = ("tests/unit", "tests/vectors", "tests/integration")
# Of one test; beyond it they are counted.
_MAX_CASES_NAMED = 6

_TITLES = {
    "6750": "bearer tokens in HTTP",
    "7519": "JSON Web Token",
    "7515": "JSON Web Signature",
    "7517": "JSON Web Key",
    "7518": "JSON Web Algorithms",
    "8037": "EdDSA",
    "8725": "best current practices",
    "9068": "access tokens",
    "8414": "metadata of the issuer",
}

_HEAD = """\
# Conformance

What the standards ask of a gateway that checks bearer tokens, line by line, and the tests that show it. The tests make
this page (`make conformance`), and another one fails when it is not what they would make: when a line has no test, or
a test of a line is skipped or fails.

The numbers are the RFC and our own count. *must* and *should* are the RFC's words; *stricter* is where it leaves open
what this gateway does not. Where the gateway departs from a standard, the line says how and holds in part, and the
tests show what it does instead.
"""


@dataclass(frozen=True, slots=True)
class Norm:
    """One line of ``norms.toml``."""

    id: str
    section: str
    level: str
    text: str
    departs: str = ""

    @property
    def rfc(self) -> str:
        """The number of the RFC that asks for it."""
        return self.id.partition("-")[0]


@dataclass
class Evidence:
    """
    The tests of one line, as links, and what is wrong with some of them.

    With each stand the cases of it that show the line; none where it is the whole test that does.
    """

    tests: dict[str, list[str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


@functools.cache
def load_norms() -> dict[str, Norm]:
    """Return the lines by their ids, in order."""
    entries = tomllib.loads((ROOT / "tests" / "norms.toml").read_text("utf-8"))["norm"]
    norms = {entry["id"]: Norm(**entry) for entry in entries}
    assert len(norms) == len(entries), "a norm twice"
    return norms


def list_marks(item: pytest.Item) -> Iterator[tuple[str, str]]:
    """
    Return the ids of the lines that a test holds, each with the id of the case where it is this very case that does.

    Raises:
        pytest.UsageError: A line that there is not, or a mark that names none.
    """
    known = load_norms() if item.get_closest_marker("norm") else {}
    case = getattr(item, "callspec", None)
    for mark in item.iter_markers("norm"):
        if not mark.args or not known.keys() >= set(mark.args):
            raise pytest.UsageError(f"{item.nodeid}: norm{mark.args} is not in norms.toml")
        for name in mark.args:
            yield name, case.id if case is not None and mark in case.marks else ""


def render(norms: Mapping[str, Norm], evidence: Mapping[str, Evidence]) -> str:
    """Return the page."""
    lines = [_HEAD]
    for rfc in dict.fromkeys(norm.rfc for norm in norms.values()):
        lines += [
            f"## RFC {rfc}: {_TITLES[rfc]}\n",
            "| line | section | level | what holds | shown by | outcome |",
            "| --- | --- | --- | --- | --- | --- |",
            *(_render_row(norm, evidence[norm.id]) for norm in norms.values() if norm.rfc == rfc),
            "",
        ]
    return "\n".join(lines)


def _render_row(norm: Norm, evidence: Evidence) -> str:
    text = f"{norm.text}<br>**Departs:** {norm.departs}" if norm.departs else norm.text
    tests = "<br>".join(f"{link}{_render_cases(cases)}" for link, cases in sorted(evidence.tests.items()))
    return f"| {norm.id} | {norm.section} | {norm.level} | {text} | {tests} | {_render_outcome(norm, evidence)} |"


def _render_outcome(norm: Norm, evidence: Evidence) -> str:
    if evidence.failures or not evidence.tests:
        return ", ".join(evidence.failures) or "NOT TESTED"
    return HOLDS_IN_PART if norm.departs else HOLDS


def _render_cases(cases: Sequence[str]) -> str:
    if len(cases) > _MAX_CASES_NAMED:
        return f": {len(cases)} cases"
    return f": {', '.join(sorted(cases))}" if cases else ""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the page to write."""
    parser.addoption("--conformance", metavar="PAGE", type=Path, help="write the page of conformance there")


def pytest_configure(config: pytest.Config) -> None:
    """Gather what the tests of this run show, if a page is wanted."""
    if page := config.getoption("--conformance"):
        config.pluginmanager.register(_Gatherer(page))


class _Gatherer:
    """What the tests of one run show."""

    def __init__(self, page: Path) -> None:
        self.page = page
        self.norms = load_norms()
        self.evidence = {name: Evidence() for name in self.norms}
        self.held: dict[str, list[str]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write down which tests hold which lines."""
        for item in session.items:
            link = f"[`{getattr(item, 'originalname', item.name)}`](../{item.path.relative_to(ROOT).as_posix()})"
            for name, case in list_marks(item):
                self.evidence[name].tests.setdefault(link, []).extend([case] if case else [])
                self.held.setdefault(item.nodeid, []).append(name)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Write down what did not pass, be it before the test, in it or after it."""
        if not report.passed:
            for name in self.held.get(report.nodeid, ()):
                self.evidence[name].failures.append(f"`{report.nodeid}` {report.outcome}")

    def pytest_sessionfinish(self) -> None:
        """Write the page."""
        self.page.write_text(render(self.norms, self.evidence), "utf-8")


def main(page: str = str(PAGE)) -> int:
    """Run the tests of the norms, write the page, and return pytest's status."""
    options = ["-q", "-m", "norm", "-p", "no:cacheprovider", "-p", "tests.conformance", "--conformance", page]
    return pytest.main([*options, *_FOLDERS])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
