"""The head of an upstream request, built from a client's."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from gateway.core.fields import FieldSet
from gateway.core.identity import IdentitySettings
from gateway.core.policy import Forwarding, Policy
from gateway.proxy.request_head import Client, RequestRewriter, is_in_networks

OURS = ((b"X-Identity", b"null"),)


def build(*fields: tuple[bytes, bytes], peer: str = "192.0.2.1", **changed: object) -> list[bytes]:
    """Return the lines of the head for a GET with these fields."""
    options = {"base_path": "", "framing": b"", "is_upgrade": False, "target": "/a", "scheme": "http"} | changed
    target, scheme = options.pop("target"), options.pop("scheme")
    framing, is_upgrade = options.pop("framing"), options.pop("is_upgrade")
    policy = Policy((), Forwarding(**{"host": b"backend:3000"} | options), identity=IdentitySettings())
    head = RequestRewriter(policy).build(
        "GET",
        target,
        FieldSet(fields),
        client=Client(peer, scheme),
        identity=OURS,
        request_id=b"id-1",
        framing=framing,
        is_upgrade=is_upgrade,
    )
    assert head.endswith(b"\r\n\r\n")
    return head[:-4].split(b"\r\n")


def test_the_base_path_comes_before_the_target() -> None:
    """The path of the upstream's address stands before each target, whose octets do not change."""
    assert build(base_path="/base", target="/a%2f?b")[0] == b"GET /base/a%2f?b HTTP/1.1"


def test_the_server_itself_has_no_base_path() -> None:
    """RFC 9112, section 3.2.4: the asterisk-form stands alone."""
    assert build(base_path="/base", target="*")[0] == b"GET * HTTP/1.1"


@pytest.mark.parametrize(("host", "expected"), [(b"backend:3000", b"backend:3000"), (None, b"client.example")])
def test_host_is_the_upstreams_unless_preserved(host: bytes | None, expected: bytes) -> None:
    """``Host`` stands where it stood, and names the upstream, or, with ``preserve_host``, what the client asked for."""
    assert build((b"a", b"b"), (b"hOST", b"client.example"), host=host)[1:3] == [b"a: b", b"hOST: " + expected]


def test_a_client_of_http_1_0_gets_a_host() -> None:
    """A request without Host goes upstream with one (RFC 9112, section 3.2)."""
    assert b"Host: backend:3000" in build()


@pytest.mark.parametrize("forwards", [False, True])
def test_the_token_goes_no_further_unless_asked(forwards: bool) -> None:
    """``Authorization`` is for us alone by default, whatever its scheme."""
    lines = build((b"Authorization", b"Basic x"), forward_token=forwards)
    assert (b"Authorization: Basic x" in lines) == forwards


def test_a_trusted_proxy_is_continued() -> None:
    """What a trusted proxy says of the client is kept, and ours appended (RFC 7239, section 4)."""
    lines = build(
        (b"Host", b"h"),
        (b"X-Forwarded-For", b"203.0.113.9"),
        (b"X-Forwarded-Proto", b"https"),
        (b"X-Forwarded-Host", b"public.example"),
        (b"Forwarded", b"for=203.0.113.9"),
        (b"X-Real-IP", b"203.0.113.9"),
        trusted_proxies=(ip_network("192.0.2.0/24"),),
    )
    assert b"X-Forwarded-For: 203.0.113.9, 192.0.2.1" in lines
    assert [line for line in lines if line.lower().startswith(b"x-forwarded-proto")] == [b"X-Forwarded-Proto: https"]
    assert b"X-Forwarded-Host: public.example" in lines
    assert b'Forwarded: for=203.0.113.9, for=192.0.2.1;proto=http;host="h"' in lines
    assert b"X-Real-IP: 203.0.113.9" in lines


@pytest.mark.parametrize("name", [b"Client-Cert", b"client_cert_chain", b"X-Forwarded-Client-Cert"])
def test_a_certificate_by_hearsay_is_removed(name: bytes) -> None:
    """A client certificate in a field is what the client says, also behind a trusted proxy (RFC 9440, section 4)."""
    lines = build((name, b"forged"), trusted_proxies=(ip_network("192.0.2.0/24"),))
    assert not any(b"forged" in line for line in lines)


def test_an_ipv6_peer_is_quoted() -> None:
    """RFC 7239, section 6.1: an IPv6 address is in brackets and quotes."""
    lines = build(peer="2001:db8::1", scheme="https")
    assert b'Forwarded: for="[2001:db8::1]";proto=https' in lines
    assert b"X-Forwarded-For: 2001:db8::1" in lines


def test_a_peer_without_address_is_unknown() -> None:
    """Who comes through a Unix socket has no address (RFC 7239, section 6.2)."""
    assert b"Forwarded: for=unknown;proto=http" in build(peer="")


def test_via_can_be_left_out() -> None:
    """``via: off`` is for upstreams that compress less when they see it."""
    assert b"Via: 1.1 auth-gateway" in build((b"Via", b"1.1 front"))
    assert b"Via: 1.1 front" in build((b"Via", b"1.1 front"))
    assert not any(line.startswith(b"Via") for line in build(has_via=False))


def test_an_upgrade_is_written_anew() -> None:
    """Connection and Upgrade are ours on each hop, so nothing else is upgraded along."""
    lines = build((b"Upgrade", b"websocket, h2c"), (b"Connection", b"Upgrade, X"), (b"X", b"y"), is_upgrade=True)
    assert lines[-2:] == [b"Connection: Upgrade", b"Upgrade: websocket"]
    assert not any(b"h2c" in line or line.startswith(b"X: ") for line in lines)


@pytest.mark.parametrize(
    ("said", "peer", "expected"),
    [
        ([b"198.51.100.7"], "10.0.0.1", "198.51.100.7"),
        ([b"6.6.6.6, 198.51.100.7, 10.0.0.2"], "10.0.0.1", "198.51.100.7"),
        ([b"6.6.6.6", b"198.51.100.7"], "10.0.0.1", "198.51.100.7"),
        ([b"6.6.6.6"], "198.51.100.7", "198.51.100.7"),
        ([], "10.0.0.1", "10.0.0.1"),
        ([b"a" * 100], "10.0.0.1", "10.0.0.1"),
        ([b"\r\x00"], "10.0.0.1", "10.0.0.1"),
    ],
    ids=["behind one", "behind two", "two fields", "untrusted", "nothing said", "too long", "unprintable"],
)
def test_the_client_is_the_rightmost_untrusted_address(said: list[bytes], peer: str, expected: str) -> None:
    """Whoever no trusted proxy vouches for is the client; what it says itself is not believed."""
    policy = Policy((), Forwarding(host=None, trusted_proxies=(ip_network("10.0.0.0/8"),)))
    fields = [(b"X-Forwarded-For", value) for value in said]
    assert RequestRewriter(policy).find_client_address(FieldSet(fields), peer) == expected


@pytest.mark.parametrize(
    ("address", "expected"), [("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("11.0.0.1", False), ("", False)]
)
def test_networks_know_mapped_addresses(address: str, expected: bool) -> None:
    """A dual-stack socket shows IPv4 peers as mapped addresses."""
    assert is_in_networks(address, [ip_network("10.0.0.0/8")]) is expected


@pytest.mark.parametrize(
    "name", [b"Transfer_Encoding", b"content_length", b"X_Request_ID", b"Proxy.Connection", b"X_Forwarded_Host"]
)
def test_an_alias_of_what_we_write_is_removed(name: bytes) -> None:
    """A backend that folds names must not get a client's word for our own (RFC 9112, section 6.3)."""
    assert not any(b"forged" in line for line in build((name, b"forged")))


def test_the_memory_of_names_is_bounded() -> None:
    """Names are a client's to choose: beyond the bound they are classified anew, and just as well."""
    rewriter = RequestRewriter(Policy((), Forwarding(host=None)))
    for number in range(2000):
        rewriter._classify(b"x-%d" % number)
    assert len(rewriter._dispositions) == 1024
    assert rewriter._classify(b"X-Identity") == rewriter._classify(b"x-identity-1999")
