"""
From a provider's settings to its JWK Set document: a file, a URL, or what the issuer's metadata names.

OpenID Connect Discovery 1.0, section 4; RFC 8414, section 3.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
from yarl import URL

from gateway.config.settings import KeySourceSettings
from gateway.core.tokens import normalize_issuer
from gateway.providers.fetch import Document, FetchError, fetch_document, read_document


@dataclass(frozen=True, slots=True)
class Metadata:
    """What an issuer says of itself: what it is called, and where its keys are."""

    issuer: str
    jwks_uri: str


async def fetch_key_document(session: aiohttp.ClientSession, settings: KeySourceSettings) -> Document:
    """
    Return the JWK Set document of a provider, as it is now and not yet parsed.

    Raises:
        FetchError: It, or the metadata that names it, cannot be had.
    """
    if settings.discovery_url is None:
        return await fetch_keys(session, settings, settings.url)
    document = await fetch_metadata(session, settings, settings.discovery_url)
    metadata = parse_metadata(document.body, settings.discovery_url, settings.issuers)
    return await fetch_keys(session, settings, metadata.jwks_uri)


async def fetch_metadata(session: aiohttp.ClientSession, settings: KeySourceSettings, discovery_url: str) -> Document:
    """
    Return the issuer's metadata, not yet parsed.

    Raises:
        FetchError: It cannot be had.
    """
    return await _fetch(session, settings, discovery_url, "discovery")


async def fetch_keys(session: aiohttp.ClientSession, settings: KeySourceSettings, url: str | None) -> Document:
    """
    Return the JWK Set document of a provider's file, else the one at a URL.

    Raises:
        FetchError: It cannot be had.
    """
    if settings.path is not None:
        return await read_document(settings.path)
    if url is None:
        raise FetchError("no place to fetch keys from")
    return await _fetch(session, settings, url, "keys")


async def _fetch(session: aiohttp.ClientSession, settings: KeySourceSettings, url: str, what: str) -> Document:
    try:
        return await fetch_document(session, url, timeout_seconds=settings.timeout_seconds, ca_file=settings.ca_file)
    except FetchError as error:
        raise type(error)(f"{what}: {error}") from error


def parse_metadata(body: bytes, discovery_url: str, issuers: Sequence[str]) -> Metadata:
    """
    Return an issuer's metadata.

    Raises:
        FetchError: Not metadata, of another issuer, or naming a place that we do not fetch keys from.
    """
    metadata = _parse_object(body)
    issuer = metadata.get("issuer")
    # RFC 8414, section 3.3: it "MUST be identical"; else whoever can write one document could speak for any issuer.
    if not isinstance(issuer, str) or normalize_issuer(issuer) not in map(normalize_issuer, issuers):
        raise FetchError(f"discovery: the document is of another issuer: {_show(issuer)}")
    return Metadata(issuer, _check_location(metadata.get("jwks_uri"), discovery_url))


def _parse_object(body: bytes) -> dict[str, object]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FetchError("discovery: not JSON") from error
    if not isinstance(parsed, dict):
        raise FetchError("discovery: not a JSON object")
    return parsed


def _check_location(jwks_uri: object, discovery_url: str) -> str:
    if not isinstance(jwks_uri, str):
        raise FetchError("discovery: no jwks_uri")
    try:
        location = URL(jwks_uri)
    except ValueError as error:
        raise FetchError("discovery: jwks_uri is not a URL") from error
    if location.scheme not in {"http", "https"} or not location.host:
        raise FetchError("discovery: jwks_uri is not an http or https URL")
    # What came over TLS must not send us where anyone on the way can answer.
    if location.scheme == "http" and URL(discovery_url).scheme == "https":
        raise FetchError("discovery: jwks_uri is http although the document came by https")
    return jwks_uri


def _show(value: object) -> str:
    return value[:128] if isinstance(value, str) else "no issuer"
