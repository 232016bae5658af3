"""
Tokens outside of ``Authorization`` on their way through: what of them goes upstream, and what an answer owes to them.

Pure: bytes in, bytes out. A token goes no further than to us, wherever it stood, unless ``forward_token`` says so.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from gateway.core.carriers import MARKER, read_offer, remove_cookies, remove_parameters
from gateway.core.fields import FieldSet, fold_name
from gateway.core.places import PlaceKind, TokenPlace
from gateway.core.policy import Policy
from gateway.proxy.response import ResponseHead

_COOKIE = b"cookie"
_PROTOCOL = b"sec-websocket-protocol"
_HAS_PROTOCOL = re.compile(rb"(?i)\r\nsec-websocket-protocol:")
# RFC 9111, section 5.2.2: what keeps an answer out of shared caches.
_IS_PRIVATE = re.compile(rb"(?i)\r\ncache-control:[^\r\n]*\b(?:private|no-store)\b(?![=-])")


class CarriedTokens:
    """The places of one policy."""

    def __init__(self, places: Collection[TokenPlace], *, forward_token: bool) -> None:
        self._forward_token = forward_token
        self._parameters = _select(places, PlaceKind.QUERY)
        self._cookies = [name.encode("ascii") for name in _select(places, PlaceKind.COOKIE)]
        self._headers = [name.encode("ascii") for name in _select(places, PlaceKind.HEADER)]
        self._folded = [fold_name(name) for name in self._headers]
        self._reads_protocol = bool(_select(places, PlaceKind.WEBSOCKET_PROTOCOL))

    @classmethod
    def of(cls, policy: Policy) -> CarriedTokens | None:
        """Return the places of a policy, or None where there is none but the Authorization field."""
        places = policy.token_places
        return None if places is None else cls(places, forward_token=policy.forwarding.forward_token)

    # --- the request -------------------------------------------------------------------------------------------------

    def cut_lines(self, pieces: Collection[bytes], fields: FieldSet) -> list[bytes]:
        """Return the lines that go upstream of those in these pieces of whole lines, without the tokens in them."""
        lines: list[bytes] = []
        protocols = read_offer(fields.values(_PROTOCOL)).rest if self._reads_protocol else ()
        for line in (line for piece in pieces for line in piece.split(b"\r\n")):
            name, _, value = line.partition(b":")
            key = name.lower()
            if fold_name(name) in self._folded:
                # Another spelling would pass beside the one that was checked.
                kept: bytes | None = value if self._forward_token and key in self._headers else None
            elif self._forward_token:
                kept = value
            elif key == _COOKIE and self._cookies:
                kept = self._cut_cookie(value)
            elif key == _PROTOCOL and self._reads_protocol:
                # A list over several fields is one list, and goes on as one (RFC 6455, section 11.3.4).
                kept, protocols = (b" " + b", ".join(protocols), ()) if protocols else (None, ())
            else:
                kept = value
            if kept is not None:
                lines.append(line if kept is value else b"%b:%b" % (name, kept))
        return lines

    def _cut_cookie(self, value: bytes) -> bytes | None:
        kept = remove_cookies(value, self._cookies)
        if kept is value or kept == value:
            return value
        return b" " + kept if kept else None

    def cut_target(self, target: str) -> str:
        """Return the target that goes upstream."""
        return target if self._forward_token else remove_parameters(target, self._parameters)

    # --- the answer --------------------------------------------------------------------------------------------------

    def may_stand_in(self, target: str) -> bool:
        """Return whether a target has a query in which tokens may stand."""
        return bool(self._parameters) and "?" in target

    def make_private(self, head: ResponseHead, target: str) -> ResponseHead:
        """Return an answer that no shared cache keeps, if the target has a token (RFC 6750, section 2.3)."""
        if remove_parameters(target, self._parameters) == target or _IS_PRIVATE.search(head.fields):
            return head
        return replace(head, fields=head.fields + b"\r\nCache-Control: private")

    def choose_protocol(self, head: ResponseHead, fields: FieldSet) -> ResponseHead:
        """
        Return the 101 with the subprotocol ``bearer`` where the client offered that, and the upstream chose none.

        A browser that offers subprotocols takes no WebSocket without one. What holds a token is never named.
        """
        has_marker = self._reads_protocol and read_offer(fields.values(_PROTOCOL)).markers > 0
        if not has_marker or _HAS_PROTOCOL.search(head.fields):
            return head
        return replace(head, fields=b"%b\r\nSec-WebSocket-Protocol: %b" % (head.fields, MARKER))


def _select(places: Collection[TokenPlace], kind: PlaceKind) -> tuple[str, ...]:
    """Return the names of the places of this kind."""
    return tuple(place.name for place in places if place.kind is kind)
