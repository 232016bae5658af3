"""
Keys that are wrong together, or missing together, whatever their values: looked for in the plain data.

So they are found in one run with the mistakes inside of the values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.config.problems import Finding, Path, format_path
from gateway.config.scalars import parse_flag

_MISSPELT = frozenset({"applicationid", "applicationids", "aud", "audiences"})


def find_shape_mistakes(data: dict[str, Any]) -> Iterator[Finding]:
    """Return the mistakes of the file that its keys alone show."""
    for index, provider in _select_mappings(data.get("providers")):
        yield from _check_audience_keys(provider, ("providers", index))
        yield from _check_profile(provider, ("providers", index))
    for index, route in _select_mappings(data.get("routes")):
        yield from _check_public(route, ("routes", index))
    if data.get("providers") == []:
        yield Finding(("providers",), "providers: empty: write at least one, or no token is ever accepted")
    if data.get("organizations") == {}:
        yield Finding(("organizations",), "organizations: empty: write allow, deny or check, or remove the key")
    for name in ("upstream", "tls"):
        section = data.get(name)
        if isinstance(section, dict):
            yield from _check_upstream_tls(section, name)


def _select_mappings(value: object) -> Iterator[tuple[int, dict[str, Any]]]:
    for index, entry in enumerate(value if isinstance(value, list) else ()):
        if isinstance(entry, dict):
            yield index, entry


def _check_audience_keys(provider: dict[str, Any], path: Path) -> Iterator[Finding]:
    """Absence never permits: Convex takes a missing, or mistyped, applicationID for "any audience"."""
    where = format_path(path)
    if "applicationID" in provider and "audience" in provider:
        yield Finding(
            (*path, "audience"), f"{where}.audience: another name of applicationID: keep one of the two", is_key=True
        )
    has_audience = "applicationID" in provider or "audience" in provider
    takes_any = reads_as_true(provider.get("allow_any_audience", False))
    if has_audience and takes_any:
        message = f"{where}.allow_any_audience: contradicts applicationID: keep one of the two"
        yield Finding((*path, "allow_any_audience"), message, is_key=True)
    # A key that is misspelt is one mistake, not two.
    is_misspelt = any(key.lower().replace("_", "") in _MISSPELT for key in provider)
    if not has_audience and not takes_any and not is_misspelt:
        yield Finding(
            path,
            f"{where}: no applicationID: write the audiences that are yours, "
            "or allow_any_audience: true for tokens that were issued to anyone",
        )


def reads_as_true(value: object) -> bool:
    """Return whether a switch is on; one that cannot be read is not."""
    try:
        return parse_flag(value)
    except ValueError:
        return False


def _check_profile(provider: dict[str, Any], path: Path) -> Iterator[Finding]:
    if provider.get("profile") == "rfc9068" and "typ" in provider:
        message = f"{format_path(path)}.typ: profile rfc9068 takes at+jwt alone: keep one of the two"
        yield Finding((*path, "typ"), message, is_key=True)


def _check_public(route: dict[str, Any], path: Path) -> Iterator[Finding]:
    access = route.get("access", "required")
    if access != "required" and "mcp" in route:
        message = f"{format_path(path)}.mcp: whoever has no token has no scope for a tool: write access: required"
        yield Finding((*path, "mcp"), message, is_key=True)
    if access != "public":
        return
    for key in ("scopes", "any_scope", "require", "providers", "max_age", "acr_values"):
        if key in route:
            message = (
                f"{format_path(path)}.{key}: a public route looks at no token: remove this, or write access: required"
            )
            yield Finding((*path, key), message, is_key=True)


def _check_upstream_tls(section: dict[str, Any], name: str) -> Iterator[Finding]:
    for key, other in (("certificate", "key"), ("key", "certificate")):
        if name == "upstream" and key in section and other not in section:
            yield Finding((name, key), f"{name}.{key}: needs {other}: write both, or none", is_key=True)
    url = section.get("url")
    if name == "upstream" and isinstance(url, str) and not url.startswith("https://"):
        for key in ("ca_file", "server_name", "certificate", "key"):
            if key in section:
                message = f"{name}.{key}: there is no TLS to this upstream: remove it, or write https://"
                yield Finding((name, key), message, is_key=True)
