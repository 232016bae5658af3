"""``docs/reasons.md`` has one anchor for each reason, with its status and its error code, and no other."""

from __future__ import annotations

import re

import pytest

from gateway.config.schema import build_schema
from gateway.core.errors import Reason

from .pages import ROOT, cut_section, list_anchors, list_code, read_page

PAGE = ROOT / "docs" / "reasons.md"
TEXT = read_page(PAGE)
WORDS = [reason.word for reason in Reason]


def read_entry(reason):
    """Return what the page says of a reason."""
    return cut_section(TEXT, f"### {reason.word}").strip()


def test_anchors_are_the_closed_set():
    """One heading a reason in the order of the checks; none twice, none else."""
    assert re.findall(r"^### (.+)$", TEXT, re.MULTILINE) == WORDS
    assert set(WORDS) <= set(list_anchors(PAGE))


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.word)
def test_status_and_error_code_are_right(reason):
    """An entry begins with both."""
    code = f" `{reason.error.value}`" if reason.error else ""
    assert f"{read_entry(reason)} ".startswith(f"{reason.status}{code}. ")


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.word)
def test_entries_are_short(reason):
    """Whoever looks a word up wants the remedy, not an essay."""
    assert 1 <= len(read_entry(reason).splitlines()) <= 8


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.word)
def test_entries_say_meaning_causes_and_fix(reason):
    """In this order, each with words of its own."""
    code = f" `{reason.error.value}`" if reason.error else ""
    parts = re.fullmatch(
        rf"{reason.status}{code}\. (?P<meaning>.+)\n\n- Usual causes: (?P<causes>.+)\n- Fix: (?P<fix>.+)",
        read_entry(reason),
        re.DOTALL,
    )
    assert parts
    assert all(len(text) >= 20 and text.endswith(".") for text in parts.groups())


def test_every_reason_is_raised():
    """A word that no code uses would be looked up by nobody."""
    sources = [path.read_text("utf-8") for path in (ROOT / "gateway").rglob("*.py") if path.name != "errors.py"]
    used = {name for source in sources for name in re.findall(r"\bReason\.([A-Z_]+)", source)}
    assert used >= {reason.name for reason in Reason}


def test_keys_of_the_page_are_keys_of_the_file():
    """A dotted name in backquotes is a key that can be written."""
    schema = build_schema()
    sections = {"limits": "LimitsSection", "timeouts": "TimeoutsSection", "identity": "IdentitySection"}
    named = [code.split(".") for code in list_code(TEXT) if re.fullmatch(r"(limits|timeouts|identity)\.\w+", code)]
    assert named
    assert [pair for pair in named if pair[1] not in schema["$defs"][sections[pair[0]]]["properties"]] == []
