"""
Routes: which rule a request falls under, and what it demands of the caller.

The first path that matches wins, and its methods are final: a path whose rules name other methods only is 405, never
the next rule's, so that no catch-all can weaken a rule before it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from gateway.core.claims import is_claim_met
from gateway.core.errors import AccessRefused, Reason, RouteRefused
from gateway.core.identity import find_member
from gateway.core.mcp import ToolRule
from gateway.core.organizations import OrganizationRules, check_lists
from gateway.core.resource import Resource
from gateway.core.step_up import StepUp, check_step_up
from gateway.core.tokens import VerifiedToken

_CAPTURE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
ANY_SEGMENT, ANY_REST = "*", "**"
_ORGANIZATION = "organization"

# The name, where requests are counted, of what falls under no rule; those of rules begin with a slash.
DEFAULT_LABEL = "default"


class PathError(ValueError):
    """A path pattern in the file that cannot be used; the text says why."""


class Access(Enum):
    """Whether a route wants a token: never looks at it, takes one if there is one, or demands one."""

    PUBLIC = "public"
    OPTIONAL = "optional"
    REQUIRED = "required"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class PathPattern:
    """
    A path pattern, one element a segment: a literal text, ``*`` or ``{name}``; ``has_rest`` stands for a last ``**``.

    ``**`` is the rest, be it empty: ``/admin/**`` takes ``/admin`` too, so that a rule guards the root of its tree.
    """

    text: str
    segments: tuple[str, ...]
    captures: tuple[tuple[int, str], ...]
    has_rest: bool

    def match(self, segments: tuple[str, ...]) -> Mapping[str, str] | None:
        """Return what the pattern captures from the decoded segments of a path, or None where they do not match."""
        size = len(self.segments)
        if len(segments) < size or (len(segments) > size and not self.has_rest):
            return None
        for wanted, segment in zip(self.segments, segments, strict=False):
            # No wildcard takes the empty segment that a trailing slash leaves.
            if wanted != segment and (wanted != ANY_SEGMENT or not segment):
                return None
        return {name: segments[index] for index, name in self.captures}


def parse_path_pattern(text: str) -> PathPattern:
    """
    Return the pattern that a path of the file stands for.

    Raises:
        PathError: No leading slash, ``**`` before the end, a wildcard that is only part of a segment, or a capture
            twice.
    """
    if not text.startswith("/"):
        raise PathError("a path begins with /")
    parts = text[1:].split("/")
    has_rest = parts[-1] == ANY_REST
    segments, captures = [], []
    for index, part in enumerate(parts[:-1] if has_rest else parts):
        capture = _CAPTURE.fullmatch(part)
        if capture:
            captures.append((index, capture[1]))
        elif part != ANY_SEGMENT and any(mark in part for mark in "*{}?#%"):
            raise PathError(f"{part!r}: a segment is text, *, {{name}} or, at the end, **; captures are lower-case")
        segments.append(ANY_SEGMENT if capture else part)
    if len({name for _, name in captures}) < len(captures):
        raise PathError("one name is captured twice")
    if "" in segments[:-1] or (has_rest and "" in segments) or not {".", ".."}.isdisjoint(segments):
        raise PathError("an empty or a dot segment; such paths are refused before routes are looked at")
    return PathPattern(text, tuple(segments), tuple(captures), has_rest)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that a route demands of an identity: a claim equal to one of ``values``, or to a captured segment."""

    claim: str
    values: tuple[Any, ...] = ()
    capture: str | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """
    One rule of the file.

    ``methods`` None stands for all, ``providers`` None for every provider, ``resource`` None for the gateway's own.
    """

    pattern: PathPattern
    methods: frozenset[str] | None = None
    access: Access = Access.REQUIRED
    scopes: tuple[str, ...] = ()
    any_scope: tuple[str, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    providers: frozenset[str] | None = None
    resource: Resource | None = None
    # What each tool of an MCP server behind the route needs; None for a route that is about paths alone.
    tools: tuple[ToolRule, ...] | None = None
    step_up: StepUp | None = None
    # Whether what it demands is only observed.
    is_observed: bool = False


# What holds where no rule of the file does: nothing but what is asked of everyone.
NO_RULE = Route(parse_path_pattern("/**"))


class Match(NamedTuple):
    """The rule that a request falls under, and its name in counts; ``route`` is None where the default applies."""

    route: Route | None
    access: Access
    captures: Mapping[str, str]
    label: str = DEFAULT_LABEL


class _PathNode:
    """The patterns that have begun alike; ``end`` and ``rest`` are the places of those that are over here."""

    __slots__ = ("any_segment", "end", "literals", "rest")

    def __init__(self) -> None:
        self.literals: dict[str, _PathNode] = {}
        self.any_segment: _PathNode | None = None
        self.end: int | None = None
        self.rest: int | None = None


class _PathTree:
    """Finds the first of many patterns that matches, in a time that depends on the path, not on their number."""

    __slots__ = ("_root",)

    def __init__(self, patterns: Iterable[PathPattern]) -> None:
        self._root = _PathNode()
        for place, pattern in enumerate(patterns):
            node = self._root
            for segment in pattern.segments:
                node = _descend(node, segment)
            if pattern.has_rest:
                node.rest = place
            else:
                node.end = place

    def find(self, segments: tuple[str, ...]) -> int | None:
        """Return the place of the first pattern that matches the decoded segments of a path, or None."""
        nodes, places = [self._root], [self._root.rest]
        for segment in segments:
            nodes = [child for node in nodes for child in _list_children(node, segment)]
            places += [node.rest for node in nodes]
        places += [node.end for node in nodes]
        return min((place for place in places if place is not None), default=None)


def _descend(node: _PathNode, segment: str) -> _PathNode:
    if segment != ANY_SEGMENT:
        return node.literals.setdefault(segment, _PathNode())
    if node.any_segment is None:
        node.any_segment = _PathNode()
    return node.any_segment


def _list_children(node: _PathNode, segment: str) -> list[_PathNode]:
    literal = node.literals.get(segment)
    children = [] if literal is None else [literal]
    # No wildcard takes the empty segment that a trailing slash leaves.
    if node.any_segment is not None and segment:
        children.append(node.any_segment)
    return children


class RouteTable:
    """All rules of a file, in its order. Rules of one path pattern stand together at the place of the first."""

    __slots__ = ("_groups", "_tree", "default")

    def __init__(self, routes: Iterable[Route] = (), default_access: Access = Access.REQUIRED) -> None:
        groups: dict[tuple[tuple[str, ...], bool], list[Route]] = {}
        for route in routes:
            groups.setdefault((route.pattern.segments, route.pattern.has_rest), []).append(route)
        self._groups = tuple(map(tuple, groups.values()))
        self._tree = _PathTree(group[0].pattern for group in self._groups)
        self.default = Match(None, default_access, {})

    def __iter__(self) -> Iterator[Route]:
        """Return all rules."""
        return (route for group in self._groups for route in group)

    def __bool__(self) -> bool:
        """Return whether the path decides anything."""
        return bool(self._groups) or self.default.access is Access.DENY

    def match(self, method: str, segments: tuple[str, ...]) -> Match:
        """
        Return the rule for a method and the decoded segments of a path.

        Raises:
            RouteRefused: ``method_not_allowed``, or ``no_route`` where the default denies.
        """
        place = self._tree.find(segments)
        match = self.default if place is None else _select_by_method(self._groups[place], method, segments)
        if match.access is Access.DENY:
            raise RouteRefused(Reason.NO_ROUTE, "No route matches this path.")
        return match

    def is_same(self, segments: tuple[str, ...], others: tuple[str, ...]) -> bool:
        """Return whether two paths fall under the rules of one pattern, and it captures the same of both."""
        place = self._tree.find(segments)
        if place != self._tree.find(others):
            return False
        pattern = None if place is None else self._groups[place][0].pattern
        return pattern is None or pattern.match(segments) == pattern.match(others)


def _select_by_method(group: tuple[Route, ...], method: str, segments: tuple[str, ...]) -> Match:
    for route in group:
        if route.methods is None or method in route.methods:
            # Each rule has its own capture names, so the captures are its own too.
            return Match(route, route.access, route.pattern.match(segments) or {}, route.pattern.text)
    allowed = tuple(sorted({name for route in group for name in route.methods or ()}))
    raise RouteRefused(
        Reason.METHOD_NOT_ALLOWED,
        "This route does not allow the method.",
        received=method,
        expected=allowed,
        allowed_methods=allowed,
    )


def authorize(
    verified: VerifiedToken,
    route: Route,
    captures: Mapping[str, str],
    now: float,
    organizations: OrganizationRules | None = None,
    tool_scopes: tuple[str, ...] = (),
) -> None:
    """
    Check that the caller may use a route (RFC 6750, section 3.1: 403 and the scopes that are needed).

    ``now`` is in seconds since the epoch; ``tool_scopes`` are those that the called tool needs beyond the route's.

    Raises:
        AccessRefused: ``provider_not_allowed``, ``stale_authentication``, ``weak_authentication``,
            ``insufficient_scope``, ``organization_mismatch``, ``organization_denied`` or ``requirement_not_met``.
    """
    if route.providers is not None and verified.provider.name not in route.providers:
        raise AccessRefused(
            Reason.PROVIDER_NOT_ALLOWED,
            "Tokens of this provider are not accepted here.",
            received=verified.provider.name,
            expected=tuple(sorted(route.providers)),
        )
    if route.step_up is not None:
        leeway_seconds = verified.provider.leeway_seconds
        check_step_up(verified.token.claims, route.step_up, leeway_seconds=leeway_seconds, now=now)
    _check_scopes(route, verified.scopes, tool_scopes)
    # Whose resource this is comes first: who has no business here learns nothing more.
    for requirement in route.requirements:
        if requirement.claim == _ORGANIZATION:
            _check_requirement(requirement, verified, captures)
    if organizations is not None:
        check_lists(verified.organization, organizations)
    for requirement in route.requirements:
        if requirement.claim != _ORGANIZATION:
            _check_requirement(requirement, verified, captures)


def _check_scopes(route: Route, scopes: tuple[str, ...], tool_scopes: tuple[str, ...]) -> None:
    all_needed = (*route.scopes, *tool_scopes) if tool_scopes else route.scopes
    held = frozenset(scopes)
    has_all = held.issuperset(all_needed)
    has_any = not route.any_scope or not held.isdisjoint(route.any_scope)
    if has_all and has_any:
        return
    # Of alternatives the first is asked for: a challenge names scopes that all together suffice.
    needed = all_needed if has_any else (*all_needed, route.any_scope[0])
    raise AccessRefused(
        Reason.INSUFFICIENT_SCOPE,
        "The token lacks the scope needed here.",
        received=scopes,
        expected=(*all_needed, *route.any_scope),
        scopes=needed,
    )


def _check_requirement(requirement: Requirement, verified: VerifiedToken, captures: Mapping[str, str]) -> None:
    value = find_member(verified, requirement.claim)
    wanted = requirement.values if requirement.capture is None else (captures[requirement.capture],)
    if value is not None and is_claim_met(value, wanted):
        return
    is_organization = requirement.claim == _ORGANIZATION
    raise AccessRefused(
        Reason.ORGANIZATION_MISMATCH if is_organization else Reason.REQUIREMENT_NOT_MET,
        "The token is for another organization." if is_organization else "A requirement of the route is not met.",
        received=f"{requirement.claim} {_name(value)}",
        expected=f"{requirement.claim} {' or '.join(map(_name, wanted))}",
    )


def _name(value: object) -> str:
    return "(none)" if value is None else json.dumps(value)
