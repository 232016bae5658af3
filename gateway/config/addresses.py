"""
Where to listen, where to forward to, whom to trust and whom to ask: the addresses of the file.

RFC 3986 section 3.2, RFC 1123 section 2.1. Every parser raises ValueError with a sentence that says what to write.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from gateway.config.scalars import parse_text
from gateway.config.settings import ListenAddress, UpstreamSettings

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}\.?")
_LISTEN = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]*)):([0-9]{1,5})")
_VISIBLE = re.compile(r"[!-~]+")
_BASE_PATH = re.compile(r"(?:/[A-Za-z0-9\-._~!$&'()*+,;=:@]+)*/?")
_MAX_PORT = 65535
_MAX_HOST_LENGTH = 253
_LISTEN_FORMS = "expected host:port, [::]:port or unix:/path"
_UPSTREAM_FORMS = "expected http://host:port, https://host:port or unix:/path"
_DEFAULT_PORTS = {"http": 80, "https": 443}


def is_host(text: str) -> bool:
    """Return whether a text is an address of the Internet Protocol or a host name."""
    if is_ip(text):
        return True
    # "22" and "1.2" are addresses to C libraries, and typing errors here.
    is_number = text.rstrip(".").rpartition(".")[2].isdigit()
    return bool(_HOST_NAME.fullmatch(text)) and not is_number and len(text) <= _MAX_HOST_LENGTH


def is_ip(text: str) -> bool:
    """Return whether a text is an IPv4 or IPv6 address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether a host can only be this machine (RFC 6761, section 6.3)."""
    return ip_address(host).is_loopback if is_ip(host) else host == "localhost" or host.endswith(".localhost")


def parse_listen(value: object) -> str:
    """Return the text of an address to listen on, once it is known to be one."""
    text = parse_text(value) if not isinstance(value, int) else str(value)
    build_listen(text)
    return text


def build_listen(text: str, folder: Path = Path()) -> ListenAddress:
    """Return the address that a text of the file stands for."""
    if text.startswith("unix:"):
        return ListenAddress(path=str(folder / _read_socket_path(text)))
    found = _LISTEN.fullmatch(text)
    if not found:
        raise ValueError(_LISTEN_FORMS)
    host, port = found[1] or found[2], int(found[3])
    if not host or host == "*":
        raise ValueError("the host is missing: write 0.0.0.0:port for every interface, 127.0.0.1:port for this machine")
    if not is_host(host):
        raise ValueError(f"not a host: {_LISTEN_FORMS}")
    return ListenAddress(host, _check_port(port))


def _check_port(port: int) -> int:
    if port > _MAX_PORT:
        raise ValueError("a port is at most 65535")
    return port


def _read_socket_path(text: str) -> str:
    path = text.removeprefix("unix:")
    if not path or "\0" in path:
        raise ValueError("the path of the socket is missing: write unix:/path")
    return path


def parse_http_url(value: object) -> str:
    """Return a URL of HTTP, once it is known to be one that can be asked."""
    text = parse_text(value)
    parts = split_http_url(text)
    if parts.fragment:
        raise ValueError("a URL with a fragment: remove what begins with #")
    return text


def split_http_url(text: str) -> SplitResult:
    """Return the parts of an absolute URL of HTTP."""
    if text.startswith('"'):
        raise ValueError("it starts with a double quote: remove the quotes inside of the value")
    if not _VISIBLE.fullmatch(text):
        raise ValueError("a URL has visible ASCII only: encode the rest with %")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError("not a URL: its host or port cannot be read") from error
    if parts.scheme not in _DEFAULT_PORTS or "//" not in text:
        raise ValueError("the scheme should be http or https: expected a URL such as https://issuer.example")
    if not parts.hostname or not is_host(parts.hostname) or port == 0:
        raise ValueError("not a URL: the host is missing or is none")
    return parts


def parse_resource(value: object) -> str:
    """
    Return the identifier of a protected resource (RFC 9728, section 1.2): https, and on this machine http too.

    It is compared to the last character, so it stays as it was written.
    """
    text = parse_http_url(value)
    parts = split_http_url(text)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ValueError("a resource is an https URL; http is for this machine only")
    if parts.username is not None or not set(text).isdisjoint('"\\'):
        raise ValueError("a resource has no user name, quotes or backslashes")
    return text


def parse_upstream(value: object) -> str:
    """Return the text of an upstream's address, once it is known to be one."""
    text = parse_text(value)
    build_upstream(text)
    return text


def build_upstream(text: str, folder: Path = Path()) -> UpstreamSettings:
    """Return the upstream that a text of the file stands for, as yet without TLS files."""
    if text.startswith("unix:"):
        return UpstreamSettings("http", "localhost", 80, socket_path=str(folder / _read_socket_path(text)))
    if not text.startswith(("http://", "https://")):
        raise ValueError(_UPSTREAM_FORMS)
    parts = split_http_url(text)
    if "@" in parts.netloc or parts.query or parts.fragment or "?" in text or "#" in text:
        raise ValueError("an upstream has no user, query or fragment: write http(s)://host:port and a base path")
    if not _BASE_PATH.fullmatch(parts.path) or re.search(r"/\.{1,2}(?:/|$|;)", parts.path):
        raise ValueError("a base path is plain segments, without escapes, dot segments and empty ones")
    host = str(parts.hostname)
    return UpstreamSettings(
        parts.scheme, host, parts.port or _DEFAULT_PORTS[parts.scheme], base_path=parts.path.rstrip("/")
    )


def parse_network(value: object) -> str:
    """Return the text of a network in CIDR notation; one that trusts everybody is refused."""
    text = parse_text(value)
    if build_network(text).prefixlen == 0:
        raise ValueError("it trusts every address there is: name the networks of your proxies")
    return text


def build_network(text: str) -> IPv4Network | IPv6Network:
    """Return the network that a text of the file stands for."""
    try:
        return ip_network(text)
    except ValueError as error:
        mended = _mend_network(text)
        hint = f"did you mean {mended}?" if mended else "such as 10.0.0.0/8 or fd00::/8"
        raise ValueError(f"not a network: {hint}") from error


def _mend_network(text: str) -> str | None:
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        return None


def parse_domain(value: object) -> str:
    """Return the issuer that an OpenID Connect domain stands for; Convex takes it without ``https://`` too."""
    text = parse_text(value)
    if "://" in text:
        parse_http_url(text)
        return text
    host = text.partition("/")[0].partition(":")[0]
    if text.startswith('"') or not is_host(host) or not (host == "localhost" or "." in host):
        raise ValueError("it does not look like a URL: write https://tenant.example")
    parse_http_url(f"https://{text}")
    return text


def build_issuer(domain: str) -> str:
    """Return the issuer of a domain: with ``https://`` where it has no scheme."""
    return domain if "://" in domain else f"https://{domain}"


def parse_issuer(value: object) -> str:
    """Return an issuer. Any text may be one (RFC 7519, section 4.1.1), but what has the form of a URL must be one."""
    text = parse_text(value)
    if text.startswith('"') or "://" in text:
        split_http_url(text)
    if any(character.isspace() for character in text):
        raise ValueError("an issuer has no blanks: write one text, or a list of them")
    return text
