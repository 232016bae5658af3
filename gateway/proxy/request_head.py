"""
The head of a request on its way upstream: what passes, what is taken out, what we say ourselves.

Pure: bytes in, bytes out. Fields keep their order and casing (RFC 9110, section 5.3). First everything that a client
must not say is removed, hop-by-hop fields among it, and only then is ours added: ``Connection: X-Identity`` removes
the client's field, never ours (RFC 9110, section 7.6.1).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from gateway.core.fields import HOP_BY_HOP, Field, FieldSet, build_forwarded_node, fold_name, split_list
from gateway.core.identity import IDENTITY_PREFIX
from gateway.core.policy import Network, Policy

_VIA = b"Via: 1.1 auth-gateway\r\n"
_UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
# The framing is ours to write again; an expectation was answered by us; the fields of trailers never come through.
# CGI hands a field "Proxy" on as HTTP_PROXY, the setting by which programs choose whom to ask.
_REMADE = frozenset({b"content-length", b"expect", b"proxy", b"trailer"})
# One set, removed as one from peers that are not trusted: some backend believes each of them.
_FORWARDED = frozenset(
    {
        b"forwarded",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-forwarded-client-cert",
        b"x-original-host",
        b"x-original-method",
        b"x-original-uri",
        b"x-original-url",
        b"x-real-ip",
        b"x-rewrite-url",
        b"true-client-ip",
    }
)
_FORWARDED_PREFIX = b"x-forwarded-"
# We write these on each request: said by a trusted proxy, the first is continued and the others are kept.
_OWN_FORWARDED = frozenset({b"forwarded", b"x-forwarded-for"})
# A certificate that a client merely claims to have shown (RFC 9440, section 4).
_CLIENT_CERTIFICATE = frozenset({b"client-cert", b"client-cert-chain", b"x-forwarded-client-cert"})

# The longest text of an IPv6 address.
_MAX_ADDRESS_LENGTH = 45
# Names and addresses are the client's, so the memory of them is bounded.
_MAX_REMEMBERED = 1024

# What becomes of one field of the client. Plain numbers: an Enum's hash and look-up cost more than the rest of a field.
_PASS, _REMOVE, _HOST, _REQUEST_ID, _FROM_TRUSTED = range(5)


class Client(NamedTuple):
    """Who is at the other end of the connection: ``address`` is an IP address or empty, ``scheme`` http or https."""

    address: str
    scheme: str


class _Described(NamedTuple):
    """What is said of a client on each of its requests; ``fields`` for one that no proxy speaks for."""

    address: bytes
    scheme: bytes
    element: bytes
    fields: bytes


class RequestRewriter:
    """The request side of one policy: classifies each field name once and remembers it."""

    def __init__(self, policy: Policy) -> None:
        self._forwarding = policy.forwarding
        self._owned = policy.identity.owned_names
        self._base_path = policy.forwarding.base_path.encode("ascii")
        self._via = _VIA if policy.forwarding.has_via else b""
        self._dispositions: dict[bytes, int] = {}
        self._is_trusted = lru_cache(maxsize=_MAX_REMEMBERED)(self._is_trusted_address)

    def build(
        self,
        method: str,
        target: str,
        fields: FieldSet,
        *,
        client: Client,
        identity: Iterable[Field],
        request_id: bytes,
        framing: bytes,
        is_upgrade: bool,
    ) -> bytes:
        """
        Return the head of the upstream request.

        ``identity`` are our fields, ``framing`` the ready line of Content-Length or Transfer-Encoding, or empty.
        """
        is_trusted = self._is_trusted(client.address)
        # "*" is the server itself and has no path to stand before (RFC 9112, section 3.2.4).
        base_path = b"" if target == "*" else self._base_path
        lines = [method.encode("ascii"), b" ", base_path, target.encode("ascii"), b" HTTP/1.1\r\n"]
        self._pass_fields(fields, request_id, lines, is_trusted=is_trusted)
        hosts = fields.values(b"host")
        if not hosts and self._forwarding.host is not None:
            # An HTTP/1.0 client may do without; the upstream gets HTTP/1.1.
            lines += (b"Host: ", self._forwarding.host, b"\r\n")
        if not fields.values(b"x-request-id"):
            lines += (b"X-Request-ID: ", request_id, b"\r\n")
        host = hosts[0] if hosts else b""
        lines += build_forwarded(describe_client(client), host, fields if is_trusted else None)
        for name, value in identity:
            lines += (name, b": ", value, b"\r\n")
        lines += (self._via, _UPGRADE if is_upgrade else b"", framing, b"\r\n")
        return b"".join(lines)

    def _pass_fields(self, fields: FieldSet, request_id: bytes, lines: list[bytes], *, is_trusted: bool) -> None:
        """Add what is left of the client's fields, in order; those that we rewrite stay in their place."""
        listed = split_list(fields.values(b"connection"))
        dispositions, host = self._dispositions, self._forwarding.host
        has_request_id = False
        for name, value in fields.pairs:
            disposition = dispositions.get(name)
            if disposition is None:
                disposition = self._classify(name)
            if disposition == _PASS:
                if not listed or name.lower() not in listed:
                    lines += (name, b": ", value, b"\r\n")
            elif disposition == _HOST:
                lines += (name, b": ", value if host is None else host, b"\r\n")
            elif disposition == _REQUEST_ID and not has_request_id:
                has_request_id = True
                lines += (name, b": ", request_id, b"\r\n")
            elif disposition == _FROM_TRUSTED and is_trusted:
                lines += (name, b": ", value, b"\r\n")

    def _classify(self, name: bytes) -> int:
        disposition = self._classify_name(name)
        if len(self._dispositions) < _MAX_REMEMBERED:
            self._dispositions[name] = disposition
        return disposition

    def _classify_name(self, name: bytes) -> int:
        # By the folded name: a backend that reads Transfer_Encoding as Transfer-Encoding must not get it either.
        folded = fold_name(name)
        if folded in self._owned or folded.startswith(IDENTITY_PREFIX):
            return _REMOVE
        if folded in HOP_BY_HOP or folded in _REMADE or folded in _CLIENT_CERTIFICATE or folded in _OWN_FORWARDED:
            return _REMOVE
        if folded in _FORWARDED or folded.startswith(_FORWARDED_PREFIX):
            # Another spelling would pass beside the one that we write.
            return _FROM_TRUSTED if name.lower() == folded else _REMOVE
        if folded == b"x-request-id":
            return _REQUEST_ID if name.lower() == folded else _REMOVE
        if folded == b"authorization":
            return _PASS if self._forwarding.forward_token else _REMOVE
        return _HOST if folded == b"host" else _PASS

    def _is_trusted_address(self, address: str) -> bool:
        return is_in_networks(address, self._forwarding.trusted_proxies)

    def find_client_address(self, fields: FieldSet, peer: str) -> str:
        """Return the address of the client: the rightmost that no trusted proxy has, as the last one of them saw it."""
        if not self._is_trusted(peer):
            return peer
        address = peer
        hops = [hop.strip() for value in fields.values(b"x-forwarded-for") for hop in value.split(b",")]
        while hops and self._is_trusted(address):
            address = hops.pop().decode("latin-1")
        return address if len(address) <= _MAX_ADDRESS_LENGTH and address.isprintable() else peer


@lru_cache(maxsize=_MAX_REMEMBERED)
def describe_client(client: Client) -> _Described:
    """Return what is said of a client, ready to be written."""
    address, scheme = client.address.encode("ascii") or b"unknown", client.scheme.encode("ascii")
    element = b"for=%b;proto=%b" % (build_forwarded_node(client.address).encode("ascii"), scheme)
    fields = b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\n" % (address, scheme)
    return _Described(address, scheme, element, fields)


def build_forwarded(client: _Described, host: bytes, trusted: FieldSet | None) -> list[bytes]:
    """Return the lines that say who asked, for whom and how (RFC 7239): continued from a trusted proxy, else begun."""
    element = client.element
    if host:
        element = b'%b;host="%b"' % (element, host)
    if trusted is None:
        named = (b"X-Forwarded-Host: ", host, b"\r\n") if host else ()
        return [client.fields, *named, b"Forwarded: ", element, b"\r\n"]
    addresses = b", ".join([*trusted.values(b"x-forwarded-for"), client.address])
    lines = [b"X-Forwarded-For: ", addresses, b"\r\n"]
    if not trusted.values(b"x-forwarded-proto"):
        lines += (b"X-Forwarded-Proto: ", client.scheme, b"\r\n")
    if host and not trusted.values(b"x-forwarded-host"):
        lines += (b"X-Forwarded-Host: ", host, b"\r\n")
    return [*lines, b"Forwarded: ", b", ".join([*trusted.values(b"forwarded"), element]), b"\r\n"]


def is_in_networks(address: str, networks: Iterable[Network]) -> bool:
    """Return whether an IP address is in one of the networks; what is no address is in none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    # A dual-stack socket shows an IPv4 peer as ::ffff:192.0.2.1.
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(parsed in network for network in networks)
