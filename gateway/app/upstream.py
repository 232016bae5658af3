"""From the settings of an upstream to the pool of its connections."""

from __future__ import annotations

import ssl

from gateway.config.settings import Settings, UpstreamSettings
from gateway.proxy.address import UpstreamAddress
from gateway.proxy.pool import UpstreamPool

# Shorter than the keep-alive of common servers (uvicorn 5 s, Node 5 s), so that we let go first.
_IDLE_CONNECTION_SECONDS = 4.0


def build_pool(settings: Settings) -> UpstreamPool:
    """
    Return the pool of connections to the upstream of a file.

    Raises:
        OSError: A file of a certificate or key cannot be read.
        ssl.SSLError: It does not hold what it should.
    """
    limits, timeouts = settings.limits, settings.timeouts
    return UpstreamPool(
        build_address(settings.upstream),
        connect_seconds=timeouts.connect_seconds,
        head_seconds=timeouts.response_headers_seconds,
        idle_stream_seconds=timeouts.idle_stream_seconds,
        idle_connection_seconds=_IDLE_CONNECTION_SECONDS,
        max_connections=limits.upstream_connections,
        max_waiting=limits.connections,
    )


def describe_pool(settings: Settings) -> tuple[object, ...]:
    """Return what a pool is built from: where it is equal, the pool can stay."""
    limits, timeouts = settings.limits, settings.timeouts
    return settings.upstream, limits.upstream_connections, limits.connections, timeouts


def build_address(upstream: UpstreamSettings) -> UpstreamAddress:
    """Return where the upstream is, with its TLS ready to use."""
    if upstream.socket_path is not None:
        return UpstreamAddress("unix", path=upstream.socket_path)
    return UpstreamAddress(
        "https" if upstream.scheme == "https" else "http",
        upstream.host,
        upstream.port,
        tls=_build_client_tls(upstream) if upstream.scheme == "https" else None,
        server_name=upstream.server_name,
    )


def _build_client_tls(upstream: UpstreamSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=upstream.ca_file)
    if upstream.certificate is not None:
        context.load_cert_chain(upstream.certificate, upstream.key)
    return context
