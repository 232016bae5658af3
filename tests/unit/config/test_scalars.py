"""Durations, sizes, switches, counts and texts."""

from __future__ import annotations

import pytest

from gateway.config.scalars import (
    format_duration,
    format_size,
    parse_count,
    parse_duration,
    parse_flag,
    parse_leeway,
    parse_positive_duration,
    parse_size,
    parse_size_or_unlimited,
    parse_text,
    read_list,
    read_number,
)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30s", 30), ("5m", 300), ("1h", 3600), ("250ms", 0.25), ("1h30m", 5400), ("1.5s", 1.5), ("0s", 0),
        (0, 0), (7, 7), (0.5, 0.5), ("7", 7), ("0.25", 0.25),
    ],
)  # fmt: skip
def test_a_duration_is_seconds(written: object, seconds: float) -> None:
    """A unit, several of them, or a plain number of seconds, which a variable holds as text."""
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written",
    ["", "s", "5 s", "5S", "5d", "-1s", "1s-", "s5", "1_000", "five", "22:22", "1e3", "٣s", -1, True, None, [], {}],
)
def test_no_duration(written: object) -> None:
    """Nothing else is taken for a duration, and above all not a number in another base."""
    with pytest.raises(ValueError, match=r"^expected a duration such as 30s, 5m, 1h or 250ms$"):
        parse_duration(written)


@pytest.mark.norm("9068-7")
@pytest.mark.parametrize(("written", "seconds"), [(0, 0), ("5s", 5), ("10m", 600), (600, 600)])
def test_a_leeway_is_short(written: object, seconds: float) -> None:
    """RFC 9068, section 4: a few minutes at most; an expired token would pass for as long."""
    assert parse_leeway(written) == seconds
    for longer in ("601s", "10m1ms", 600.5, "5h"):
        with pytest.raises(ValueError, match="longer than ten minutes"):
            parse_leeway(longer)


def test_durations_end() -> None:
    """Timers overflow; ten years are more than any of them needs."""
    with pytest.raises(ValueError, match="ten years"):
        parse_duration("99999999h")


@pytest.mark.parametrize(
    ("written", "suggested"),
    [
        ("1MB", "1MiB"),
        ("16k", "16KiB"),
        ("2 Gb", "2GiB"),
        ("10mib", "10MiB"),
        ("0MB", None),
        ("1TB", None),
        (True, None),
    ],
)
def test_a_size_in_other_units_is_told_how_to_write_it(written: object, suggested: str | None) -> None:
    """Whether MB are a thousand or 1024 is not guessed, but what to write is said."""
    for parse in (parse_size, parse_size_or_unlimited):
        with pytest.raises(ValueError, match="expected a size above 0") as caught:
            parse(written)
        assert str(caught.value).rpartition(": write ")[1:] == (
            (": write ", suggested) if suggested else ("", str(caught.value))
        )


def test_a_limit_in_time_is_not_zero() -> None:
    """To many a library zero means for ever."""
    assert parse_positive_duration("1ms") == 0.001
    with pytest.raises(ValueError, match="a duration of zero"):
        parse_positive_duration(0)


@pytest.mark.parametrize("text", ["0s", "250ms", "1.5s", "30s", "90s", "5m", "24h", "61m"])
def test_durations_are_written_as_they_are_read(text: str) -> None:
    """What is shown reads as the same."""
    assert parse_duration(format_duration(parse_duration(text))) == parse_duration(text)


def test_durations_are_written_short() -> None:
    """The largest unit that divides."""
    assert [format_duration(each) for each in (0, 0.25, 1.5, 90, 300, 86400)] == [
        "0s", "250ms", "1.5s", "90s", "5m", "24h",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "size"),
    [("16KiB", 16384), ("1MiB", 1048576), ("512B", 512), ("2GiB", 2 * 1024**3), (100, 100), ("100", 100)],
)
def test_a_size_is_bytes(written: object, size: int) -> None:
    """Powers of 1024, by their IEC names, or a plain number."""
    assert parse_size(written) == size


@pytest.mark.parametrize(
    "written", ["", "1KB", "1k", "16 KiB", "1.5MiB", "-1", 0, "0B", 1.5, True, None, [], "unlimited"]
)
def test_no_size(written: object) -> None:
    """Decimal units, and what has none, are not guessed at; unlimited is for a key that says so."""
    with pytest.raises(ValueError, match=r"^expected a size above 0 such as 16KiB"):
        parse_size(written)


def test_unlimited_is_a_word() -> None:
    """No number stands for no limit."""
    assert parse_size_or_unlimited("unlimited") is None
    assert parse_size_or_unlimited("1KiB") == 1024
    with pytest.raises(ValueError, match="or unlimited"):
        parse_size_or_unlimited(0)


def test_sizes_are_written_short() -> None:
    """The largest unit that divides."""
    assert [format_size(each) for each in (None, 1, 1536, 8192, 1048576, 1024**3)] == [
        "unlimited", "1B", "1536B", "8KiB", "1MiB", "1GiB",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "flag"),
    [
        (True, True),
        (False, False),
        ("on", True),
        ("Off", False),
        ("yes", True),
        ("no", False),
        ("1", True),
        ("0", False),
    ],
)
def test_a_switch_is_on_or_off(written: object, flag: bool) -> None:
    """What YAML 1.1 and the people who write variables call true and false."""
    assert parse_flag(written) is flag


@pytest.mark.parametrize("written", ["", "maybe", "y", 1, 0, 2, None, [], {}])
def test_no_switch(written: object) -> None:
    """Nothing is truthy."""
    with pytest.raises(ValueError, match=r"^expected true or false$"):
        parse_flag(written)


@pytest.mark.parametrize(("written", "count"), [(1, 1), (10_000, 10_000), ("25", 25)])
def test_a_count_is_above_zero(written: object, count: int) -> None:
    """Also as the text of a variable."""
    assert parse_count(written) == count


@pytest.mark.parametrize("written", [0, -1, 1.0, True, "", "x", "²", "1" * 400, None, []])
def test_no_count(written: object) -> None:
    """No fractions, no booleans, no digits of other scripts."""
    with pytest.raises(ValueError, match=r"^expected a whole number above 0$"):
        parse_count(written)


def test_numbers_of_variables() -> None:
    """Only digits are read as a number."""
    assert [read_number(each) for each in ("3000", "3e3", "-1", 5, None)] == [3000, "3e3", "-1", 5, None]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (5, "expected text: put it in quotes"),
        (True, "expected text: put it in quotes"),
        ([], "expected text, not a list"),
        ({}, "expected text, not a mapping"),
        (None, "expected text, not nothing"),
        ("", "the text is empty"),
        (" a", "blanks around the text"),
        ("a\n", "blanks around the text"),
        ("a\x7fb", "a control character"),
        ("a\ud800", "a control character"),
    ],
)
def test_no_text(written: object, message: str) -> None:
    """A text is never what only looks like one."""
    with pytest.raises(ValueError, match=message):
        parse_text(written)


def test_a_list_may_be_one_thing() -> None:
    """One value stands for the list of it; an empty list is no list of anything."""
    assert read_list("a") == ["a"]
    assert read_list(["a", "b"]) == ["a", "b"]
    with pytest.raises(ValueError, match="an empty list"):
        read_list([])
