"""
The one table from a refusal to a response, and what a handler returns that has answered by itself.

The body is JSON, and quotes nothing of the token unless the file says ``error_detail: full``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from aiohttp import web

from gateway.core.credentials import build_challenge
from gateway.core.errors import GatewayError, Reason
from gateway.core.policy import Policy
from gateway.core.resource import Resource

# Nothing of a refusal is a secret from the page that asked, and nothing of metadata from anybody (Fetch, section 3.3).
_FOR_ANY_ORIGIN = (
    "Access-Control-Allow-Origin: *",
    "Access-Control-Expose-Headers: WWW-Authenticate, Retry-After, X-Request-ID",
)
_PREFLIGHT = (
    "Access-Control-Allow-Methods: GET, HEAD",
    "Access-Control-Allow-Headers: *",
    "Access-Control-Max-Age: 86400",
)
_DOCUMENT_METHODS = {"GET": HTTPStatus.OK, "HEAD": HTTPStatus.OK, "OPTIONS": HTTPStatus.NO_CONTENT}
_DOCUMENT_SECONDS = 3600
# RFC 6750, section 3: who shows no token that lets them in is asked for one, though what they show is no token at all.
_CREDENTIALS_REFUSED = frozenset({Reason.MULTIPLE_CREDENTIALS, Reason.MALFORMED_CREDENTIALS})


def build_refusal(
    error: GatewayError,
    policy: Policy,
    *,
    request_id: str,
    is_head: bool,
    keep_alive: bool,
    resource: Resource | None = None,
    is_cross_origin: bool = False,
) -> tuple[bytes, bytes]:
    """
    Return the answer to a refused request: its head, and its body, which is empty for HEAD.

    A challenge names the metadata of the ``resource``. ``is_cross_origin`` lets a script of any origin read it all.
    """
    status = HTTPStatus(error.reason.status)
    body = (
        json.dumps(_build_body(error, policy, request_id), separators=(",", ":"), default=str).encode("ascii") + b"\n"
    )
    lines = [
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        # A refusal is about this request alone, and about a secret.
        "Cache-Control: no-store",
        f"X-Request-ID: {request_id}",
    ]
    if _is_challenged(error.reason):
        challenge = build_challenge(
            error,
            policy.realm,
            with_description=policy.error_detail != "none",
            metadata_url=resource.metadata_url if resource is not None else None,
        )
        lines.append(f"WWW-Authenticate: {challenge}")
    if is_cross_origin:
        lines += _FOR_ANY_ORIGIN
    if error.allowed_methods:
        lines.append(f"Allow: {', '.join(error.allowed_methods)}")
    if error.retry_after_seconds is not None:
        lines.append(f"Retry-After: {error.retry_after_seconds}")
    return _build_head(status, lines, keep_alive=keep_alive), b"" if is_head else body


def _build_head(status: HTTPStatus, lines: Iterable[str], *, keep_alive: bool) -> bytes:
    """Return the head of an answer of our own, with these lines of fields and those that every one has."""
    start = (f"HTTP/1.1 {status.value} {status.phrase}", f"Date: {formatdate(usegmt=True)}")
    end = () if keep_alive else ("Connection: close",)
    return "\r\n".join([*start, *lines, *end, "", ""]).encode("ascii")


def _is_challenged(reason: Reason) -> bool:
    """Return whether better credentials might have been accepted."""
    is_insufficient = reason.status == HTTPStatus.FORBIDDEN and reason.error is not None
    return reason.status == HTTPStatus.UNAUTHORIZED or is_insufficient or reason in _CREDENTIALS_REFUSED


def build_document(document: bytes, method: str, *, request_id: str, keep_alive: bool) -> tuple[int, bytes, bytes]:
    """
    Return the answer to a request for metadata of ours (RFC 9728, section 3): its status, its head and its body.

    Whoever looks for a token has none yet, so anybody may read it, a script of any origin too.
    """
    status = _DOCUMENT_METHODS.get(method, HTTPStatus.METHOD_NOT_ALLOWED)
    lines = [f"X-Request-ID: {request_id}", *_FOR_ANY_ORIGIN]
    if status is HTTPStatus.OK:
        lines += ["Content-Type: application/json", f"Cache-Control: public, max-age={_DOCUMENT_SECONDS}"]
    elif status is HTTPStatus.NO_CONTENT:
        lines += _PREFLIGHT
    else:
        lines.append("Allow: GET, HEAD, OPTIONS")
    if status is not HTTPStatus.NO_CONTENT:
        lines.append(f"Content-Length: {len(document) if status is HTTPStatus.OK else 0}")
    return status.value, _build_head(status, lines, keep_alive=keep_alive), document if method == "GET" else b""


def _build_body(error: GatewayError, policy: Policy, request_id: str) -> dict[str, object]:
    code = error.reason.error.value if error.reason.error else error.reason.word
    body: dict[str, object] = {"error": code}
    if policy.error_detail != "none":
        body |= {"error_description": error.description, "reason": error.reason.word}
    body["request_id"] = request_id
    if policy.error_detail == "full":
        body |= {"received": error.received, "expected": error.expected}
    return body


class _Answered(web.StreamResponse):
    """What a handler returns that has written its whole answer itself."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._keep_alive = keep_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write nothing: the head is written."""

    async def write_eof(self, data: Any = b"") -> None:
        """Write nothing: the body is written."""


# They hold no state of a request, so one of each serves all.
KEEP_ALIVE, CLOSE = _Answered(keep_alive=True), _Answered(keep_alive=False)
