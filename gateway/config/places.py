"""Where the file says that tokens stand, and whose pages may use a cookie that holds one."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from gateway.config.names import parse_header_name
from gateway.config.scalars import OneOrMore, parse_flag, parse_text
from gateway.core.fields import TOKEN
from gateway.core.places import AUTHORIZATION, PlaceKind, TokenPlace

_FORMS = "expected authorization, {header: NAME}, {cookie: NAME}, {query: NAME} or {websocket_protocol: true}"
# RFC 3986, section 2.3: what stands in a query as it is, whoever writes it.
_PARAMETER = re.compile(r"[A-Za-z0-9._~-]+")
# RFC 6454, section 6.2, as browsers write it: lower case, and nothing behind host and port.
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://((?:[a-z0-9._-]+|\[[0-9a-f:.]+\]))(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def parse_token_place(value: object) -> str | dict[str, Any]:
    """Return one place as it stands in the file, or would."""
    if value == PlaceKind.AUTHORIZATION.value:
        return PlaceKind.AUTHORIZATION.value
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError(_FORMS)
    [(key, name)] = value.items()
    if key == PlaceKind.WEBSOCKET_PROTOCOL.value:
        if not parse_flag(name):
            raise ValueError("false says nothing: remove the entry")
        return {key: True}
    if key not in _PARSERS:
        raise ValueError(_FORMS)
    return {key: _PARSERS[key](name)}


def _parse_cookie(value: object) -> str:
    text = parse_text(value)
    if not TOKEN.fullmatch(text.encode("utf-8", "replace")):
        raise ValueError("not the name of a cookie: use letters, digits, - and _, such as __Host-session")
    return text


def _parse_parameter(value: object) -> str:
    text = parse_text(value)
    if not _PARAMETER.fullmatch(text):
        raise ValueError("not the name of a parameter: use letters, digits, - and _, such as access_token")
    return text


_PARSERS = {"header": parse_header_name, "cookie": _parse_cookie, "query": _parse_parameter}


def build_token_place(value: str | dict[str, Any]) -> TokenPlace:
    """Return the place that an entry of the file names."""
    if isinstance(value, str):
        return AUTHORIZATION
    [(key, name)] = value.items()
    kind = PlaceKind(key)
    if kind is PlaceKind.WEBSOCKET_PROTOCOL:
        return TokenPlace(kind)
    # Names of headers are the only ones without case (RFC 9110, section 5.1).
    return TokenPlace(kind, name.lower() if kind is PlaceKind.HEADER else name)


def parse_origin(value: object) -> str:
    """Return an origin, written as browsers send it (RFC 6454, section 6.2)."""
    text = parse_text(value)
    if text == "null":
        raise ValueError("null is the origin of sandboxed pages, which anyone can make: write the origin of your own")
    found = _ORIGIN.fullmatch(text)
    if found is None:
        raise ValueError("not an origin: write it as browsers do, such as https://app.example, without a path")
    if found[3] is not None and found[3] == _DEFAULT_PORTS.get(found[1]):
        raise ValueError(f"browsers leave the default port out: write {found[1]}://{found[2]}")
    return text


_NAME = {"type": "string", "minLength": 1}
_MAPPING = {
    "type": "object",
    "properties": {**dict.fromkeys(_PARSERS, _NAME), "websocket_protocol": {"const": True}},
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
}
TokenFrom = Annotated[
    str | dict[str, Any],
    PlainValidator(parse_token_place),
    WithJsonSchema({"anyOf": [{"enum": [PlaceKind.AUTHORIZATION.value]}, _MAPPING]}),
]
Origins = Annotated[
    tuple[Annotated[str, PlainValidator(parse_origin), WithJsonSchema({"type": "string"})], ...], OneOrMore()
]
