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
    The header fields of one request: the values, in order, of those that the gateway itself reads.

    Most fields are only passed on, so that they are not indexed; ``values`` looks for any name.
    """

    # Here and not in __init__, as a request has few of them.
    authorization: tuple[bytes, ...] = ()
    connection: tuple[bytes, ...] = ()
    content_length: tuple[bytes, ...] = ()
    expect: tuple[bytes, ...] = ()
    forwarded: tuple[bytes, ...] = ()
    host: tuple[bytes, ...] = ()
    sec_websocket_key: tuple[bytes, ...] = ()
    sec_websocket_version: tuple[bytes, ...] = ()
    traceparent: tuple[bytes, ...] = ()
    transfer_encoding: tuple[bytes, ...] = ()
    upgrade: tuple[bytes, ...] = ()
    x_forwarded_for: tuple[bytes, ...] = ()
    x_forwarded_host: tuple[bytes, ...] = ()
    x_forwarded_proto: tuple[bytes, ...] = ()
    x_request_id: tuple[bytes, ...] = ()

    def __init__(self, pairs: Fields = ()) -> None:
        self._pairs = pairs
        for name, value in pairs:
            attribute = INDEXED.get(name.lower())
            if attribute is not None:
                setattr(self, attribute, (*getattr(self, attribute), value))

    @property
    def pairs(self) -> Fields:
        """All fields, in order."""
        return self._pairs

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of all fields of that (lower-case) name, in order."""
        return select_values(self.pairs, name)

    def count_folded(self, name: bytes) -> int:
        """Return how many fields have that (folded) name in whatever spelling."""
        return sum(fold_name(key) == name for key, _ in self.pairs)


# The attribute of each name that has one.
INDEXED = {attribute.replace("_", "-").encode("ascii"): attribute for attribute in FieldSet.__annotations__}


def select_values(fields: Fields, name: bytes) -> list[bytes]:
    """Return the values of all fields of that (lower-case) name, in order."""
    return [value for key, value in fields if key.lower() == name]


def split_list(values: Iterable[bytes]) -> list[bytes]:
    """Return the elements of a comma-separated field, lower-cased, empty ones left out (RFC 9110, section 5.6.1)."""
    return [element for value in values for part in value.split(b",") if (element := part.strip(b" \t").lower())]


def asks_for_websocket(fields: FieldSet) -> bool:
    """Return whether a request asks for a WebSocket and for nothing else, be it in the right way or not (RFC 6455)."""
    return split_list(fields.upgrade) == [b"websocket"] and b"upgrade" in split_list(fields.connection)


def build_name_pattern(names: Iterable[bytes]) -> bytes:
    """
    Return an expression that finds, in a header whose lines each stand behind a CR LF, the fields of these names.

    It matches the CR LF, the name in any case, as a group, and the colon. The names are lower-case expressions.
    """
    names = sorted(names)
    first = sorted({name[:1] for name in names})
    # With what a name may begin with, most lines are passed over at their first octet; an expression begins with any.
    ahead = b"(?=[%b])" % b"".join(octet + octet.upper() for octet in first) if all(map(bytes.isalnum, first)) else b""
    return rb"\r\n%b((?i:%b)):" % (ahead, b"|".join(names))


def build_lines(fields: Fields) -> bytes:
    """Return fields as they stand in a message, each line with its end."""
    return b"".join([b"%b: %b\r\n" % field for field in fields])


def split_lines(lines: bytes) -> tuple[Field, ...]:
    """Return the fields that were built into these lines."""
    parts = (line.partition(b": ") for line in lines.split(b"\r\n") if line)
    return tuple((name, value) for name, _, value in parts)


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
