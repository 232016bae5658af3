"""The head of an upstream request, built from a client's."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from gateway.core.fields import FieldSet
from gateway.core.identity import IdentitySettings
from gateway.core.policy import Forwarding, Policy
from gateway.proxy.request_head import Client, RequestHeader, RequestRewriter, is_in_networks

CLIENT = Client("192.0.2.1", "http")
OURS = b"X-Identity: null\r\n"
TRUSTED = (ip_network("192.0.2.0/24"),)


def make_rewriter(identity: IdentitySettings | None = None, **changed: Any) -> RequestRewriter:
    """Return what rewrites requests for ``backend:3000``, or as changed."""
    forwarding = Forwarding(**{"host": b"backend:3000", **changed})
    return RequestRewriter(Policy((), forwarding, identity=identity or IdentitySettings()))


def read(rewriter: RequestRewriter, *fields: tuple[bytes, bytes], client: Client = CLIENT) -> RequestHeader:
    """Return the header of these fields."""
    return rewriter.read(b"".join([b"\r\n%b: %b" % field for field in fields]), client)


def build(
    *fields: tuple[bytes, bytes],
    target: str = "/a",
    client: Client = CLIENT,
    framing: bytes = b"",
    is_upgrade: bool = False,
    **changed: Any,
) -> list[bytes]:
    """Return the lines of the head for a GET with these fields."""
    rewriter = make_rewriter(**changed)
    head = rewriter.build(
        "GET",
        target,
        read(rewriter, *fields, client=client),
        client=client,
        identity=OURS,
        request_id=b"id-1",
        framing=framing,
        is_upgrade=is_upgrade,
    )
    assert head.endswith(b"\r\n\r\n")
    lines = head[:-4].split(b"\r\n")
    # No head has an empty line before its end, and each says just once who asks and under which id.
    assert all(lines)
    assert lines.count(b"X-Identity: null") == lines.count(b"X-Request-ID: id-1") == 1
    return lines


def test_the_base_path_comes_before_the_target() -> None:
    """The path of the upstream's address stands before each target, whose octets do not change."""
    assert build(base_path="/base", target="/a%2f?b")[0] == b"GET /base/a%2f?b HTTP/1.1"


def test_the_server_itself_has_no_base_path() -> None:
    """RFC 9112, section 3.2.4: the asterisk-form stands alone."""
    assert build(base_path="/base", target="*")[0] == b"GET * HTTP/1.1"


@pytest.mark.parametrize(
    ("host", "expected"), [(b"backend:3000", b"Host: backend:3000"), (None, b"hOST: client.example")]
)
def test_host_is_the_upstreams_unless_preserved(host: bytes | None, expected: bytes) -> None:
    """``Host`` stands where it stood, and names the upstream, or, with ``preserve_host``, what the client asked for."""
    lines = build((b"a", b"b"), (b"hOST", b"client.example"), (b"c", b"d"), host=host)
    assert lines[1:4] == [b"a: b", expected, b"c: d"]
    assert [line for line in lines if line.lower().startswith(b"host:")] == [expected]


def test_a_client_of_http_1_0_gets_a_host() -> None:
    """A request without Host goes upstream with one (RFC 9112, section 3.2)."""
    assert [line for line in build() if line.lower().startswith(b"host:")] == [b"Host: backend:3000"]
    assert not any(line.lower().startswith(b"host:") for line in build(host=None))


@pytest.mark.parametrize("host", [b"backend:3000", None])
def test_an_empty_host_is_one(host: bytes | None) -> None:
    """RFC 9112, section 3.2: a client may send ``Host`` without a value; two of them are for 400."""
    lines = [line for line in build((b"Host", b""), host=host) if line.lower().startswith(b"host:")]
    assert [line.rstrip() for line in lines] == [b"Host: " + host if host else b"Host:"]


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
        trusted_proxies=TRUSTED,
    )
    assert b"X-Forwarded-For: 203.0.113.9, 192.0.2.1" in lines
    assert [line for line in lines if line.lower().startswith(b"x-forwarded-proto")] == [b"X-Forwarded-Proto: https"]
    assert b"X-Forwarded-Host: public.example" in lines
    assert b'Forwarded: for=203.0.113.9, for=192.0.2.1;proto=http;host="h"' in lines
    assert b"X-Real-IP: 203.0.113.9" in lines


@pytest.mark.parametrize("name", [b"Client-Cert", b"client_cert_chain", b"X-Forwarded-Client-Cert"])
def test_a_certificate_by_hearsay_is_removed(name: bytes) -> None:
    """A client certificate in a field is what the client says, also behind a trusted proxy (RFC 9440, section 4)."""
    lines = build((name, b"forged"), trusted_proxies=TRUSTED)
    assert not any(b"forged" in line for line in lines)


def test_an_ipv6_peer_is_quoted() -> None:
    """RFC 7239, section 6.1: an IPv6 address is in brackets and quotes."""
    lines = build(client=Client("2001:db8::1", "https"))
    assert b'Forwarded: for="[2001:db8::1]";proto=https' in lines
    assert b"X-Forwarded-For: 2001:db8::1" in lines


def test_a_peer_without_address_is_unknown() -> None:
    """Who comes through a Unix socket has no address (RFC 7239, section 6.2)."""
    assert b"Forwarded: for=unknown;proto=http" in build(client=Client("", "http"))


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
    """Names are a client's to choose: beyond the bound they are judged anew, and just as well."""
    rewriter = make_rewriter(trusted_proxies=TRUSTED)
    for client, rules in ((CLIENT, rewriter._rules_for_trusted), (Client("198.51.100.1", "http"), rewriter._rules)):
        for number in range(2000):
            read(rewriter, (b"x-identity-%d" % number, b"forged"), client=client)
        assert len(rules) == 1024
        header = read(
            rewriter, (b"A", b"b"), (b"X-Identity", b"forged"), (b"x-identity-1999", b"forged"), client=client
        )
        assert header.passed == [b"A: b"]


def test_what_nobody_reads_passes_as_it_came() -> None:
    """Names in their casing, values octet by octet, blanks and all, in order (RFC 9110, section 5.3)."""
    octets = b"\r\nX-ODD-case:caf\xe9 \xff\r\nCookie: \ta=1 \r\nhOST: h\r\ncookie: b=2\r\nEmpty:\r\nAccept:  */*"
    header = make_rewriter(host=None).read(octets, CLIENT)
    assert header.octets == octets
    assert b"\r\n" + b"\r\n".join(header.passed) == octets


@pytest.mark.parametrize("name", [b"Authorization", b"CONTENT-LENGTH", b"x-request-id", b"X-Forwarded-For", b"Expect"])
def test_what_we_read_has_its_values_whatever_becomes_of_it(name: bytes) -> None:
    """Values are without the blanks around them (RFC 9112, section 5), all of them, in order."""
    header = make_rewriter().read(b"\r\n%b:\t one \r\nA: b\r\n%b:two" % (name, name.lower()), CLIENT)
    attribute = name.lower().replace(b"-", b"_").decode("ascii")
    assert getattr(header, attribute) == (b"one", b"two")
    assert header.values(name.lower()) == [b"one", b"two"]
    assert header.passed == [b"A: b"]


def test_any_name_can_be_asked_for() -> None:
    """Also one that nobody else reads, and one that is not there."""
    header = read(make_rewriter(), (b"Cookie", b"a=1"), (b"X", b"y"), (b"cookie", b"b:2"))
    assert header.values(b"cookie") == [b"a=1", b"b:2"]
    assert header.values(b"cooki") == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], False),
        ([(b"Host", b"h"), (b"Authorization", b"Bearer x")], False),
        ([(b"Cookie", b"a"), (b"Cookie", b"b")], False),
        ([(b"Host", b"h"), (b"hOST", b"h")], True),
        ([(b"Content-Length", b"1"), (b"content-length", b"1")], True),
        ([(b"Authorization", b"Bearer x"), (b"Authorization", b"Bearer x")], True),
    ],
    ids=["none", "one each", "cookies", "hosts", "lengths", "tokens"],
)
def test_a_field_that_came_twice_is_noted(fields: list[tuple[bytes, bytes]], expected: bool) -> None:
    """Of fields that decide something, one that is there twice is worth a second look; of others it is usual."""
    assert read(make_rewriter(), *fields).has_repeated is expected


@pytest.mark.parametrize(
    ("networks", "address", "expected"),
    [(TRUSTED, "192.0.2.1", True), (TRUSTED, "198.51.100.1", False), (TRUSTED, "", False), ((), "192.0.2.1", False)],
)
def test_a_header_knows_whether_a_trusted_proxy_sent_it(networks: Any, address: str, expected: bool) -> None:
    """Nobody is trusted whom the file does not name."""
    rewriter = make_rewriter(trusted_proxies=networks)
    header = read(rewriter, (b"X-Real-IP", b"203.0.113.9"), client=Client(address, "http"))
    assert header.is_from_trusted is expected
    assert header.passed == ([b"X-Real-IP: 203.0.113.9"] if expected else [])


@pytest.mark.parametrize("name", [b"X-Forwarded-Host", b"forwarded", b"X-Real-IP", b"x-original-url", b"X-Forwarded-Z"])
def test_nobody_else_speaks_for_a_client(name: bytes) -> None:
    """Some backend believes each of them, so from whom we do not trust none passes."""
    assert not any(b"forged" in line for line in build((name, b"forged")))


def test_connection_names_what_goes_no_further() -> None:
    """RFC 9110, section 7.6.1: the client's fields of these names, in any casing, and never ours or Host."""
    lines = build(
        (b"A", b"b"),
        (b"X-Hop", b"c"),
        (b"Connection", b"x-hop, host, X-Identity"),
        (b"Host", b"h"),
        (b"x-HOP", b"d"),
        (b"E", b"f"),
        (b"Connection", b"X-Request-ID, X-Forwarded-For, Via"),
    )
    assert lines[1:4] == [b"A: b", b"Host: backend:3000", b"E: f"]
    assert b"X-Forwarded-For: 192.0.2.1" in lines
    assert b"Via: 1.1 auth-gateway" in lines


@pytest.mark.parametrize(
    "name",
    [
        b"MCP-Protocol-Version",
        b"Mcp-Method",
        b"Mcp-Name",
        b"Origin",
        b"Access-Control-Request-Method",
        b"Sec-Fetch-Site",
    ],
)
def test_no_client_strips_what_was_decided_by(name: bytes) -> None:
    """The value that was checked is the value that goes on: without it, the upstream would see another request."""
    assert name + b": x" in build((name, b"x"), (b"Connection", b"close, " + name.lower()))


def test_no_client_strips_what_a_trusted_proxy_says() -> None:
    """A proxy that passes its client's Connection on must not lose its own fields by it."""
    connection = (b"Connection", b"close, X-Forwarded-Proto, X-Real-IP, X-Hop")
    lines = build(
        (b"X-Forwarded-Proto", b"https"),
        (b"X-Real-IP", b"203.0.113.9"),
        (b"X-Hop", b"a"),
        connection,
        trusted_proxies=TRUSTED,
    )
    assert b"X-Forwarded-Proto: https" in lines
    assert b"X-Real-IP: 203.0.113.9" in lines
    assert not any(line.startswith(b"X-Hop") for line in lines)


@pytest.mark.parametrize("name", [b"X-User", b"x_user", b"X.USER", b"X-Identity", b"x_identity_Z", b"X-Role"])
def test_the_names_of_an_identity_are_ours(name: bytes) -> None:
    """Each header that the file names for an identity, and each that begins like ours, in any folded spelling."""
    identity = IdentitySettings(headers=((b"X-User", "subject"), (b"X-Role", "role")))
    assert read(make_rewriter(identity), (b"A", b"b"), (name, b"forged"), (b"C", b"d")).passed == [b"A: b", b"C: d"]


@pytest.mark.parametrize("name", [b"_User", b"~id", b"--x", b"9id"])
def test_the_names_of_an_identity_may_begin_with_any_mark(name: bytes) -> None:
    """A name is a token (RFC 9110, section 5.6.2), and such a one is as much ours as any other."""
    rewriter = make_rewriter(IdentitySettings(headers=((name, "subject"),)))
    for spelling in (name, name.upper(), name.replace(b"_", b"-"), name.replace(b"-", b"_")):
        assert read(rewriter, (b"A", b"b"), (spelling, b"forged"), (b"C", b"d")).passed == [b"A: b", b"C: d"]


def test_a_name_that_only_begins_alike_passes() -> None:
    """The negative twin: a name is taken as a whole."""
    fields = ((b"Hosting", b"a"), (b"X-Host", b"b"), (b"Expected", b"c"), (b"X-Via", b"d"), (b"TEA", b"e"))
    assert build(*fields)[1:6] == [b"%b: %b" % field for field in fields]


@pytest.mark.parametrize("framing", [b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_the_framing_is_ours(framing: bytes) -> None:
    """What the client says of the body goes no further; what we say stands there once."""
    lines = build((b"Content-Length", b"3"), (b"Transfer-Encoding", b"chunked"), framing=framing)
    named = [line for line in lines if line.lower().startswith((b"content-length", b"transfer-encoding"))]
    assert named == [framing.rstrip()]
