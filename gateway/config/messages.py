"""What pydantic found, in plain sentences: what was expected at which path, and which key was meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.entries import CUSTOM_JWT, OIDC, CustomJwtEntry, OidcEntry, RouteEntry
from gateway.config.models import GatewayFile
from gateway.config.problems import Finding, Path, format_path
from gateway.config.sections import (
    IdentitySection,
    JwksOptionsSection,
    LimitsSection,
    StreamsSection,
    TimeoutsSection,
    TlsSection,
    UpstreamSection,
)

# The model of each mapping of the file, by its path without list indexes.
_MODELS: dict[tuple[str, ...], type[BaseModel]] = {
    (): GatewayFile,
    ("upstream",): UpstreamSection,
    ("tls",): TlsSection,
    ("providers", CUSTOM_JWT): CustomJwtEntry,
    ("providers", OIDC): OidcEntry,
    ("providers", CUSTOM_JWT, "jwks_options"): JwksOptionsSection,
    ("providers", OIDC, "jwks_options"): JwksOptionsSection,
    ("routes",): RouteEntry,
    ("identity",): IdentitySection,
    ("limits",): LimitsSection,
    ("timeouts",): TimeoutsSection,
    ("streams",): StreamsSection,
}

# Keys that people bring from elsewhere, and what they are called here.
_MENDED = {
    "applicationId": "written applicationID: capital I, capital D",
    "applicationid": "written applicationID: capital I, capital D",
    "application_id": "written applicationID",
    "aud": "written applicationID, or audience",
    "audiences": "written applicationID, or audience; it takes a list",
    "algorithms": "written algorithm; it takes a list",
    "issuers": "written issuer; it takes a list",
    "jwks_uri": "written jwks",
    "jwksUri": "written jwks",
    "jwks_url": "written jwks",
    "jwksUrl": "written jwks",
    "scope": "written scopes: all of them, or any_scope: one of them",
    "method": "written methods; it takes a list",
}

# What Convex's own check explains: each kind has its own way to the issuer.
_MISPLACED = {
    (CUSTOM_JWT, "domain"): "a customJwt provider has no domain: write issuer and jwks, or type: oidc",
    (OIDC, "issuer"): "an oidc provider has no issuer: write domain, or type: customJwt with issuer and jwks",
    (OIDC, "jwks"): "an oidc provider finds its keys itself: remove jwks, or write type: customJwt with issuer",
}

_EXPECTED = {
    "model_type": "expected a mapping of keys",
    "model_attributes_type": "expected a mapping of keys",
    "dict_type": "expected a mapping of keys",
    "tuple_type": "expected a list",
    "list_type": "expected a list",
}


def translate(error: ValidationError) -> Iterator[Finding]:
    """Return what pydantic found, each at its path in the file."""
    for details in error.errors(include_url=False, include_input=False):
        path = _strip_tags(details["loc"])
        if details["loc"][-1:] == ("[key]",):
            yield Finding(path, f"{format_path(path)}: {_describe(details)}", is_key=True)
        elif details["type"] == "extra_forbidden":
            yield Finding(path, f"{format_path(path)}: {_describe_unknown(details['loc'])}", is_key=True)
        elif details["type"] == "missing":
            yield Finding(path[:-1], f"{format_path(path)}: missing: {_describe_missing(str(path[-1]))}")
        else:
            yield Finding(path, f"{format_path(path)}: {_describe(details)}")


def _strip_tags(loc: Iterable[str | int]) -> Path:
    return tuple(step for step in loc if step not in (CUSTOM_JWT, OIDC, "[key]"))


def _describe(details: ErrorDetails) -> str:
    context: dict[str, Any] = details.get("ctx", {})
    if details["type"] == "value_error":
        return str(context["error"])
    if details["type"] == "literal_error":
        return _describe_choice(str(details["loc"][-1]), str(context["expected"]).replace("'", ""))
    return _EXPECTED.get(details["type"], details["msg"])


def _describe_choice(key: str, expected: str) -> str:
    if key == "type":
        return "expected customJwt or oidc"
    if key == "version":
        return "expected 1: there is no other version of this format"
    return f"expected {expected}"


def _describe_missing(key: str) -> str:
    if key == "version":
        return "begin the file with 'version: 1'"
    if key == "type":
        return "write 'type: customJwt' with issuer and jwks, or a domain"
    return f"write '{key}: ...'"


def _describe_unknown(loc: Path) -> str:
    names = tuple(step for step in loc[:-1] if isinstance(step, str))
    key = str(loc[-1])
    kind = names[-1] if names else ""
    if (kind, key) in _MISPLACED:
        return _MISPLACED[kind, key]
    known = list(list_keys(_MODELS[names]))
    if key in _MENDED and any(name in _MENDED[key] for name in known):
        return f"unknown key: {_MENDED[key]}"
    folded = {name.lower(): name for name in known}
    close = get_close_matches(key.lower().replace("-", "_"), folded, 1)
    if close:
        return f"unknown key: did you mean {folded[close[0]]}?"
    return f"unknown key: known here are {', '.join(sorted(known, key=str.lower))}"


def list_keys(model: type[BaseModel]) -> Iterator[str]:
    """Return the names that the file may use for the members of a model."""
    for name, info in model.model_fields.items():
        choices = getattr(info.validation_alias, "choices", None)
        yield from map(str, choices) if choices else (name,)
