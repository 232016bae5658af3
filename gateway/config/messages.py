"""What pydantic found, in plain sentences: what was expected at which path, and which key was meant."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.entries import CUSTOM_JWT, OIDC, CustomJwtEntry, McpSection, OidcEntry, RouteEntry
from gateway.config.models import GatewayFile
from gateway.config.organizations import OrganizationCheckSection, OrganizationsSection
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
    ("routes", "mcp"): McpSection,
    ("organizations",): OrganizationsSection,
    ("organizations", "check"): OrganizationCheckSection,
    ("identity",): IdentitySection,
    ("limits",): LimitsSection,
    ("timeouts",): TimeoutsSection,
    ("streams",): StreamsSection,
}

_PROVIDERS = (("providers", CUSTOM_JWT), ("providers", OIDC))

# Keys that people bring from elsewhere, what they are called here, and what to know of it.
_MENDED = {
    "applicationId": ("applicationID", "capital I, capital D"),
    "applicationid": ("applicationID", "capital I, capital D"),
    "application_id": ("applicationID", "capital I, capital D"),
    "aud": ("applicationID", "or audience"),
    "audiences": ("applicationID", "or audience; it takes a list"),
    "algorithms": ("algorithm", "it takes a list"),
    "issuers": ("issuer", "it takes a list"),
    "jwks_uri": ("jwks", "with the same URL"),
    "jwksUri": ("jwks", "with the same URL"),
    "jwks_url": ("jwks", "with the same URL"),
    "jwksUrl": ("jwks", "with the same URL"),
    "scope": ("scopes", "all of them; or any_scope, one of them"),
    "method": ("methods", "it takes a list"),
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
    details = error.errors(include_url=False, include_input=False)
    # A key that is misspelt is one mistake, and not a missing one as well.
    meant = {
        (*each["loc"][:-1], find_meant(str(each["loc"][-1]), _list_known(each["loc"])))
        for each in details
        if each["type"] == "extra_forbidden"
    }
    for each in details:
        if each["type"] != "missing" or each["loc"] not in meant:
            yield _build_finding(each)


def _build_finding(details: ErrorDetails) -> Finding:
    path = _strip_tags(details["loc"])
    where = format_path(path)
    if details["type"] == "extra_forbidden":
        return Finding(path, f"{where}: {_describe_unknown(details['loc'])}", is_key=True)
    if details["type"] == "missing":
        return Finding(path[:-1], f"{where}: missing: {_describe_missing(str(path[-1]))}")
    return Finding(path, f"{where}: {_describe(details)}", is_key=details["loc"][-1] == "[key]")


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
    key = str(loc[-1])
    # The kind of a provider stands right before its keys.
    kind = str(loc[-2]) if len(loc) > 1 else ""
    return _MISPLACED[kind, key] if (kind, key) in _MISPLACED else describe_unknown(key, _list_known(loc))


def describe_unknown(key: str, known: Collection[str]) -> str:
    """Return what is to be said of a key that is none of those that are known at its place."""
    meant = find_meant(key, known)
    if meant is None:
        return f"unknown key: known here are {', '.join(sorted(known, key=str.lower))}"
    if key in _MENDED:
        return f"unknown key: written {meant}: {_MENDED[key][1]}"
    return f"unknown key: did you mean {meant}?"


def find_meant(key: str, known: Collection[str]) -> str | None:
    """Return the known key that an unknown one was meant for, if that can be told."""
    if key in _MENDED and _MENDED[key][0] in known:
        return _MENDED[key][0]
    folded = {name.lower(): name for name in known}
    close = get_close_matches(key.lower().replace("-", "_"), folded, 1)
    return folded[close[0]] if close else None


def _list_known(loc: Path) -> list[str]:
    """Return the keys that are known where one is not; a provider may also be written as a preset."""
    steps = tuple(step for step in loc[:-1] if isinstance(step, str))
    return [*list_keys(_MODELS[steps]), *(["preset"] if steps in _PROVIDERS else [])]


def list_keys(model: type[BaseModel]) -> Iterator[str]:
    """Return the names that the file may use for the members of a model."""
    for name, info in model.model_fields.items():
        choices = getattr(info.validation_alias, "choices", None)
        yield from map(str, choices) if choices else (name,)
