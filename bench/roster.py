"""Who is compared, in the order of the tables."""

from __future__ import annotations

from bench.peers.envoy import make_envoy
from bench.peers.fastapi import FASTAPI
from bench.peers.fastify import FASTIFY
from bench.peers.gateway import Variant, make_gateway
from bench.peers.haproxy import HAPROXY

GATEWAY = make_gateway("gateway", "auth-gateway")
GATEWAY_LOGGING = make_gateway("gateway-logging", "auth-gateway, access log on", Variant(has_access_log=True))
ENVOY_CACHE = make_envoy("envoy-cache", "Envoy jwt_authn, cache on", has_cache=True)
ENVOY = make_envoy("envoy", "Envoy jwt_authn, cache off", has_cache=False)

__all__ = ["ENVOY", "ENVOY_CACHE", "FASTAPI", "FASTIFY", "GATEWAY", "GATEWAY_LOGGING", "HAPROXY", "PEERS"]

PEERS = (GATEWAY, GATEWAY_LOGGING, ENVOY_CACHE, ENVOY, HAPROXY, FASTIFY, FASTAPI)
