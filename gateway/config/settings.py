"""
The compiled file, as the shell around the core reads it: addresses, limits, timeouts, where keys come from.

All times are in seconds, all sizes in bytes. Nothing here knows YAML or pydantic.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.core.jwks import KeySet
from gateway.core.policy import Policy

# More than any machine has cores: a slip here would start as many processes.
MAX_WORKERS = 256
# What stands for the organization in the URL of a service that knows them.
PLACEHOLDER = "{organization}"


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to listen: ``host`` and ``port`` (0 for any free one), or the ``path`` of a Unix socket."""

    host: str | None = None
    port: int | None = None
    path: str | None = None

    def __str__(self) -> str:
        """Return the address as it stands in the file."""
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if self.host and ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ListenerTLS:
    """The certificate of the public listener, all paths; with ``client_ca`` clients must show one too."""

    certificate: str
    key: str
    client_ca: str | None = None


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """
    Where requests go: ``scheme`` is http or https; ``socket_path`` stands in the place of host and port.

    ``base_path`` has no trailing slash and is put before each target. The rest is for TLS, all paths.
    """

    scheme: str
    host: str
    port: int
    base_path: str = ""
    socket_path: str | None = None
    ca_file: str | None = None
    server_name: str | None = None
    certificate: str | None = None
    key: str | None = None

    @property
    def host_field(self) -> bytes:
        """The value of ``Host`` for this upstream (RFC 9110, section 7.2): the default port is left out."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        is_default = self.port == {"http": 80, "https": 443}[self.scheme]
        return (name if is_default else f"{name}:{self.port}").encode("ascii")


@dataclass(frozen=True, slots=True)
class KeySourceSettings:
    """
    Where the keys of one provider come from: just one of ``key_set``, ``path``, ``url`` and ``discovery_url``.

    ``issuers`` are what a discovery document may name as its issuer (RFC 8414, section 3.3); ``refresh_seconds`` None
    leaves the time to the issuer. ``snapshot_path`` is the file for the last good keys of an issuer that is asked over
    HTTP, None where none are kept.
    """

    provider: str
    issuers: tuple[str, ...]
    key_set: KeySet | None = None
    path: str | None = None
    url: str | None = None
    discovery_url: str | None = None
    refresh_seconds: float | None = None
    cooldown_seconds: float = 30.0
    max_stale_seconds: float = 86400.0
    timeout_seconds: float = 5.0
    ca_file: str | None = None
    snapshot_path: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether the keys stand in the file or in another one of this machine."""
        return self.key_set is not None or self.path is not None


@dataclass(frozen=True, slots=True)
class OrganizationCheckSettings:
    """
    A service that is asked whether an organization exists; ``{organization}`` is a segment of the path of ``url``.

    ``cache_seconds`` is how long an answer is believed, ``max_stale_seconds`` its highest age while the service is
    away.
    """

    url: str
    cache_seconds: float = 60.0
    timeout_seconds: float = 2.0
    max_stale_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of anything is taken; ``body_bytes`` None is unlimited. The token's limit is the policy's."""

    request_line_bytes: int = 8 * 1024
    header_field_bytes: int = 16 * 1024
    headers_bytes: int = 64 * 1024
    header_count: int = 100
    body_bytes: int | None = None
    connections: int = 10_000
    upstream_connections: int = 1_000
    cached_tokens: int = 10_000


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long anything may take; ``idle_stream_seconds`` is the pause between two pieces of a body or stream."""

    header_read_seconds: float = 10.0
    keep_alive_seconds: float = 75.0
    connect_seconds: float = 5.0
    response_headers_seconds: float = 60.0
    idle_stream_seconds: float = 300.0
    drain_delay_seconds: float = 0.0
    shutdown_seconds: float = 25.0


@dataclass(frozen=True, slots=True)
class Streams:
    """What becomes of long answers and WebSockets when the caller's token ends."""

    end_at_expiry: bool = True
    expiry_close_code: int = 3000


@dataclass(frozen=True, slots=True)
class Settings:
    """
    One file, whole.

    ``workers`` None is one process a core. ``digest`` is a hexadecimal hash of the text and of the lists beside it, for
    ``/status`` and the log. ``organization_files`` are the paths of those lists.
    """

    policy: Policy
    key_sources: tuple[KeySourceSettings, ...]
    listen: ListenAddress
    admin: ListenAddress
    upstream: UpstreamSettings
    tls: ListenerTLS | None = None
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)
    streams: Streams = field(default_factory=Streams)
    workers: int | None = 1
    organization_files: tuple[str, ...] = ()
    organization_check: OrganizationCheckSettings | None = None
    digest: str = ""
