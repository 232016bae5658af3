"""
Where a token may stand, and what that place asks of the request.

By default that is the ``Authorization`` field alone (RFC 6750, section 2.1). Every other place is opt-in, and one
request has one token: two in two places are refused as two in one are (section 2).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from gateway.core.carriers import read_cookie, read_parameter, read_protocol
from gateway.core.credentials import extract_bearer_token, is_b64token
from gateway.core.errors import Reason, RequestRefused
from gateway.core.fields import FieldSet, asks_for_websocket

# RFC 9110, section 9.2.1, of those that are forwarded: what a page of another site makes a browser ask for changes
# nothing, and the page does not see the answer.
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Fetch Metadata: the request is of a page of the very same origin, or of the user's own doing.
_OWN_SITES = frozenset({b"same-origin", b"none"})


class PlaceKind(Enum):
    """What a token can stand in; the values are the file's words."""

    AUTHORIZATION = "authorization"
    HEADER = "header"
    COOKIE = "cookie"
    QUERY = "query"
    WEBSOCKET_PROTOCOL = "websocket_protocol"


class TokenPlace(NamedTuple):
    """One place; ``name`` is that of the header (in lower case), the cookie or the parameter."""

    kind: PlaceKind
    name: str = ""

    def __str__(self) -> str:
        """Return the place in the words of the file."""
        return f"{self.kind.value} {self.name}".rstrip()


AUTHORIZATION = TokenPlace(PlaceKind.AUTHORIZATION)


class Credentials(NamedTuple):
    """A token as the ``Authorization`` field would have it, and where it stands; neither where there is none."""

    authorization: tuple[bytes, ...]
    place: TokenPlace | None


_NONE = Credentials((), None)


def find_credentials(places: Collection[TokenPlace], target: str, fields: FieldSet) -> Credentials:
    """
    Return the one token of a request, from whichever of these places it stands in.

    Raises:
        RequestRefused: ``multiple_credentials`` for two tokens, in one place or in two; ``malformed_credentials`` for
            one outside of the grammar.
    """
    read = ((_READERS[place.kind](place.name, target, fields), place) for place in places)
    found = [(token, place) for token, place in read if token is not None]
    if not found:
        return _NONE
    # The upstream might believe the other one.
    if len(found) > 1:
        raise RequestRefused(Reason.MULTIPLE_CREDENTIALS, "The request has a token in more than one place.")
    token, place = found[0]
    if not is_b64token(token):
        raise RequestRefused(Reason.MALFORMED_CREDENTIALS, f"What stands in the place of the token ({place}) is none.")
    return Credentials((b"Bearer " + token,), place)


def _read_authorization(_name: str, _target: str, fields: FieldSet) -> bytes | None:
    token = extract_bearer_token(fields.authorization)
    return None if token is None else token.encode("ascii")


def _read_header(name: str, _target: str, fields: FieldSet) -> bytes | None:
    values = fields.values(name.encode("ascii"))
    if len(values) > 1:
        raise RequestRefused(Reason.MULTIPLE_CREDENTIALS, "The request has more than one header with a token.")
    return values[0] if values else None


def _read_cookie(name: str, _target: str, fields: FieldSet) -> bytes | None:
    return read_cookie(fields.values(b"cookie"), name.encode("ascii"))


def _read_query(name: str, target: str, _fields: FieldSet) -> bytes | None:
    return read_parameter(target, name)


def _read_websocket_protocol(_name: str, _target: str, fields: FieldSet) -> bytes | None:
    return read_protocol(fields.values(b"sec-websocket-protocol")) if asks_for_websocket(fields) else None


_READERS: Mapping[PlaceKind, Callable[[str, str, FieldSet], bytes | None]] = {
    PlaceKind.AUTHORIZATION: _read_authorization,
    PlaceKind.HEADER: _read_header,
    PlaceKind.COOKIE: _read_cookie,
    PlaceKind.QUERY: _read_query,
    PlaceKind.WEBSOCKET_PROTOCOL: _read_websocket_protocol,
}


def check_page(fields: FieldSet, allowed: Collection[bytes]) -> None:
    """
    Refuse what a page of an origin that is none of ``allowed`` sends; who is no page sends no ``Origin``.

    An MCP server must look at it, or a page could reach one on the user's own machine by a name that it rebinds.

    Raises:
        RequestRefused: ``origin_denied``.
    """
    origins = fields.values(b"origin")
    if origins:
        _check_listed(origins, allowed, "A page of this origin may not call the tools of this path.")


def check_origin(method: str, fields: FieldSet, allowed: Collection[bytes]) -> None:
    """
    Refuse what another site may have made a browser do in its user's name, which sends the cookie along.

    That is any method but the safe ones, and a WebSocket, which the page can read (RFC 6455, section 10.2). ``Origin``
    must be one of ``allowed``, octet for octet (RFC 6454, section 6.2). Without one, ``Sec-Fetch-Site`` must say that
    the request is of the same origin or of no site; no browser opens a WebSocket without an origin.

    Raises:
        RequestRefused: ``origin_denied``.
    """
    is_websocket = asks_for_websocket(fields)
    if method in _SAFE_METHODS and not is_websocket:
        return
    origins, sites = fields.values(b"origin"), fields.values(b"sec-fetch-site")
    if not origins and not is_websocket and len(sites) == 1 and sites[0] in _OWN_SITES:
        return
    description = "A page of this origin may not use the cookie." if origins else "The request says no origin."
    _check_listed(origins, allowed, description)


def _check_listed(origins: Sequence[bytes], allowed: Collection[bytes], description: str) -> None:
    if len(origins) != 1 or origins[0] not in allowed:
        raise RequestRefused(
            Reason.ORIGIN_DENIED,
            description,
            received=b", ".join(origins).decode("latin-1"),
            expected=sorted(origin.decode("ascii") for origin in allowed),
        )
