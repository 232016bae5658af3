"""Reading a token: one spelling, one meaning."""

from __future__ import annotations

import json

import pytest

from gateway.core.errors import Reason, TokenRefused
from gateway.core.jwt import MAX_TOKEN_LENGTH, normalize_typ, parse_token
from tests.signing import NOW, encode, make_claims, make_header, make_key, make_token, to_octets

HEADER = {"alg": "ES256", "typ": "at+jwt", "kid": "key-1"}


def join(header=None, payload=None, signature=b"s" * 64):
    parts = (HEADER if header is None else header, make_claims() if payload is None else payload)
    return ".".join([*(encode(to_octets(part)) for part in parts), encode(signature)])


def refuse(text, reason=Reason.MALFORMED_TOKEN, **options):
    with pytest.raises(TokenRefused) as refused:
        parse_token(text, **options)
    assert refused.value.reason is reason
    return refused.value


@pytest.mark.norm("7515-4")
def test_a_token_is_read_without_being_believed():
    """RFC 7515, section 5.2: what is signed are the octets as received."""
    text = make_token()
    token = parse_token(text)
    assert token.signing_input == text.rpartition(".")[0].encode()
    assert len(token.signature) == 64
    assert (token.algorithm, token.kid, token.typ) == ("ES256", "key-1", "at+jwt")
    assert token.claims == make_claims()
    assert token.issuer == make_claims()["iss"]
    assert (token.exp, token.nbf, token.iat) == (NOW + 3600, None, NOW - 60)


def test_a_token_never_shows_itself():
    """Tokens are not logged, so what holds one does not print it (9700-3)."""
    text = make_token(sub="secret-name")
    assert not any(part in repr(parse_token(text)) for part in [*text.split("."), "secret-name"])


@pytest.mark.norm("8725-9")
@pytest.mark.parametrize("size", [0, 1])
def test_the_length_is_bounded(size):
    """The bound is checked before anything else is done with the text."""
    text = make_token()
    refused = refuse(text, Reason.TOKEN_TOO_LARGE, max_length=len(text) - 1)
    assert (refused.received, refused.expected) == (len(text), len(text) - 1)
    assert parse_token(text, max_length=len(text) + size)
    assert MAX_TOKEN_LENGTH == 16384
    refuse("a" * (MAX_TOKEN_LENGTH + 1), Reason.TOKEN_TOO_LARGE)


@pytest.mark.norm("7519-1", "9068-2")
@pytest.mark.parametrize(
    ("text", "received"),
    [("", "1"), ("opaque", "1"), ("a.b", "2"), ("..", None), ("a.b.c.d", "4"), ("a.b.c.d.e.f", "6"), ("....", None)],
)
def test_other_numbers_of_parts_are_no_jwt(text, received):
    """RFC 7519, section 7.2: three parts, all there; five are a JWE."""
    if received is None:
        refuse(text, Reason.ENCRYPTED_TOKEN if len(text) == 4 else Reason.MALFORMED_TOKEN)
        return
    assert refuse(text, Reason.NOT_A_JWT).received == f"{received} part(s)"


@pytest.mark.norm("9068-2")
def test_an_encrypted_token_is_named():
    """RFC 7516: five parts; the reason says so, and not only that it is wrong."""
    refuse(f"{encode(b'{}')}.a.b.c.d", Reason.ENCRYPTED_TOKEN)


@pytest.mark.norm("7519-1")
def test_json_serialization_is_no_bearer_token():
    """RFC 7519, section 1: only the compact serialization."""
    header, payload, signature = join().split(".")
    refuse(json.dumps({"protected": header, "payload": payload, "signature": signature}), Reason.NOT_A_JWT)


SPELLINGS = {
    "padding": lambda part: part + "=" * (-len(part) % 4 or 4),
    "stray-bits": lambda part: part[:-1] + chr(ord(part[-1]) + 1),
    "length-of-1-mod-4": lambda part: part + "A" * ((1 - len(part)) % 4),
    "newline": lambda part: part + "\n",
    "space": lambda part: part[:4] + " " + part[4:],
    "nul": lambda part: part + "\x00",
    "foreign-octet": lambda part: part + "!",
    "non-ascii": lambda part: part + "é",
    "surrogate": lambda part: part + "\ud800",
    "fullwidth": lambda part: "ａ" + part,
}


@pytest.mark.parametrize(
    "respell",
    [
        pytest.param(respell, id=name, marks=pytest.mark.norm("7515-5" if name == "stray-bits" else "7519-1"))
        for name, respell in SPELLINGS.items()
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2], ids=["header", "payload", "signature"])
def test_base64url_has_one_spelling(respell, place):
    """RFC 7515, section 2: no padding, no other character; and stray bits are zero."""
    # Lengths that leave unused bits in the last character.
    parts = [encode(b'{"alg":"ES256"}'.ljust(34)), encode(to_octets(make_claims()).ljust(202)), encode(b"s" * 64)]
    parse_token(".".join(parts))
    parts[place] = respell(parts[place])
    refuse(".".join(parts))


@pytest.mark.norm("7519-1")
def test_the_standard_alphabet_is_another_spelling():
    """``+`` and ``/`` are base64, not base64url."""
    signature = encode(b"\xfb\xff" * 32)
    assert "-" in signature
    assert "_" in signature
    header, payload, _ = join().split(".")
    parse_token(f"{header}.{payload}.{signature}")
    refuse(f"{header}.{payload}.{signature.replace('-', '+')}")
    refuse(f"{header}.{payload}.{signature.replace('_', '/')}")


JSON = {
    "empty": b"",
    "text": b"hello",
    "string": b'"alg"',
    "array": b'["alg"]',
    "number": b"5",
    "null": b"null",
    "true": b"true",
    "truncated": b'{"alg":',
    "trailing": b'{"alg":"ES256"}{}',
    "trailing-nul": b'{"alg":"ES256"}\x00',
    "trailing-comma": b'{"alg":"ES256",}',
    "single-quotes": b"{'alg':'ES256'}",
    "comment": b'{"alg":"ES256"/**/}',
    "bom": b'\xef\xbb\xbf{"alg":"ES256"}',
    "utf-16": '{"alg":"ES256"}'.encode("utf-16"),
    "utf-32": '{"alg":"ES256"}'.encode("utf-32-le"),
    "latin-1": '{"alg":"ES256","x":"é"}'.encode("latin-1"),
    "overlong": b'{"alg":"ES256","x":"\xc0\xaf"}',
    "encoded-surrogate": b'{"alg":"ES256","x":"\xed\xa0\x80"}',
    "control-in-string": b'{"alg":"ES256","x":"a\nb"}',
    "member-twice": b'{"alg":"ES256","alg":"none"}',
    "member-twice-escaped": b'{"alg":"ES256","\\u0061lg":"none"}',
    "member-twice-inside": b'{"alg":"ES256","x":{"y":1,"y":1}}',
    "nan": b'{"alg":"ES256","x":NaN}',
    "infinity": b'{"alg":"ES256","x":Infinity}',
    "minus-infinity": b'{"alg":"ES256","x":-Infinity}',
    "overflow": b'{"alg":"ES256","x":1e400}',
    "endless-number": b'{"alg":"ES256","x":' + b"9" * 5_000 + b"}",
    "deep": b'{"alg":"ES256","x":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "deep-objects": b'{"alg":"ES256","x":' + b'{"x":' * 32 + b"1" + b"}" * 32 + b"}",
    "deeper-than-the-interpreter": b"[" * 11_000,
}


def name_norm(name):
    """Return the norm against which this JSON is."""
    if name.startswith("member-twice"):
        return "7519-3"
    return "8725-9" if name.startswith("deep") else "7519-2"


@pytest.mark.parametrize(
    "octets", [pytest.param(octets, id=name, marks=pytest.mark.norm(name_norm(name))) for name, octets in JSON.items()]
)
@pytest.mark.parametrize("place", [0, 1], ids=["header", "payload"])
def test_json_has_one_meaning(octets, place):
    """RFC 7519, section 7.2; RFC 8259: a UTF-8 object, members once, finite numbers, bounded depth."""
    refuse(join(octets) if place == 0 else join(None, octets), max_length=100_000)


@pytest.mark.norm("8725-9")
@pytest.mark.parametrize("innermost", [b"", b"1"], ids=["empty", "scalar"])
def test_depth_counts_objects_and_arrays(innermost):
    """Thirty-two levels pass, whatever stands in the last one; one more does not."""
    octets = b'{"x":' + b"[" * 31 + innermost + b"]" * 31 + b"}"
    assert parse_token(join(payload=octets)).claims
    assert parse_token(join(payload=octets[:-1] + b',"y":[{},[],{}]}')).claims
    refuse(join(payload=octets.replace(b'{"x":', b'{"x":[').replace(b"]}", b"]]}")))


def test_many_members_beside_each_other_are_not_deep():
    """Depth is not the number of brackets."""
    assert parse_token(join(payload=make_claims(groups=[{"id": n} for n in range(100)])))


def test_a_refusal_quotes_nothing_of_the_token():
    """The description goes to whoever asks, and the token may be another's."""
    assert "secret" not in str(refuse(join(b'{"secret":1,"secret":2}')))
    assert "secret" not in refuse(join({**HEADER, "typ": 5, "x": "secret"})).description


@pytest.mark.norm("7515-2")
@pytest.mark.parametrize(
    "members",
    [
        {"crit": ["exp"]},
        {"crit": []},
        {"crit": None},
        {"crit": 5},
        {"crit": ["b64"], "b64": False},
        {"b64": False},
        {"b64": True},
        {"crit": ["alg"]},
        {"crit": {}},
    ],
)
def test_critical_extensions_are_refused(members):
    """RFC 7515, section 4.1.11: not understood is refused; RFC 7797 has no place in a JWT."""
    refuse(join({**HEADER, **members}), Reason.CRITICAL_HEADER)


@pytest.mark.norm("7515-3")
@pytest.mark.parametrize(
    "members",
    [
        {"jku": "https://evil.example/keys"},
        {"x5u": 5},
        {"jwk": make_key("ES256", "evil").public},
        {"x5c": ["AA=="]},
        {"nonce": "x"},
        {"x5t#S256": None},
        {"cty": "JWT"},
        {"zip": "DEF"},
    ],
    ids=lambda members: next(iter(members)),
)
def test_other_parameters_are_ignored(members):
    """RFC 7515, section 4: what is not understood and not critical is ignored."""
    assert parse_token(join({**HEADER, **members})).kid == "key-1"


@pytest.mark.norm("7515-1")
@pytest.mark.parametrize(
    "alg", [None, 5, ["ES256"], {"ES256": 1}, True], ids=["null", "number", "array", "object", "true"]
)
def test_an_algorithm_is_a_string(alg):
    """RFC 7515, section 4.1.1."""
    refuse(join({**HEADER, "alg": alg}))


@pytest.mark.norm("7515-1")
def test_an_algorithm_must_be_there():
    """RFC 7515, section 4.1.1: it must be present."""
    refuse(join({"typ": "JWT"}))


def test_ed25519_is_eddsa():
    """RFC 9864 names the one curve that we have."""
    assert parse_token(join({**HEADER, "alg": "Ed25519"})).algorithm == "EdDSA"


@pytest.mark.norm("8725-6")
@pytest.mark.parametrize("kid", [None, 5, ["key-1"], {"kid": 1}, True, "k" * 257])
def test_a_kid_is_a_short_string(kid):
    """RFC 7515, section 4.1.4; its length is bounded."""
    refuse(join({**HEADER, "kid": kid}))


@pytest.mark.norm("8725-6")
@pytest.mark.parametrize(
    "kid", ["", "../../dev/null", "' OR 1=1", "|sleep 5", "a\x00b", "k" * 256, "\r\nX: y", "\ud800", "http://evil/"]
)
def test_a_kid_is_data(kid):
    """RFC 8725, section 3.10: it is compared and nothing else."""
    assert parse_token(join({**HEADER, "kid": kid})).kid == kid


def test_no_kid_is_no_kid():
    """Absent is not the empty string."""
    assert parse_token(join({"alg": "ES256"})).kid is None


@pytest.mark.norm("9068-1")
@pytest.mark.parametrize(
    ("typ", "normalized"),
    [
        ("JWT", "jwt"),
        ("at+jwt", "at+jwt"),
        ("application/AT+JWT", "at+jwt"),
        ("Application/jwt", "jwt"),
        ("", ""),
        ("application/", ""),
        ("application/application/jwt", "application/jwt"),
        ("logout+jwt", "logout+jwt"),
    ],
)
def test_types_are_media_types(typ, normalized):
    """RFC 7515, section 4.1.9: case-insensitive, ``application/`` may be left out."""
    assert parse_token(join({**HEADER, "typ": typ})).typ == normalize_typ(typ) == normalized


def test_an_absent_type_is_none():
    """``none`` in the list of accepted types stands for the absent one."""
    assert parse_token(join({"alg": "ES256"})).typ == "none"


@pytest.mark.parametrize("typ", [None, 5, ["JWT"], "none", "NONE", "application/none"])
def test_a_type_cannot_pass_for_the_absent_one(typ):
    """A token that says "none" has a type."""
    refuse(join({**HEADER, "typ": typ}))


@pytest.mark.norm("8725-4")
@pytest.mark.parametrize("name", ["iss", "sub", "jti"])
@pytest.mark.parametrize("value", [None, 5, True, [], {}, ["x"]])
def test_names_are_strings(name, value):
    """RFC 7519, sections 4.1.1, 4.1.2, 4.1.7: another type is not taken for absent."""
    refuse(join(payload=make_claims(**{name: value})))


@pytest.mark.norm("7519-6")
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", [None, True, False, "1700000000", [], {}, -1, -0.5, 2**53, 10**300, 1e300])
def test_times_are_numbers_of_seconds(name, value):
    """RFC 7519, section 2 (NumericDate): finite, not negative, and never taken for absent."""
    refuse(join(payload=make_claims(**{name: value})))


@pytest.mark.norm("7519-6")
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b'"NaN"'])
def test_times_are_finite(name, literal):
    """RFC 8259, section 6: no JSON number is infinite or none; what a parser makes of them is no time."""
    refuse(join(payload=b'{"%b":%b}' % (name.encode(), literal)))


@pytest.mark.norm("7519-6")
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", [0, 1.5, NOW, 2**53 - 1])
def test_times_may_have_fractions(name, value):
    """RFC 7519, section 2: non-integer values can be represented."""
    token = parse_token(join(payload=make_claims(**{name: value})))
    assert token.claims[name] == getattr(token, name) == value


@pytest.mark.norm("7519-7")
@pytest.mark.parametrize("value", [None, 5, True, {}, {"a": 1}, ["a", 1], [None], [["a"]]])
def test_audiences_are_strings(value):
    """RFC 7519, section 4.1.3: one bad member voids the claim."""
    refuse(join(payload=make_claims(aud=value)))


@pytest.mark.norm("7519-7")
@pytest.mark.parametrize("value", ["", "a", [], ["a", "b"], ["a", "a"]])
def test_audiences_may_be_one_or_many(value):
    """RFC 7519, section 4.1.3: a string, or an array of strings, be it empty."""
    assert parse_token(join(payload=make_claims(aud=value))).claims["aud"] == value


@pytest.mark.parametrize(
    ("token", "received", "expected"),
    [
        (join(payload={"exp": "1700000000"}), "exp: a string", "exp: a JSON number of seconds since 1970"),
        (join(payload={"aud": {}}), "aud: an object", "aud: a string, or an array"),
        (join(payload={"iss": 1.5}), "iss: a number", "iss: a string"),
        (join({"alg": None}), "alg: nothing", "alg: a string"),
        (join({"alg": "ES256", "kid": True}), "kid: true or false", "kid: a string"),
        (join({"alg": "ES256", "typ": []}), "typ: an array", "typ: a media type"),
        (join(payload=b'{"sub":"a","sub":"b"}'), "payload: a member twice", "payload: JSON with each member once"),
        (join(b'{"alg":"ES256","x":1e999}'), "header: a number that is not finite", "header: JSON with each member"),
        (join(payload=b'{"x":' + b"[" * 32 + b"]" * 32 + b"}"), "payload: more than 32 levels", "payload: at most 32"),
    ],
)
def test_what_no_copying_does_says_both_sides(token, received, expected):
    """None makes a number of a string: the issuer is to look for it, and learns what is wrong but not the value."""
    refused = refuse(token)
    assert refused.received.startswith(received)
    assert refused.expected.startswith(expected)


@pytest.mark.norm("7519-9")
def test_other_claims_may_be_anything():
    """RFC 7519, section 4: claims that are not understood are ignored, here read exactly."""
    claims = make_claims(big=2**80, text="\u0000\ud800", nested={"a": [None, True, 1.5]})
    assert parse_token(join(payload=claims)).claims == claims


def test_a_token_may_name_no_issuer():
    """That is for the providers to refuse, with a reason of its own."""
    assert parse_token(join(payload={})).issuer is None
    assert parse_token(join(make_header(make_key()), {})).claims == {}
