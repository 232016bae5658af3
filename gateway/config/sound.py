"""The parts of a file that are valid, even where others are not: so one mistake hides no other."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from gateway.config.entries import AnyEntry, AnyProvider, RouteEntry
from gateway.config.models import GatewayFile, Listen, Resource, Upstream
from gateway.config.organizations import OrganizationsSection
from gateway.config.places import Origins
from gateway.config.problems import Path
from gateway.config.sections import IdentitySection, UpstreamSection

_T = TypeVar("_T")
_PROVIDER: TypeAdapter[AnyEntry] = TypeAdapter(AnyProvider)
_ROUTE = TypeAdapter(RouteEntry)
_IDENTITY = TypeAdapter(IdentitySection)
_ORGANIZATIONS = TypeAdapter(OrganizationsSection)
_UPSTREAM: TypeAdapter[UpstreamSection] = TypeAdapter(Upstream)
_LISTEN: TypeAdapter[str] = TypeAdapter(Listen)
_ORIGINS: TypeAdapter[tuple[str, ...]] = TypeAdapter(Origins)
_RESOURCE: TypeAdapter[str] = TypeAdapter(Resource)
_LISTEN_DEFAULTS = {key: GatewayFile.model_fields[key].default for key in ("listen", "admin")}
# Paths of an entry, such as ("routes", 0), are so long.
_ENTRY_DEPTH = 2


@dataclass(frozen=True, slots=True)
class Sound:
    """
    What there is to look for mistakes in: entries by their index in the file, and None for sections that are broken.

    Entries at ``partial`` paths are there without their broken keys, and entries that cannot do without are missing;
    ``has_all_providers`` says that none of those is a provider.
    """

    providers: Mapping[int, AnyEntry]
    routes: Mapping[int, RouteEntry]
    organizations: OrganizationsSection | None
    identity: IdentitySection | None
    upstream: UpstreamSection | None
    listen: str | None
    admin: str | None
    keeps_encoded_slashes: bool
    has_all_providers: bool
    allowed_origins: tuple[str, ...] | None
    resource: str | None = None
    is_observed: bool = False
    partial: frozenset[Path] = frozenset()

    @classmethod
    def of(cls, file: GatewayFile) -> Sound:
        """Return all of a valid file."""
        return cls(
            dict(enumerate(file.providers)),
            dict(enumerate(file.routes)),
            file.organizations,
            file.identity,
            file.upstream,
            file.listen,
            file.admin,
            file.encoded_slashes == "keep",
            has_all_providers=True,
            allowed_origins=file.allowed_origins or (),
            resource=file.resource,
            is_observed=file.mode == "observe",
        )


def select_sound(data: Mapping[str, Any], broken: Collection[Path]) -> Sound:
    """Return the parts of a file that no mistake lies in."""
    providers = _select_entries(data, "providers", broken, _PROVIDER)
    partial = frozenset(path[:2] for path in broken if len(path) > 1)
    listen, admin = (_select(data, key, broken, _LISTEN, default) for key, default in _LISTEN_DEFAULTS.items())
    return Sound(
        providers,
        _select_entries(data, "routes", broken, _ROUTE),
        _select(data, "organizations", broken, _ORGANIZATIONS, None),
        _select(data, "identity", broken, _IDENTITY, {}),
        _select(data, "upstream", broken, _UPSTREAM, None),
        listen,
        admin,
        data.get("encoded_slashes") == "keep",
        has_all_providers=len(providers) == _count(data) and not any(path[0] == "providers" for path in partial),
        allowed_origins=_select(data, "allowed_origins", broken, _ORIGINS, ()),
        resource=_select(data, "resource", broken, _RESOURCE, None),
        is_observed=data.get("mode") == "observe",
        partial=partial,
    )


def _count(data: Mapping[str, Any]) -> int:
    entries = data.get("providers")
    return len(entries) if isinstance(entries, list) else -1


def _select(
    data: Mapping[str, Any], key: str, broken: Collection[Path], adapter: TypeAdapter[_T], default: object
) -> _T | None:
    value = data.get(key, default)
    return None if value is None or any(path[:1] == (key,) for path in broken) else adapter.validate_python(value)


def _select_entries(
    data: Mapping[str, Any], key: str, broken: Collection[Path], adapter: TypeAdapter[_T]
) -> dict[int, _T]:
    entries = data.get(key)
    sound: dict[int, _T] = {}
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if not isinstance(entry, dict):
            continue
        lost = {path[2] for path in broken if path[:2] == (key, index) and len(path) > _ENTRY_DEPTH}
        try:
            sound[index] = adapter.validate_python({name: value for name, value in entry.items() if name not in lost})
        except ValidationError:
            # What makes it unusable is known already.
            continue
    return sound
