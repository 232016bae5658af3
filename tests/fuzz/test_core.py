"""Whatever comes in: a value, or one of our errors, never another exception. And what goes out is read back."""

from __future__ import annotations

import base64
import json
import string
import urllib.parse
from collections.abc import Callable
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.audience import PatternError, match_audiences, parse_audience_pattern, parse_audience_regex
from gateway.core.credentials import extract_bearer_token
from gateway.core.decision import Allow, RequestHead, decide
from gateway.core.errors import GatewayError, Reason, TokenRefused
from gateway.core.fields import FieldSet, build_forwarded_node, fold_name
from gateway.core.identity import IdentitySettings, build_identity_fields
from gateway.core.jwks import KeySet, KeySetError, build_key_set, parse_key_set
from gateway.core.jwt import Token, parse_token
from gateway.core.policy import Policy
from gateway.core.routes import PathError, parse_path_pattern
from gateway.core.target import get_path, parse_target, split_segments
from gateway.core.verification import NeedKeys
from tests.policies import make_head, make_policy, make_provider, make_route, make_routes
from tests.signing import (
    ALGORITHMS,
    NOW,
    encode,
    make_claims,
    make_header,
    make_key,
    make_key_set,
    sign_token,
)

KEYS = {"main": make_key_set(*(make_key(algorithm, algorithm) for algorithm in ALGORITHMS))}
POLICY = make_policy(make_provider(allow_any_audience=True))

# Any character, lone surrogates too: what a JSON text may say.
any_text = st.text(st.characters(codec=None), max_size=40)
carriable_text = st.text(st.characters(codec="utf-8"), max_size=40)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)


def json_values(text: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(
        scalars | text,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
        max_leaves=12,
    )


def attempt(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns, or the error of ours that it documents; any other exception fails the test."""
    try:
        return function(*arguments)
    except (GatewayError, KeySetError, PatternError, PathError) as error:
        return error


def decide_or_refuse(head: RequestHead, policy: Policy = POLICY) -> Allow | NeedKeys | GatewayError:
    return attempt(decide, head, policy, KEYS, NOW, {"main": True})


# --- in: a value or one of our errors

b64token_like = st.text(string.ascii_letters + string.digits + "-_.~+/=", max_size=60).map(str.encode)


@given(
    st.binary(max_size=60)
    | st.builds(
        lambda scheme, rest: scheme + rest, st.sampled_from([b"Bearer ", b"bearer  ", b"Basic "]), b64token_like
    )
)
def test_any_authorization_is_read_or_refused(value):
    """Octets of any kind in the field: a token, none, or a refusal."""
    token = attempt(extract_bearer_token, [value])
    if isinstance(token, GatewayError):
        assert token.reason is Reason.MALFORMED_CREDENTIALS
    elif token is not None:
        assert value.lower().startswith(b"bearer ")
        assert value.endswith(b" " + token.encode("ascii"))


names = st.sampled_from([b"Authorization", b"authorization", b"Host", b"X"])


@given(
    st.lists(st.tuples(names, st.binary(max_size=30)), max_size=4),
    st.sampled_from(["GET", "OPTIONS", "PUT", "x"]),
    any_text | st.just("/"),
)
def test_any_request_is_decided(fields, method, target):
    """Whatever the head holds, there is a decision."""
    routes = make_routes(make_route("/a/{b}/**", "optional"), make_route("/**", "public", methods=["GET"]))
    assert decide_or_refuse(RequestHead(method, target, FieldSet(tuple(fields))), make_policy(routes=routes))


@given(any_text | st.lists(st.binary(max_size=40).map(encode), min_size=2, max_size=6).map(".".join))
@example("\ud800..")
@example("e30.e30.")
def test_any_token_is_read_or_refused(text):
    """Text of any kind: a token, or the reason why it is none."""
    assert isinstance(attempt(parse_token, text), Token | TokenRefused)


jwks = st.sampled_from([make_key(algorithm).public for algorithm in ("RS256", "ES256", "ES512", "EdDSA")])
members = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "kid", "alg", "use", "key_ops", "d", "k", "foo"])
member_values = (
    json_values(any_text)
    | st.text(string.ascii_letters + string.digits + "-_=", max_size=90)
    | st.sampled_from(
        ["RSA", "EC", "OKP", "oct", "P-256", "P-521", "Ed25519", "X25519", "RS256", "ES256", "EdDSA", "sig"]
    )
)


@given(json_values(any_text) | st.lists(json_values(any_text)).map(lambda keys: {"keys": keys}))
def test_any_json_is_a_key_set_or_refused(parsed):
    """JSON of any shape; the generation is made of whatever stands there."""
    assert isinstance(attempt(parse_key_set, json.dumps(parsed)), KeySet | KeySetError)


@given(st.binary(max_size=60) | any_text)
def test_any_octets_are_a_key_set_or_refused(document):
    """What a web server answers when it has no keys."""
    assert isinstance(attempt(parse_key_set, document), KeySet | KeySetError)


@given(jwks, st.dictionaries(members, member_values, min_size=1, max_size=3), st.binary(max_size=140))
def test_any_key_is_used_or_skipped(jwk, changes, signature):
    """A key with wrong members is skipped, or it verifies without an exception; the others work in both cases."""
    good = make_key("ES384").public
    key_set = build_key_set({"keys": [{**jwk, **changes}, good]})
    assert len(key_set.keys) + len(key_set.skipped) == 2
    assert key_set.keys[-1].algorithms == {"ES384"}
    for algorithm in key_set.keys[0].algorithms:
        key = make_key(algorithm, "forger")
        header = make_header(key, kid=key_set.keys[0].kid) if key_set.keys[0].kid is not None else {"alg": algorithm}
        text = sign_token(key, header, make_claims()).rpartition(".")[0] + "." + encode(signature)
        outcome = attempt(decide, make_head(text), POLICY, {"main": key_set}, NOW, {"main": True})
        assert isinstance(outcome, TokenRefused)


@given(any_text)
def test_any_target_is_read_or_refused(raw):
    """Text of any kind in the request line."""
    for method in ("GET", "OPTIONS"):
        target = attempt(parse_target, method, raw, [b"api.example"])
        outcome = target if isinstance(target, GatewayError) else attempt(split_segments, get_path(target))
        assert isinstance(outcome, tuple) or outcome.reason is Reason.AMBIGUOUS_PATH


@given(any_text, any_text)
def test_any_pattern_is_compiled_or_refused(pattern, value):
    """The file's mistakes have words of their own, and a token cannot break a pattern that was taken."""
    for parse in (parse_audience_pattern, parse_audience_regex):
        parsed = attempt(parse, pattern)
        if not isinstance(parsed, PatternError):
            match_audiences([parsed], [value, pattern])
    path = attempt(parse_path_pattern, "/" + pattern)
    if not isinstance(path, PathError):
        path.match((value, pattern))


# --- out: what we emit a receiver reads back


@given(st.none() | st.dictionaries(carriable_text, json_values(carriable_text), max_size=5), st.booleans())
def test_an_identity_is_read_back(identity, is_base64url):
    """Visible ASCII and inner spaces; the same JSON at the other end, integers exact."""
    settings = IdentitySettings(is_base64url=is_base64url, max_size_bytes=10**6)
    ((_, value),) = build_identity_fields(identity, settings)
    assert value == value.strip()
    assert all(0x20 <= octet < 0x7F for octet in value)
    text = base64.urlsafe_b64decode(value + b"=" * (-len(value) % 4)) if is_base64url else value
    assert json.loads(text) == identity


@given(any_text | st.lists(any_text, max_size=5))
def test_a_claim_in_a_field_is_read_back(value):
    """One decoding gives the text; a list splits at spaces into its members, empty ones left out."""
    settings = IdentitySettings(headers=((b"X-A", "a"),), max_size_bytes=10**6)
    fields = attempt(build_identity_fields, {"a": value}, settings)
    if isinstance(fields, GatewayError):
        assert fields.reason is Reason.IDENTITY_UNSAFE
        assert any("\ud800" <= character <= "\udfff" for character in "".join(value))
        return
    field = dict(fields).get(b"X-A", b"").decode("ascii")
    assert field == field.strip()
    assert all(" " <= character < "\x7f" for character in field)
    if isinstance(value, str):
        assert urllib.parse.unquote(field, errors="strict") == value
    else:
        members = [urllib.parse.unquote(member, errors="strict") for member in field.split(" ")] if field else []
        assert members == [member for member in value if member]


@given(any_text)
def test_a_forwarded_node_is_one_node(address):
    """RFC 7239, section 6: whatever the address, nothing else fits between the commas."""
    node = build_forwarded_node(address)
    assert not set(node.strip('"')) & set('",;= \r\n\t')


@given(st.binary(max_size=20))
def test_folding_is_idempotent(name):
    """The folded form of a folded name is itself, and holds letters, digits and ``-`` only."""
    folded = fold_name(name)
    assert fold_name(folded) == folded == fold_name(name.upper())
    assert folded.replace(b"-", b"").isalnum() or not folded.strip(b"-")


# --- the target matched is the target forwarded

ESCAPES = ("%2e", "%2E%2e", "%2f", "%5C", "%3b", "%00", "%25", "%252e", "%C3%A9", "%C0%AF", "%0a", "%61dmin", "%")
pieces = st.sampled_from((*ESCAPES, "/", "//", "a", "admin", ".", "..", ";", ";x", "?", "é", "\\", "#", "~"))


def walk(path: str) -> list[str]:
    """Return where a lenient upstream gets: decoded twice, backslashes turned, parameters cut, dots walked."""
    for _ in range(2):
        path = urllib.parse.unquote(path, errors="replace")
    resource: list[str] = []
    for segment in path.replace("\\", "/").split("\x00")[0].split("/"):
        name = segment.split(";")[0] if segment.startswith(".") else segment
        if name == "..":
            resource = resource[:-1]
        elif name not in ("", "."):
            resource.append(name)
    return resource


@given(st.lists(pieces, max_size=8).map(lambda parts: "/" + "".join(parts)))
@example("/public/../admin/x")
@example("/a/..;/admin")
@example("/%61dmin")
def test_no_spelling_gets_around_a_rule(raw):
    """What passes as public is nothing that an upstream reads as guarded; and the bytes do not change."""
    routes = make_routes(make_route("/admin/**"), make_route("/**", "public"))
    outcome = decide_or_refuse(make_head(target=raw), make_policy(routes=routes))
    if isinstance(outcome, GatewayError):
        assert outcome.reason in (Reason.AMBIGUOUS_PATH, Reason.MISSING_TOKEN)
        return
    assert outcome.target == raw
    assert walk(get_path(outcome.target))[:1] != ["admin"]


@given(
    st.lists(
        st.text(
            st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="/\\%"), min_size=1, max_size=8
        ).filter(lambda text: text.strip(".") and ";" not in text),
        min_size=1,
        max_size=4,
    )
)
def test_segments_are_what_was_encoded(segments):
    """RFC 3986, section 2.1: whoever encodes names gets the same names matched and captured."""
    path = "/" + "/".join(urllib.parse.quote(segment, safe="") for segment in segments)
    assert split_segments(get_path(parse_target("GET", path, ()))) == tuple(segments)
