"""
Header fields as received: names, lists, hop-by-hop fields, the folded form of a name.

Fields are pairs of bytes in the order and casing of the wire. Nothing here decodes a value that it only passes on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv6Address, ip_address

Field = tuple[bytes, bytes]
Fields = Sequence[Field]

# RFC 9110, section 5.6.2: token = 1*tchar
_TCHAR = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
TOKEN = re.compile(_TCHAR + rb"+")

# RFC 9110, section 7.6.1, and the fields of the same nature that stand elsewhere: Proxy-Connection and Keep-Alive are
# older than the rule, HTTP2-Settings belongs to an upgrade that we never do, Proxy-Authorization is for us alone
# (section 11.7.2), and TE, Transfer-Encoding and Upgrade describe one connection.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    }
)

# CGI, WSGI, PHP and many frameworks show an application names in which every such octet became the same one, so
# X_Identity, X.Identity and X-Identity are one name to whoever reads them there.
_FOLDED = bytes(octet if bytes((octet,)).isalnum() else 0x2D for octet in bytes(range(256)).lower())


def fold_name(name: bytes) -> bytes:
    """Return the folded form of a field name: lower case, all but ASCII letters and digits as ``-``."""
    return name.translate(_FOLDED)


class FieldSet:
    """
    The header fields of one request: ``pairs`` as received, and their values by name.

    Indexed once, because a request is asked for a dozen names on its way. ``size`` counts the octets of names and
    values.
    """

    __slots__ = ("_values", "pairs", "size")

    def __init__(self, pairs: Fields) -> None:
        self.pairs = pairs
        values: dict[bytes, list[bytes]] = {}
        size = 0
        for name, value in pairs:
            size += len(name) + len(value)
            key = name.lower()
            if key in values:
                values[key].append(value)
            else:
                values[key] = [value]
        self.size = size
        self._values = values

    def has_any(self, names: frozenset[bytes]) -> bool:
        """Return whether a field has one of these (lower-case) names."""
        return not names.isdisjoint(self._values)

    def values(self, name: bytes) -> Sequence[bytes]:
        """Return the values of all fields of that (lower-case) name, in order."""
        return self._values.get(name, ())


def select_values(fields: Fields, name: bytes) -> list[bytes]:
    """Return the values of all fields of that (lower-case) name, in order."""
    return [value for key, value in fields if key.lower() == name]


def split_list(values: Iterable[bytes]) -> list[bytes]:
    """Return the elements of a comma-separated field, lower-cased, empty ones left out (RFC 9110, section 5.6.1)."""
    return [element for value in values for part in value.split(b",") if (element := part.strip(b" \t").lower())]


def build_forwarded_node(address: str) -> str:
    """Return an address as a node of ``Forwarded``: IPv6 bracketed and quoted, unknown peers as ``unknown``.

    RFC 7239, section 6.
    """
    # A zone means something on this host only, and may hold any character, quotes included.
    bare, _, _ = address.partition("%")
    try:
        parsed = ip_address(bare)
    except ValueError:
        return "unknown"
    return f'"[{parsed}]"' if isinstance(parsed, IPv6Address) else str(parsed)
