"""The decision: a request in, an identity or a reason out."""

from __future__ import annotations

import dataclasses
import json
from types import MappingProxyType

import pytest

from gateway.core.decision import REFUSED_METHODS, Allow, RequestHead, decide
from gateway.core.errors import GatewayError, Reason, RouteRefused, Unavailable
from gateway.core.fields import FieldSet
from gateway.core.identity import IdentitySettings
from gateway.core.jwks import build_key_set
from gateway.core.jwt import parse_token
from gateway.core.policy import Forwarding
from gateway.core.routes import Access
from gateway.core.verification import KEYS_RETRY_SECONDS, NOBODY_ASKED, NeedKeys, verify
from tests.policies import make_head, make_policy, make_provider, make_route, make_routes
from tests.signing import (
    ABSENT,
    AUDIENCE,
    ISSUER,
    NOW,
    make_claims,
    make_header,
    make_key,
    make_key_set,
    make_token,
    sign_token,
)

KEYS = {"main": make_key_set(make_key())}


def allow(head, policy=None, keys=None, now=NOW, asked=NOBODY_ASKED):
    outcome = decide(head, policy or make_policy(), KEYS if keys is None else keys, now, asked)
    assert isinstance(outcome, Allow)
    return outcome


ASKED = MappingProxyType({"main": True})


def refuse(reason, head, policy=None, keys=None, now=NOW, asked=ASKED):
    with pytest.raises(GatewayError) as refused:
        decide(head, policy or make_policy(), KEYS if keys is None else keys, now, asked)
    assert refused.value.reason is reason
    return refused.value


def read_identity(outcome):
    return json.loads(dict(outcome.fields)[b"X-Identity"])


# --- the whole way


def test_a_good_token_is_allowed_with_its_identity():
    """The target as received, the identity, and the time at which the token ends."""
    policy = make_policy(make_provider(leeway_seconds=5.0))
    outcome = allow(make_head(make_token(), "/a%2Fb?x=1"), policy)
    assert outcome.target == "/a%2Fb?x=1"
    assert read_identity(outcome)["subject"] == "user-1"
    assert outcome.verified is not None
    assert outcome.verified.provider.name == "main"
    assert outcome.expires_at == NOW + 3605.0


def test_a_logto_organization_token_brings_its_organization():
    """The organization is in the audience only, and arrives by its name."""
    provider = make_provider("urn:logto:organization:{organization}")
    outcome = allow(make_head(make_token(aud="urn:logto:organization:org_1")), make_policy(provider))
    assert b'"organization":"org_1"' in dict(outcome.fields)[b"X-Identity"]


@pytest.mark.parametrize("aud", ["urn:logto:organization:", "urn:logto:organization:a:b", "xurn:logto:organization:a"])
def test_other_audiences_are_refused(aud):
    """One non-empty run, anchored at both ends."""
    provider = make_provider("urn:logto:organization:{organization}")
    refuse(Reason.AUDIENCE_MISMATCH, make_head(make_token(aud=aud)), make_policy(provider))


# --- target and method


@pytest.mark.parametrize("method", sorted(REFUSED_METHODS))
@pytest.mark.parametrize("target", ["/", "api.example:443", "*"])
def test_tunnels_and_echoes_are_refused(method, target):
    """RFC 9110, sections 9.3.6 and 9.3.8: CONNECT goes past every rule, TRACE echoes credentials (9110-15)."""
    refused = refuse(Reason.METHOD_NOT_ALLOWED, make_head(make_token(), target, method))
    assert "GET" in refused.allowed_methods
    assert not REFUSED_METHODS & set(refused.allowed_methods)
    assert (refused.received, refused.expected) == (method, refused.allowed_methods)


def test_two_hosts_are_refused():
    """RFC 9112, section 3.2: upstreams differ on which of two they believe (9112-1)."""
    head = RequestHead("GET", "/", FieldSet(((b"Host", b"a"), (b"HOST", b"a"))))
    refuse(Reason.MALFORMED_REQUEST, head)


def test_no_host_is_left_to_the_reader():
    """HTTP/1.0 may do without; an absolute-form target then has nothing to agree with."""
    policy = make_policy(routes=make_routes(default="public"))
    assert allow(RequestHead("GET", "/", FieldSet(())), policy).target == "/"
    refuse(Reason.AMBIGUOUS_PATH, RequestHead("GET", "http://api.example/", FieldSet(())), policy)


def test_absolute_form_becomes_origin_form():
    """RFC 9112, section 3.2.2; a host of any octets is compared, not decoded."""
    policy = make_policy(routes=make_routes(default="public"))
    assert allow(make_head(target="http://api.example/a"), policy).target == "/a"
    refuse(Reason.AMBIGUOUS_PATH, RequestHead("GET", "http://a/", FieldSet(((b"Host", b"\xff"),))), policy)


@pytest.mark.parametrize("target", ["/a#b", "/a\\b", "/%00", "/é", "http://evil.example/", "*"])
@pytest.mark.parametrize("routes", [make_routes(default="public"), make_routes(make_route("/**", "public"))])
def test_a_target_with_two_readings_is_refused_before_all_else(target, routes):
    """Whatever the route, with or without a token."""
    refuse(Reason.AMBIGUOUS_PATH, make_head(target=target), make_policy(routes=routes))


@pytest.mark.parametrize(
    ("target", "is_refused"),
    [
        ("/admin/users;x=1", False),
        ("/public/a;b/c", False),
        ("/admin?a;b", False),
        ("/admin;x/users", True),
        ("/admin%3Bx/a", True),
        ("/admin/;x/users", True),
        ("/items/1;x", True),
        ("/items/1/a;x", False),
    ],
)
def test_parameters_of_a_path_change_no_rule(target, is_refused):
    """A server that cuts them off would serve what another rule keeps, or something else than was captured."""
    routes = make_routes(*map(make_route, ("/admin/**", "/items/{id}/**")), make_route("/**", "public"))
    head, policy = make_head(make_token(), target=target), make_policy(routes=routes)
    if is_refused:
        refuse(Reason.AMBIGUOUS_PATH, head, policy)
    else:
        assert allow(head, policy).target == target


@pytest.mark.parametrize("target", ["/a/../b", "/a//b", "/%2e%2e/b", "/a%2Fb", "/a%", "/a/..;/b"])
def test_paths_are_ambiguous_only_where_they_decide(target):
    """Without routes the bytes pass as they are; with routes no spelling gets around a rule."""
    token = make_token()
    assert allow(make_head(token, target)).target == target
    refuse(Reason.AMBIGUOUS_PATH, make_head(token, target), make_policy(routes=make_routes(make_route("/x"))))
    refuse(Reason.AMBIGUOUS_PATH, make_head(token, target), make_policy(routes=make_routes(default="deny")))
    below = make_policy(forwarding=Forwarding(host=None, base_path="/base"))
    refuse(Reason.AMBIGUOUS_PATH, make_head(token, target), below)


def test_an_encoded_slash_may_be_data():
    """``encoded_slashes: keep``: matched as one segment, forwarded as received."""
    routes = make_routes(make_route("/repo/{name}", "public"), default="deny")
    outcome = allow(make_head(target="/repo/a%2Fb"), make_policy(routes=routes, keeps_encoded_slashes=True))
    assert outcome.match.captures == {"name": "a/b"}
    assert outcome.target == "/repo/a%2Fb"
    refuse(Reason.AMBIGUOUS_PATH, make_head(target="/repo/a%2Fb"), make_policy(routes=routes))


@pytest.mark.parametrize(("default", "reason"), [("required", Reason.MISSING_TOKEN), ("deny", Reason.NO_ROUTE)])
def test_options_of_the_server_falls_under_the_default(default, reason):
    """RFC 9112, section 3.2.4: ``*`` is no path, so no rule for a path takes it."""
    policy = make_policy(routes=make_routes(make_route("/*", "public"), make_route("/", "public"), default=default))
    refuse(reason, make_head(target="*", method="OPTIONS"), policy)


# --- rules that were found before


def test_a_rule_is_found_once():
    """The same match for the same method and path, whatever the query; another path or method has its own."""
    routes = make_routes(make_route("/items/{id}", methods=["GET"], access="public"), make_route("/items/{id}"))
    policy = make_policy(routes=routes)
    match = allow(make_head(target="/items/1"), policy).match
    assert allow(make_head(target="/items/1?a=b"), policy).match is match
    assert allow(make_head(target="/items/2"), policy).match.captures == {"id": "2"}
    for _ in range(2):
        refuse(Reason.MISSING_TOKEN, make_head(target="/items/1", method="POST"), policy)
        assert allow(make_head(target="/items/1"), policy).match is match
    assert set(policy.matches) == {("GET", "/items/1"), ("GET", "/items/2"), ("POST", "/items/1")}


def test_what_is_found_belongs_to_its_policy():
    """After a reload, each path meets the rules of the new file."""
    for access in ("public", "required", "public"):
        policy = make_policy(routes=make_routes(make_route("/a", access)))
        if access == "public":
            assert allow(make_head(target="/a"), policy).match.access is Access.PUBLIC
        else:
            refuse(Reason.MISSING_TOKEN, make_head(target="/a"), policy)


@pytest.mark.parametrize(
    ("target", "method", "reason"),
    [
        ("/a/../b", "GET", Reason.AMBIGUOUS_PATH),
        ("/a#b", "GET", Reason.AMBIGUOUS_PATH),
        ("/a%00", "GET", Reason.AMBIGUOUS_PATH),
        ("/a;b", "GET", Reason.AMBIGUOUS_PATH),
        ("/a", "POST", Reason.METHOD_NOT_ALLOWED),
        ("/b", "GET", Reason.NO_ROUTE),
    ],
)
def test_a_refusal_is_found_anew_each_time(target, method, reason):
    """Nothing is kept of it, and it says the same again."""
    routes = make_routes(make_route("/a", methods=["GET"], access="public"), default="deny")
    policy = make_policy(routes=routes)
    assert allow(make_head(target="/a"), policy).match.route is not None
    for _ in range(2):
        refused = refuse(reason, make_head(target=target, method=method), policy)
        assert not isinstance(refused.__context__, KeyError)
    assert list(policy.matches) == [("GET", "/a")]


def test_a_preflight_has_the_rule_of_the_method_that_it_asks_for():
    """What is kept is the rule of that method, not that nobody needs a token."""
    policy = make_policy(routes=make_routes(make_route("/a", methods=["POST"])), passes_preflights=True)
    fields = FieldSet(
        ((b"Host", b"api.example"), (b"Origin", b"https://a.example"), (b"Access-Control-Request-Method", b"POST"))
    )
    for _ in range(2):
        assert allow(RequestHead("OPTIONS", "/a", fields), policy).match.access is Access.PUBLIC
        refuse(Reason.MISSING_TOKEN, make_head(target="/a", method="POST"), policy)
        refuse(Reason.METHOD_NOT_ALLOWED, make_head(target="/a", method="OPTIONS"), policy)


def test_the_memory_of_rules_is_bounded():
    """Paths are the callers': the first go, and long ones never come."""
    policy = make_policy(routes=make_routes(make_route("/**", "public")))
    for number in range(1100):
        allow(make_head(target=f"/{number}"), policy)
    assert len(policy.matches) == 1024
    assert ("GET", "/0") not in policy.matches
    allow(make_head(target="/" + "x" * 300), policy)
    assert ("GET", "/1099") in policy.matches
    assert len(policy.matches) == 1024
    assert all(len(path) < 300 for _, path in policy.matches)


# --- routes and credentials


def test_a_path_without_rule_needs_a_token():
    """The default is required; without any route it is all there is."""
    refused = refuse(Reason.MISSING_TOKEN, make_head())
    assert refused.scopes == ()
    assert refused.reason.error is None


def test_where_no_rule_is_a_token_suffices():
    """The default demands a valid token and nothing more, whatever the rules of other paths do."""
    policy = make_policy(routes=make_routes(make_route("/admin", scopes=["admin"])))
    assert allow(make_head(make_token(), "/other"), policy).match.route is None
    refuse(Reason.INSUFFICIENT_SCOPE, make_head(make_token(), "/admin"), policy)


@pytest.mark.norm("6750-9")
def test_what_a_token_will_need_is_said_with_the_challenge():
    """RFC 6750, section 3: the scope attribute, before anything was sent."""
    policy = make_policy(routes=make_routes(make_route("/**", scopes=["a", "b"])))
    assert refuse(Reason.MISSING_TOKEN, make_head(), policy).scopes == ("a", "b")


def test_a_public_route_never_looks_at_credentials():
    """Two fields, rubbish or an expired token: it is anonymous, and says so upstream."""
    policy = make_policy(routes=make_routes(make_route("/**", "public")))
    fields = [(b"Authorization", b"Bearer x"), (b"Authorization", b"\xff")]
    for head in (make_head(), make_head(make_token(exp=NOW - 1)), make_head(fields=fields)):
        outcome = allow(head, policy)
        assert outcome.fields == ((b"X-Identity", b"null"),)
        assert (outcome.verified, outcome.expires_at) == (None, None)


def test_an_optional_route_takes_a_token_if_there_is_one():
    """Anonymous without; with one, the caller is known."""
    policy = make_policy(routes=make_routes(make_route("/**", "optional")))
    assert read_identity(allow(make_head(), policy)) is None
    assert read_identity(allow(make_head(make_token()), policy))["subject"] == "user-1"


@pytest.mark.norm("8725-2")
@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (make_head(make_token(exp=NOW)), Reason.EXPIRED),
        (make_head("opaque"), Reason.NOT_A_JWT),
        (make_head(fields=[(b"Authorization", b"Bearer")]), Reason.MALFORMED_CREDENTIALS),
        (make_head(make_token(), fields=[(b"authorization", b"Bearer x")]), Reason.MULTIPLE_CREDENTIALS),
        (make_head(make_token(scope="x")), Reason.INSUFFICIENT_SCOPE),
    ],
    ids=["expired", "opaque", "malformed", "two", "scope"],
)
def test_a_bad_token_is_never_taken_for_anonymous(head, reason):
    """On an optional route too: whoever shows a token means it."""
    policy = make_policy(routes=make_routes(make_route("/**", "optional", scopes=["a"])))
    refuse(reason, head, policy)


def test_no_route_is_said_before_any_token_is_read():
    """The order is fixed: target, route, credentials."""
    policy = make_policy(routes=make_routes(make_route("/a", methods=["GET"]), default="deny"))
    refuse(Reason.NO_ROUTE, make_head("rubbish"), policy)
    refused = refuse(Reason.METHOD_NOT_ALLOWED, make_head("rubbish", "/a", "PUT"), policy)
    assert isinstance(refused, RouteRefused)
    assert refused.allowed_methods == ("GET",)


def test_a_route_that_denies_lets_nobody_through():
    """Neither the anonymous nor the good token."""
    policy = make_policy(routes=make_routes(make_route("/a", "deny"), default="public"))
    refuse(Reason.NO_ROUTE, make_head(target="/a"), policy)
    refuse(Reason.NO_ROUTE, make_head(make_token(), "/a"), policy)


def test_a_route_may_demand_the_organization_of_its_path():
    """The whole way: path, audience, requirement."""
    provider = make_provider("org:{organization}")
    routes = make_routes(make_route("/organizations/{organization}/**", require={"organization": "{organization}"}))
    policy = make_policy(provider, routes=routes)
    token = make_token(aud="org:org_1")
    assert allow(make_head(token, "/organizations/org_1/x"), policy).match.access is Access.REQUIRED
    refuse(Reason.ORGANIZATION_MISMATCH, make_head(token, "/organizations/org_2/x"), policy)


def test_the_token_has_a_limit_of_the_policy():
    """``max_token_length`` is in the file."""
    token = make_token()
    assert allow(make_head(token), make_policy(max_token_length=len(token)))
    refuse(Reason.TOKEN_TOO_LARGE, make_head(token), make_policy(max_token_length=len(token) - 1))


# --- identity


def test_an_identity_that_cannot_be_carried_refuses_the_token():
    """The claim is in the token, so the token is refused; who asked stands in the context."""
    refused = refuse(Reason.IDENTITY_UNSAFE, make_head(make_token(name="\ud800")))
    assert refused.reason.status == 401


def test_an_identity_that_is_too_large_is_said():
    """It would be cut or refused behind us, with less of a reason."""
    policy = make_policy(identity=IdentitySettings(max_size_bytes=100))
    refuse(Reason.IDENTITY_TOO_LARGE, make_head(make_token()), policy)


def test_authorization_comes_before_the_size_of_the_identity():
    """The order is fixed: claims, authorization, identity."""
    policy = make_policy(
        identity=IdentitySettings(max_size_bytes=100), routes=make_routes(make_route("/**", scopes=["a"]))
    )
    refuse(Reason.INSUFFICIENT_SCOPE, make_head(make_token(name="\ud800")), policy)


def test_the_context_names_the_caller_for_the_log():
    """A caller who is known and refused; of an unknown one, only what the token says."""
    policy = make_policy(routes=make_routes(make_route("/**", scopes=["a"])))
    context = refuse(Reason.INSUFFICIENT_SCOPE, make_head(make_token(org_id="org_1")), policy).context
    assert context == {
        "token_iss": ISSUER,
        "token_aud": AUDIENCE,
        "token_alg": "ES256",
        "token_kid": "key-1",
        "provider": "main",
        "subject": "user-1",
        "organization": "org_1",
        "client_id": "app-1",
    }
    assert "subject" not in refuse(Reason.EXPIRED, make_head(make_token(exp=0))).context
    assert refuse(Reason.UNKNOWN_ISSUER, make_head(make_token(iss="x"))).context["token_iss"] == "x"


# --- attacks on the token


@pytest.mark.norm("8725-1", "7515-1")
def test_an_unsigned_token_is_refused():
    """RFC 8725, section 2.1: ``none`` in any case, with a signature or without."""
    for alg in ("none", "None", "NONE", "nOnE"):
        token = sign_token(make_key(), make_header(make_key(), alg=alg), make_claims())
        refuse(Reason.ALGORITHM_NOT_ACCEPTED, make_head(token))
        refuse(Reason.ALGORITHM_NOT_ACCEPTED, make_head(token.rpartition(".")[0] + "."))


@pytest.mark.norm("7519-1")
def test_an_empty_signature_is_a_bad_one():
    """RFC 7515, section 5.2."""
    refuse(Reason.BAD_SIGNATURE, make_head(make_token().rpartition(".")[0] + "."))


@pytest.mark.norm("8725-7")
@pytest.mark.parametrize("issuer", [ABSENT, "", "https://evil.example", ISSUER.upper(), "\ud800"])
def test_an_unknown_issuer_is_refused_before_any_key(issuer):
    """RFC 8725, section 3.10: nothing is fetched for an issuer that the file does not name."""
    refused = refuse(Reason.UNKNOWN_ISSUER, make_head(make_token(iss=issuer)), keys={}, asked=NOBODY_ASKED)
    assert refused.expected == (ISSUER,)


@pytest.mark.norm("8725-3", "8725-4")
def test_keys_belong_to_their_provider():
    """RFC 8725, section 3.8: the same ``kid`` at two issuers is two keys."""
    evil = dataclasses.replace(make_key("ES256", "evil"), kid="key-1")
    other = make_provider(name="other", issuers=("https://other.example",))
    policy = make_policy(make_provider(), other)
    keys = {**KEYS, "other": make_key_set(evil)}
    refuse(Reason.BAD_SIGNATURE, make_head(make_token(evil)), policy, keys)
    assert allow(make_head(make_token(evil, iss="https://other.example")), policy, keys)
    refuse(Reason.BAD_SIGNATURE, make_head(make_token(iss="https://other.example")), policy, keys)


# --- keys that are not there


def test_an_unknown_key_during_an_outage_is_an_outage():
    """The issuer may have rotated: that it cannot be asked is 503, and only its answer makes it the token's fault."""
    head = make_head(make_token(header={"kid": "new"}))
    assert decide(head, make_policy(), KEYS, NOW) == NeedKeys("main", "new")
    error = refuse(Reason.KEYS_UNAVAILABLE, head, asked={"main": False})
    assert error.retry_after_seconds == KEYS_RETRY_SECONDS
    refuse(Reason.UNKNOWN_KEY, head, asked={"main": True})


def test_keys_are_asked_for_once():
    """No set at all: a wish first; if it was asked for already, an outage, never the caller's fault (9110-17)."""
    head = make_head(make_token())
    assert decide(head, make_policy(), {}, NOW) == NeedKeys("main", "key-1")
    refused = refuse(Reason.KEYS_UNAVAILABLE, head, keys={})
    assert isinstance(refused, Unavailable)
    assert (refused.reason.status, refused.retry_after_seconds) == (503, KEYS_RETRY_SECONDS)


def test_an_unknown_kid_asks_once():
    """Keys rotate: a new ``kid`` is looked for, and then it is the last word."""
    head = make_head(make_token(make_key("ES256", "new")))
    assert decide(head, make_policy(), KEYS, NOW) == NeedKeys("main", "new")
    refuse(Reason.UNKNOWN_KEY, head)
    keys = {"main": make_key_set(make_key(), make_key("ES256", "new"))}
    assert allow(head, keys=keys, asked={"main": True})


def test_a_kid_of_another_algorithm_does_not_ask():
    """The issuer publishes the key; that it does not fit is the token's fault."""
    refuse(Reason.UNKNOWN_KEY, make_head(make_token(header={"alg": "ES384"})), asked=NOBODY_ASKED)


def test_a_token_without_kid_does_not_ask():
    """Any key may fit, so there is none to ask for."""
    head = make_head(make_token(make_key("ES256", "new"), header={"kid": ABSENT}))
    refuse(Reason.BAD_SIGNATURE, head, asked=NOBODY_ASKED)
    assert decide(head, make_policy(), {}, NOW) == NeedKeys("main", None)
    assert allow(make_head(make_token(header={"kid": ABSENT})))


@pytest.mark.parametrize(
    ("header", "reason"),
    [({"typ": "logout+jwt"}, Reason.TYP_NOT_ACCEPTED), ({"alg": "HS256"}, Reason.ALGORITHM_NOT_ACCEPTED)],
)
def test_no_keys_are_asked_for_what_is_refused_anyway(header, reason):
    """A request to an issuer is bought with a token that its rules might take."""
    refuse(reason, make_head(make_token(header=header)), keys={}, asked=NOBODY_ASKED)


def test_a_set_without_usable_keys_knows_nobody():
    """Absence never permits."""
    refuse(Reason.UNKNOWN_KEY, make_head(make_token()), keys={"main": build_key_set({"keys": []})})


# --- several providers of one issuer


def make_three(**changes):
    """Return providers of one issuer: for the API, for organizations, for another type."""
    return (
        make_provider("api", name="api", **changes),
        make_provider("org:{organization}", name="org", **changes),
        make_provider("api", name="strict", types=frozenset({"at+jwt"}), algorithms=frozenset({"RS256"})),
    )


SHARED = dict.fromkeys(("api", "org", "strict"), KEYS["main"])
ALL = dict.fromkeys(SHARED, True)


def test_the_first_provider_that_takes_the_token_wins():
    """File order among those of the issuer."""
    policy = make_policy(*make_three())
    for aud, name in (("api", "api"), ("org:1", "org"), (["org:1", "api"], "api")):
        assert read_identity(allow(make_head(make_token(aud=aud)), policy, SHARED))["provider"] == name
    turned = make_policy(*reversed(make_three()))
    assert read_identity(allow(make_head(make_token(aud=["org:1", "api"])), turned, SHARED))["provider"] == "org"


def test_the_answer_is_of_the_provider_that_got_furthest():
    """The audience was wrong for two, the algorithm for the third: the audience is what to mend."""
    refused = refuse(
        Reason.AUDIENCE_MISMATCH, make_head(make_token(aud="x")), make_policy(*make_three()), SHARED, asked=ALL
    )
    assert [(attempt.provider, attempt.error.reason) for attempt in refused.attempts] == [
        ("api", Reason.AUDIENCE_MISMATCH),
        ("org", Reason.AUDIENCE_MISMATCH),
        ("strict", Reason.ALGORITHM_NOT_ACCEPTED),
    ]
    assert refused.expected == ("api",)
    assert refused.context["provider"] == "api"


def test_of_two_equally_far_the_first_answers():
    """In file order."""
    first, second, _ = make_three()
    refused = refuse(
        Reason.AUDIENCE_MISMATCH, make_head(make_token(aud="x")), make_policy(second, first), SHARED, asked=ALL
    )
    assert refused.expected == ("org:{organization}",)


def test_a_provider_that_takes_the_token_needs_no_other_keys():
    """The keys of the first are not there; the second has its own and takes it."""
    keys = {"org": KEYS["main"]}
    assert (
        read_identity(allow(make_head(make_token(aud="org:1")), make_policy(*make_three()), keys))["provider"] == "org"
    )


def test_keys_are_asked_for_in_file_order():
    """One wish at a time; each provider that was asked has had its say."""
    head, policy = make_head(make_token(aud="org:1")), make_policy(*make_three())
    assert decide(head, policy, {}, NOW) == NeedKeys("api", "key-1")
    assert decide(head, policy, {}, NOW, {"api": True}) == NeedKeys("org", "key-1")
    refuse(Reason.KEYS_UNAVAILABLE, head, policy, {}, asked={"api": True, "org": True})


def test_a_refusal_does_not_hide_a_wish():
    """The first refuses for its audience, the second might take the token: its keys are asked for first."""
    head, policy = make_head(make_token(aud="org:1")), make_policy(*make_three())
    assert decide(head, policy, {"api": KEYS["main"]}, NOW) == NeedKeys("org", "key-1")


def test_an_outage_speaks_before_a_refusal():
    """A provider without keys might have taken the token, so the caller is told to come back."""
    head, policy = make_head(make_token(aud="org:1")), make_policy(*make_three())
    refused = refuse(Reason.KEYS_UNAVAILABLE, head, policy, {"api": KEYS["main"]}, asked=ALL)
    assert [attempt.error.reason for attempt in refused.attempts][:2] == [
        Reason.AUDIENCE_MISMATCH,
        Reason.KEYS_UNAVAILABLE,
    ]


def test_a_token_can_be_verified_without_a_request():
    """Who explains a token asks the same question as a request does, and gets the same answer."""
    policy = make_policy()
    token = make_token()
    assert verify(parse_token(token), policy, KEYS, NOW) == allow(make_head(token), policy).verified
    with pytest.raises(GatewayError, match="unknown_issuer"):
        verify(parse_token(make_token(iss="https://other.example")), policy, KEYS, NOW)
