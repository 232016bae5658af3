"""Rules on routes: each can be reached, and refers to what there is."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.compile import compile_route
from gateway.config.entries import RouteEntry
from gateway.config.lint_routes import check_order
from gateway.core.errors import RouteRefused
from gateway.core.routes import RouteTable
from tests.unit.config.conftest import Complain, Load


@pytest.mark.parametrize(
    ("routes", "problem"),
    [
        (
            ["/a", "/a"],
            (
                "10:11: error: routes[1].path: never reached: routes[0] takes this path with every method: "
                "remove one of the two"
            ),
        ),
        (
            ["/{a}", "/*"],
            (
                "10:11: error: routes[1].path: never reached: routes[0] takes this path with every method: "
                "remove one of the two"
            ),
        ),
        (
            ["/a/**", "/a/b"],
            (
                "10:11: error: routes[1].path: never reached: routes[0] takes all of its paths first, "
                "whatever the method: put this one before it"
            ),
        ),
        (["/a/**", "/a"], "10:11: error: routes[1].path: never reached: routes[0] takes all"),
        (["/a/**", "/a/b/**"], "10:11: error: routes[1].path: never reached: routes[0] takes all"),
        (["/**", "/"], "10:11: error: routes[1].path: never reached: routes[0] takes all"),
        (["/*/b", "/a/b"], "10:11: error: routes[1].path: never reached: routes[0] takes all"),
        (
            ["/a/**\n    methods: [GET]", "/a/b\n    methods: [POST]"],
            "11:11: error: routes[1].path: never reached: routes[0] takes all",
        ),
        (
            ["/a\n    methods: [GET, HEAD]", "/a\n    methods: [GET]"],
            (
                "11:11: error: routes[1].path: never reached: earlier routes take this path with all of its methods: "
                "remove one of them"
            ),
        ),
    ],
)
def test_routes_that_are_never_reached(complain: Complain, routes: list[str], problem: str) -> None:
    """The first path that takes a request is final, so a rule behind it guards nothing."""
    [found] = complain(tail="routes:\n" + "".join(f"  - path: {route}\n" for route in routes))
    assert found.startswith(problem)


@pytest.mark.parametrize(
    "routes",
    [
        ["/a/b", "/a/**", "/**"],
        ["/*", "/a/b"],
        ["/*/b", "/a/*"],
        ["/*", "/"],
        ["/a/*", "/a/**"],
        ["/a/b/**", "/a/**"],
        ["/a\n    methods: [GET]", "/a\n    methods: [POST]", "/a"],
    ],
)
def test_routes_that_are_reached(load: Load, routes: list[str]) -> None:
    """From the narrow to the wide, and one path with several methods."""
    assert load(tail="routes:\n" + "".join(f"  - path: {route}\n" for route in routes)).warnings == ()


@pytest.mark.parametrize(
    ("route", "problem"),
    [
        (
            "{path: '/a/{id}', require: {sub: '{name}'}}",
            "9:40: error: routes[0].require.sub: the path does not capture {name}: it captures id",
        ),
        (
            "{path: /a, require: {sub: '{id}'}}",
            "9:33: error: routes[0].require.sub: the path does not capture {id}: it captures nothing",
        ),
        (
            "{path: /a, providers: [logto]}",
            "9:30: error: routes[0].providers[0]: no provider has this name: there are issuer.example",
        ),
        (
            "{path: '/a\\b'}",
            "9:14: error: routes[0].path: no request can have it: the path has an encoded slash or backslash",
        ),
        ("{path: '/..;x'}", "9:14: error: routes[0].path: no request can have it: the path has a dot segment"),
    ],
)
def test_routes_refer_to_what_there_is(complain: Complain, route: str, problem: str) -> None:
    """Captures of the path, names of providers, and paths that are not refused before any rule."""
    assert complain(tail=f"routes:\n    - {route}\n") == [problem]


@pytest.mark.parametrize(
    "key",
    [
        *("scopes: [a]", "any_scope: [a]", "require: {a: b}", "providers: [issuer.example]"),
        *("max_age: 5m", "acr_values: [a]"),
    ],
)
def test_a_public_route_demands_nothing(complain: Complain, key: str) -> None:
    """Nobody looks at a token there, so a demand on it would not be heard."""
    [problem] = complain(tail=f"routes:\n  - path: /a\n    access: public\n    {key}\n")
    name = key.partition(":")[0]
    assert problem == (
        f"11:5: error: routes[0].{name}: a public route looks at no token: remove this, or write access: required"
    )


def test_a_taken_path_is_taken_with_every_method(complain: Complain) -> None:
    """Each of the routes of one path is told that another path takes it first."""
    problems = complain(tail="routes: [{path: /**}, {path: /a, methods: [GET]}, {path: /a, methods: [POST]}]\n")
    assert [problem[: len("8:00: error: routes[0]")] for problem in problems] == [
        "8:30: error: routes[1]",
        "8:58: error: routes[2]",
    ]


SEGMENTS = st.sampled_from(["a", "b", "*", "{x}"])
PATHS = st.builds(
    lambda segments, rest: "/" + "/".join([*segments, *rest]),
    st.lists(SEGMENTS, max_size=2),
    st.sampled_from([[], ["**"], [""]]),
).filter(lambda path: "//" not in path and path.count("{x}") < 2)
ROUTES = st.lists(
    st.builds(
        lambda path, methods: RouteEntry.model_validate({"path": path} | ({"methods": methods} if methods else {})),
        PATHS,
        st.lists(st.sampled_from(["GET", "POST"]), max_size=2),
    ),
    min_size=2,
    max_size=5,
)
REQUESTS = [
    (method, segments)
    for method in ("GET", "POST", "PUT")
    for size in (1, 2, 3, 4)
    for segments in product(["a", "b", "c", ""], repeat=size)
    if "" not in segments[:-1]
]


@given(ROUTES)
def test_a_route_that_is_called_unreachable_is(routes: list[RouteEntry]) -> None:
    """Held against the table itself: no request of any short path gets to it."""
    flagged = {finding.path[1] for finding in check_order(dict(enumerate(routes)))}
    compiled = [compile_route(entry) for entry in routes]
    table = RouteTable(compiled)
    for method, segments in REQUESTS:
        try:
            route = table.match(method, segments).route
        except RouteRefused:
            continue
        assert not any(compiled[index] is route for index in flagged)
