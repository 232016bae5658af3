"""
MCP tools as things to be authorized: which tool a request calls, by its fields alone.

The Model Context Protocol of 2026-07-28 has clients repeat the method and the name of each JSON-RPC request in
``Mcp-Method`` and ``Mcp-Name``, and has servers refuse a request whose body says something else. So a gateway may
decide by the fields and leave the body alone; of a protocol that does not promise this, nothing can be decided.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from functools import lru_cache

from gateway.core.errors import Reason, RequestRefused
from gateway.core.fields import FieldSet

# Versions in which the fields are what the body says, because the server checks it.
VERSIONS = frozenset({b"2026-07-28"})
_VERSION = b"mcp-protocol-version"
_CALL = b"tools/call"
# They carry no request of MCP: streams, the end of sessions, preflights.
_WITHOUT_CALLS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
_ENCODED = re.compile(rb"=\?base64\?([A-Za-z0-9+/]*={0,2})\?=")
_MAX_NAME_LENGTH = 256


@dataclass(frozen=True, slots=True)
class ToolRule:
    """The scopes that a call of some tools needs beyond those of the route; ``*`` in ``pattern`` is any text."""

    pattern: str
    scopes: tuple[str, ...]

    def takes(self, name: str) -> bool:
        """Return whether a tool of this name falls under the rule."""
        return _compile(self.pattern).fullmatch(name) is not None


@lru_cache(maxsize=1024)
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)


def find_tool_scopes(method: str, fields: FieldSet, rules: tuple[ToolRule, ...]) -> tuple[str, ...]:
    """
    Return the scopes that a request needs for the tool that it calls: those of the first rule that takes it.

    None for what calls no tool: other MCP methods, and HTTP methods that carry no request of MCP.

    Raises:
        RequestRefused: ``malformed_request``; the fields are missing, doubled or of another version, so that nobody can
            say which tool the body calls.
    """
    if method in _WITHOUT_CALLS:
        return ()
    # Most older clients send none in their first request.
    if not fields.values(_VERSION) or _read_one(fields, _VERSION) not in VERSIONS:
        raise _refuse("This path needs a version of MCP that names the tool in a field: 2026-07-28.")
    called = _read_one(fields, b"mcp-method")
    if called != _CALL:
        if called.lower() == _CALL:
            raise _refuse("The Mcp-Method is not written as MCP has it: tools/call.")
        return ()
    name = _decode(_read_one(fields, b"mcp-name"))
    return next((rule.scopes for rule in rules if rule.takes(name)), ())


def _read_one(fields: FieldSet, name: bytes) -> bytes:
    values = fields.values(name)
    # A server that folds names would read another spelling as this field too.
    if len(values) != 1 or fields.count_folded(name) != 1:
        raise _refuse("An MCP request has one MCP-Protocol-Version, one Mcp-Method and, for a tool, one Mcp-Name.")
    return values[0]


def _decode(value: bytes) -> str:
    encoded = _ENCODED.fullmatch(value)
    if encoded is None and value.startswith(b"=?"):
        raise _refuse("The Mcp-Name is neither visible ASCII nor =?base64?...?=.")
    try:
        name = _decode_base64(encoded[1]).decode("utf-8") if encoded else value.decode("ascii")
    except ValueError:
        raise _refuse("The Mcp-Name is neither visible ASCII nor =?base64?...?=.") from None
    if not name or len(name) > _MAX_NAME_LENGTH:
        raise _refuse("The Mcp-Name is empty or too long.")
    return name


def _decode_base64(text: bytes) -> bytes:
    octets = base64.b64decode(text, validate=True)
    # One name has one spelling (RFC 4648, section 3.5).
    if base64.b64encode(octets) != text:
        raise ValueError("not canonical")
    return octets


def _refuse(description: str) -> RequestRefused:
    return RequestRefused(Reason.MALFORMED_REQUEST, description)
