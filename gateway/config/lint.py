"""
What valid values mean together: rules that no key shows alone, and warnings (errors with ``--strict``).

Each rule is one generator over the sound parts of a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from gateway.config.addresses import build_listen, build_upstream, is_ip, is_loopback
from gateway.config.lint_oauth import lint_oauth
from gateway.config.lint_places import lint_places
from gateway.config.lint_providers import lint_providers
from gateway.config.lint_routes import lint_routes
from gateway.config.problems import Finding, Severity
from gateway.config.sections import IdentitySection
from gateway.config.settings import ListenAddress
from gateway.config.sound import Sound
from gateway.core.fields import fold_name
from gateway.core.identity import RESERVED_NAMES

_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - to be compared with


def lint(sound: Sound) -> Iterator[Finding]:
    """Return what is wrong, or questionable, in what is valid by itself."""
    yield from lint_providers(sound)
    yield from lint_places(sound)
    yield from lint_routes(sound)
    if sound.organizations is not None and sound.organizations.check is not None:
        yield from _lint_check(sound.organizations.check.url)
    yield from lint_oauth(sound)
    if sound.identity is not None:
        yield from _lint_identity(sound.identity)
    listen = build_listen(sound.listen) if sound.listen else None
    admin = build_listen(sound.admin) if sound.admin else None
    if listen and admin:
        yield from _lint_admin(listen, admin)
    yield from _lint_upstream(sound, listen, admin)


def _lint_check(url: str) -> Iterator[Finding]:
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        message = (
            "organizations.check.url: over http, whoever is on the way says which organizations exist: write https"
        )
        yield Finding(("organizations", "check", "url"), message, Severity.WARNING)


def _lint_admin(listen: ListenAddress, admin: ListenAddress) -> Iterator[Finding]:
    if _is_same(listen, admin):
        yield Finding(("admin",), "admin: the address of listen: give it a port of its own, such as 127.0.0.1:9090")
        return
    if admin.host in _EVERYWHERE or (admin.host and admin.host == listen.host and not is_loopback(admin.host)):
        yield Finding(
            ("admin",),
            "admin: on a public address anyone reads status and metrics: write 127.0.0.1 or an internal address",
            Severity.WARNING,
        )


def _is_same(one: ListenAddress, other: ListenAddress) -> bool:
    """Return whether two listeners cannot both be opened; port 0 is any free one."""
    if one.path is not None or other.path is not None:
        return one.path == other.path
    if one.port != other.port or one.port == 0:
        return False
    return one.host == other.host or one.host in _EVERYWHERE or other.host in _EVERYWHERE


def _lint_upstream(sound: Sound, listen: ListenAddress | None, admin: ListenAddress | None) -> Iterator[Finding]:
    """A gateway that forwards to itself answers no request and takes all connections that there are."""
    if sound.upstream is None:
        return
    upstream = build_upstream(sound.upstream.url)
    for name, listener in (("listen", listen), ("admin", admin)):
        if listener is None or (listener.path is None) != (upstream.socket_path is None):
            continue
        if listener.path is not None:
            is_own = listener.path == upstream.socket_path
        else:
            is_own = listener.port == upstream.port and _leads_to(upstream.host, str(listener.host))
        if is_own:
            yield Finding(
                ("upstream", "url"), f"upstream: the gateway's own {name}: write the address of the service behind it"
            )


def _leads_to(host: str, listening: str) -> bool:
    """Return whether a connection to ``host`` certainly reaches a listener of this machine at ``listening``."""
    if host == listening:
        return True
    if host in _EVERYWHERE:
        return listening in _EVERYWHERE or is_loopback(listening)
    # Of loopback addresses there are many, and "localhost" may be any of them.
    is_either_name = not is_ip(host) or not is_ip(listening)
    return is_loopback(host) and (listening in _EVERYWHERE or (is_either_name and is_loopback(listening)))


def _lint_identity(identity: IdentitySection) -> Iterator[Finding]:
    """Headers that applications see under one name are one header."""
    seen = {fold_name(identity.header.encode()): "identity.header"}
    for name in identity.headers:
        path = ("identity", "headers", name)
        where = f"identity.headers.{name}"
        folded = fold_name(name.encode())
        if folded in seen:
            message = f"{where}: to applications the same name as {seen[folded]}: choose another one"
            yield Finding(path, message, is_key=True)
        seen.setdefault(folded, where)
    for key in ("include", "exclude"):
        for index, claim in enumerate(getattr(identity, key) or ()):
            if claim in RESERVED_NAMES:
                message = f"identity.{key}[{index}]: this member is ours and always there: remove it"
                yield Finding(("identity", key, index), message)
    for index, claim in enumerate(identity.exclude or ()):
        if claim in (identity.include or ()):
            message = f"identity.exclude[{index}]: included as well: keep one of the two"
            yield Finding(("identity", "exclude", index), message)
