"""
The last requests that were refused, for whoever has a request id and asks why.

A refusal keeps what it has at hand and no more; words are made of it when somebody asks. Neither a token nor a query
is kept, and what a caller wrote is cut as in the log.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.admin.access import clean_path, cut_unverified, hide_tokens
from gateway.admin.logs import format_timestamp
from gateway.core.decision import RequestHead, find_match
from gateway.core.errors import Reason
from gateway.core.fields import FieldSet
from gateway.core.policy import Policy

# What a flood of refusals may cost in memory is bounded by it, and a person reads no more; the log has them all.
MAX_REFUSED = 100
# The audiences and issuers of a file may be many.
MAX_SIDES = 16

# What was received is then the upstream's own octets, which may be of a cookie or of a body.
_QUOTES_UPSTREAM = Reason.UPSTREAM_BAD_RESPONSE
_CONTEXT = ("token_iss", "token_aud", "token_alg", "token_kid")


@dataclass(slots=True)
class RefusedRequest:
    """
    One request that was refused; ``refused_at`` is in seconds since the epoch, ``status`` what the client got.

    ``path`` is the request-target without its query, empty as ``method`` is for what could not be read. ``received``
    and ``expected`` are those of the ``GatewayError``, and ``context`` is its own. ``policy`` and ``hosts`` (the values
    of ``Host``) say under which rule the request falls.
    """

    refused_at: float
    request_id: str
    method: str
    path: str
    status: int
    reason: Reason
    description: str
    policy: Policy
    hosts: tuple[bytes, ...] = ()
    provider: str | None = None
    received: object = None
    expected: object = None
    context: Mapping[str, object] = field(default_factory=dict)


class RefusedRequests:
    """Keeps the last ``MAX_REFUSED``."""

    __slots__ = ("_requests", "keep")

    def __init__(self) -> None:
        self._requests: deque[RefusedRequest] = deque(maxlen=MAX_REFUSED)
        self.keep = self._requests.append

    def describe(self) -> list[dict[str, Any]]:
        """Return them as JSON objects, newest first."""
        return [describe_refused(request) for request in reversed(self._requests)]


def describe_refused(request: RefusedRequest) -> dict[str, Any]:
    """Return a refusal as a JSON object; null where there is nothing to say."""
    said = {name: request.context.get(name) for name in _CONTEXT}
    return {
        "time": format_timestamp(request.refused_at),
        "request_id": request.request_id,
        "method": request.method,
        "path": clean_path(request.path) if request.path else "",
        "status": request.status,
        "route": _find_route(request),
        "provider": request.provider,
        "reason": request.reason.word,
        "description": request.description,
        "received": [] if request.reason is _QUOTES_UPSTREAM else _list_sides(request.received),
        "expected": _list_sides(request.expected),
        **{name: None if value is None else hide_tokens(cut_unverified(value)) for name, value in said.items()},
    }


def _find_route(request: RefusedRequest) -> str | None:
    """Return the name of the rule that a request falls under, None where the refusal came before it or is about it."""
    head = RequestHead(request.method, request.path, FieldSet([(b"Host", host) for host in request.hosts]))
    match = find_match(head, request.policy)
    return None if match is None else match.label


def _list_sides(value: object) -> list[str]:
    if value is None:
        return []
    values = value if isinstance(value, list | tuple | set | frozenset) else (value,)
    return [_name(each) for each in list(values)[:MAX_SIDES]]


def _name(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    return hide_tokens(cut_unverified(value))


def merge_refused(lists: Iterable[Sequence[Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    """Return what several processes have refused, newest first."""
    # Times of one form sort as texts.
    both = sorted((each for one in lists for each in one), key=lambda each: str(each["time"]), reverse=True)
    return both[:MAX_REFUSED]
