"""When keys are refreshed, retried and dropped, and who may ask for them early."""

from __future__ import annotations

import pytest

from gateway.providers.freshness import (
    CEILING_SECONDS,
    FLOOR_SECONDS,
    MAX_REMEMBERED_KIDS,
    MAX_RETRY_SECONDS,
    REMEMBERED_COOLDOWNS,
    FreshnessFields,
    UnknownKids,
    is_stale,
    parse_date,
    plan_refresh,
    plan_retry,
    read_lifetime,
)

NOW = 784111777.0
NOW_DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
HOUR_LATER = "Sun, 06 Nov 1994 09:49:37 GMT"


@pytest.mark.parametrize(
    ("fields", "lifetime"),
    [
        pytest.param(FreshnessFields(), None, id="nothing-said"),
        pytest.param(FreshnessFields(cache_control="max-age=300"), 300, id="max-age"),
        pytest.param(FreshnessFields(cache_control="public, Max-Age=300, must-revalidate"), 300, id="among-others"),
        pytest.param(FreshnessFields(cache_control='max-age="300"'), 300, id="quoted"),
        pytest.param(FreshnessFields(cache_control="max-age=300, max-age=60"), 60, id="two-the-smaller"),
        pytest.param(FreshnessFields(cache_control="max-age=0"), 0, id="zero"),
        pytest.param(FreshnessFields(cache_control="no-store, max-age=300"), 0, id="no-store-wins"),
        pytest.param(FreshnessFields(cache_control="NO-CACHE"), 0, id="no-cache"),
        pytest.param(FreshnessFields(cache_control='no-cache="set-cookie"'), 0, id="no-cache-of-a-field"),
        pytest.param(FreshnessFields(cache_control="s-maxage=300"), None, id="for-shared-caches-only"),
        pytest.param(FreshnessFields(cache_control="max-age=-1"), None, id="negative-is-no-number"),
        pytest.param(FreshnessFields(cache_control="max-age=1e3"), None, id="exponent-is-no-number"),
        pytest.param(FreshnessFields(cache_control="max-age=٣٠٠"), None, id="other-digits"),
        pytest.param(FreshnessFields(cache_control="max-age=" + "9" * 5000), None, id="five-thousand-digits"),
        pytest.param(FreshnessFields(cache_control="max-age=300", age="100"), 200, id="age-counts"),
        pytest.param(FreshnessFields(cache_control="max-age=300", age="400"), 0, id="older-than-fresh"),
        pytest.param(FreshnessFields(cache_control="max-age=300", age="-5"), 300, id="bad-age-is-none"),
        pytest.param(FreshnessFields(expires=HOUR_LATER, date=NOW_DATE), 3600, id="expires-from-its-own-date"),
        pytest.param(FreshnessFields(expires=HOUR_LATER), 3600, id="expires-from-our-clock"),
        pytest.param(FreshnessFields(expires=HOUR_LATER, date="yesterday"), 3600, id="expires-with-a-bad-date"),
        pytest.param(FreshnessFields(expires=HOUR_LATER, date=NOW_DATE, age="600"), 3000, id="expires-less-age"),
        pytest.param(FreshnessFields(expires=NOW_DATE, date=HOUR_LATER), 0, id="expired"),
        pytest.param(FreshnessFields(expires="0"), 0, id="expires-zero"),
        pytest.param(FreshnessFields(cache_control="max-age=300", expires="0"), 300, id="max-age-before-expires"),
        pytest.param(FreshnessFields(cache_control="public", expires=HOUR_LATER), 3600, id="expires-beside-others"),
    ],
)
def test_lifetime_is_what_the_issuer_says(fields: FreshnessFields, lifetime: float | None) -> None:
    """Cache-Control comes before Expires, what is unreadable says nothing, and the document's age counts."""
    assert read_lifetime(fields, NOW) == lifetime


@pytest.mark.parametrize("text", ["", "0", "-1", "never", "Sun, 99 Nov 1994 08:49:37 GMT", "\ud800", "1 Jan 99999999"])
def test_a_bad_date_is_none(text: str) -> None:
    """No text from an issuer makes reading a date fail."""
    assert parse_date(text) is None


def test_a_date_is_seconds_since_the_epoch() -> None:
    """The example of RFC 9110, section 5.6.7."""
    assert parse_date(NOW_DATE) == NOW


@pytest.mark.parametrize(
    ("lifetime", "refresh", "interval"),
    [
        pytest.param(None, None, 600, id="ten-minutes-where-nobody-says"),
        pytest.param(300, None, 300, id="the-issuer-alone"),
        pytest.param(86400, None, CEILING_SECONDS, id="the-issuer-alone-up-to-the-ceiling"),
        pytest.param(None, 600, 600, id="the-file-says-when-the-issuer-does-not"),
        pytest.param(None, 5, 5, id="the-file-may-ask-often"),
        pytest.param(None, 7200, 7200, id="the-file-may-ask-seldom"),
        pytest.param(300, 600, 300, id="the-issuer-asks-for-sooner"),
        pytest.param(0, 600, FLOOR_SECONDS, id="not-below-the-floor"),
        pytest.param(86400, 600, 600, id="never-later-than-the-file-says"),
        pytest.param(86400, 7200, CEILING_SECONDS, id="not-above-the-ceiling"),
        pytest.param(0, 5, 5, id="the-file-before-the-floor"),
    ],
)
def test_refresh_interval(lifetime: float | None, refresh: float | None, interval: float) -> None:
    """The sooner of the file's wish and the issuer's, which counts between a minute and an hour."""
    assert plan_refresh(lifetime, refresh, 0.0) == interval


def test_refresh_comes_before_the_document_ages() -> None:
    """Chance moves a refresh forward by a tenth at most, never back."""
    assert plan_refresh(300, 600, 1.0) == pytest.approx(270)


def test_retries_are_quick_at_first_and_bounded() -> None:
    """1, 2, 4 ... 30 seconds, however long the outage: nine hours of retries are no overflow."""
    assert [plan_retry(failures, 0.0) for failures in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert plan_retry(100_000, 0.0) == MAX_RETRY_SECONDS
    assert plan_retry(1, 1.0) == 0.75


def test_stale_begins_with_the_limit() -> None:
    """A set is used for less than ``max_stale``."""
    assert not is_stale(100.0, 50.0, 149.9)
    assert is_stale(100.0, 50.0, 150.0)


def test_one_kid_asks_per_cooldown() -> None:
    """While a cooldown runs no other kid may ask, and after it one may."""
    kids = UnknownKids(30.0)
    assert kids.may_ask("a", 0.0)
    kids.record_asked(0.0)
    assert not kids.may_ask("a", 0.0)
    assert not kids.may_ask("b", 29.9)
    assert kids.may_ask("b", 30.0)


def test_a_refused_kid_is_not_remembered() -> None:
    """Only a fetch without it makes a kid known as missing: a refusal in a cooldown says nothing about it."""
    kids = UnknownKids(30.0)
    kids.record_asked(0.0)
    assert not kids.may_ask("new", 1.0)
    assert kids.may_ask("new", 30.0)


def test_a_missed_kid_waits_longer_than_others() -> None:
    """A kid that the issuer did not have is asked for again after four cooldowns, other kids after one."""
    kids = UnknownKids(30.0)
    kids.record_asked(0.0)
    kids.record_missed("gone", 0.0)
    assert not kids.may_ask("gone", 30.0)
    assert kids.may_ask("other", 30.0)
    assert kids.may_ask("gone", 30.0 * REMEMBERED_COOLDOWNS)


def test_memory_of_kids_is_bounded() -> None:
    """A flood of kids pushes out the oldest; it never grows."""
    kids = UnknownKids(30.0)
    for number in range(MAX_REMEMBERED_KIDS + 1):
        kids.record_missed(str(number), 0.0)
    assert kids.may_ask("0", 31.0)
    assert not kids.may_ask(str(MAX_REMEMBERED_KIDS), 31.0)
