"""
The head of a request on its way upstream: what passes, what is taken out, what we say ourselves.

Pure: bytes in, bytes out. Fields keep their order and casing (RFC 9110, section 5.3). First everything that a client
must not say is removed, hop-by-hop fields among it, and only then is ours added: ``Connection: X-Identity`` removes
the client's field, never ours (RFC 9110, section 7.6.1).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from ipaddress import ip_address
from typing import NamedTuple

from gateway.core.fields import (
    HOP_BY_HOP,
    INDEXED,
    Field,
    FieldSet,
    build_forwarded_node,
    build_name_pattern,
    fold_name,
    split_list,
)
from gateway.core.identity import IDENTITY_PREFIX
from gateway.core.policy import Network, Policy
from gateway.proxy.carried_tokens import CarriedTokens

_VIA = b"Via: 1.1 auth-gateway\r\n"
_UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
# The framing is ours to write again; an expectation was answered by us; the fields of trailers never come through.
# CGI hands a field "Proxy" on as HTTP_PROXY, the setting by which programs choose whom to ask.
_REMADE = frozenset({b"content-length", b"expect", b"proxy", b"trailer", b"x-request-id"})
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
# What routes, preflights and origins are decided by.
_DECISIVE = frozenset({b"host", b"origin", b"access-control-request-method", b"sec-fetch-site"})
_FORWARDED_PREFIX = b"x-forwarded-"
# We write these on each request: said by a trusted proxy, the first is continued and the others are kept.
_OWN_FORWARDED = frozenset({b"forwarded", b"x-forwarded-for"})
# A certificate that a client merely claims to have shown (RFC 9440, section 4).
_CLIENT_CERTIFICATE = frozenset({b"client-cert", b"client-cert-chain", b"x-forwarded-client-cert"})

_PREFIXES = (_FORWARDED_PREFIX, IDENTITY_PREFIX)
_ANY = rb"[^:\r\n]*"

# A class's own way to make one sets what is then replaced.
_new_header = object.__new__
# The longest text of an IPv6 address.
_MAX_ADDRESS_LENGTH = 45
# Names and addresses are the client's, so the memory of them is bounded.
_MAX_REMEMBERED = 1024


class Client(NamedTuple):
    """Who is at the other end of the connection: ``address`` is an IP address or empty, ``scheme`` http or https."""

    address: str
    scheme: str


class RequestHeader(FieldSet):
    """
    The header of a request, read once.

    ``octets`` are its lines as they came, each behind its CR LF; ``passed`` is what goes upstream of it, in order, in
    pieces of whole lines. ``has_repeated`` says that one of the fields that are read came twice.
    """

    has_repeated = False

    def __init__(self, octets: bytes, *, is_from_trusted: bool) -> None:
        self.octets = octets
        self.is_from_trusted = is_from_trusted
        self.passed: list[bytes] = []

    def repeat(self, octets: bytes, authorization: tuple[bytes, ...]) -> RequestHeader:
        """Return a header that differs from this one in what is given, and in nothing that goes upstream."""
        header = _new_header(RequestHeader)
        header.__dict__ = {**self.__dict__, "octets": octets, "authorization": authorization}
        return header

    @property
    def pairs(self) -> list[Field]:
        """All fields, in order; read anew each time, as hardly anybody asks."""
        lines = (line.partition(b":") for line in self.octets.split(b"\r\n"))
        return [(name, value.strip(b" \t")) for name, _, value in lines if name]


class _Rule(NamedTuple):
    """
    What is done with the fields of one name.

    ``attribute`` is the one of ``FieldSet`` that gets their values. ``line`` goes upstream in place of theirs: None for
    theirs as they came, empty for none.
    """

    attribute: str | None
    line: bytes | None


class _Rules(dict[bytes, _Rule]):
    """The rules by spelling of the name, as each client has its own, and keeps to it; made when first asked for."""

    def __init__(self, make: Callable[[bytes], _Rule]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, name: bytes) -> _Rule:
        rule = self._make(name)
        # Names are the client's, so the memory of them is bounded.
        if len(self) < _MAX_REMEMBERED:
            self[name] = rule
        return rule


class RequestRewriter:
    """The request side of one policy."""

    def __init__(self, policy: Policy) -> None:
        self._forwarding = policy.forwarding
        self._passes_authorization = policy.passes_authorization
        # None where tokens stand in the Authorization field alone, as most do.
        self.carried = CarriedTokens.of(policy)
        # Whether the same goes upstream whatever stands in a token's place.
        self.drops_tokens = self.carried is None and not policy.passes_authorization
        self._owned = policy.identity.owned_names
        self._base_path = policy.forwarding.base_path.encode("ascii")
        self._via = _VIA if policy.forwarding.has_via else b""
        self._host_line = b"Host: " + policy.forwarding.host if policy.forwarding.host is not None else None
        self._special = _compile_special(self._owned)
        self._rules = _Rules(partial(self._make_rule, is_from_trusted=False))
        self._rules_for_trusted = _Rules(partial(self._make_rule, is_from_trusted=True))
        self._has_trusted = bool(policy.forwarding.trusted_proxies)
        self._is_trusted = lru_cache(maxsize=_MAX_REMEMBERED)(self._is_trusted_address)

    def read(self, octets: bytes, client: Client) -> RequestHeader:
        """Return the header that these lines are, each behind its CR LF; that they are fields, a parser has checked."""
        header = RequestHeader(octets, is_from_trusted=self.trusts(client))
        rules = self._rules_for_trusted if header.is_from_trusted else self._rules
        passed = header.passed
        # Fields that nobody here reads stay together as they came, for the price of looking for the others.
        pieces = iter(self._special.split(octets))
        leading = next(pieces)
        if leading:
            passed.append(leading[2:])
        for name, rest in zip(pieces, pieces):  # noqa: B905 - one iterator, a name and a rest each
            value, _, following = rest.partition(b"\r\n")
            attribute, line = rules[name]
            if attribute is not None:
                before = getattr(header, attribute)
                if before:
                    header.has_repeated = True
                setattr(header, attribute, (*before, value.strip(b" \t")))
            if line is None:
                passed.append(b"%b:%b" % (name, value))
            elif line:
                passed.append(line)
            if following:
                passed.append(following)
        if header.connection:
            _drop_listed(header)
        if self.carried is not None:
            header.passed = self.carried.cut_lines(header.passed, header)
        return header

    def trusts(self, client: Client) -> bool:
        """Return whether a client is a proxy that is believed what it says of others."""
        return self._has_trusted and self._is_trusted(client.address)

    def build(
        self,
        method: str,
        target: str,
        header: RequestHeader,
        *,
        client: Client,
        identity: bytes,
        request_id: bytes,
        framing: bytes = b"",
        is_upgrade: bool = False,
    ) -> bytes:
        """
        Return the head of the upstream request.

        ``identity`` are the ready lines of our fields, ``framing`` the one of Content-Length or Transfer-Encoding.
        """
        host = header.host[0] if header.host else b""
        if self.carried is not None:
            target = self.carried.cut_target(target)
        # "*" is the server itself and has no path to stand before (RFC 9112, section 3.2.4).
        base_path = b"" if target == "*" else self._base_path
        start = b"%b %b%b HTTP/1.1" % (method.encode("ascii"), base_path, target.encode("ascii"))
        lines = [start, *header.passed]
        if not header.host and self._host_line is not None:
            # An HTTP/1.0 client may do without; the upstream gets HTTP/1.1.
            lines.append(self._host_line)
        forwarded = (
            continue_forwarded(client, host, header) if header.is_from_trusted else begin_forwarded(client, host)
        )
        own = (request_id, forwarded, identity, self._via, _UPGRADE if is_upgrade else b"", framing)
        lines.append(b"X-Request-ID: %b\r\n%b%b%b%b%b\r\n" % own)
        return b"\r\n".join(lines)

    def _make_rule(self, name: bytes, *, is_from_trusted: bool) -> _Rule:
        attribute = INDEXED.get(name.lower())
        if fold_name(name) == b"host":
            return _Rule(attribute, self._host_line)
        return _Rule(attribute, None if self._is_passed(name, is_from_trusted=is_from_trusted) else b"")

    def _is_passed(self, name: bytes, *, is_from_trusted: bool) -> bool:
        # By the folded name: a backend that reads Transfer_Encoding as Transfer-Encoding must not get it either.
        folded = fold_name(name)
        if folded in self._owned or folded.startswith(IDENTITY_PREFIX):
            return False
        if folded in HOP_BY_HOP or folded in _REMADE or folded in _CLIENT_CERTIFICATE or folded in _OWN_FORWARDED:
            return False
        if _is_forwarded(folded):
            # Another spelling would pass beside the one that we write.
            return is_from_trusted and name.lower() == folded
        return folded != b"authorization" or self._passes_authorization

    def _is_trusted_address(self, address: str) -> bool:
        return is_in_networks(address, self._forwarding.trusted_proxies)

    def find_client_address(self, fields: FieldSet, peer: str) -> str:
        """Return the address of the client: the rightmost that no trusted proxy has, as the last one of them saw it."""
        if not self._is_trusted(peer):
            return peer
        address = peer
        hops = [hop.strip() for value in fields.x_forwarded_for for hop in value.split(b",")]
        while hops and self._is_trusted(address):
            address = hops.pop().decode("latin-1")
        return address if len(address) <= _MAX_ADDRESS_LENGTH and address.isprintable() else peer


def _compile_special(owned: Iterable[bytes]) -> re.Pattern[bytes]:
    """Return what finds the fields that do not just go on, whatever their folded spelling, each up to its colon."""
    folded = HOP_BY_HOP | _REMADE | _FORWARDED | _CLIENT_CERTIFICATE | {b"authorization", *INDEXED, *owned}
    return re.compile(
        build_name_pattern([*map(_build_folded, folded), *(_build_folded(prefix) + _ANY for prefix in _PREFIXES)])
    )


def _build_folded(name: bytes) -> bytes:
    """Return an expression for every name that folds to this one."""
    return name.replace(b"-", rb"[^0-9A-Za-z:\r\n]")


def _drop_listed(header: RequestHeader) -> None:
    """
    Remove the fields that Connection names.

    But for what a decision may have been made by, which no client can keep from the upstream, and what a trusted proxy
    says of a client: many pass the client's Connection on.
    """
    names = frozenset(split_list(header.connection))
    listed = {name for name in names if not (_is_decisive(name) or _is_forwarded(name))}
    lines = [line for piece in header.passed for line in piece.split(b"\r\n")]
    header.passed = [line for line in lines if line.partition(b":")[0].lower() not in listed]


def _is_decisive(name: bytes) -> bool:
    return name in _DECISIVE or name.startswith(b"mcp-")


def _is_forwarded(folded: bytes) -> bool:
    return folded in _FORWARDED or folded.startswith(_FORWARDED_PREFIX)


# Who comes once comes again, and asks for the same host.
@lru_cache(maxsize=_MAX_REMEMBERED)
def begin_forwarded(client: Client, host: bytes) -> bytes:
    """Return the lines that say who asked, for whom and how (RFC 7239), of a client that no proxy speaks for."""
    lines = [b"X-Forwarded-For: %b" % _name_address(client), b"X-Forwarded-Proto: %b" % client.scheme.encode("ascii")]
    if host:
        lines.append(b"X-Forwarded-Host: %b" % host)
    return b"\r\n".join([*lines, b"Forwarded: %b" % _build_element(client, host), b""])


def continue_forwarded(client: Client, host: bytes, fields: FieldSet) -> bytes:
    """Return those lines where a trusted proxy has spoken, and what it said goes on."""
    lines = [b"X-Forwarded-For: " + b", ".join([*fields.x_forwarded_for, _name_address(client)])]
    if not fields.x_forwarded_proto:
        lines.append(b"X-Forwarded-Proto: %b" % client.scheme.encode("ascii"))
    if host and not fields.x_forwarded_host:
        lines.append(b"X-Forwarded-Host: %b" % host)
    lines.append(b"Forwarded: " + b", ".join([*fields.forwarded, _build_element(client, host)]))
    return b"\r\n".join([*lines, b""])


def _name_address(client: Client) -> bytes:
    return client.address.encode("ascii") or b"unknown"


def _build_element(client: Client, host: bytes) -> bytes:
    element = f"for={build_forwarded_node(client.address)};proto={client.scheme}".encode("ascii")
    return b'%b;host="%b"' % (element, host) if host else element


def is_in_networks(address: str, networks: Iterable[Network]) -> bool:
    """Return whether an IP address is in one of the networks; what is no address is in none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    # A dual-stack socket shows an IPv4 peer as ::ffff:192.0.2.1.
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(parsed in network for network in networks)
