"""Routes: which rule a request falls under, and what it demands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import AccessRefused, Reason, RouteRefused
from gateway.core.jwt import parse_token
from gateway.core.routes import Access, PathError, RouteTable, authorize, parse_path_pattern
from gateway.core.target import split_segments
from gateway.core.tokens import check_claims
from tests.policies import make_provider, make_route, make_routes
from tests.signing import AUDIENCE, NOW, make_token


def match(pattern, path):
    return parse_path_pattern(pattern).match(split_segments(path))


# --- path patterns


@pytest.mark.parametrize(
    ("pattern", "path", "captures"),
    [
        ("/", "/", {}),
        ("/a", "/a", {}),
        ("/a/", "/a/", {}),
        ("/a/b.c", "/a/b.c", {}),
        ("/é", "/%C3%A9", {}),
        ("/a b", "/a%20b", {}),
        ("/*", "/a", {}),
        ("/*/b", "/x/b", {}),
        ("/{a}", "/x", {"a": "x"}),
        ("/{a}/x/{b_2}", "/1/x/2", {"a": "1", "b_2": "2"}),
        ("/{a}", "/%7Bb%7D", {"a": "{b}"}),
        ("/{a}", "/%2A", {"a": "*"}),
        ("/**", "/", {}),
        ("/**", "/a/b/c/", {}),
        ("/a/**", "/a", {}),
        ("/a/**", "/a/", {}),
        ("/a/**", "/a/b/c", {}),
        ("/{a}/**", "/x/y", {"a": "x"}),
        ("/*/", "/a/", {}),
    ],
)
def test_paths_match_segment_by_segment(pattern, path, captures):
    """Decoded segments: a literal text, any one, or the rest, be it empty."""
    assert match(pattern, path) == captures


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/", "/a"),
        ("/a", "/"),
        ("/a", "/a/"),
        ("/a/", "/a"),
        ("/a", "/A"),
        ("/admin", "/administrator"),
        ("/admin/**", "/administrator"),
        ("/admin/**", "/admin;x"),
        ("/a/b", "/a"),
        ("/a", "/a/b"),
        ("/*", "/"),
        ("/{a}", "/"),
        ("/{a}/", "/a"),
        ("/a/*", "/a/"),
        ("/a/{b}/**", "/a/"),
        ("/a/*", "/a/b/c"),
        ("/*/b", "/x/c"),
        ("/a/b/**", "/a"),
        ("/*", "/a/"),
    ],
)
def test_other_paths_do_not_match(pattern, path):
    """A prefix of a name is another name, case counts, and no wildcard takes an empty segment."""
    assert match(pattern, path) is None


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "a",
        "*",
        "**",
        "/a*",
        "/*a",
        "/***",
        "/**/a",
        "/a/**/",
        "/{a",
        "/a}",
        "/x{a}",
        "/{a}x",
        "/{A}",
        "/{}",
        "/{a-b}",
        "/{1}",
        "/{a}/{a}",
        "/a?b",
        "/a#b",
        "/a%20b",
        "/a//b",
        "//",
        "//a",
        "/a//",
        "/a//**",
        "//**",
        "/a/../b",
        "/./a",
        "/a/..",
    ],
)
def test_patterns_that_could_mislead_are_refused(pattern):
    """A rule that nobody can reach, or that reads as more than it takes, is a mistake in the file."""
    with pytest.raises(PathError):
        parse_path_pattern(pattern)


# --- the table


def find(table, method, path):
    return table.match(method, split_segments(path))


def refuse(table, method, path, reason):
    with pytest.raises(RouteRefused) as refused:
        find(table, method, path)
    assert refused.value.reason is reason
    return refused.value


def test_the_first_match_wins():
    """The order of the file, not the length of the pattern."""
    table = make_routes(make_route("/a/public", "public"), make_route("/a/**"), make_route("/a/b", "optional"))
    assert find(table, "GET", "/a/public").access is Access.PUBLIC
    assert find(table, "GET", "/a/public").label == "/a/public"
    assert find(table, "GET", "/a/b").label == "/a/**"
    assert find(table, "GET", "/a/b").access is Access.REQUIRED
    assert find(table, "GET", "/a/public/x").access is Access.REQUIRED


def test_methods_of_a_path_are_final():
    """405 and never the next rule: a public catch-all must not answer for a path that a rule guards."""
    table = make_routes(make_route("/a", methods=["GET", "HEAD"]), make_route("/**", "public"))
    assert find(table, "GET", "/a").access is Access.REQUIRED
    refused = refuse(table, "POST", "/a", Reason.METHOD_NOT_ALLOWED)
    assert refused.allowed_methods == ("GET", "HEAD")
    assert (refused.received, refused.expected) == ("POST", ("GET", "HEAD"))
    assert refused.received == "POST"
    assert find(table, "POST", "/b").access is Access.PUBLIC


@pytest.mark.parametrize("method", ["get", "Get", "GET ", "", "HEAD", "OPTIONS", "PUT"])
def test_methods_are_compared_exactly(method):
    """RFC 9110, section 9.1: case-sensitive tokens; neither HEAD nor a preflight is taken for GET."""
    refuse(make_routes(make_route("/a", methods=["GET"])), method, "/a", Reason.METHOD_NOT_ALLOWED)


def test_rules_of_one_pattern_share_its_methods():
    """Several rules for one path, one for each method; ``Allow`` lists all of them."""
    table = make_routes(
        make_route("/a/{x}", "public", methods=["GET"]),
        make_route("/a/{y}", methods=["PUT", "POST"]),
        make_route("/a/*", "optional", methods=["GET", "DELETE"]),
    )
    assert find(table, "GET", "/a/1").captures == {"x": "1"}
    assert find(table, "POST", "/a/1").captures == {"y": "1"}
    assert find(table, "DELETE", "/a/1").access is Access.OPTIONAL
    assert refuse(table, "PATCH", "/a/1", Reason.METHOD_NOT_ALLOWED).allowed_methods == ("DELETE", "GET", "POST", "PUT")


def test_a_rule_without_methods_takes_the_rest():
    """Of the same path, after those with methods."""
    table = make_routes(make_route("/a", "public", methods=["GET"]), make_route("/a"))
    assert find(table, "GET", "/a").access is Access.PUBLIC
    assert find(table, "PUT", "/a").access is Access.REQUIRED


def test_rules_of_a_tree_and_of_its_root_are_apart():
    """``/a`` and ``/a/**`` are two patterns: the methods of one say nothing of the other."""
    table = make_routes(make_route("/a", "public", methods=["GET"]), make_route("/a/**"))
    refuse(table, "PUT", "/a", Reason.METHOD_NOT_ALLOWED)
    assert find(table, "PUT", "/a/").access is Access.REQUIRED


@pytest.mark.parametrize("default", ["required", "optional", "public"])
def test_no_rule_is_the_default(default):
    """A path that no rule takes needs a valid token, unless the file says otherwise."""
    found = find(make_routes(make_route("/a", "public"), default=default), "GET", "/b")
    assert (found.route, found.access, found.captures, found.label) == (None, Access(default), {}, "default")
    assert RouteTable().match("GET", ("b",)).access is Access.REQUIRED


def test_no_rule_may_be_no_route():
    """``default_access: deny``."""
    refuse(make_routes(make_route("/a", "public"), default="deny"), "GET", "/b", Reason.NO_ROUTE)


def test_a_rule_that_denies_lets_nobody_through():
    """It takes the path from the rules after it, and nobody gets there, with a token or without."""
    table = make_routes(make_route("/a/secret", "deny"), make_route("/a/**", "public"))
    refuse(table, "GET", "/a/secret", Reason.NO_ROUTE)
    assert find(table, "GET", "/a/x").access is Access.PUBLIC


@pytest.mark.parametrize(
    ("table", "decides"),
    [
        (make_routes(), False),
        (make_routes(default="public"), False),
        (make_routes(default="deny"), True),
        (make_routes(make_route("/**")), True),
    ],
    ids=["empty", "public", "deny", "rule"],
)
def test_a_table_knows_whether_the_path_decides(table, decides):
    """Where it does not, no path is ambiguous."""
    assert bool(table) is decides


# --- authorization


def verify(**claims):
    provider = make_provider(AUDIENCE, "org:{organization}", name="main")
    return check_claims(parse_token(make_token(**claims)), provider, NOW)


def permit(route, path="/", **claims):
    found = find(make_routes(route), "GET", path)
    assert found.route is route
    authorize(verify(**claims), route, found.captures, NOW)


def forbid(reason, route, path="/", **claims):
    with pytest.raises(AccessRefused) as refused:
        permit(route, path, **claims)
    assert refused.value.reason is reason
    return refused.value


def test_a_rule_that_demands_nothing_permits_every_token():
    """A valid token and nothing more."""
    permit(make_route("/"))


def test_a_rule_may_name_its_providers():
    """Tokens of another one are valid, and not accepted here."""
    permit(make_route("/", providers=frozenset({"main", "b"})))
    assert forbid(Reason.PROVIDER_NOT_ALLOWED, make_route("/", providers=frozenset({"b"}))).expected == ("b",)
    forbid(Reason.PROVIDER_NOT_ALLOWED, make_route("/", providers=frozenset()))


@pytest.mark.norm("9068-10")
@pytest.mark.parametrize("scope", ["a b", "b c a", ["a", "b"]])
def test_all_scopes_are_needed(scope):
    """RFC 6750, section 3.1."""
    permit(make_route("/", scopes=["a", "b"]), scope=scope)


@pytest.mark.norm("6750-9")
@pytest.mark.parametrize("scope", ["", "a", "A B", "ab", "a,b", ["a b"], None, 5])
def test_a_missing_scope_is_named(scope):
    """The challenge lists all that are needed; scopes are compared exactly."""
    refused = forbid(Reason.INSUFFICIENT_SCOPE, make_route("/", scopes=["a", "b"]), scope=scope)
    assert refused.scopes == ("a", "b")


def test_one_of_several_scopes_suffices():
    """``any_scope``; the challenge asks for scopes that together suffice."""
    route = make_route("/", any_scope=["a", "b"])
    permit(route, scope="b")
    assert forbid(Reason.INSUFFICIENT_SCOPE, route, scope="c").scopes == ("a",)
    both = make_route("/", scopes=["x"], any_scope=["a", "b"])
    permit(both, scope="x b")
    assert forbid(Reason.INSUFFICIENT_SCOPE, both, scope="x").scopes == ("x", "a")
    assert forbid(Reason.INSUFFICIENT_SCOPE, both, scope="b").scopes == ("x",)


ORGANIZATIONS = make_route("/organizations/{organization}/**", require={"organization": "{organization}"})


@pytest.mark.parametrize(
    "claims", [{"aud": "org:org_1"}, {"org_id": "org_1"}], ids=["captured-from-audience", "claimed"]
)
def test_a_path_may_demand_its_organization(claims):
    """The segment that the path captured is the organization that the token is for."""
    permit(ORGANIZATIONS, "/organizations/org_1/orders", **claims)
    permit(ORGANIZATIONS, "/organizations/%6Frg_1", **claims)


@pytest.mark.parametrize(
    "path", ["/organizations/org_2/orders", "/organizations/ORG_1/orders", "/organizations/org_1%20/orders"]
)
def test_another_organization_is_refused(path):
    """Compared by code point, decoded once."""
    forbid(Reason.ORGANIZATION_MISMATCH, ORGANIZATIONS, path, aud="org:org_1")


@pytest.mark.parametrize("claims", [{}, {"organization": "org_1"}, {"organization": {"id": "org_1"}}])
def test_no_organization_is_not_any(claims):
    """A token's own claim named ``organization`` is not the one that we resolved."""
    forbid(Reason.ORGANIZATION_MISMATCH, ORGANIZATIONS, "/organizations/org_1/orders", **claims)


@pytest.mark.parametrize(
    ("require", "claims"),
    [
        ({"role": "admin"}, {"role": "admin"}),
        ({"role": ["admin", "owner"]}, {"role": ["user", "owner"]}),
        ({"realm.roles": "a"}, {"realm": {"roles": ["a"]}}),
        ({"email_verified": True}, {"email_verified": True}),
        ({"audience": AUDIENCE}, {}),
        ({"scopes": "a"}, {"scope": "a b"}),
        ({"provider": "main"}, {"provider": "evil"}),
        ({"subject": "user-1"}, {"subject": "evil"}),
        ({"sub": "{user}"}, {}),
        ({"role": "a", "tier": 1}, {"role": "a", "tier": 1}),
    ],
)
def test_a_rule_may_demand_claims(require, claims):
    """Equal, or a member of the list; our names mean what we resolved."""
    permit(make_route("/users/{user}", require=require), "/users/user-1", **claims)


@pytest.mark.parametrize(
    ("require", "claims"),
    [
        ({"role": "admin"}, {}),
        ({"role": "admin"}, {"role": None}),
        ({"role": "admin"}, {"role": "Admin"}),
        ({"role": "admin"}, {"role": ["user"]}),
        ({"role": "admin"}, {"role": []}),
        ({"role": []}, {"role": "admin"}),
        ({"email_verified": True}, {"email_verified": "true"}),
        ({"email_verified": True}, {"email_verified": 1}),
        ({"tier": 1}, {"tier": True}),
        ({"provider": "evil"}, {"provider": "evil"}),
        ({"subject": "evil"}, {"subject": "evil"}),
        ({"sub": "{user}"}, {"sub": "user-2"}),
        ({"number": "{user}"}, {"number": 1}),
        ({"role": "a", "tier": 1}, {"role": "a"}),
    ],
)
def test_demands_that_are_not_met_refuse(require, claims):
    """Absence never permits, and no claim passes for one of our names."""
    refused = forbid(
        Reason.REQUIREMENT_NOT_MET, make_route("/users/{user}", require=require), "/users/user-1", **claims
    )
    assert str(refused.expected).split(" ")[0] in require


@pytest.mark.norm("9068-10")
@pytest.mark.parametrize(
    ("claim", "value"),
    [("groups", "staff"), ("roles", "admin"), ("entitlements", "buy"), ("acr", "urn:level:2"), ("amr", "mfa")],
)
def test_a_rule_may_demand_what_authorizes(claim, value):
    """RFC 9068, section 2.2.3: groups, roles and entitlements; and how the user was authenticated (section 2.2.1)."""
    route = make_route("/**", require={claim: value})
    permit(route, **{claim: value})
    permit(route, **{claim: ["other", value]})
    for other in (None, 2, True, "other", f"{value} other", value.upper(), [], [[value]], {value: value}):
        forbid(Reason.REQUIREMENT_NOT_MET, route, **{claim: other})
    forbid(Reason.REQUIREMENT_NOT_MET, route)


def test_providers_come_before_scopes_and_scopes_before_claims():
    """The order of the checks is fixed."""
    route = make_route("/", providers=frozenset({"b"}), scopes=["a"], require={"organization": "x"})
    forbid(Reason.PROVIDER_NOT_ALLOWED, route)
    forbid(Reason.INSUFFICIENT_SCOPE, make_route("/", scopes=["a"], require={"organization": "x"}))


_SEGMENTS = ["a", "b", "*", "{name}", ""]


@given(
    patterns=st.lists(
        st.tuples(st.lists(st.sampled_from(_SEGMENTS[:-1]), max_size=3), st.sampled_from(["", "/**", "/"])), max_size=8
    ),
    path=st.lists(st.sampled_from(["a", "b", "c", "*", ""]), min_size=1, max_size=4),
)
def test_the_first_pattern_in_file_order_wins(patterns, path):
    """However many rules there are, the one that is found is the first that a walk through all of them would find."""
    routes = []
    for parts, end in patterns:
        named = [f"{{n{place}}}" if part == "{name}" else part for place, part in enumerate(parts)]
        text = "/" + "/".join(named) + end if named else end or "/"
        routes.append(make_route(text))
    table, segments = make_routes(*routes), tuple(path)
    expected = next((route for route in routes if route.pattern.match(segments) is not None), None)
    found = table.match("GET", segments).route
    # Rules of one shape stand together, at the place of the first.
    assert (found and (found.pattern.segments, found.pattern.has_rest)) == (
        expected and (expected.pattern.segments, expected.pattern.has_rest)
    )
