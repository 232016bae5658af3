"""
The head of a request on its way upstream: what passes, what is taken out, what we say ourselves.

Pure: bytes in, bytes out. Fields keep their order and casing (RFC 9110, section 5.3). First everything that a client
must not say is removed, hop-by-hop fields among it, and only then is ours added: ``Connection: X-Identity`` removes
the client's field, never ours (RFC 9110, section 7.6.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from ipaddress import ip_address

from gateway.core.fields import (
    HOP_BY_HOP,
    Field,
    Fields,
    build_forwarded_node,
    fold_name,
    select_connection_options,
    select_values,
)
from gateway.core.identity import IDENTITY_PREFIX
from gateway.core.policy import Network, Policy

REQUEST_ID = re.compile(rb"[A-Za-z0-9._\-]{1,128}")
_VIA = (b"Via", b"1.1 auth-gateway")
_UPGRADE = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))
# The framing is ours to write again; an expectation was answered by us; the fields of trailers never come through.
_REMADE = frozenset({b"content-length", b"expect", b"trailer"})
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


class _Disposition(Enum):
    """What becomes of one field of the client."""

    PASS = auto()
    REMOVE = auto()
    HOST = auto()
    REQUEST_ID = auto()
    AUTHORIZATION = auto()
    FROM_TRUSTED = auto()


@dataclass(frozen=True, slots=True)
class Client:
    """Who is at the other end of the connection: ``address`` is an IP address or empty, ``scheme`` http or https."""

    address: str
    scheme: str


class RequestRewriter:
    """The request side of one policy: classifies each field name once and remembers it."""

    def __init__(self, policy: Policy, base_path: str) -> None:
        self._forwarding = policy.forwarding
        self._owned = policy.identity.owned_names
        self._base_path = base_path.encode("ascii")
        # Names are the client's, so the memory of them is bounded.
        self._classify = lru_cache(maxsize=1024)(self._classify_name)
        self._is_trusted = lru_cache(maxsize=1024)(self._is_trusted_address)

    def build(
        self,
        method: str,
        target: str,
        fields: Fields,
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
        line = b"%b %b%b HTTP/1.1\r\n" % (method.encode("ascii"), self._base_path, target.encode("ascii"))
        hosts = select_values(fields, b"host")
        passed = self._pass_fields(fields, request_id, is_trusted=is_trusted)
        if not hosts and self._forwarding.host is not None:
            # An HTTP/1.0 client may do without; the upstream gets HTTP/1.1.
            passed.append((b"Host", self._forwarding.host))
        if not any(name.lower() == b"x-request-id" for name, _ in passed):
            passed.append((b"X-Request-ID", request_id))
        passed += self._build_forwarded(fields if is_trusted else (), client, hosts[0] if hosts else b"")
        passed += identity
        if self._forwarding.has_via:
            passed.append(_VIA)
        if is_upgrade:
            passed += _UPGRADE
        return b"".join([line, *(b"%b: %b\r\n" % field for field in passed), framing, b"\r\n"])

    def _pass_fields(self, fields: Fields, request_id: bytes, *, is_trusted: bool) -> list[Field]:
        """Return what is left of the client's fields, in order; those that we rewrite stay in their place."""
        listed = select_connection_options(fields)
        is_passed = {
            _Disposition.PASS: True,
            _Disposition.FROM_TRUSTED: is_trusted,
            _Disposition.AUTHORIZATION: self._forwarding.forward_token,
        }
        passed: list[Field] = []
        has_request_id = False
        for name, value in fields:
            disposition = self._classify(name)
            if disposition is _Disposition.HOST:
                passed.append((name, value if self._forwarding.host is None else self._forwarding.host))
            elif disposition is _Disposition.REQUEST_ID:
                passed += [] if has_request_id else [(name, request_id)]
                has_request_id = True
            elif is_passed.get(disposition, False) and name.lower() not in listed:
                passed.append((name, value))
        return passed

    def _classify_name(self, name: bytes) -> _Disposition:
        lower, folded = name.lower(), fold_name(name)
        if folded in self._owned or folded.startswith(IDENTITY_PREFIX):
            return _Disposition.REMOVE
        if lower in HOP_BY_HOP or lower in _REMADE or folded in _CLIENT_CERTIFICATE or folded in _OWN_FORWARDED:
            return _Disposition.REMOVE
        if folded in _FORWARDED or folded.startswith(_FORWARDED_PREFIX):
            return _Disposition.FROM_TRUSTED
        special = {
            b"host": _Disposition.HOST,
            b"x-request-id": _Disposition.REQUEST_ID,
            b"authorization": _Disposition.AUTHORIZATION,
        }
        return special.get(folded, _Disposition.PASS)

    def _is_trusted_address(self, address: str) -> bool:
        return is_in_networks(address, self._forwarding.trusted_proxies)

    def _build_forwarded(self, trusted: Fields, client: Client, host: bytes) -> list[Field]:
        """Return who asked, for whom and how (RFC 7239): continued from a trusted proxy, else begun."""
        address = client.address.encode("ascii") or b"unknown"
        ours = [(b"X-Forwarded-For", b", ".join([*select_values(trusted, b"x-forwarded-for"), address]))]
        said = {fold_name(name) for name, _ in trusted}
        if b"x-forwarded-proto" not in said:
            ours.append((b"X-Forwarded-Proto", client.scheme.encode("ascii")))
        if b"x-forwarded-host" not in said and host:
            ours.append((b"X-Forwarded-Host", host))
        element = f"for={build_forwarded_node(client.address)};proto={client.scheme}".encode("ascii")
        if host:
            element += b';host="%b"' % host.replace(b"\\", b"").replace(b'"', b"")
        elements = [*select_values(trusted, b"forwarded"), element]
        return [*ours, (b"Forwarded", b", ".join(elements))]

    def find_client_address(self, fields: Fields, peer: str) -> str:
        """Return the address of the client: the rightmost that no trusted proxy has, as the last one of them saw it."""
        address = peer
        hops = [hop.strip() for value in select_values(fields, b"x-forwarded-for") for hop in value.split(b",")]
        while hops and self._is_trusted(address):
            address = hops.pop().decode("latin-1")
        return address if len(address) <= _MAX_ADDRESS_LENGTH and address.isprintable() else peer


def is_in_networks(address: str, networks: Iterable[Network]) -> bool:
    """Return whether an IP address is in one of the networks; what is no address is in none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    # A dual-stack socket shows an IPv4 peer as ::ffff:192.0.2.1.
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(parsed in network for network in networks)
