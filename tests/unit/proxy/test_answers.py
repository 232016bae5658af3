"""From a refusal to the bytes of its answer."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from gateway.core.errors import AccessRefused, GatewayError, OAuthError, Reason, RouteRefused, TokenRefused, Unavailable
from gateway.core.policy import Forwarding, Policy
from gateway.proxy.answers import build_refusal


def refuse(error: GatewayError, **changed: Any) -> tuple[dict[str, str], bytes]:
    """Return the fields and the body of the answer; the status is the field ``:status``."""
    options: dict[str, Any] = {"is_head": False, "keep_alive": True, "detail": "reason"} | changed
    policy = Policy((), Forwarding(host=None), error_detail=options.pop("detail"), realm="api")
    head, body = build_refusal(error, policy, request_id="id-1", **options)
    assert head.endswith(b"\r\n\r\n")
    status, *lines = head.decode("ascii")[:-4].split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines)
    assert len(fields) == len(lines)
    return {":status": status.split(" ")[1], **fields}, body


EXPIRED = TokenRefused(Reason.EXPIRED, "The token has expired.", received=1, expected=2)


@pytest.mark.norm("6750-4", "6750-8")
@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.word)
def test_every_reason_has_an_answer(reason: Reason) -> None:
    """Status and code are those of the closed set; a challenge is there where better credentials might be accepted."""
    fields, body = refuse(GatewayError(reason, "Because."))
    said = json.loads(body)
    assert fields[":status"] == str(reason.status)
    assert said["reason"] == reason.word
    assert said["error"] == (reason.error.value if reason.error else reason.word)
    challenge = fields.get("WWW-Authenticate", "")
    is_insufficient = reason.status == 403 and reason.error is not None
    is_of_credentials = reason.word in ("multiple_credentials", "malformed_credentials")
    assert bool(challenge) == (reason.status == 401 or is_insufficient or is_of_credentials)
    assert ("error=" in challenge) == bool(challenge and reason.error)
    assert int(fields["Content-Length"]) == len(body)
    assert fields["Cache-Control"] == "no-store"


# RFC 9110, section 11.6.1, with what RFC 6750, section 3, leaves of it.
PARAMETER = re.compile(r'([a-z_]+)="([^"]*)"')
SCOPE = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*")
TEXT = re.compile(r"[ !#-\[\]-~]+")


CHALLENGED = [
    *(each for each in Reason if each.error and each.status in (401, 403)),
    Reason.MISSING_TOKEN,
    Reason.MULTIPLE_CREDENTIALS,
    Reason.MALFORMED_CREDENTIALS,
]


@pytest.mark.norm("6750-4", "6750-5", "6750-6", "6750-7")
@pytest.mark.parametrize("detail", ["none", "reason", "full"])
@pytest.mark.parametrize("reason", CHALLENGED, ids=lambda reason: reason.word)
def test_every_challenge_is_one_of_bearer(reason: Reason, detail: str) -> None:
    """RFC 6750, section 3: the scheme, a realm, no parameter twice, no character that ends one."""
    error = GatewayError(reason, 'A "quoted" \\ text,\r\nof two lines: \u00e9.', received='"', scopes=("a:b", "c/d"))
    fields, _ = refuse(error, detail=detail)
    scheme, _, rest = fields["WWW-Authenticate"].partition(" ")
    parameters = PARAMETER.findall(rest)
    assert scheme == "Bearer"
    assert rest == ", ".join(f'{name}="{value}"' for name, value in parameters)
    values = dict(parameters)
    assert len(values) == len(parameters)
    assert values.keys() <= {"realm", "error", "error_description", "scope"}
    assert values["realm"] == "api"
    assert SCOPE.fullmatch(values["scope"])
    assert all(TEXT.fullmatch(value) for value in values.values())


@pytest.mark.parametrize(
    ("detail", "names"),
    [
        ("none", {"error", "request_id"}),
        ("reason", {"error", "error_description", "reason", "request_id"}),
        ("full", {"error", "error_description", "reason", "request_id", "received", "expected"}),
    ],
)
def test_detail_is_what_the_file_says(detail: str, names: set[str]) -> None:
    """``error_detail`` decides what a caller learns, in body and challenge alike."""
    fields, body = refuse(EXPIRED, detail=detail)
    assert set(json.loads(body)) == names
    assert ("error_description=" in fields["WWW-Authenticate"]) == (detail != "none")


@pytest.mark.norm("6750-9")
def test_a_challenge_lists_the_scopes_that_are_needed() -> None:
    """RFC 6750, section 3: who may not do this learns what would let them."""
    fields, _ = refuse(AccessRefused(Reason.INSUFFICIENT_SCOPE, "No.", scopes=("a", "b")))
    assert fields["WWW-Authenticate"] == (
        f'Bearer realm="api", error="{OAuthError.INSUFFICIENT_SCOPE.value}", error_description="No.", scope="a b"'
    )


def test_405_has_allow_and_503_retry_after() -> None:
    """RFC 9110, sections 10.2.1 and 10.2.3."""
    fields, _ = refuse(RouteRefused(Reason.METHOD_NOT_ALLOWED, "No.", allowed_methods=("GET", "HEAD")))
    assert fields["Allow"] == "GET, HEAD"
    fields, _ = refuse(Unavailable(Reason.KEYS_UNAVAILABLE, "No.", retry_after_seconds=5))
    assert fields["Retry-After"] == "5"


def test_head_has_no_body_and_the_last_answer_says_so() -> None:
    """HEAD gets the fields alone; a connection that ends is announced."""
    fields, body = refuse(EXPIRED, is_head=True, keep_alive=False)
    assert body == b""
    assert int(fields["Content-Length"]) > 0
    assert fields["Connection"] == "close"


def test_an_answer_is_ascii_whatever_the_token_held() -> None:
    """With full detail, texts of a token are escaped: they cannot end a line or leave JSON."""
    error = TokenRefused(Reason.AUDIENCE_MISMATCH, "No.", received=("\r\nX: y", "\ud800", "\N{SNOWMAN}"), expected=1.5)
    _, body = refuse(error, detail="full")
    assert body.isascii()
    assert b"\r" not in body
