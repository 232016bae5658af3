"""
Protected resources: who we are to OAuth clients, and the metadata that says where to get a token for us.

RFC 9728. An identifier is compared by code points and never normalised (section 6); it comes from the file, never from
a request.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

_WELL_KNOWN = "/.well-known/oauth-protected-resource"


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource by its identifier, and where its metadata stands (RFC 9728, section 3.1)."""

    identifier: str
    metadata_url: str

    @property
    def metadata_target(self) -> str:
        """The request-target of the metadata."""
        parts = urlsplit(self.metadata_url)
        return urlunsplit(("", "", parts.path, parts.query, ""))


def build_resource(identifier: str) -> Resource:
    """Return the resource with that identifier, an absolute URL without a fragment."""
    parts = urlsplit(identifier)
    # A slash that ends the host is no path; any other is the identifier's own.
    path = "" if parts.path == "/" else parts.path
    return Resource(identifier, urlunsplit((parts.scheme, parts.netloc, _WELL_KNOWN + path, parts.query, "")))


def build_metadata(
    resource: Resource, issuers: Iterable[str], scopes: Iterable[str], methods: Iterable[str] = ("header",)
) -> bytes:
    """
    Return the metadata of a resource: the issuers that sign tokens for it, and the scopes that its routes ask for.

    ``methods`` are the ways of RFC 6750 in which a token may be sent.

    RFC 9728, section 2: members without a value are left out (section 3.2). We sign no responses, so no algorithms for
    that are named.
    """
    # Of an issuer that is no URL there is no metadata to look for.
    servers = [issuer for issuer in dict.fromkeys(issuers) if issuer.startswith(("https://", "http://"))]
    members: Mapping[str, object] = {
        "resource": resource.identifier,
        "authorization_servers": servers,
        "scopes_supported": sorted(set(scopes)),
        "bearer_methods_supported": list(methods),
    }
    return json.dumps({name: value for name, value in members.items() if value}, indent=2).encode("ascii") + b"\n"
