"""The identity: its shape, its names, its field values."""

from __future__ import annotations

import base64
import json
import urllib.parse

import pytest

from gateway.core.errors import Reason, RequestRefused, TokenRefused
from gateway.core.identity import (
    IDENTITY_PREFIX,
    RESERVED_NAMES,
    IdentitySettings,
    build_identity,
    build_identity_fields,
)
from gateway.core.jwt import parse_token
from gateway.core.tokens import check_claims
from tests.policies import make_provider
from tests.signing import ABSENT, AUDIENCE, ISSUER, NOW, make_key, make_token, sign_token

OWN = {"tokenIdentifier", "issuer", "subject", "audience", "scopes", "provider"}


def identify(settings=None, kind="customJwt", **claims):
    token = parse_token(make_token(**{"client_id": ABSENT, **claims}))
    return build_identity(check_claims(token, make_provider(kind=kind), NOW), settings or IdentitySettings())


def read_claims(**claims):
    """Return what of the token's own claims is shown."""
    return {name: value for name, value in identify(**claims).items() if name not in OWN}


# --- names that are always there


def test_a_logto_access_token_comes_out_exactly():
    """The whole identity of a Logto access token for an API resource, and nothing else."""
    payload = {
        "email": "ada@example.com",
        "username": "ada",
        "jti": "Wl3TQtzOVhIIzrqzoqVIJ",
        "sub": "ym0wfnzs81hn",
        "iat": NOW,
        "exp": NOW + 3600,
        "scope": "order:read order:write",
        "client_id": "2sl3l0rg8j9rbhzf8pu5v",
        "iss": "https://tenant.logto.app/oidc",
        "aud": "https://my-api.example",
    }
    key = make_key("ES384")
    token = parse_token(sign_token(key, {"alg": "ES384", "typ": "at+jwt", "kid": key.kid}, payload))
    provider = make_provider("https://my-api.example", name="logto", issuers=("https://tenant.logto.app/oidc",))
    identity = build_identity(check_claims(token, provider, NOW), IdentitySettings())
    assert identity == {
        "tokenIdentifier": "https://tenant.logto.app/oidc|ym0wfnzs81hn",
        "issuer": "https://tenant.logto.app/oidc",
        "subject": "ym0wfnzs81hn",
        "client_id": "2sl3l0rg8j9rbhzf8pu5v",
        "email": "ada@example.com",
        "scope": "order:read order:write",
        "username": "ada",
        "audience": ["https://my-api.example"],
        "scopes": ["order:read", "order:write"],
        "provider": "logto",
    }


@pytest.mark.norm("8725-4")
@pytest.mark.parametrize("kind", ["customJwt", "oidc"])
def test_issuer_and_subject_are_verbatim(kind):
    """``{iss}|{sub}``; slashes that were ignored when comparing and bars in names stay as they are."""
    identity = identify(kind=kind, iss=ISSUER + "//", sub="auth0|12|3")
    assert identity["tokenIdentifier"] == ISSUER + "//|auth0|12|3"
    assert (identity["issuer"], identity["subject"]) == (ISSUER + "//", "auth0|12|3")


def test_the_organization_is_there_if_there_is_one():
    """Absent if the token names none: an empty name would be one."""
    assert identify(org_id="org_1")["organization"] == "org_1"
    assert "organization" not in identify()


def test_lists_are_lists():
    """``audience`` is a list even for one; so is ``scopes`` for none."""
    identity = identify(aud=[AUDIENCE, "b"])
    assert (identity["audience"], identity["scopes"]) == ([AUDIENCE, "b"], [])


@pytest.mark.parametrize("kind", ["customJwt", "oidc"])
@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_no_claim_passes_for_one_of_our_names(kind, name):
    """Whoever may set a claim at one issuer would be another's user: the token's own claim of that name is dropped."""
    assert identify(kind=kind, **{name: "evil"}) == identify(kind=kind)
    assert identify(kind=kind, **{name: {"a": "evil"}}).get(name) == identify(kind=kind).get(name)


def test_reserved_names_are_the_documented_ones():
    """Three that Convex has, four that are ours."""
    assert {*OWN, "organization"} == RESERVED_NAMES


# --- customJwt


def test_custom_claims_keep_their_names():
    """No renaming: standard claims of OpenID Connect are claims like others."""
    claims = {
        "given_name": "A",
        "picture": "p",
        "azp": "x",
        "nonce": "n",
        "amr": ["pwd"],
        "locale": "de",
        "ok": True,
        "n": None,
    }
    assert read_claims(**claims) == claims


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "fva"])
def test_registered_claims_are_dropped(name):
    """They are about the token; two tokens of one user must give one identity."""
    assert name not in identify(nbf=NOW - 60, fva=[1, 2])


def test_objects_become_dotted_names_and_arrays_stay():
    """As in Convex: recursively, an empty object vanishes, objects inside of arrays are data."""
    claims = {"a": {"b": {"c": 1}, "d": [{"e": 1}], "f": {}}, "g": [], "h": {"": 2}}
    assert read_claims(**claims) == {"a.b.c": 1, "a.d": [{"e": 1}], "g": [], "h.": 2}


def test_of_two_spellings_of_one_name_the_later_counts():
    """As in Convex: document order."""
    assert read_claims(a={"b": 1}, **{"a.b": 2}) == {"a.b": 2}
    assert read_claims(**{"a.b": 2}, a={"b": 1}) == {"a.b": 1}


# --- oidc

OIDC = {
    "name": "name",
    "given_name": "givenName",
    "family_name": "familyName",
    "nickname": "nickname",
    "preferred_username": "preferredUsername",
    "profile": "profileUrl",
    "picture": "pictureUrl",
    "website": "websiteUrl",
    "email": "email",
    "email_verified": "emailVerified",
    "gender": "gender",
    "birthdate": "birthday",
    "zoneinfo": "timezone",
    "locale": "language",
    "phone_number": "phoneNumber",
    "phone_number_verified": "phoneNumberVerified",
}


@pytest.mark.parametrize(("claim", "name"), OIDC.items(), ids=OIDC)
def test_standard_claims_are_renamed(claim, name):
    """OpenID Connect Core, section 5.1, with the names of Convex's UserIdentity; null is absent."""
    assert read_claims(kind="oidc", **{claim: "x"}) == {name: "x"}
    assert read_claims(kind="oidc", **{claim: None}) == {}


@pytest.mark.parametrize(
    "name",
    [
        "auth_time",
        "nonce",
        "acr",
        "amr",
        "azp",
        "at_hash",
        "c_hash",
        "jti",
        "nbf",
        "fva",
        "middle_name",
        "birthday",
        "iat",
    ],
)
def test_protocol_claims_are_dropped(name):
    """They are about the login, not about the user."""
    value = NOW - 60 if name in ("nbf", "iat") else "x"
    assert read_claims(kind="oidc", **{name: value}) == {}


def test_other_claims_stay_nested():
    """As in Convex, where only customJwt flattens."""
    claims = {"roles": ["a"], "org": {"id": 1, "x": {}}, "client_id": "app", "none": None, "foo#bar": 1}
    assert read_claims(kind="oidc", **claims) == claims


@pytest.mark.parametrize("claim", ["given_name#ja-Kana-JP", "address#de", "updated_at#x", "middle_name#en"])
def test_localized_standard_claims_are_dropped(claim):
    """OpenID Connect Core, section 5.2: a spelling of a standard claim, not a claim of its own."""
    assert read_claims(kind="oidc", **{claim: "x"}) == {}


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ({"formatted": "Main St 1", "country": "X"}, {"address": "Main St 1"}),
        ({"country": "X"}, {}),
        ({"formatted": None}, {}),
        ("Main St 1", {"address": "Main St 1"}),
        (None, {}),
    ],
    ids=["formatted", "without", "null-inside", "text", "null"],
)
def test_the_address_is_its_text(address, shown):
    """OpenID Connect Core, section 5.1.1: ``formatted`` is the whole."""
    assert read_claims(kind="oidc", address=address) == shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1311283970, "2011-07-21T21:32:50+00:00"),
        (1311283970.5, "2011-07-21T21:32:50.500000+00:00"),
        (0, "1970-01-01T00:00:00+00:00"),
        ("2011-07-21T21:32:50Z", "2011-07-21T21:32:50Z"),
        (True, True),
        (10**30, 10**30),
        (1e300, 1e300),
        ([1], [1]),
    ],
)
def test_the_time_of_the_last_change_is_rfc3339(value, text):
    """As in Convex; what is no time stays as it is, for a mistyped claim harms nobody."""
    assert read_claims(kind="oidc", updated_at=value) == {"updatedAt": text}


def test_other_numbers_are_no_times():
    """A claim of another type than the standard's is shown as it is."""
    assert read_claims(kind="oidc", phone_number=5) == {"phoneNumber": 5}


def test_a_change_at_no_time_is_no_change():
    """Null is absent, as with the other standard claims."""
    assert read_claims(kind="oidc", updated_at=None) == {}


@pytest.mark.parametrize("order", [1, -1], ids=["standard-first", "standard-last"])
@pytest.mark.parametrize(
    ("claim", "name"), [("given_name", "givenName"), ("updated_at", "updatedAt"), ("email_verified", "emailVerified")]
)
def test_a_custom_claim_does_not_pass_for_a_standard_one(claim, name, order):
    """Whatever the order in the token, the standard claim counts."""
    claims = dict([(claim, "real"), (name, "evil")][::order])
    assert read_claims(kind="oidc", **claims) == {name: "real"}


# --- include, exclude


def test_claims_may_be_left_out():
    """By the names that the identity shows; ours stay."""
    claims = {"a": 1, "b": {"c": 2, "d": 3}}
    assert read_claims(settings=IdentitySettings(exclude=frozenset({"b.c", "issuer"})), **claims) == {"a": 1, "b.d": 3}
    assert read_claims(settings=IdentitySettings(include=frozenset({"b.c"})), **claims) == {"b.c": 2}
    assert read_claims(settings=IdentitySettings(include=frozenset()), **claims) == {}
    both = IdentitySettings(include=frozenset({"a", "b.c"}), exclude=frozenset({"a"}))
    assert read_claims(settings=both, **claims) == {"b.c": 2}
    assert set(identify(IdentitySettings(include=frozenset()))) == OWN


def test_a_claim_that_is_left_out_cannot_harm():
    """What is not carried need not be carriable."""
    settings = IdentitySettings(exclude=frozenset({"bad"}))
    assert build_identity_fields(identify(settings, bad="\ud800"), settings)


# --- the field


def build_value(identity, **settings):
    ((name, value),) = build_identity_fields(identity, IdentitySettings(**settings))
    assert name == b"X-Identity"
    return value


def test_the_value_is_compact_json():
    """One field value to every parser: visible ASCII and spaces."""
    assert build_value({"a": "b c", "d": [1, None, True], "e": 1.5}) == b'{"a":"b c","d":[1,null,true],"e":1.5}'


def test_an_anonymous_request_carries_null():
    """So the field is always there, and always ours."""
    assert build_value(None) == b"null"
    assert build_value(None, is_base64url=True) == b"bnVsbA"


TEXTS = [
    "",
    "é",
    "😀",
    "\r\nX-Admin: 1",
    "\x00",
    "\x7f",
    "\x85",
    "\u2028",
    "\u202e",
    '"\\',
    "%20",
    " a ",
    "a" * 1000,
    "\ufffe",
    "\t",
]


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_every_text_arrives_as_it_was(text):
    """RFC 9110, section 5.5: no control, no octet beyond ASCII; RFC 8259, section 7: ``\\u`` escapes."""
    value = build_value({"a": text, text: 1})
    assert all(0x20 <= octet < 0x7F for octet in value)
    assert json.loads(value) == {"a": text, text: 1}


def test_integers_stay_exact():
    """Identifiers beyond 2^53 are rounded by those who read them as doubles, but not by us."""
    number = 2**53 + 1
    assert build_value(identify(snowflake=number)).count(str(number).encode()) == 1


def test_base64url_is_the_same_json():
    """RFC 4648, section 5, without padding."""
    identity = identify(name="é?>")
    value = build_value(identity, is_base64url=True)
    assert not set(value) & set(b"+/=")
    assert base64.urlsafe_b64decode(value + b"=" * (-len(value) % 4)) == build_value(identity)


@pytest.mark.parametrize(
    "claims",
    [{"name": "ad\ud800min"}, {"a\udfff": 1}, {"a": [{"b": "\ud800"}]}, {"sub": "\ud800"}, {"scope": "\udc00"}],
)
@pytest.mark.parametrize("is_base64url", [False, True])
def test_a_lone_surrogate_is_refused(claims, is_base64url):
    """Writers drop it, and "ad\\ud800min" arrives as "admin": a signed name must not become another."""
    with pytest.raises(TokenRefused) as refused:
        build_value(identify(**claims), is_base64url=is_base64url)
    assert refused.value.reason is Reason.IDENTITY_UNSAFE


def test_a_pair_of_surrogates_is_one_character():
    """RFC 8259, section 7: that is how JSON escapes it."""
    assert json.loads(build_value({"a": json.loads('"\\ud83d\\ude00"')})) == {"a": "😀"}


@pytest.mark.parametrize("is_base64url", [False, True])
def test_the_size_is_bounded(is_base64url):
    """A receiver with a smaller limit refuses or, worse, cuts; the bound itself is within, 8 KiB by default."""
    assert IdentitySettings().max_size_bytes == 8192
    identity = identify(text="x" * 100)
    size = len(build_value(identity, is_base64url=is_base64url))
    assert build_value(identity, is_base64url=is_base64url, max_size_bytes=size)
    with pytest.raises(RequestRefused) as refused:
        build_value(identity, is_base64url=is_base64url, max_size_bytes=size - 1)
    assert refused.value.reason is Reason.IDENTITY_TOO_LARGE
    assert (refused.value.received, refused.value.expected) == (f"{size} bytes in X-Identity", size - 1)


# --- one field a claim


def build_field(value):
    fields = build_identity_fields({"a": value}, IdentitySettings(headers=((b"X-A", "a"),)))
    return dict(fields).get(b"X-A")


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("user-1", b"user-1"),
        ("Ada Lovelace", b"Ada Lovelace"),
        ("a  b", b"a  b"),
        (" a ", b"%20a%20"),
        ("  ", b"%20%20"),
        ("100%", b"100%25"),
        ("%20", b"%2520"),
        ("é", b"%C3%A9"),
        ("a\r\nb", b"a%0D%0Ab"),
        ("\x00\x7f\t", b"%00%7F%09"),
        ('!"<>,;=/?#[]@\\^`{|}~', b'!"<>,;=/?#[]@\\^`{|}~'),
        (5, b"5"),
        (2**60, b"1152921504606846976"),
        (1.5, b"1.5"),
        (True, b"true"),
        (False, b"false"),
        ({"b": [1, "é"]}, b'{"b":[1,"\\u00e9"]}'),
        (["a", "b"], b"a b"),
        (["a b", "c"], b"a%20b c"),
        (["a", 1, True, None, ["x y"]], b'a 1 true null ["x%20y"]'),
        (["", "a", "", "b", ""], b"a b"),
        (["é"], b"%C3%A9"),
    ],
)
def test_a_claim_is_one_field_value(value, field):
    """RFC 3986, section 2.1, where the text is not plain; lists joined with spaces, so their own spaces are encoded."""
    assert build_field(value) == field


@pytest.mark.parametrize("value", [None, "", [], [""]])
def test_a_claim_that_says_nothing_has_no_field(value):
    """Absent, never the text "None" and never an empty value: the field is then removed."""
    assert build_field(value) is None


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_a_field_value_decodes_back(text):
    """What we emit has no control, no outer space, and one decoding gives the claim."""
    field = build_field(text) or b""
    assert field == field.strip()
    assert all(0x20 <= octet < 0x7F for octet in field)
    assert urllib.parse.unquote_to_bytes(field).decode() == text


def test_fields_find_claims_by_name_and_by_path():
    """A flat name with dots, or a way into an object; an anonymous request has none of them."""
    settings = IdentitySettings(headers=((b"X-A", "a.b"), (b"X-C", "c.d"), (b"X-Sub", "subject"), (b"X-No", "no")))
    identity = {"a.b": "1", "c": {"d": "2"}, "subject": "u"}
    assert build_identity_fields(identity, settings)[1:] == ((b"X-A", b"1"), (b"X-C", b"2"), (b"X-Sub", b"u"))
    assert build_identity_fields(None, settings) == ((b"X-Identity", b"null"),)


def test_the_size_of_each_field_is_bounded():
    """The claim's own field may be longer than the JSON that holds it: each octet takes three."""
    settings = IdentitySettings(headers=((b"X-A", "a"),), max_size_bytes=1000)
    with pytest.raises(RequestRefused) as refused:
        build_identity_fields({"a": "%" * 400}, settings)
    assert refused.value.reason is Reason.IDENTITY_TOO_LARGE
    assert refused.value.received == "1200 bytes in X-A"


def test_nobody_is_never_too_large():
    """That a request is anonymous is said under every bound, and in both formats."""
    settings = IdentitySettings(max_size_bytes=1)
    assert build_identity_fields(None, settings) == ((b"X-Identity", b"null"),)
    settings = IdentitySettings(max_size_bytes=1, is_base64url=True)
    assert build_identity_fields(None, settings) == ((b"X-Identity", b"bnVsbA"),)


def test_the_name_of_the_field_may_be_another():
    """And it owns its folded name, as do the fields of single claims."""
    settings = IdentitySettings(header=b"X_User", headers=((b"X.Org", "organization"),))
    assert build_identity_fields(None, settings) == ((b"X_User", b"null"),)
    assert settings.owned_names == {b"x-user", b"x-org"}


def test_the_default_name_is_guarded_by_its_prefix():
    """Backends are renamed; old names stay trusted."""
    assert IdentitySettings().header.lower().startswith(IDENTITY_PREFIX)
