"""Over random tables: neither a method nor a later rule gets a request around the rule that its path falls under."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import Reason, RouteRefused
from tests.policies import make_route, make_routes

METHODS = ("GET", "HEAD", "POST")
patterns = st.builds(
    lambda parts, end: "/" + "/".join(parts) + end if parts else end or "/",
    st.lists(st.sampled_from(["a", "b", "*", "{x}"]), max_size=3),
    st.sampled_from(["", "/**"]),
).filter(lambda text: text.count("{x}") < 2)
routes = st.builds(
    lambda path, methods, access: make_route(path, access, methods=methods),
    patterns,
    st.none() | st.lists(st.sampled_from(METHODS), min_size=1, max_size=2, unique=True),
    st.sampled_from(["public", "optional", "required"]),
)
tables = st.lists(routes, max_size=6)
paths = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map(tuple)
methods = st.sampled_from(METHODS)


def find(table, method, path, default="required"):
    """Return the rule, ``None`` for the default, or the reason of a refusal."""
    try:
        return make_routes(*table, default=default).match(method, path).route
    except RouteRefused as error:
        return error.reason


def read_shape(route):
    return route.pattern.segments, route.pattern.has_rest


@given(tables, methods, paths)
def test_the_rule_is_of_the_first_pattern_or_there_is_none(table, method, path):
    """A literal reading of the file: the first path that fits is final, and of its rules the first with the method."""
    first = next((route for route in table if route.pattern.match(path) is not None), None)
    if first is None:
        assert find(table, method, path) is None
        assert find(table, method, path, default="deny") is Reason.NO_ROUTE
        return
    same = [route for route in table if read_shape(route) == read_shape(first)]
    expected = next((route for route in same if route.methods is None or method in route.methods), None)
    assert find(table, method, path) is (expected or Reason.METHOD_NOT_ALLOWED)


@given(tables, routes, methods, paths)
def test_a_rule_at_the_end_weakens_none_before_it(table, added, method, path):
    """It decides where nothing did, or completes the methods of its own path, and changes nothing else."""
    before, after = find(table, method, path), find([*table, added], method, path)
    if before is None:
        assert after in (None, added, Reason.METHOD_NOT_ALLOWED)
    elif before is Reason.METHOD_NOT_ALLOWED and after is not before:
        taken = next(route for route in table if route.pattern.match(path) is not None)
        assert after is added
        assert read_shape(added) == read_shape(taken)
    else:
        assert after is before


@given(tables, methods, methods, paths)
def test_no_method_changes_the_path_that_a_request_falls_under(table, method, other, path):
    """Whatever a method may do, it is a rule of the same path that says so."""
    found = [find(table, each, path) for each in (method, other)]
    ruled = [route for route in found if route not in (None, Reason.METHOD_NOT_ALLOWED)]
    assert len({read_shape(route) for route in ruled}) < 2
    assert (None in found) is (found == [None, None])
