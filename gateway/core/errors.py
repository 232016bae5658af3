"""
Every refusal there is: the closed set of reasons and the errors that carry them.

    GatewayError
     +-- RequestRefused      the request itself is malformed, ambiguous or too large
     +-- RouteRefused        no route for this path, or not for this method
     +-- TokenRefused        the credentials do not prove who the caller is
     +-- AccessRefused       the caller is known, and may not do this
     +-- Unavailable         we, or something behind us, cannot answer now
     +-- UpstreamFailed      the upstream did not answer, or not in HTTP

This file knows no HTTP library and no response: it says what happened, ``proxy.answers`` says how that looks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum


class OAuthError(Enum):
    """Error codes of a challenge: RFC 6750 section 3.1, RFC 9470 section 3."""

    INVALID_REQUEST = "invalid_request"
    INVALID_TOKEN = "invalid_token"  # noqa: S105 - an error code of RFC 6750, not a password
    INSUFFICIENT_SCOPE = "insufficient_scope"
    INSUFFICIENT_USER_AUTHENTICATION = "insufficient_user_authentication"


_REQUEST, _TOKEN, _SCOPE, _STEP_UP = OAuthError


class Reason(Enum):
    """
    Why a request was refused; one word for the body, the log, the metric label, ``explain`` and the docs.

    The members stand in the order in which the checks run, so of two refusals the later one got further.
    """

    word: str
    status: int
    error: OAuthError | None

    def __init__(self, word: str, status: int, error: OAuthError | None) -> None:
        self.word = word
        self.status = status
        self.error = error

    MALFORMED_REQUEST = "malformed_request", 400, _REQUEST
    URI_TOO_LONG = "uri_too_long", 414, None
    HEADERS_TOO_LARGE = "headers_too_large", 431, None
    BODY_TOO_LARGE = "body_too_large", 413, None
    REQUEST_TIMEOUT = "request_timeout", 408, None
    DRAINING = "draining", 503, None
    OVERLOADED = "overloaded", 503, None
    AMBIGUOUS_PATH = "ambiguous_path", 400, _REQUEST
    NO_ROUTE = "no_route", 404, None
    METHOD_NOT_ALLOWED = "method_not_allowed", 405, None
    MISSING_TOKEN = "missing_token", 401, None
    MULTIPLE_CREDENTIALS = "multiple_credentials", 400, _REQUEST
    MALFORMED_CREDENTIALS = "malformed_credentials", 400, _REQUEST
    ORIGIN_DENIED = "origin_denied", 403, None
    TOKEN_TOO_LARGE = "token_too_large", 401, _TOKEN
    NOT_A_JWT = "not_a_jwt", 401, _TOKEN
    ENCRYPTED_TOKEN = "encrypted_token", 401, _TOKEN
    MALFORMED_TOKEN = "malformed_token", 401, _TOKEN
    CRITICAL_HEADER = "critical_header", 401, _TOKEN
    UNKNOWN_ISSUER = "unknown_issuer", 401, _TOKEN
    TYP_NOT_ACCEPTED = "typ_not_accepted", 401, _TOKEN
    ALGORITHM_NOT_ACCEPTED = "algorithm_not_accepted", 401, _TOKEN
    UNKNOWN_KEY = "unknown_key", 401, _TOKEN
    BAD_SIGNATURE = "bad_signature", 401, _TOKEN
    EXPIRED = "expired", 401, _TOKEN
    NOT_YET_VALID = "not_yet_valid", 401, _TOKEN
    ISSUED_IN_FUTURE = "issued_in_future", 401, _TOKEN
    LIFETIME_TOO_LONG = "lifetime_too_long", 401, _TOKEN
    AUDIENCE_MISMATCH = "audience_mismatch", 401, _TOKEN
    CLAIM_MISSING = "claim_missing", 401, _TOKEN
    CLAIM_MISMATCH = "claim_mismatch", 401, _TOKEN
    ORGANIZATION_CONFLICT = "organization_conflict", 401, _TOKEN
    ID_TOKEN = "id_token", 401, _TOKEN
    IDENTITY_UNSAFE = "identity_unsafe", 401, _TOKEN
    KEYS_UNAVAILABLE = "keys_unavailable", 503, None
    PROVIDER_NOT_ALLOWED = "provider_not_allowed", 403, _SCOPE
    STALE_AUTHENTICATION = "stale_authentication", 401, _STEP_UP
    WEAK_AUTHENTICATION = "weak_authentication", 401, _STEP_UP
    INSUFFICIENT_SCOPE = "insufficient_scope", 403, _SCOPE
    ORGANIZATION_MISMATCH = "organization_mismatch", 403, _SCOPE
    ORGANIZATION_DENIED = "organization_denied", 403, _SCOPE
    REQUIREMENT_NOT_MET = "requirement_not_met", 403, _SCOPE
    AUTHORIZATION_UNAVAILABLE = "authorization_unavailable", 503, None
    IDENTITY_TOO_LARGE = "identity_too_large", 431, None
    UPSTREAM_UNREACHABLE = "upstream_unreachable", 502, None
    UPSTREAM_BAD_RESPONSE = "upstream_bad_response", 502, None
    UPSTREAM_TIMEOUT = "upstream_timeout", 504, None

    @property
    def stage(self) -> int:
        """The place of this reason's check in the order of checks, from 0."""
        return _STAGES[self]


_STAGES = {reason: stage for stage, reason in enumerate(Reason)}


class GatewayError(Exception):
    """
    A request that is refused, and why.

    ``description`` is a sentence fit for the caller: it quotes nothing of the token and nothing of the
    configuration. ``received`` and ``expected`` are for the log, for ``explain`` and for ``error_detail: full``.
    ``attempts`` are all providers that were tried; ``context`` is what the log wants to know of the caller:
    ``token_iss token_aud token_alg token_kid``, unverified, and ``provider subject organization client_id``.
    """

    def __init__(
        self,
        reason: Reason,
        description: str,
        *,
        received: object = None,
        expected: object = None,
        retry_after_seconds: int | None = None,
        scopes: Sequence[str] = (),
        max_age_seconds: int | None = None,
        acr_values: Sequence[str] = (),
        allowed_methods: Sequence[str] = (),
    ) -> None:
        super().__init__(f"{reason.word}: {description}")
        self.reason = reason
        self.description = description
        self.received = received
        self.expected = expected
        self.retry_after_seconds = retry_after_seconds
        self.scopes = tuple(scopes)
        self.max_age_seconds = max_age_seconds
        self.acr_values = tuple(acr_values)
        self.allowed_methods = tuple(allowed_methods)
        self.attempts: tuple[Attempt, ...] = ()
        self.context: Mapping[str, object] = {}


class RequestRefused(GatewayError):
    """The request is malformed, ambiguous or too large, whoever sent it."""


class RouteRefused(GatewayError):
    """No route takes this path, or none takes it with this method."""


class TokenRefused(GatewayError):
    """The credentials do not prove who the caller is."""


class AccessRefused(GatewayError):
    """The caller is known and may not do this."""


class Unavailable(GatewayError):
    """We cannot decide or serve now; never the caller's fault."""


class UpstreamFailed(GatewayError):
    """The upstream could not be reached, was too slow, or did not speak HTTP."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One provider that was tried for a token, and why it refused it."""

    provider: str
    error: GatewayError
