"""Times in words, and times as typed."""

import pytest

from gateway.cli.times import describe_duration, describe_time, describe_times, parse_time


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (7380, "2 h 3 min"),
        (172800, "2 days"),
        (-90, "1 min"),
    ],
)
def test_duration_is_said_in_its_largest_units(seconds, text):
    """A length of time has no sign."""
    assert describe_duration(seconds) == text


def test_times_of_a_token_are_relative_to_now():
    """What people want to know is how long ago and how long still."""
    claims = {"iat": 760, "nbf": 1060, "exp": 4360}
    assert describe_times(claims, 1000) == "issued 4 min ago, valid in 1 min, expires in 56 min (1970-01-01T01:12:40Z)"


def test_token_without_exp_never_expires():
    """Absence is named."""
    assert describe_times({}, 0) == "never expires (no exp)"


def test_time_beyond_the_calendar_is_shown_as_it_is():
    """A token may claim any number of seconds."""
    assert describe_time(2.0**52) == str(2.0**52)


@pytest.mark.parametrize(
    "text", ["1800000000", "2027-01-15T08:00:00Z", "2027-01-15T08:00:00", "2027-01-15T09:00:00+01:00"]
)
def test_time_is_read_in_both_spellings(text):
    """RFC 3339, in UTC unless it says otherwise, or seconds since the epoch."""
    assert parse_time(text) == 1_800_000_000


@pytest.mark.parametrize("text", ["", "soon", "nan", "inf", "2027-13-01T00:00:00Z"])
def test_other_times_are_refused(text):
    """Nothing is guessed."""
    with pytest.raises(ValueError, match=r".*"):
        parse_time(text)
