"""
One document in, or one error: over HTTP from an issuer that may be slow, huge, lost or hostile, or from a file.

Every failure leaves this module as ``FetchError`` with a short reason that is safe to log.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
import stat
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import aiohttp
from yarl import URL

from gateway import __version__
from gateway.providers.freshness import FreshnessFields, parse_date

MAX_DOCUMENT_BYTES = 512 * 1024
MAX_REDIRECTS = 3
# Some issuers send policies of more than the 8 KiB that aiohttp takes in one field.
MAX_FIELD_BYTES = 32 * 1024

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REASON_LENGTH = 200
_UNPRINTABLE = re.compile("[^ -~]")

# Statuses that speak of the issuer's state, not of the document: RFC 6585, section 4; RFC 9110, section 15.6.
_TOO_MANY_REQUESTS, _SERVER_ERROR = 429, 500

# The first that fits says it; those of aiohttp overlap.
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientConnectorCertificateError, "the certificate is not trusted"),
    (aiohttp.ClientConnectorSSLError, "TLS failed"),
    (aiohttp.ClientConnectorDNSError, "the host name does not resolve"),
    (aiohttp.ClientConnectorError, "cannot connect"),
    (aiohttp.ClientPayloadError, "the answer ended early or cannot be decoded"),
    (aiohttp.ClientResponseError, "the answer is not HTTP"),
    (ConnectionError, "the connection was closed before an answer"),
    (aiohttp.ServerDisconnectedError, "the connection was closed before an answer"),
    (aiohttp.NonHttpUrlClientError, "not a URL that can be fetched"),
    (ValueError, "not a URL that can be fetched"),
)


class FetchError(Exception):
    """A document that could not be had; the text is a short reason in ASCII."""

    def __init__(self, reason: str) -> None:
        # Parts of a reason may come from the other side: nothing that moves a cursor, and not a page of it.
        super().__init__(_UNPRINTABLE.sub("?", reason)[:_MAX_REASON_LENGTH])


class NoAnswer(FetchError):
    """Nobody answered, or only that it cannot now: nothing is known of the document itself."""


# These say nothing of the document; anything else that goes wrong is an answer that is not one.
_OUTAGES = (OSError, aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)


@dataclass(frozen=True, slots=True)
class Document:
    """What an issuer answered: the decoded body, what it says about freshness, and its clock (epoch seconds)."""

    body: bytes
    freshness: FreshnessFields = field(default_factory=FreshnessFields)
    date: float | None = None


def open_session() -> aiohttp.ClientSession:
    """
    Return a session for documents of issuers: no cookies, no proxy of the environment, no connection kept.

    Link-local addresses (RFC 3927, RFC 4291) are not connected to, whatever name led there: a cloud answers on one of
    them with the credentials of the machine, and a document of an issuer may name any host for its keys.
    """
    return aiohttp.ClientSession(
        # Between two fetches lie minutes; whatever arrives on an idle connection would be taken for the next answer.
        connector=aiohttp.TCPConnector(force_close=True, socket_factory=_open_socket),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept": "application/json", "User-Agent": f"auth-gateway/{__version__}"},
        # Each fetch has one deadline of its own, over connecting, redirects and the last byte.
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        trust_env=False,
        middlewares=(_try_once,),
        max_field_size=MAX_FIELD_BYTES,
        max_line_size=MAX_FIELD_BYTES,
    )


def _open_socket(info: aiohttp.AddrInfoType) -> socket.socket:
    """Return a socket for an address that a name was resolved to; this is the last moment before it is connected."""
    family, kind, protocol, _, target = info
    # Without the zone of an IPv6 address; a mapped one is what it maps to.
    address = ip_address(str(target[0]).partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_link_local:
        raise OSError(0, "a link-local address")
    return socket.socket(family=family, type=kind, proto=protocol)


async def _try_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        # aiohttp would send a GET again by itself; when the next attempt is due is for the back-off to say.
        raise _build_error(error) from error


async def fetch_document(
    session: aiohttp.ClientSession, url: str, *, timeout_seconds: float, ca_file: str | None = None
) -> Document:
    """
    Return the document at an http or https URL: status 200, any content type, at most 512 KiB once decoded.

    Redirects are followed within the origin only: an issuer's open redirect must not choose whom we ask. With
    ``ca_file``, the authorities in it are trusted and no others.

    Raises:
        NoAnswer: No complete answer, or one of an issuer that cannot now (429, 5xx).
        FetchError: Any other answer.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            context = await asyncio.to_thread(_load_authorities, ca_file) if ca_file else None
            return await _follow(session, URL(url), context)
    except TimeoutError as error:
        raise NoAnswer(f"no complete answer within {timeout_seconds:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise _build_error(error) from error


async def fetch_status(session: aiohttp.ClientSession, url: str, *, timeout_seconds: float) -> int:
    """
    Return the status that a GET of an http or https URL is answered with; redirects are answers, and not followed.

    The URL is asked for as it stands: what is encoded in it stays so.

    Raises:
        FetchError: There was no answer.
    """
    try:
        async with (
            asyncio.timeout(timeout_seconds),
            session.get(URL(url, encoded=True), allow_redirects=False) as response,
        ):
            return response.status
    except TimeoutError as error:
        raise FetchError(f"no answer within {timeout_seconds:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise FetchError(_describe(error)) from error


async def read_document(path: str) -> Document:
    """
    Return the document in a file of at most 512 KiB.

    Raises:
        FetchError: It cannot be read, is no regular file, or is larger.
    """
    try:
        body = await asyncio.to_thread(_read_file, Path(path))
    except OSError as error:
        raise FetchError(f"cannot read the file: {error.strerror or type(error).__name__}") from error
    return Document(body)


def _read_file(path: Path) -> bytes:
    # A pipe or a terminal would hold the thread, and with it our own end, until somebody writes into it.
    if not stat.S_ISREG(path.stat().st_mode):
        raise FetchError("not a regular file")
    with path.open("rb") as file:
        body = file.read(MAX_DOCUMENT_BYTES + 1)
    _check_size(len(body))
    return body


def _load_authorities(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise FetchError(f"cannot load the CA file: {error.strerror or type(error).__name__}") from error


async def _follow(session: aiohttp.ClientSession, url: URL, context: ssl.SSLContext | None) -> Document:
    origin = url.origin()
    for _ in range(MAX_REDIRECTS + 1):
        async with session.get(url, allow_redirects=False, ssl=context or True) as response:
            if response.status not in _REDIRECTS:
                return await _read_response(response)
            url = _read_location(response, url)
        if url.origin() != origin:
            raise FetchError(f"redirects to another origin: {url.origin()}")
    raise FetchError(f"more than {MAX_REDIRECTS} redirects")


def _read_location(response: aiohttp.ClientResponse, url: URL) -> URL:
    locations = response.headers.getall("Location", [])
    if len(locations) != 1:
        raise FetchError(f"status {response.status} without one Location")
    try:
        location = url.join(URL(locations[0]))
        location.origin()
    except ValueError as error:
        raise FetchError(f"status {response.status} with a Location that is no http URL") from error
    return location


async def _read_response(response: aiohttp.ClientResponse) -> Document:
    if response.status != 200:  # noqa: PLR2004 - the one status that says "here it is"
        is_outage = response.status >= _SERVER_ERROR or response.status == _TOO_MANY_REQUESTS
        raise (NoAnswer if is_outage else FetchError)(f"status {response.status}")
    body = bytearray()
    # Piece by piece and decoded: what is small on the wire may be a gigabyte once inflated.
    async for piece in response.content.iter_any():
        body += piece
        _check_size(len(body))
    fields = FreshnessFields(
        cache_control=", ".join(response.headers.getall("Cache-Control", [])),
        expires=response.headers.get("Expires", ""),
        age=response.headers.get("Age", ""),
        date=response.headers.get("Date", ""),
    )
    return Document(bytes(body), fields, parse_date(fields.date))


def _check_size(size: int) -> None:
    if size > MAX_DOCUMENT_BYTES:
        raise FetchError(f"more than {MAX_DOCUMENT_BYTES // 1024} KiB")


def _build_error(error: Exception) -> FetchError:
    return (NoAnswer if isinstance(error, _OUTAGES) else FetchError)(_describe(error))


def _describe(error: Exception) -> str:
    """Return what went wrong in few words: aiohttp's own texts may quote whole fields and addresses."""
    reason = next((text for kind, text in _REASONS if isinstance(error, kind)), f"failed: {type(error).__name__}")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"{reason}: {getattr(error.certificate_error, 'verify_message', 'invalid')}"
    if isinstance(error, aiohttp.ClientConnectorDNSError) and error.os_error.strerror:
        return f"{reason}: {error.os_error.strerror}"
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        # The text of an error with a number is asyncio's, which has the address and not the cause.
        return f"{reason}: {os.strerror(cause.errno) if cause.errno else cause.strerror}"
    return reason
