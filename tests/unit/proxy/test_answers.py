"""From a refusal to the bytes of its answer."""

from __future__ import annotations

import json
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


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.word)
def test_every_reason_has_an_answer(reason: Reason) -> None:
    """Status and code are those of the closed set; every 401 has a challenge, and only 401 and 403 have one."""
    fields, body = refuse(GatewayError(reason, "Because."))
    said = json.loads(body)
    assert fields[":status"] == str(reason.status)
    assert said["reason"] == reason.word
    assert said["error"] == (reason.error.value if reason.error else reason.word)
    challenge = fields.get("WWW-Authenticate", "")
    assert bool(challenge) == (reason.status == 401 or (reason.status == 403 and reason.error is not None))
    assert ("error=" in challenge) == bool(challenge and reason.error)
    assert int(fields["Content-Length"]) == len(body)
    assert fields["Cache-Control"] == "no-store"


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
