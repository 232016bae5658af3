"""Audience patterns and what they capture."""

from __future__ import annotations

import time

import pytest

from gateway.core.audience import PatternError, match_audiences, parse_audience_pattern, parse_audience_regex

ORGANIZATION = "urn:logto:organization:{organization}"


@pytest.mark.parametrize(
    ("pattern", "audience", "captures"),
    [
        ("https://api.example", "https://api.example", {}),
        ("api", "api", {}),
        (ORGANIZATION, "urn:logto:organization:org_1", {"organization": "org_1"}),
        (ORGANIZATION, "urn:logto:organization:*", {"organization": "*"}),
        (ORGANIZATION, "urn:logto:organization:é 1", {"organization": "é 1"}),
        ("urn:*:api", "urn:x:api", {}),
        ("{tenant}.example", "a.b.example", {"tenant": "a.b"}),
        ("https://*.example/{id}", "https://a.example/7", {"id": "7"}),
        ("{a}-{b}", "1-2", {"a": "1", "b": "2"}),
        ("a.c", "a.c", {}),
        ("x.*", "x.y", {}),
        ("é{a}", "éü", {"a": "ü"}),
        ("a+(b)[c]\\d$*|^", "a+(b)[c]\\d$x\n|^", {}),
        ("a*.{b}|(c)", "a1.2|(c)", {"b": "2"}),
    ],
    ids=[
        "url",
        "name",
        "organization",
        "asterisk-in-token",
        "any-text",
        "inner-star",
        "first",
        "two",
        "captures",
        "dot-literal",
        "dot-beside-star",
        "non-ascii",
        "marks-of-expressions",
        "marks-beside-two-wildcards",
    ],
)
def test_patterns_accept_and_capture(pattern, audience, captures):
    """A wildcard stands for one non-empty run of characters other than ``:`` and ``/``."""
    assert parse_audience_pattern(pattern).match(audience) == captures


@pytest.mark.norm("7519-7", "7519-8")
@pytest.mark.parametrize(
    ("pattern", "audience"),
    [
        ("https://api.example", "https://api.example/"),
        ("https://api.example", "https://API.example"),
        ("https://api.example", "https://api.example.evil"),
        ("https://api.example", " https://api.example"),
        ("https://api.example", ""),
        ("a.c", "abc"),
        (ORGANIZATION, "urn:logto:organization:"),
        (ORGANIZATION, "urn:logto:organization:a:b"),
        (ORGANIZATION, "urn:logto:organization:a/b"),
        (ORGANIZATION, "xurn:logto:organization:a"),
        (ORGANIZATION, "URN:logto:organization:a"),
        (ORGANIZATION, "urn:logto:organization:{organization}:"),
        (ORGANIZATION, "urn:logto:organization:\ud800"),
        (ORGANIZATION, "urn:logto:organization:a\udfffb"),
        ("https://*.example/{id}", "https://\ud800.example/7"),
        ("api", "\ud800"),
        ("x.*", "xy"),
        ("https://*.example", "https://evil/.example"),
        ("https://*.example", "https://a.example\n"),
        ("*.example", ".example"),
    ],
    ids=[
        "trailing-slash",
        "case",
        "longer",
        "leading-space",
        "empty",
        "dot-is-no-wildcard",
        "empty-run",
        "colon",
        "slash",
        "prefix",
        "case-of-pattern",
        "colon-after",
        "surrogate",
        "surrogate-inside",
        "surrogate-of-two-wildcards",
        "surrogate-for-a-literal",
        "dot-beside-star",
        "slash-in-host",
        "newline-at-end",
        "star-is-not-empty",
    ],
)
def test_patterns_are_anchored_and_exact(pattern, audience):
    """RFC 7519, section 4.1.3: compared by code point, matched whole."""
    assert parse_audience_pattern(pattern).match(audience) is None


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("", "without literal text"),
        ("*", "without literal text"),
        ("{organization}", "without literal text"),
        ("a**", "literal text between"),
        ("a{b}{c}", "literal text between"),
        ("a{b}*", "literal text between"),
        ("a{b}:{b}", "captured twice"),
        ("a{B}", "not a capture name"),
        ("a{}", "not a capture name"),
        ("a{1}", "not a capture name"),
        ("a{b-c}", "not a capture name"),
        ("a{b", "a brace"),
        ("a}b", "a brace"),
        ("a{{b}}", "a brace"),
        ("a\ud800*", "surrogate"),
    ],
)
def test_patterns_that_say_nothing_clear_are_refused(pattern, why):
    """A pattern without literal text would accept every audience: absence never permits."""
    with pytest.raises(PatternError, match=why):
        parse_audience_pattern(pattern)


@pytest.mark.parametrize(
    ("expression", "audience", "captures"),
    [
        ("api|web", "web", {}),
        ("urn:(?P<organization>[a-z]+)", "urn:a", {"organization": "a"}),
        ("(?P<organization>a)|b", "b", {}),
        ("(?i)api", "API", {}),
    ],
    ids=["alternative", "capture", "capture-that-took-no-part", "flag"],
)
def test_expressions_accept_and_capture(expression, audience, captures):
    """``{regex: ...}`` is matched whole; a group that took no part captures nothing."""
    assert parse_audience_regex(expression).match(audience) == captures


@pytest.mark.parametrize(
    ("expression", "audience"),
    [("api|web", "webx"), ("api|web", "xapi"), ("a.c", "a\nc"), ("^a$", "a\n"), ("api", "\udcff")],
)
def test_expressions_are_matched_whole(expression, audience):
    """The alternatives of an expression are anchored too."""
    assert parse_audience_regex(expression).match(audience) is None


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("(", "RE2 accepts: missing"),
        ("(a)\\1", "RE2 accepts"),
        ("a(?=b)", "RE2 accepts"),
        ("", "empty audience"),
        (".*", "empty audience"),
        ("a?", "empty audience"),
        ("\ud800", "surrogate"),
    ],
)
def test_expressions_without_a_linear_time_are_refused(expression, why):
    """No backtracking, no look-around, and none that the empty audience would pass."""
    with pytest.raises(PatternError, match=why):
        parse_audience_regex(expression)


@pytest.mark.parametrize(
    "pattern",
    [parse_audience_regex("(a+)+b"), *map(parse_audience_pattern, ("a*ab", "a{x}a{y}a{z}ab", "a*a*a*a*a*ab"))],
    ids=lambda pattern: pattern.text,
)
def test_no_audience_makes_the_engine_slow(pattern):
    """The time is linear in the audience, whatever the expression."""
    started = time.perf_counter()
    assert pattern.match("a" * 8000) is None
    assert time.perf_counter() - started < 0.5


def test_a_literal_pattern_is_its_text():
    """A set of such texts says the same as a walk through the patterns; an expression is never one of them."""
    assert parse_audience_pattern("a.c").is_literal
    assert not parse_audience_pattern("a*").is_literal
    assert not parse_audience_regex("api").is_literal


def test_equal_patterns_are_equal():
    """A policy that was read again from the same file is the same policy."""
    assert parse_audience_pattern(ORGANIZATION) == parse_audience_pattern(ORGANIZATION)
    assert parse_audience_pattern("a") != parse_audience_regex("a")


def test_any_one_of_several_audiences_may_match():
    """RFC 7519, section 4.1.3: the token is for us if one of its audiences is."""
    patterns = [
        parse_audience_pattern("api"),
        parse_audience_pattern("org:{organization}"),
        parse_audience_pattern("*:b"),
    ]
    matched = match_audiences(iter(patterns), ["other", "org:b", "api", "org:c", "api"])
    assert matched is not None
    assert matched.accepted == ("org:b", "api", "org:c")
    assert matched.captures == {"organization": {"b", "c"}}


@pytest.mark.norm("7519-7")
@pytest.mark.parametrize("audiences", [[], ["other"], ["ap", "apii"]])
def test_no_accepted_audience_is_no_match(audiences):
    """An empty list of audiences names nobody."""
    assert match_audiences([parse_audience_pattern("api")], audiences) is None


def test_no_pattern_accepts_no_audience():
    """An empty list in the file is not "any"."""
    assert match_audiences([], ["api"]) is None
