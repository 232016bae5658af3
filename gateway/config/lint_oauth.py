"""Warnings on what clients are told and what is only observed: a document must agree with the verifier behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.config.compile import compile_provider, name_providers
from gateway.config.problems import Finding, Path, Severity
from gateway.config.sound import Sound
from gateway.core.audience import match_audiences
from gateway.core.routes import parse_path_pattern
from gateway.core.tokens import Provider


def lint_oauth(sound: Sound) -> Iterator[Finding]:
    """Return what is questionable in the resources and the modes of a file."""
    if sound.is_observed:
        yield _warn_of_observing(("mode",), "mode")
    for index, entry in sound.routes.items():
        if entry.mode == "observe":
            yield _warn_of_observing(("routes", index, "mode"), f"routes[{index}].mode")
        if entry.mcp is not None and not parse_path_pattern(entry.path).has_rest:
            yield Finding(
                ("routes", index, "path"),
                f"routes[{index}].path: many MCP servers answer {entry.path}/ as well, which is not of this route: "
                f"write {entry.path.rstrip('/')}/**",
                Severity.WARNING,
            )
    if sound.has_all_providers and not any(path[0] == "providers" for path in sound.partial):
        yield from _check_resources(sound)


def _warn_of_observing(path: Path, where: str) -> Finding:
    return Finding(
        path, f"{where}: refuses nothing: write enforce once the log shows what you expect", Severity.WARNING
    )


def _check_resources(sound: Sound) -> Iterator[Finding]:
    entries = tuple(sound.providers.values())
    providers = tuple(map(compile_provider, entries, name_providers(entries)))
    if sound.resource is not None:
        yield from _check_resource(("resource",), "resource", sound.resource, providers)
    for index, entry in sound.routes.items():
        if entry.resource is not None:
            taken = [each for each in providers if entry.providers is None or each.name in entry.providers]
            yield from _check_resource(
                ("routes", index, "resource"), f"routes[{index}].resource", entry.resource, taken
            )


def _check_resource(path: Path, where: str, identifier: str, providers: Iterable[Provider]) -> Iterator[Finding]:
    """Who asks for a token for this resource gets its name as the audience (RFC 8707, section 2)."""
    if not any(each.allow_any_audience or match_audiences(each.audiences, [identifier]) for each in providers):
        yield Finding(
            path,
            f"{where}: no provider accepts it as an audience, so a token that is asked for with it is refused: "
            "add it to applicationID, if your issuer makes it the audience",
            Severity.WARNING,
        )
