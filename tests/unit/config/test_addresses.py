"""Listeners, upstreams, issuers and networks as they stand in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.addresses import (
    build_issuer,
    build_listen,
    build_upstream,
    is_host,
    is_loopback,
    parse_domain,
    parse_http_url,
    parse_issuer,
    parse_listen,
    parse_network,
    parse_upstream,
)
from gateway.config.settings import ListenAddress, UpstreamSettings

FORMS = r"^expected host:port, \[::\]:port or unix:/path$"


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("0.0.0.0:8080", ListenAddress("0.0.0.0", 8080)),
        ("[::]:8080", ListenAddress("::", 8080)),
        ("[::1]:0", ListenAddress("::1", 0)),
        ("localhost:1", ListenAddress("localhost", 1)),
        ("unix:/run/gateway.sock", ListenAddress(path="/run/gateway.sock")),
        ("unix:gateway.sock", ListenAddress(path="/etc/gw/gateway.sock")),
    ],
)
def test_listeners(written: str, address: ListenAddress) -> None:
    """A host and a port, an address of IPv6 in brackets, or the path of a socket beside the file."""
    built = build_listen(parse_listen(written), Path("/etc/gw"))
    assert built == address
    assert str(built) == written.replace("unix:gateway", "unix:/etc/gw/gateway")


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("8080", FORMS),
        (8080, FORMS),
        ("0.0.0.0", FORMS),
        ("::1:8080", FORMS),
        ("[::1]", FORMS),
        ("a:b", FORMS),
        ("http://0.0.0.0:80", FORMS),
        ("", "the text is empty"),
        (":8080", "the host is missing: write 0.0.0.0:port"),
        ("*:8080", "the host is missing: write 0.0.0.0:port"),
        ("22:22", "not a host"),
        ("1.2.3.4.5:1", "not a host"),
        ("a b:1", "not a host"),
        ("[1.2.3.4.5]:1", "not a host"),
        ("h:65536", "a port is at most 65535"),
        ("h:99999", "a port is at most 65535"),
        ("unix:", "the path of the socket is missing"),
    ],
)
def test_no_listener(written: object, message: str) -> None:
    """What could be read in two ways is not read at all."""
    with pytest.raises(ValueError, match=message):
        parse_listen(written)


@pytest.mark.parametrize(
    ("written", "upstream", "host_field"),
    [
        ("http://backend:3000", UpstreamSettings("http", "backend", 3000), b"backend:3000"),
        ("http://backend", UpstreamSettings("http", "backend", 80), b"backend"),
        ("https://Backend.Example/", UpstreamSettings("https", "backend.example", 443), b"backend.example"),
        ("http://[::1]:3000/a/b/", UpstreamSettings("http", "::1", 3000, "/a/b"), b"[::1]:3000"),
        ("unix:/run/b.sock", UpstreamSettings("http", "localhost", 80, socket_path="/run/b.sock"), b"localhost"),
        ("unix:b.sock", UpstreamSettings("http", "localhost", 80, socket_path="/etc/gw/b.sock"), b"localhost"),
    ],
)
def test_upstreams(written: str, upstream: UpstreamSettings, host_field: bytes) -> None:
    """The port may be left out, a base path has no slash at its end."""
    built = build_upstream(parse_upstream(written), Path("/etc/gw"))
    assert built == upstream
    assert built.host_field == host_field


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("backend:3000", "^expected http://host:port"),
        ("ftp://b", "^expected http://host:port"),
        ("http:b", "^expected http://host:port"),
        ("HTTP://b", "^expected http://host:port"),
        ("http://", "the host is missing"),
        ("http://:80", "the host is missing"),
        ("http://a_b!:80", "the host"),
        ("http://b:0", "the host is missing or is none"),
        ("http://b:99999", "its host or port cannot be read"),
        ("http://[::1", "its host or port cannot be read"),
        ("http://b:x", "its host or port cannot be read"),
        ("http://user:secret@b", "no user, query or fragment"),
        ("http://b?x", "no user, query"),
        ("http://b/?", "no user"),
        ("http://b#x", "no user, query or fragment"),
        ("http://b/a/../c", "a base path is plain segments"),
        ("http://b/a//c", "a base path is plain segments"),
        ("http://b/%61", "a base path is plain segments"),
        ("http://b/é", "visible ASCII only"),
        ("unix:", "the path of the socket is missing"),
    ],
)
def test_no_upstream(written: str, message: str) -> None:
    """An upstream is one place: no credentials, no query, no path that servers read differently."""
    with pytest.raises(ValueError, match=message) as caught:
        parse_upstream(written)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("written", ["https://i.example/jwks?tenant=1", "http://127.0.0.1:9/k", "https://[::1]/k"])
def test_urls(written: str) -> None:
    """Absolute, of HTTP, with a query if need be."""
    assert parse_http_url(written) == written


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ('"https://i.example"', "it starts with a double quote"),
        ("//i.example/jwks", "the scheme should be http or https"),
        ("https:/i.example", "the scheme should be http or https"),
        ("ftp://i.example", "the scheme should be http or https"),
        ("https://i.example/a b", "visible ASCII only"),
        ("https://i.example/#k", "a URL with a fragment"),
    ],
)
def test_no_url(written: str, message: str) -> None:
    """Convex's words where Convex has them."""
    with pytest.raises(ValueError, match=message):
        parse_http_url(written)


@pytest.mark.parametrize(
    ("written", "issuer"),
    [
        ("https://tenant.example", "https://tenant.example"),
        ("https://tenant.example/", "https://tenant.example/"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("tenant.us.example", "https://tenant.us.example"),
        ("localhost:3000", "https://localhost:3000"),
    ],
)
def test_domains(written: str, issuer: str) -> None:
    """Convex takes a domain without its scheme, and so does a paste of it here."""
    assert build_issuer(parse_domain(written)) == issuer


@pytest.mark.parametrize(
    "written", ["my-app", "my app.example", "ftp://x.example", '"https://x"', "10.0", "x.example:y"]
)
def test_no_domain(written: str) -> None:
    """A word that is no host leads nowhere."""
    with pytest.raises(ValueError, match=r"look like a URL|scheme should be|double quote|cannot be read"):
        parse_domain(written)


@pytest.mark.parametrize("written", ["https://i.example/", "urn:example:issuer", "my-app", "accounts.google.com"])
def test_issuers(written: str) -> None:
    """Any text may be one, and stays as it is."""
    assert parse_issuer(written) == written


@pytest.mark.parametrize("written", ["htp://i.example", "https://", "https://i.example:x", '"i"', "a b", "", 5, None])
def test_no_issuer(written: object) -> None:
    """What has the form of a URL is one, or a typing error."""
    with pytest.raises(ValueError, match=r"\w"):
        parse_issuer(written)


@pytest.mark.parametrize("written", ["10.0.0.0/8", "192.0.2.1", "fd00::/8", "::1/128"])
def test_networks(written: str) -> None:
    """CIDR notation, or one address."""
    assert parse_network(written) == written


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("0.0.0.0/0", "it trusts every address there is"),
        ("::/0", "it trusts every address there is"),
        ("10.1.2.3/8", r"did you mean 10\.0\.0\.0/8\?"),
        ("proxy.example", "such as 10"),
        ("10.0.0.0/33", "such as 10"),
    ],
)
def test_no_network(written: str, message: str) -> None:
    """To trust everybody is to trust nobody's word about the client."""
    with pytest.raises(ValueError, match=message):
        parse_network(written)


def test_hosts() -> None:
    """Names whose last label is a number are addresses to some and names to others."""
    assert all(map(is_host, ["a", "a-b.example", "a_b", "127.0.0.1", "::1", "example."]))
    assert not any(map(is_host, ["", "-a", "a..b", "22", "1.2", "a.1", "a" * 64, "a." * 130 + "a", "é"]))


def test_loopback() -> None:
    """This machine: all of 127/8, ::1 and what ends in localhost."""
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "localhost", "app.localhost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "10.0.0.1", "localhost.example", "::"]))
