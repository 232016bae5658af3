"""The closed set of reasons, and what an error carries."""

from __future__ import annotations

import pytest

from gateway.core.errors import (
    AccessRefused,
    Attempt,
    GatewayError,
    OAuthError,
    Reason,
    RequestRefused,
    RouteRefused,
    TokenRefused,
    Unavailable,
    UpstreamFailed,
)

# What the docs promise: reason, status, and the error code of the challenge.
SET = {
    "missing_token": (401, None),
    "multiple_credentials": (400, "invalid_request"),
    "malformed_credentials": (400, "invalid_request"),
    "ambiguous_path": (400, "invalid_request"),
    "malformed_request": (400, "invalid_request"),
    "token_too_large": (401, "invalid_token"),
    "not_a_jwt": (401, "invalid_token"),
    "encrypted_token": (401, "invalid_token"),
    "malformed_token": (401, "invalid_token"),
    "critical_header": (401, "invalid_token"),
    "typ_not_accepted": (401, "invalid_token"),
    "algorithm_not_accepted": (401, "invalid_token"),
    "unknown_issuer": (401, "invalid_token"),
    "unknown_key": (401, "invalid_token"),
    "bad_signature": (401, "invalid_token"),
    "expired": (401, "invalid_token"),
    "not_yet_valid": (401, "invalid_token"),
    "issued_in_future": (401, "invalid_token"),
    "lifetime_too_long": (401, "invalid_token"),
    "audience_mismatch": (401, "invalid_token"),
    "claim_missing": (401, "invalid_token"),
    "claim_mismatch": (401, "invalid_token"),
    "organization_conflict": (401, "invalid_token"),
    "id_token": (401, "invalid_token"),
    "identity_unsafe": (401, "invalid_token"),
    "insufficient_scope": (403, "insufficient_scope"),
    "organization_mismatch": (403, "insufficient_scope"),
    "organization_denied": (403, "insufficient_scope"),
    "requirement_not_met": (403, "insufficient_scope"),
    "provider_not_allowed": (403, "insufficient_scope"),
    "origin_denied": (403, None),
    "stale_authentication": (401, "insufficient_user_authentication"),
    "weak_authentication": (401, "insufficient_user_authentication"),
    "no_route": (404, None),
    "method_not_allowed": (405, None),
    "identity_too_large": (431, None),
    "uri_too_long": (414, None),
    "headers_too_large": (431, None),
    "body_too_large": (413, None),
    "request_timeout": (408, None),
    "keys_unavailable": (503, None),
    "authorization_unavailable": (503, None),
    "upstream_unreachable": (502, None),
    "upstream_bad_response": (502, None),
    "upstream_timeout": (504, None),
    "draining": (503, None),
    "overloaded": (503, None),
}


def test_the_set_of_reasons_is_closed():
    """A reason that is in no document has no anchor to look it up by, and one that is only there never comes."""
    assert {reason.word for reason in Reason} == set(SET)


@pytest.mark.norm("6750-9")
@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.word)
def test_each_reason_has_one_status_and_error(reason):
    """RFC 6750, section 3.1: invalid_request is 400, invalid_token 401, insufficient_scope 403."""
    assert (reason.status, reason.error and reason.error.value) == SET[reason.word]


def test_members_are_named_after_their_words():
    """One word for the code, the log, the metric and the docs."""
    assert all(reason.name == reason.word.upper() for reason in Reason)
    assert {error.name.lower() for error in OAuthError} == {error.value for error in OAuthError}


def test_outages_are_never_blamed_on_the_caller():
    """A 5xx has no error of RFC 6750: nothing about the token is known to be wrong."""
    assert all(reason.error is None for reason in Reason if reason.status >= 500)


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (Reason.AMBIGUOUS_PATH, Reason.METHOD_NOT_ALLOWED),
        (Reason.METHOD_NOT_ALLOWED, Reason.MISSING_TOKEN),
        (Reason.MISSING_TOKEN, Reason.MALFORMED_TOKEN),
        (Reason.MALFORMED_TOKEN, Reason.UNKNOWN_ISSUER),
        (Reason.UNKNOWN_ISSUER, Reason.UNKNOWN_KEY),
        (Reason.UNKNOWN_KEY, Reason.BAD_SIGNATURE),
        (Reason.BAD_SIGNATURE, Reason.EXPIRED),
        (Reason.EXPIRED, Reason.AUDIENCE_MISMATCH),
        (Reason.AUDIENCE_MISMATCH, Reason.CLAIM_MISSING),
        (Reason.BAD_SIGNATURE, Reason.KEYS_UNAVAILABLE),
        (Reason.IDENTITY_UNSAFE, Reason.INSUFFICIENT_SCOPE),
    ],
    ids=lambda reason: reason.word,
)
def test_stages_follow_the_order_of_the_checks(earlier, later):
    """The answer is of the provider that got furthest, so each reason knows how far that is."""
    assert earlier.stage < later.stage


def test_stages_are_counted_from_zero():
    """The order of the members is the order of the stages."""
    assert [reason.stage for reason in Reason] == list(range(len(Reason)))


def test_an_error_says_what_happened():
    """The text begins with the reason, lists are frozen, and what was not said is empty."""
    error = AccessRefused(Reason.INSUFFICIENT_SCOPE, "No.", scopes=["a", "b"])
    assert str(error) == "insufficient_scope: No."
    assert error.scopes == ("a", "b")
    assert (error.received, error.expected, error.retry_after_seconds) == (None, None, None)
    assert (error.allowed_methods, error.attempts) == ((), ())


def test_an_error_keeps_what_it_was_given():
    """``received`` and ``expected`` are for the log, ``Allow`` and ``Retry-After`` for the answer."""
    error = RouteRefused(
        Reason.METHOD_NOT_ALLOWED, "No.", received="PUT", expected="GET", retry_after_seconds=3, allowed_methods=["GET"]
    )
    assert (error.received, error.expected, error.retry_after_seconds) == ("PUT", "GET", 3)
    assert error.allowed_methods == ("GET",)
    assert Attempt("main", error).error is error


def test_one_except_catches_every_refusal():
    """The shell has one switch from error to answer."""
    kinds = (RequestRefused, RouteRefused, TokenRefused, AccessRefused, Unavailable, UpstreamFailed)
    assert all(issubclass(kind, GatewayError) for kind in kinds)
