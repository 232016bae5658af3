"""The value behind ``explain``: whatever the token says, there is an explanation, and it is the decision."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.checks import is_about_token
from gateway.cli.explain_json import build_document
from gateway.cli.explain_text import render_text
from gateway.cli.explanation import Situation, Verdict, build_explanation
from gateway.cli.remarks import list_remarks
from gateway.config.load import parse_config
from gateway.core.decision import Allow, RequestHead, decide
from gateway.core.errors import GatewayError, Reason, TokenRefused
from gateway.core.fields import FieldSet
from gateway.core.jwks import build_key_set
from gateway.core.places import PlaceKind, TokenPlace

from .conftest import CONFIG, KEY, NOW, sign

POLICY = parse_config(CONFIG.replace("file:keys.json", "http://127.0.0.1:9/jwks"), "gateway.yaml", {}).settings.policy
KEYS = dict.fromkeys(("api", "organizations", "strict", "staff"), build_key_set({"keys": [KEY.as_dict(private=False)]}))

text = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)
issuers = st.sampled_from([provider.issuers[0] for provider in POLICY.providers])
claims = st.fixed_dictionaries(
    {},
    optional={
        "iss": issuers | values,
        **dict.fromkeys(
            ("sub", "aud", "iat", "nbf", "exp", "scope", "client_id", "org_id", "token_use", "nonce"), values
        ),
    },
)
headers = st.fixed_dictionaries({}, optional={"alg": text, "typ": text, "kid": text | st.none()})
paths = st.sampled_from(["/", "/public/x", "/orders", "/organizations/org_1/x", "/../x", "*", ""]) | text


def situation(token: str, path: str, method: str = "GET") -> Situation:
    """Return the situation of a request with that token."""
    head = RequestHead(method, path, FieldSet([(b"Authorization", f"Bearer {token}".encode("utf-8", "replace"))]))
    return Situation(head, token, POLICY, KEYS, NOW, lambda *_: "gateway.yaml:1", lambda _: "gateway.yaml:2")


def check(one: Situation) -> None:
    """Check that there is an explanation in both forms, in plain ASCII, and that it is what the proxy decides."""
    explanation = build_explanation(one)
    assert all(line.isascii() and line.isprintable() for line in map(unstyle, render_text(explanation, ())))
    json.dumps(build_document(explanation, ()))
    outcome = decide_all(one)
    if isinstance(outcome, GatewayError):
        assert explanation.error is not None
        assert explanation.error.reason is outcome.reason
        return
    assert explanation.outcome == outcome
    assert explanation.match == outcome.match
    if outcome.verified is not None:
        assert explanation.decisive is not None
        assert explanation.decisive.provider is outcome.verified.provider


def decide_all(one: Situation) -> Allow | GatewayError:
    """Return what the proxy decides once every provider's keys were asked for."""
    answers = {provider.name: provider.name in one.keys for provider in one.policy.providers}
    try:
        outcome = decide(one.head, one.policy, one.keys, one.now, answers)
    except GatewayError as error:
        return error
    assert isinstance(outcome, Allow)
    return outcome


def unstyle(line: str) -> str:
    """Return a line without our own colours."""
    for code in ("0", "1", "31", "32", "33"):
        line = line.replace(f"\x1b[{code}m", "")
    return line


@given(text, paths)
def test_any_text_is_explained(token, path):
    """Whatever was pasted, there is an answer and no exception."""
    check(situation(token, path))


@pytest.mark.parametrize("path", ["/", "*", "/orders", "/orders/", "/organizations/org_1/x", "http://127.0.0.1/orders"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "CONNECT"])
def test_rule_that_is_shown_is_the_one_that_decided(method, path):
    """The explanation finds the rule by itself; it must not find another one."""
    check(situation(sign({"scope": "read:orders"}), path, method))


def test_the_place_of_a_token_does_not_matter():
    """Whoever asks about a token has it in hand; where their client puts it, the explanation cannot know."""
    cookie = TokenPlace(PlaceKind.COOKIE, "session")
    elsewhere = tuple(replace(provider, token_places=(cookie,)) for provider in POLICY.providers)
    one = situation(sign({"scope": "read:orders"}), "/orders")
    moved = build_explanation(replace(one, policy=replace(POLICY, providers=elsewhere)))
    assert moved.verdict is build_explanation(one).verdict is Verdict.ACCEPTED
    assert moved.decisive is not None
    assert moved.decisive.provider.token_places == (cookie,)
    with pytest.raises(TokenRefused, match="missing_token"):
        decide(one.head, moved.situation.policy, KEYS, NOW)


@given(claims, headers, paths)
def test_any_claims_are_explained(own, header, path):
    """Claims of any type, signed or as good as signed: the explanation is the decision."""
    check(situation(sign(own, **header), path))


def test_every_reason_of_a_provider_has_its_check():
    """A reason that the core gains must find its place here, or an explanation would end in a traceback."""
    first, last = Reason.UNKNOWN_ISSUER.stage, Reason.KEYS_UNAVAILABLE.stage
    of_providers = {reason for reason in Reason if first <= reason.stage <= last} - {Reason.IDENTITY_UNSAFE}
    assert {reason for reason in Reason if is_about_token(reason)} == of_providers


def test_providers_without_keys_are_unknown_only_if_they_matter():
    """One provider accepts, so it does not matter that another of the issuer could not be asked."""
    one = situation(sign({}), "/")
    explanation = build_explanation(replace(one, keys={"api": KEYS["api"]}))
    assert isinstance(explanation.outcome, Allow)
    assert explanation.providers[1].error is not None
    assert explanation.providers[1].error.reason.word == "keys_unavailable"


@pytest.mark.parametrize("mode", ["", "mode: observe\n", "routes: [{path: /orders, mode: observe}]\n"])
def test_a_refusal_that_is_only_observed_is_noted(mode):
    """Else whoever reads of a refusal looks for one that no caller got."""
    text = CONFIG.replace("file:keys.json", "http://127.0.0.1:9/jwks").partition("routes:")[0] + mode
    one = replace(situation("x", "/orders"), policy=parse_config(text, "gateway.yaml", {}).settings.policy)
    notes = list_remarks(build_explanation(one))
    assert [note.partition(" lets ")[0] for note in notes] == (["mode: observe"] if mode else [])
