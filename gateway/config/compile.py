"""The file as written -> what the gateway runs on: the core's policy, and the settings of the shell around it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import starmap
from pathlib import Path
from urllib.parse import urlsplit

from gateway.config.addresses import build_issuer, build_listen, build_network, build_upstream
from gateway.config.claims import build_audience, read_capture
from gateway.config.entries import AnyEntry, OidcEntry, RouteEntry
from gateway.config.keys import KeyLocation, build_location
from gateway.config.models import GatewayFile
from gateway.config.organizations import OrganizationsSection, compile_organizations
from gateway.config.places import build_token_place
from gateway.config.sections import IdentitySection, LimitsSection, TimeoutsSection, UpstreamSection
from gateway.config.settings import (
    KeySourceSettings,
    Limits,
    ListenerTLS,
    OrganizationCheckSettings,
    Settings,
    Streams,
    Timeouts,
    UpstreamSettings,
)
from gateway.core.claims import ClaimRequirement
from gateway.core.identity import IdentitySettings
from gateway.core.jwks import normalize_algorithm
from gateway.core.jwt import normalize_typ
from gateway.core.mcp import ToolRule
from gateway.core.policy import Forwarding, Policy
from gateway.core.resource import Resource, build_resource
from gateway.core.routes import Access, Requirement, Route, RouteTable, parse_path_pattern
from gateway.core.step_up import StepUp
from gateway.core.tokens import Provider, normalize_issuer

_DISCOVERY = "/.well-known/openid-configuration"
DEFAULT_TYPES = ("JWT", "at+jwt", "none")


def compile_config(file: GatewayFile, folder: Path, digest: str, lists: Mapping[str, frozenset[str]]) -> Settings:
    """
    Return the settings of a file that was found right; relative paths in it are those of ``folder``.

    ``lists`` are the lists of organizations that stand in files, by path.
    """
    upstream = compile_upstream(file.upstream, folder)
    names = name_providers(file.providers)
    policy = Policy(
        tuple(map(compile_provider, file.providers, names)),
        Forwarding(
            host=None if file.upstream.preserve_host else upstream.host_field,
            has_via=file.via,
            forward_token=file.forward_token,
            trusted_proxies=tuple(map(build_network, file.trusted_proxies or ())),
            base_path=upstream.base_path,
        ),
        RouteTable(map(compile_route, file.routes), Access(file.default_access)),
        compile_identity(file.identity),
        keeps_encoded_slashes=file.encoded_slashes == "keep",
        max_token_length=file.limits.token,
        error_detail=file.error_detail,
        realm=file.realm,
        allowed_origins=frozenset(origin.encode("ascii") for origin in file.allowed_origins or ()),
        organizations=compile_organizations(file.organizations, folder, lists),
        resource=_compile_resource(file.resource),
        passes_preflights=file.cors_preflight,
        is_observed=file.mode == "observe",
    )
    return Settings(
        policy,
        _compile_key_sources(file, names, folder),
        build_listen(file.listen, folder),
        build_listen(file.admin, folder),
        upstream,
        tls=_compile_tls(file, folder),
        limits=_compile_limits(file.limits),
        timeouts=_compile_timeouts(file.timeouts, file.drain_delay, file.shutdown_timeout),
        streams=Streams(file.streams.end_at_expiry, file.streams.expiry_close_code),
        workers=None if file.workers == "auto" else file.workers,
        organization_files=tuple(lists),
        organization_check=_compile_check(file.organizations),
        digest=digest,
    )


def _compile_check(section: OrganizationsSection | None) -> OrganizationCheckSettings | None:
    if section is None or section.check is None:
        return None
    check = section.check
    return OrganizationCheckSettings(check.url, check.cache, check.timeout, check.max_stale)


def _resolve(path: str | None, folder: Path) -> str | None:
    return None if path is None else str(folder / path)


def compile_upstream(section: UpstreamSection, folder: Path) -> UpstreamSettings:
    """Return where requests go."""
    address = build_upstream(section.url, folder)
    return UpstreamSettings(
        address.scheme,
        address.host,
        address.port,
        address.base_path,
        address.socket_path,
        ca_file=_resolve(section.ca_file, folder),
        server_name=section.server_name,
        certificate=_resolve(section.certificate, folder),
        key=_resolve(section.key, folder),
    )


def list_issuers(entry: AnyEntry) -> tuple[str, ...]:
    """Return the issuers of a provider, of whatever kind."""
    return (build_issuer(entry.domain),) if isinstance(entry, OidcEntry) else entry.issuer


def name_providers(entries: Iterable[AnyEntry]) -> tuple[str, ...]:
    """Return the name of each provider: its own, else the host of its issuer, with a number where that is taken."""
    entries = tuple(entries)
    taken = {entry.name for entry in entries if entry.name}
    names = []
    for entry in entries:
        name = entry.name or _choose_name(list_issuers(entry)[0], taken)
        taken.add(name)
        names.append(name)
    return tuple(names)


def _choose_name(issuer: str, taken: set[str]) -> str:
    host = urlsplit(issuer).hostname if "://" in issuer else issuer
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", host or "").strip("-._")[:60] or "provider"
    name, number = base, 2
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    return name


def compile_provider(entry: AnyEntry, name: str) -> Provider:
    """Return the rules of one provider."""
    is_rfc9068 = entry.profile == "rfc9068"
    types = ("at+jwt",) if is_rfc9068 else entry.typ or DEFAULT_TYPES
    return Provider(
        name,
        entry.type,
        list_issuers(entry),
        frozenset(map(normalize_algorithm, entry.algorithm)),
        audiences=tuple(map(build_audience, entry.application_id or ())),
        allow_any_audience=entry.allow_any_audience,
        audience_claim=entry.audience_claim,
        types=frozenset(map(normalize_typ, types)),
        is_rfc9068=is_rfc9068,
        required_claims=tuple(
            ClaimRequirement(path, None if isinstance(values, bool) else values)
            for path, values in entry.required_claims.items()
        ),
        leeway_seconds=entry.leeway,
        max_lifetime_seconds=entry.max_lifetime,
        scope_claims=entry.scope_claims,
        organization_claims=entry.organization_claim,
        client_claims=entry.client_claims,
        token_places=tuple(map(build_token_place, entry.token_from)),
    )


def _compile_key_sources(file: GatewayFile, names: Iterable[str], folder: Path) -> tuple[KeySourceSettings, ...]:
    sources = [compile_key_source(entry, name, folder) for entry, name in zip(file.providers, names, strict=True)]
    if file.keys_snapshot is None:
        return tuple(sources)
    snapshots = folder / file.keys_snapshot
    return tuple(
        source if source.is_local else replace(source, snapshot_path=str(snapshots / f"{source.provider}.json"))
        for source in sources
    )


def compile_key_source(entry: AnyEntry, name: str, folder: Path) -> KeySourceSettings:
    """Return where the keys of one provider come from."""
    issuers, options = list_issuers(entry), entry.jwks_options
    location = KeyLocation() if isinstance(entry, OidcEntry) else build_location(entry.jwks, folder)
    return KeySourceSettings(
        name,
        issuers,
        key_set=location.key_set,
        path=location.path,
        url=location.url,
        discovery_url=normalize_issuer(issuers[0]) + _DISCOVERY if isinstance(entry, OidcEntry) else None,
        refresh_seconds=options.refresh,
        cooldown_seconds=options.cooldown,
        max_stale_seconds=options.max_stale,
        timeout_seconds=options.timeout,
        ca_file=_resolve(options.ca_file, folder),
    )


def compile_route(entry: RouteEntry) -> Route:
    """Return one rule."""
    return Route(
        parse_path_pattern(entry.path),
        methods=None if entry.methods is None else frozenset(entry.methods),
        access=Access(entry.access),
        scopes=entry.scopes or (),
        any_scope=entry.any_scope or (),
        requirements=tuple(
            Requirement(claim, capture=read_capture(value))
            if isinstance(value, str)
            else Requirement(claim, values=value)
            for claim, value in entry.require.items()
        ),
        providers=None if entry.providers is None else frozenset(entry.providers),
        step_up=_compile_step_up(entry),
        resource=_compile_resource(entry.resource),
        tools=None if entry.mcp is None else tuple(starmap(ToolRule, entry.mcp.tools.items())),
        is_observed=entry.mode == "observe",
    )


def _compile_step_up(entry: RouteEntry) -> StepUp | None:
    if entry.max_age is None and entry.acr_values is None:
        return None
    return StepUp(entry.max_age, entry.acr_values or ())


def _compile_resource(identifier: str | None) -> Resource | None:
    return None if identifier is None else build_resource(identifier)


def compile_identity(section: IdentitySection) -> IdentitySettings:
    """Return how the identity is sent upstream."""
    return IdentitySettings(
        section.header.encode("ascii"),
        is_base64url=section.format == "base64url",
        max_size_bytes=section.max_size,
        headers=tuple((name.encode("ascii"), claim) for name, claim in section.headers.items()),
        include=None if section.include is None else frozenset(section.include),
        exclude=frozenset(section.exclude or ()),
    )


def _compile_tls(file: GatewayFile, folder: Path) -> ListenerTLS | None:
    if file.tls is None:
        return None
    client_ca = _resolve(file.tls.client_ca, folder)
    return ListenerTLS(str(folder / file.tls.certificate), str(folder / file.tls.key), client_ca)


def _compile_limits(section: LimitsSection) -> Limits:
    return Limits(
        request_line_bytes=section.request_line,
        header_field_bytes=section.header_field,
        headers_bytes=section.headers,
        header_count=section.header_count,
        body_bytes=section.body,
        connections=section.connections,
        upstream_connections=section.upstream_connections,
        cached_tokens=section.cached_tokens,
    )


def _compile_timeouts(section: TimeoutsSection, drain_delay: float, shutdown_timeout: float) -> Timeouts:
    return Timeouts(
        header_read_seconds=section.header_read,
        keep_alive_seconds=section.keep_alive,
        connect_seconds=section.connect,
        response_headers_seconds=section.response_headers,
        idle_stream_seconds=section.idle_stream,
        drain_delay_seconds=drain_delay,
        shutdown_seconds=shutdown_timeout,
    )
