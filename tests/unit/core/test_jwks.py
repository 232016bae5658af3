"""JWK Sets: usable keys, and the others with the reason why not."""

from __future__ import annotations

import datetime as dt
import json
import re

import pytest

from gateway.core.jwks import (
    ALGORITHMS,
    MAX_CANDIDATES,
    MAX_KEYS,
    KeySetError,
    build_key_set,
    export_key_set,
    normalize_algorithm,
    parse_key_set,
)
from tests import signing
from tests.signing import decode, encode, make_key

RSA = make_key("RS256").public
EC = make_key("ES256").public
OKP = make_key("EdDSA").public
RSA_ALGORITHMS = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}


def without(jwk, *members):
    return {name: value for name, value in jwk.items() if name not in members}


def to_base64(number):
    return encode(number.to_bytes((number.bit_length() + 7) // 8 or 1, "big"))


@pytest.mark.norm("7517-3")
@pytest.mark.parametrize(
    ("jwk", "algorithms"),
    [
        (RSA, RSA_ALGORITHMS),
        ({**RSA, "alg": "PS384"}, {"PS384"}),
        (EC, {"ES256"}),
        (make_key("ES384").public, {"ES384"}),
        (make_key("ES512").public, {"ES512"}),
        ({**EC, "alg": "ES256"}, {"ES256"}),
        (OKP, {"EdDSA"}),
        ({**OKP, "alg": "EdDSA"}, {"EdDSA"}),
        ({**OKP, "alg": "Ed25519"}, {"EdDSA"}),
        (without(RSA, "use", "kid"), RSA_ALGORITHMS),
        ({**RSA, "use": "sig", "key_ops": ["verify"]}, RSA_ALGORITHMS),
        ({**without(EC, "use"), "key_ops": ["sign", "verify"]}, {"ES256"}),
        ({**RSA, "x5c": ["not looked at"], "x5u": 5, "foo": {"bar": []}}, RSA_ALGORITHMS),
        ({**RSA, "kid": ""}, RSA_ALGORITHMS),
        ({**RSA, "kid": "k" * 256}, RSA_ALGORITHMS),
        ({**RSA, "n": to_base64((1 << 8191) | 1)}, RSA_ALGORITHMS),
    ],
    ids=[
        "rsa",
        "rsa-alg",
        "p-256",
        "p-384",
        "p-521",
        "ec-alg",
        "ed25519",
        "eddsa",
        "rfc9864",
        "bare",
        "key-ops",
        "key-ops-without-use",
        "unknown-members",
        "empty-kid",
        "longest-kid",
        "largest-modulus",
    ],
)
def test_a_key_serves_what_its_type_and_alg_allow(jwk, algorithms):
    """RFC 8725, section 3.1; RFC 7517, section 4.4: ``alg`` narrows what the type and the curve allow."""
    key_set = build_key_set({"keys": [jwk]})
    assert key_set.skipped == ()
    assert key_set.keys[0].algorithms == algorithms
    assert key_set.keys[0].kid == jwk.get("kid")


BAD_KEYS = {
    "string": ("x", "not an object"),
    "null": (None, "not an object"),
    "array": ([RSA], "not an object"),
    "no-kty": (without(RSA, "kty"), "kty is not"),
    "unknown-kty": ({**RSA, "kty": "PQC"}, "kty is not"),
    "kty-lower-case": ({**RSA, "kty": "rsa"}, "kty is not"),
    "kty-array": ({**RSA, "kty": ["RSA"]}, "kty is not"),
    "kty-of-another-type": ({**EC, "kty": "OKP"}, "no valid key"),
    "symmetric": ({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}, "symmetric"),
    "symmetric-without-key": ({"kty": "oct"}, "symmetric"),
    "private": (make_key("RS256").key.as_dict(private=True), "private"),
    "private-exponent": ({**EC, "d": "AQ"}, "private"),
    "private-null": ({**EC, "d": None}, "private"),
    "private-ed25519": (make_key("EdDSA").key.as_dict(private=True), "private"),
    "private-prime": ({**RSA, "p": "AQ"}, "private"),
    "rsa-with-secret": ({**RSA, "k": "AQ"}, "private"),
    "use-enc": ({**RSA, "use": "enc"}, "use is not sig"),
    "use-null": ({**RSA, "use": None}, "use is not sig"),
    "key-ops-sign": ({**RSA, "key_ops": ["sign"]}, "key_ops"),
    "key-ops-empty": ({**RSA, "key_ops": []}, "key_ops"),
    "key-ops-string": ({**RSA, "key_ops": "verify"}, "key_ops"),
    "kid-number": ({**RSA, "kid": 1}, "kid is not"),
    "kid-array": ({**RSA, "kid": ["a"]}, "kid is not"),
    "kid-too-long": ({**RSA, "kid": "k" * 257}, "kid is not"),
    "alg-of-another-type": ({**RSA, "alg": "ES256"}, "ES256 is no signature algorithm"),
    "alg-of-another-curve": ({**EC, "alg": "ES384"}, "ES384 is no"),
    "alg-for-encryption": ({**RSA, "alg": "RSA-OAEP"}, "RSA-OAEP is no"),
    "alg-hmac": ({**RSA, "alg": "HS256"}, "HS256 is no"),
    "alg-none": ({**RSA, "alg": "none"}, "none is no"),
    "alg-number": ({**RSA, "alg": 5}, "alg is no"),
    "alg-empty": ({**RSA, "alg": ""}, "alg is no"),
    "alg-injection": ({**RSA, "alg": "RS256\r\nX: y"}, "alg is no"),
    "alg-surrogate": ({**RSA, "alg": "\ud800"}, "alg is no"),
    "alg-long": ({**RSA, "alg": "A" * 99}, "^A{32} is no"),
    "crv-secp256k1": ({**EC, "crv": "secp256k1"}, "crv is not"),
    "crv-x25519": ({**OKP, "crv": "X25519"}, "crv is not"),
    "crv-ed448": ({**OKP, "crv": "Ed448"}, "crv is not"),
    "crv-absent": (without(EC, "crv"), "crv is not"),
    "crv-array": ({**EC, "crv": ["P-256"]}, "crv is not"),
    "crv-of-okp": ({**EC, "crv": "Ed25519"}, "no valid key"),
    "crv-of-ec": ({**OKP, "crv": "P-256"}, "no valid key"),
    "crv-of-another-size": ({**EC, "crv": "P-384"}, "no valid key"),
    "x-absent": (without(EC, "x"), "crv, x, y"),
    "y-null": ({**EC, "y": None}, "crv, x, y"),
    "y-number": ({**EC, "y": 5}, "crv, x, y"),
    "n-empty": ({**RSA, "n": ""}, "n, e"),
    "e-absent": (without(RSA, "e"), "n, e"),
    "off-the-curve": ({**EC, "x": EC["y"], "y": EC["x"]}, "no valid key"),
    "at-infinity": ({**EC, "x": to_base64(0), "y": to_base64(0)}, "no valid key"),
    "ed25519-short": ({**OKP, "x": OKP["x"][:-4]}, "no valid key"),
    "n-not-base64url": ({**RSA, "n": "/" + RSA["n"][1:]}, "no valid key"),
    "n-padded": ({**RSA, "n": RSA["n"] + "=="}, "no valid key"),
    "n-with-space": ({**RSA, "n": " " + RSA["n"]}, "no valid key"),
    "n-not-ascii": ({**RSA, "n": "é" * 400}, "no valid key"),
    "n-surrogate": ({**RSA, "n": "\ud800" + RSA["n"]}, "no valid key"),
    "rsa-1024": ({**RSA, "n": to_base64((1 << 1023) | 1)}, "modulus of 1024 bits"),
    "rsa-2047": ({**RSA, "n": to_base64((1 << 2046) | 1)}, "modulus of 2047 bits"),
    "rsa-8193": ({**RSA, "n": to_base64((1 << 8192) | 1)}, "modulus of 8193 bits"),
    "rsa-65536": ({**RSA, "n": to_base64((1 << 65535) | 1)}, "modulus of 65536 bits"),
    "rsa-even": ({**RSA, "n": to_base64(1 << 2047)}, "modulus of 2048 bits; odd"),
    "exponent-0": ({**RSA, "e": to_base64(0)}, "exponent"),
    "exponent-1": ({**RSA, "e": to_base64(1)}, "exponent"),
    "exponent-even": ({**RSA, "e": to_base64(65536)}, "exponent"),
    "exponent-65-bits": ({**RSA, "e": to_base64((1 << 64) | 1)}, "exponent"),
}


# Of keys by the beginning of their names; the others are against 7517-1.
NORMS = {
    "use-": "7517-2",
    "key-ops-": "7517-2",
    "alg-of-another-": "7518-1",
    "alg-hmac": "7518-1",
    "crv-of-another-size": "7518-1",
    "rsa-1024": "7518-1",
    "rsa-2047": "7518-1",
    "symmetric": "7517-5",
    "private": "7517-5",
    "rsa-with-secret": "7517-5",
    "crv-ed448": "8037-1",
    "off-the-curve": "8725-9",
    "at-infinity": "8725-9",
}


def name_norm(name):
    """Return the norm against which this key is."""
    return next((norm for beginning, norm in NORMS.items() if name.startswith(beginning)), "7517-1")


@pytest.mark.parametrize(
    ("jwk", "why"),
    [pytest.param(*case, id=name, marks=pytest.mark.norm(name_norm(name))) for name, case in BAD_KEYS.items()],
)
def test_a_bad_key_is_skipped_and_named_and_the_others_work(jwk, why):
    """RFC 7517, section 5: keys that are not understood are ignored; one bad key must not take the issuer down."""
    key_set = build_key_set({"keys": [EC, jwk, OKP]})
    assert [key.algorithms for key in key_set.keys] == [{"ES256"}, {"EdDSA"}]
    (skipped,) = key_set.skipped
    assert skipped.index == 1
    assert re.search(why, skipped.why)
    assert skipped.is_exposed == ("can sign" in skipped.why)


def test_a_skipped_key_is_named_by_its_kid_cut_short():
    """For the log: the kid as far as it is text, never more than 256 characters."""
    key_set = build_key_set({"keys": [{"kid": "a"}, {"kid": "k" * 999}, {"kid": 5}, "x"]})
    assert [skipped.kid for skipped in key_set.skipped] == ["a", "k" * 256, None, None]
    assert [skipped.index for skipped in key_set.skipped] == [0, 1, 2, 3]


@pytest.mark.parametrize("exponent", [3, 65537, (1 << 64) - 1])
def test_odd_exponents_to_64_bits_are_taken(exponent):
    """Old issuers sign with 3; beyond 64 bits a verification costs the time of a signature."""
    assert build_key_set({"keys": [{**RSA, "e": to_base64(exponent)}]}).keys


DOCUMENTS = {
    "empty": b"",
    "html": b"<html></html>",
    "truncated": b'{"keys": [',
    "trailing-comma": b'{"keys": [],}',
    "binary": b"\xff\xfe\x00",
    "bom": '\ufeff{"keys": []}',
    "array": b"[]",
    "string": b'"keys"',
    "null": b"null",
    "no-keys": b"{}",
    "keys-null": b'{"keys": null}',
    "keys-object": b'{"keys": {}}',
    "keys-string": b'{"keys": "x"}',
    "keys-twice": b'{"keys": [], "keys": []}',
    "deep": b'{"keys": [' + b"[" * 100_000,
    "endless-number": b'{"keys": [' + b"9" * 5_000 + b"]}",
    "one-key": json.dumps(RSA).encode(),
}


@pytest.mark.norm("7519-3")
@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_what_is_no_key_set_is_refused_as_a_whole(document):
    """RFC 7517, section 5: an object with an array ``keys``, which stands once."""
    with pytest.raises(KeySetError, match=r"not JSON|not a JWK Set"):
        parse_key_set(document)


@pytest.mark.parametrize("depth", range(900, 1000, 3))
def test_deep_members_are_data_or_refused(depth):
    """A document nested to the edge of the recursion limit may be read, and then nothing after that may fail."""
    try:
        assert parse_key_set('{"keys": [], "x": ' + "[" * depth + "]" * depth + "}").keys == ()
    except KeySetError:
        pass


@pytest.mark.norm("7519-3")
def test_a_key_with_a_member_twice_is_skipped():
    """Two readers could verify with two keys; the other keys work."""
    twice = json.dumps(EC)[:-1] + ', "kid": "other"}'
    key_set = parse_key_set(f'{{"keys": [{twice}, {json.dumps(OKP)}]}}')
    assert [key.algorithms for key in key_set.keys] == [{"EdDSA"}]
    assert "a member twice" in key_set.skipped[0].why


def test_a_set_has_a_bound():
    """Each key costs memory and an import; no issuer has so many."""
    assert build_key_set({"keys": ["x"] * MAX_KEYS}).skipped[-1].index == MAX_KEYS - 1
    with pytest.raises(KeySetError, match="65 keys"):
        build_key_set({"keys": ["x"] * (MAX_KEYS + 1)})


def test_an_inline_set_may_hold_what_json_does_not():
    """YAML gives dates and numbers as names; in a member that nobody reads they harm nobody."""
    key_set = build_key_set({"keys": [{**EC, "issued": dt.date(2024, 1, 1)}], 5: "x", "a": None})
    assert len(key_set.keys) == 1


def test_generations_are_equal_for_equal_keys():
    """What was proved with a set holds for as long as its keys are the same."""
    document = json.dumps({"keys": [EC, OKP]})
    assert parse_key_set(document).generation == parse_key_set(document.replace(" ", "\n").encode()).generation


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [EC],
        [OKP, EC],
        [{**EC, "kid": "other"}, OKP],
        [{**EC, "kid": None}, OKP],
        [{**RSA, "kid": EC["kid"]}, OKP],
        [EC, OKP, "x"],
        [EC, {**RSA, "alg": "RS256"}],
        [{**EC, "kid": "\ud800"}, OKP],
    ],
)
def test_generations_differ_where_keys_differ(keys):
    """A key that went, came or changed its name, its algorithm or its value is another generation."""
    assert build_key_set({"keys": keys}).generation != build_key_set({"keys": [EC, OKP]}).generation


@pytest.mark.norm("7517-2", "7517-4")
def test_candidates_have_the_kid_and_the_algorithm():
    """RFC 7515, section 4.1.4: several keys may share a ``kid``; it is compared by code point."""
    key_set = build_key_set(
        {"keys": [{**RSA, "kid": "a"}, {**EC, "kid": "a"}, {**OKP, "kid": "A"}, without(EC, "kid")]}
    )
    assert [key.algorithms for key in key_set.select_candidates("ES256", "a")] == [{"ES256"}]
    assert key_set.select_candidates("EdDSA", "a") == ()
    assert key_set.select_candidates("ES384", "a") == ()
    assert key_set.select_candidates("ES256", "") == ()
    assert len(key_set.select_candidates("ES256", None)) == 2
    assert key_set.has_kid("a")
    assert not key_set.has_kid("b")


@pytest.mark.norm("7517-4")
@pytest.mark.parametrize("kid", [None, "same"])
def test_a_token_tries_few_keys(kid):
    """Each try costs a verification, and whoever asks pays nothing: four of the first, with one name or without any."""
    keys = [{**make_key("ES256", f"key-{number}").public, "kid": "same"} for number in range(6)]
    key_set = build_key_set({"keys": [RSA, *keys]})
    assert key_set.select_candidates("ES256", kid) == key_set.keys[1:5]
    assert MAX_CANDIDATES == 4


@pytest.mark.norm("7519-8")
def test_a_kid_is_not_normalized():
    """Two spellings of one character are two names."""
    key_set = build_key_set({"keys": [{**EC, "kid": "caf\u00e9"}]})
    assert key_set.select_candidates("ES256", "caf\u00e9")
    assert not key_set.select_candidates("ES256", "cafe\u0301")


@pytest.mark.norm("8725-9")
@pytest.mark.parametrize("removed", ["y", "d"], ids=["alone", "beside-y"])
@pytest.mark.parametrize("sign", [b"\x02", b"\x03"])
def test_a_point_is_not_compressed(sign, removed):
    """RFC 7518, section 6.2.1: each coordinate has its octets; one of them and a sign is no key."""
    assert build_key_set({"keys": [{**without(EC, removed), "x": encode(sign + decode(EC["x"]))}]}).keys == ()


@pytest.mark.norm("8037-1")
def test_algorithms_have_one_name():
    """RFC 9864 names the curve, RFC 8037 does not; with one curve the two are one."""
    assert normalize_algorithm("Ed25519") == "EdDSA"
    assert [normalize_algorithm(name) for name in ("RS256", "EDDSA", "none")] == ["RS256", "EDDSA", "none"]


@pytest.mark.norm("7518-1")
def test_no_symmetric_algorithm_is_known():
    """Whoever can verify with one can sign with it; RFC 8725, section 3.1."""
    assert set(signing.ALGORITHMS) == ALGORITHMS


def test_exported_keys_are_the_same_keys():
    """Read again they are equal, of whatever type and with whatever was said of them; nothing private is exported."""
    said = [
        RSA,
        {**RSA, "alg": "PS384", "kid": "pinned"},
        {**EC, "kid": "é\ud800", "x5c": ["AAAA"], "key_ops": ["verify"]},
        {**without(OKP, "kid"), "alg": "Ed25519"},
        make_key("ES384").public,
        make_key("ES512").public,
    ]
    keys = build_key_set({"keys": said})
    exported = export_key_set(keys)
    assert {member for key in exported["keys"] for member in key} == {"kty", "alg", "kid", "n", "e", "crv", "x", "y"}
    assert parse_key_set(json.dumps(exported)).generation == keys.generation


def test_skipped_keys_are_not_exported():
    """A private or symmetric key that an issuer published by mistake goes no further."""
    private = make_key("EdDSA").key.as_dict(private=True)
    keys = build_key_set({"keys": [private, {"kty": "oct", "k": "AAAA"}, {**RSA, "use": "enc"}, EC]})
    assert [key["kty"] for key in export_key_set(keys)["keys"]] == ["EC"]
    assert "d" not in export_key_set(keys)["keys"][0]
