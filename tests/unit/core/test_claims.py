"""What a claim says, whatever the issuer's spelling."""

from __future__ import annotations

import pytest

from gateway.core.claims import find_claim, is_claim_met, read_audiences, read_first_string, read_scopes

CLAIMS = {
    "sub": "u",
    "realm_access": {"roles": ["a"], "deep": {"x": 1}},
    "https://app.example/roles": ["r"],
    "a.b": "exact",
    "a": {"b": "nested"},
    "none": None,
    "list": [{"x": 1}],
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("sub", "u"),
        ("realm_access.roles", ["a"]),
        ("realm_access.deep.x", 1),
        ("https://app.example/roles", ["r"]),
        ("a.b", "exact"),
        ("none", None),
    ],
    ids=["name", "path", "longer-path", "url-with-dots", "exact-name-wins", "null"],
)
def test_claims_are_found_by_name_then_by_path(path, value):
    """Names of claims may hold dots (RFC 7519, section 4.2), so the very name comes first."""
    assert find_claim(CLAIMS, path) == value


@pytest.mark.parametrize(
    "path", ["x", "sub.x", "realm_access.roles.0", "list.x", "none.x", "", ".", "a.", "realm_access."]
)
def test_claims_that_are_not_there_are_none(path):
    """No path leads through a string, an array or null."""
    assert find_claim(CLAIMS, path) is None


@pytest.mark.parametrize(
    ("value", "audiences"),
    [("a", ("a",)), ("", ("",)), (["a", "b"], ("a", "b")), ([], ())],
    ids=["string", "empty-string", "array", "empty-array"],
)
def test_audiences_are_a_string_or_an_array_of_strings(value, audiences):
    """RFC 7519, section 4.1.3."""
    assert read_audiences({"aud": value}, "aud") == audiences


@pytest.mark.norm("7519-7")
@pytest.mark.parametrize("value", [None, 1, True, {"a": 1}, ["a", 1], [["a"]], [None]])
def test_other_audiences_are_none(value):
    """A member of another type voids the whole claim."""
    assert read_audiences({"aud": value}, "aud") is None


def test_audiences_are_read_from_the_claim_of_the_file():
    """Some issuers name the client where others name the audience; a path works too."""
    assert read_audiences({"client_id": "app"}, "client_id") == ("app",)
    assert read_audiences({"x": {"aud": "a"}}, "x.aud") == ("a",)
    assert read_audiences({}, "aud") is None


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "a b  c"}, ("a", "b", "c")),
        ({"scope": ""}, ()),
        ({"scope": " "}, ()),
        ({"scope": ["a", "b c", "", 1, None]}, ("a", "b c")),
        ({"scope": {"a": True, "b": {}}}, ("a", "b")),
        ({"scp": ["a"], "scope": "b a"}, ("b", "a")),
        ({"scope": 1, "scp": None}, ()),
        ({"scope": "a\tb\nc"}, ("a\tb\nc",)),
        ({}, ()),
    ],
    ids=["string", "empty", "space", "array", "object", "both-claims", "other-types", "no-other-separator", "absent"],
)
def test_scopes_are_read_in_every_spelling(claims, scopes):
    """RFC 6749, section 3.3: separated by single spaces; arrays and objects as issuers write them."""
    assert read_scopes(claims, ("scope", "scp")) == scopes


def test_the_first_string_that_says_something_is_taken():
    """Empty strings and other types name nobody."""
    claims = {"client_id": "", "azp": ["x"], "c": {"id": "app"}}
    assert read_first_string(claims, ("client_id", "azp", "c.id", "z")) == "app"
    assert read_first_string(claims, ("client_id", "azp", "z")) is None


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        ("a", ("a", "b")),
        (["x", "b"], ("a", "b")),
        (1, (1,)),
        (True, (True,)),
        ("", None),
        (0, None),
        (True, None),
        ([], None),
        ({"a": 1}, ({"a": 1},)),
    ],
)
def test_a_claim_is_met_by_any_accepted_value(value, accepted):
    """An array meets with any member; no values at all accept whatever is there."""
    assert is_claim_met(value, accepted)


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        ("A", ("a",)),
        (1, (True,)),
        (True, (1,)),
        (0, (False,)),
        ("1", (1,)),
        (1.0, (1,)),
        ([], ("a",)),
        ("a", ()),
        (False, None),
        ([["a"]], ("a",)),
    ],
    ids=[
        "case",
        "one-is-not-true",
        "true-is-not-one",
        "zero",
        "text",
        "float",
        "empty",
        "nothing-accepted",
        "no",
        "nested",
    ],
)
def test_types_of_claims_count(value, accepted):
    """Python takes 1 for True; an issuer does not."""
    assert not is_claim_met(value, accepted)
