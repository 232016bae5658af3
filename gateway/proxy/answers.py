"""
The one table from a refusal to a response.

The body is JSON, and quotes nothing of the token unless the file says ``error_detail: full``.
"""

from __future__ import annotations

import json
from email.utils import formatdate
from http import HTTPStatus

from gateway.core.credentials import build_challenge
from gateway.core.errors import GatewayError
from gateway.core.policy import Policy

_CHALLENGED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


def build_refusal(
    error: GatewayError, policy: Policy, *, request_id: str, is_head: bool, keep_alive: bool
) -> tuple[bytes, bytes]:
    """Return the answer to a refused request: its head, and its body, which is empty for HEAD."""
    status = HTTPStatus(error.reason.status)
    body = (
        json.dumps(_build_body(error, policy, request_id), separators=(",", ":"), default=str).encode("ascii") + b"\n"
    )
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Date: {formatdate(usegmt=True)}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        # A refusal is about this request alone, and about a secret.
        "Cache-Control: no-store",
        f"X-Request-ID: {request_id}",
    ]
    if status in _CHALLENGED and (error.reason.error is not None or status is HTTPStatus.UNAUTHORIZED):
        challenge = build_challenge(error, policy.realm, with_description=policy.error_detail != "none")
        lines.append(f"WWW-Authenticate: {challenge}")
    if error.allowed_methods:
        lines.append(f"Allow: {', '.join(error.allowed_methods)}")
    if error.retry_after_seconds is not None:
        lines.append(f"Retry-After: {error.retry_after_seconds}")
    if not keep_alive:
        lines.append("Connection: close")
    head = "\r\n".join([*lines, "", ""]).encode("ascii")
    return head, b"" if is_head else body


def _build_body(error: GatewayError, policy: Policy, request_id: str) -> dict[str, object]:
    code = error.reason.error.value if error.reason.error else error.reason.word
    body: dict[str, object] = {"error": code}
    if policy.error_detail != "none":
        body |= {"error_description": error.description, "reason": error.reason.word}
    body["request_id"] = request_id
    if policy.error_detail == "full":
        body |= {"received": error.received, "expected": error.expected}
    return body
