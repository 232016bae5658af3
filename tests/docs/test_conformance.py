"""``docs/conformance.md`` is what the tests of the norms make of it, and they all pass."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest

from tests.conformance import HOLDS, HOLDS_IN_PART, PAGE, load_norms

from .pages import ROOT, list_rows, read_page

Run = tuple[str, subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the tests of the norms, once, and return the page that they make and how the run ended."""
    page = tmp_path_factory.mktemp("conformance") / "page.md"
    command = [sys.executable, "-m", "tests.conformance", str(page)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    return page.read_text("utf-8"), done


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_line_holds(run: Run) -> None:
    """Each line has a test, and none of its tests is skipped or fails."""
    page, done = run
    assert done.returncode == 0, done.stdout[-4000:]
    outcomes = {row[0]: row[-1] for row in list_rows(page, "line")}
    assert outcomes == {norm.id: HOLDS_IN_PART if norm.departs else HOLDS for norm in load_norms().values()}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_page_is_what_the_tests_make(run: Run) -> None:
    """A test that came, went or was renamed shows on the page: ``make conformance`` writes it anew."""
    page, _ = run
    assert read_page(PAGE) == page


def test_lines_are_counted_and_say_one_thing() -> None:
    """No number is missing within an RFC, so no line was lost; a level is one of three; a text is a sentence."""
    norms = load_norms().values()
    for rfc, group in itertools.groupby(norms, key=lambda norm: norm.rfc):
        ids = [norm.id for norm in group]
        assert ids == [f"{rfc}-{number}" for number in range(1, len(ids) + 1)]
    assert {norm.level for norm in norms} == {"must", "should", "stricter"}
    assert all(norm.section and norm.text.endswith(".") and "|" not in norm.text + norm.departs for norm in norms)
