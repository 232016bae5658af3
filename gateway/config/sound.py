"""The parts of a file that are valid, even where others are not: so one mistake hides no other."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from gateway.config.entries import AnyProvider, CustomJwtEntry, OidcEntry, RouteEntry
from gateway.config.models import GatewayFile, Listen
from gateway.config.problems import Path
from gateway.config.sections import IdentitySection, UpstreamSection, read_upstream

_PROVIDER: TypeAdapter[CustomJwtEntry | OidcEntry] = TypeAdapter(AnyProvider)
_LISTEN: TypeAdapter[str] = TypeAdapter(Listen)


@dataclass(frozen=True, slots=True)
class Sound:
    """
    What there is to look for mistakes in: entries by their index in the file, and None for sections that are broken.

    ``is_whole`` says that no provider is missing here.
    """

    providers: Mapping[int, CustomJwtEntry | OidcEntry]
    routes: Mapping[int, RouteEntry]
    identity: IdentitySection | None
    upstream: UpstreamSection | None
    listen: str | None
    admin: str | None
    keeps_encoded_slashes: bool
    is_whole: bool

    @classmethod
    def of(cls, file: GatewayFile) -> Sound:
        """Return all of a valid file."""
        return cls(
            dict(enumerate(file.providers)),
            dict(enumerate(file.routes)),
            file.identity,
            file.upstream,
            file.listen,
            file.admin,
            file.encoded_slashes == "keep",
            is_whole=True,
        )


def select_sound(data: Mapping[str, Any], broken: Collection[Path]) -> Sound:
    """Return the parts of a file that no mistake lies in."""
    providers = _select_entries(data, "providers", broken)
    routes = _select_entries(data, "routes", broken)
    upstream = read_upstream(data.get("upstream"))
    return Sound(
        {index: _PROVIDER.validate_python(entry) for index, entry in providers.items()},
        {index: RouteEntry.model_validate(entry) for index, entry in routes.items()},
        IdentitySection.model_validate(data.get("identity", {})) if _is_sound(("identity",), broken) else None,
        UpstreamSection.model_validate(upstream) if "upstream" in data and _is_sound(("upstream",), broken) else None,
        _LISTEN.validate_python(data["listen"]) if "listen" in data and _is_sound(("listen",), broken) else None,
        _LISTEN.validate_python(data["admin"]) if "admin" in data and _is_sound(("admin",), broken) else None,
        data.get("encoded_slashes") == "keep",
        is_whole=isinstance(data.get("providers"), list) and len(providers) == len(data["providers"]),
    )


def _select_entries(data: Mapping[str, Any], key: str, broken: Collection[Path]) -> dict[int, Any]:
    entries = data.get(key)
    if not isinstance(entries, list):
        return {}
    return {index: entry for index, entry in enumerate(entries) if _is_sound((key, index), broken)}


def _is_sound(path: Path, broken: Collection[Path]) -> bool:
    return not any(one[: len(path)] == path for one in broken)
