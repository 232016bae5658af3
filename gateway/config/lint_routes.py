"""Rules on routes: each can be reached, refers to what there is, and stands before what would take its requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import quote

from gateway.config.claims import read_capture
from gateway.config.compile import name_providers
from gateway.config.entries import RouteEntry
from gateway.config.problems import Finding
from gateway.config.sound import Sound
from gateway.core.errors import RequestRefused
from gateway.core.routes import ANY_SEGMENT, PathPattern, parse_path_pattern
from gateway.core.target import split_segments


def lint_routes(sound: Sound) -> Iterator[Finding]:
    """Return the mistakes in the routes of a file."""
    names = frozenset(name_providers(sound.providers.values())) if sound.has_all_providers else None
    for index, entry in sound.routes.items():
        yield from _check_captures(index, entry)
        yield from _check_path(index, entry, keep_encoded_slashes=sound.keeps_encoded_slashes)
        if names is not None:
            yield from _check_providers(index, entry, names)
    whole = {index: entry for index, entry in sound.routes.items() if ("routes", index) not in sound.partial}
    yield from check_order(whole)


def _check_captures(index: int, entry: RouteEntry) -> Iterator[Finding]:
    captured = {name for _, name in parse_path_pattern(entry.path).captures}
    for claim, value in entry.require.items():
        capture = read_capture(value)
        if capture is not None and capture not in captured:
            known = f"it captures {', '.join(sorted(captured))}" if captured else "it captures nothing"
            yield Finding(
                ("routes", index, "require", claim),
                f"routes[{index}].require.{claim}: the path does not capture {{{capture}}}: {known}",
            )


def _check_path(index: int, entry: RouteEntry, *, keep_encoded_slashes: bool) -> Iterator[Finding]:
    """A rule for a path that is always refused guards nothing, and whoever wrote it believes that it does."""
    path = "/".join(quote(segment, safe="") for segment in parse_path_pattern(entry.path).segments)
    try:
        split_segments(f"/{path}", keep_encoded_slashes=keep_encoded_slashes)
    except RequestRefused as error:
        message = (
            f"routes[{index}].path: no request can have it: {error.description[:1].lower()}{error.description[1:-1]}"
        )
        yield Finding(("routes", index, "path"), message)


def _check_providers(index: int, entry: RouteEntry, names: frozenset[str]) -> Iterator[Finding]:
    for place, name in enumerate(entry.providers or ()):
        if name not in names:
            yield Finding(
                ("routes", index, "providers", place),
                f"routes[{index}].providers[{place}]: no provider has this name: there are {', '.join(sorted(names))}",
            )


def check_order(routes: Mapping[int, RouteEntry]) -> Iterator[Finding]:
    """The first path that takes a request is final, its methods too: what it leaves is refused, not passed on."""
    patterns = {index: parse_path_pattern(entry.path) for index, entry in routes.items()}
    # Routes of one pattern stand together, at the place of the first.
    groups: dict[tuple[tuple[str, ...], bool], list[int]] = {}
    takers: dict[tuple[tuple[str, ...], bool], int | None] = {}
    lanes: dict[str | None, list[int]] = {}
    for index, pattern in patterns.items():
        key = (pattern.segments, pattern.has_rest)
        group = groups.setdefault(key, [])
        if not group:
            takers[key] = _find_taker(pattern, lanes, patterns)
            lanes.setdefault(_choose_lane(pattern), []).append(index)
        taker = takers[key]
        if taker is None:
            yield from _check_methods(index, routes, group)
        else:
            yield Finding(
                ("routes", index, "path"),
                f"routes[{index}].path: never reached: routes[{taker}] takes all of its paths first, "
                "whatever the method: put this one before it",
            )
        group.append(index)


def _choose_lane(pattern: PathPattern) -> str | None:
    """Return the first segment: only patterns with the same one, or a wildcard there, can take each other's paths."""
    return pattern.segments[0] if pattern.segments else None


def _find_taker(
    pattern: PathPattern, lanes: Mapping[str | None, list[int]], patterns: Mapping[int, PathPattern]
) -> int | None:
    chosen = {_choose_lane(pattern), ANY_SEGMENT, None}
    takers = (index for lane in chosen for index in lanes.get(lane, ()) if _takes(patterns[index], pattern))
    return min(takers, default=None)


def _check_methods(index: int, routes: Mapping[int, RouteEntry], group: list[int]) -> Iterator[Finding]:
    methods = routes[index].methods
    for earlier in group:
        if routes[earlier].methods is None:
            message = f"never reached: routes[{earlier}] takes this path with every method: remove one of the two"
            yield Finding(("routes", index, "path"), f"routes[{index}].path: {message}")
            return
    taken = {method for earlier in group for method in routes[earlier].methods or ()}
    if methods is not None and taken.issuperset(methods):
        message = "never reached: earlier routes take this path with all of its methods: remove one of them"
        yield Finding(("routes", index, "path"), f"routes[{index}].path: {message}")


def _takes(earlier: PathPattern, later: PathPattern) -> bool:
    """Return whether every path of the later pattern is one of the earlier, which is another one."""
    size = len(earlier.segments)
    if len(later.segments) < size or (not earlier.has_rest and (later.has_rest or len(later.segments) > size)):
        return False
    pairs = zip(earlier.segments, later.segments, strict=False)
    # No wildcard takes the empty segment of a trailing slash.
    return all(one == other or (one == ANY_SEGMENT and other != "") for one, other in pairs)
