"""The rules of one provider, one check after the other."""

from __future__ import annotations

import dataclasses
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from gateway.core.audience import parse_audience_regex
from gateway.core.claims import ClaimRequirement
from gateway.core.errors import Reason, TokenRefused
from gateway.core.jwks import build_key_set
from gateway.core.jwt import parse_token
from gateway.core.tokens import (
    Provider,
    check_algorithm,
    check_claims,
    check_typ,
    normalize_issuer,
    select_keys,
    verify_signature,
)
from tests.policies import RFC9068, make_provider
from tests.signing import (
    ABSENT,
    ALGORITHMS,
    AUDIENCE,
    ISSUER,
    NOW,
    decode,
    encode,
    make_header,
    make_key,
    make_key_set,
    make_token,
    sign_token,
    sign_with_secret,
)

ORGANIZATION = "urn:logto:organization:{organization}"


def check(provider=None, now=NOW, **claims):
    return check_claims(parse_token(make_token(**claims)), provider or make_provider(), now)


def refuse(reason, provider=None, now=NOW, **claims):
    with pytest.raises(TokenRefused) as refused:
        check(provider, now, **claims)
    assert refused.value.reason is reason
    return refused.value


def refuse_signature(text, *keys):
    token = parse_token(text)
    with pytest.raises(TokenRefused) as refused:
        verify_signature(token, make_key_set(*keys).select_candidates(token.algorithm, token.kid))
    assert refused.value.reason is Reason.BAD_SIGNATURE


# --- issuer


@pytest.mark.norm("7519-8")
@pytest.mark.parametrize("issuer", [ISSUER, ISSUER + "/", ISSUER + "///"])
@pytest.mark.parametrize("written", [ISSUER, ISSUER + "/"])
def test_trailing_slashes_of_an_issuer_are_ignored(issuer, written):
    """As Convex does: on both sides, and nothing else is."""
    assert make_provider(issuers=("https://first.example", written)).has_issuer(issuer)
    assert normalize_issuer(issuer) == ISSUER


@pytest.mark.norm("7519-8")
@pytest.mark.parametrize(
    "issuer",
    [
        "",
        "/",
        ISSUER.upper(),
        ISSUER.replace("https", "http"),
        ISSUER + "/x",
        " " + ISSUER,
        ISSUER + "?",
        ISSUER[8:],
        ISSUER[:-1],
    ],
)
def test_nothing_else_of_an_issuer_is_ignored(issuer):
    """RFC 7519, section 4.1.1: case-sensitive, no normalization of URLs."""
    assert not make_provider().has_issuer(issuer)


@pytest.mark.norm("9068-3")
@pytest.mark.parametrize(("written", "issuer"), [(ISSUER, ISSUER + "/"), (ISSUER + "/", ISSUER)])
def test_rfc9068_compares_issuers_exactly(written, issuer):
    """RFC 9068, section 4: it must exactly match."""
    provider = make_provider(issuers=(written,), **RFC9068)
    assert provider.has_issuer(written)
    assert not provider.has_issuer(issuer)


def test_the_defaults_are_those_of_the_docs():
    """What a provider is that says no more than it must: five seconds of leeway, no audience, the usual claims."""
    provider = Provider("main", "customJwt", (ISSUER,), frozenset({"RS256"}))
    assert (provider.leeway_seconds, provider.max_lifetime_seconds) == (5.0, None)
    assert (provider.audiences, provider.allow_any_audience, provider.audience_claim) == ((), False, "aud")
    assert (provider.types, provider.is_rfc9068) == ({"jwt", "at+jwt", "none"}, False)
    assert (provider.scope_claims, provider.client_claims) == (("scope", "scp"), ("client_id", "azp"))
    assert (provider.organization_claims, provider.required_claims) == (("organization_id", "org_id"), ())


# --- header


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", "application/at+JWT", ABSENT])
def test_usual_types_are_accepted(typ):
    """The default takes what issuers write on access tokens."""
    check_typ(parse_token(make_token(header={"typ": typ})), make_provider())


@pytest.mark.norm("8725-8")
@pytest.mark.parametrize("typ", ["logout+jwt", "dpop+jwt", "secevent+jwt", "JOSE", "", "id+jwt", "none+jwt"])
def test_tokens_of_another_kind_are_refused(typ):
    """RFC 8725, section 3.11: a logout token or a proof is no access token, whoever signed it."""
    with pytest.raises(TokenRefused) as refused:
        check_typ(parse_token(make_token(header={"typ": typ})), make_provider())
    assert refused.value.reason is Reason.TYP_NOT_ACCEPTED
    assert refused.value.expected == ("at+jwt", "jwt", "none")


@pytest.mark.norm("9068-1")
@pytest.mark.parametrize("typ", ["JWT", ABSENT, "application/jwt"])
def test_rfc9068_wants_its_own_type(typ):
    """RFC 9068, section 4: at+jwt or application/at+jwt, any other value is refused."""
    with pytest.raises(TokenRefused) as refused:
        check_typ(parse_token(make_token(header={"typ": typ})), make_provider(**RFC9068))
    assert refused.value.reason is Reason.TYP_NOT_ACCEPTED
    check_typ(parse_token(make_token(header={"typ": "application/AT+jwt"})), make_provider(**RFC9068))


@pytest.mark.norm("7515-1", "8725-1")
@pytest.mark.parametrize(
    "alg", ["none", "None", "nOnE", "NONE", "HS256", "HS512", "es256", "RS256 ", "ES256K", "RSA1_5", ""]
)
def test_other_algorithms_are_refused(alg):
    """RFC 8725, section 3.1: the file lists them; no spelling of ``none`` and no HMAC can be in it."""
    with pytest.raises(TokenRefused) as refused:
        check_algorithm(parse_token(make_token(header={"alg": alg})), make_provider())
    assert refused.value.reason is Reason.ALGORITHM_NOT_ACCEPTED
    assert refused.value.received == alg


@pytest.mark.norm("8725-1")
def test_only_the_listed_algorithms_are_accepted():
    """A key of the issuer that serves more is no reason to take more."""
    provider = make_provider(algorithms=frozenset({"RS256"}))
    check_algorithm(parse_token(make_token(make_key("RS256"))), provider)
    with pytest.raises(TokenRefused) as refused:
        check_algorithm(parse_token(make_token(make_key("PS256"))), provider)
    assert refused.value.reason is Reason.ALGORITHM_NOT_ACCEPTED


# --- keys and signatures


def test_a_key_is_found_by_kid_and_algorithm():
    """RFC 7515, section 4.1.4."""
    keys = make_key_set(make_key("ES256", "a"), make_key("ES256", "b"))
    (candidate,) = select_keys(parse_token(make_token(make_key("ES256", "b"))), keys)
    assert candidate.kid == "b"


@pytest.mark.norm("7517-2", "8725-3")
@pytest.mark.parametrize(
    "header",
    [{"kid": "other"}, {"kid": ""}, {"kid": "KEY-1"}, {"alg": "ES384"}, {"alg": "RS256", "kid": ABSENT}],
    ids=["kid", "empty-kid", "case-of-kid", "algorithm", "no-kid"],
)
def test_no_key_that_fits_is_refused(header):
    """A ``kid`` is never looked up elsewhere, and no other key is tried in its place."""
    with pytest.raises(TokenRefused) as refused:
        select_keys(parse_token(make_token(header=header)), make_key_set(make_key()))
    assert refused.value.reason is Reason.UNKNOWN_KEY
    assert refused.value.expected == ("key-1",)


@pytest.mark.parametrize(
    "algorithm",
    [
        pytest.param(algorithm, marks=pytest.mark.norm({"EdDSA": "8037-1", "RS256": "9068-6"}.get(algorithm, "7518-1")))
        for algorithm in ALGORITHMS
    ],
)
def test_every_algorithm_verifies(algorithm):
    """RFC 7518, section 3; RFC 8037, section 3.1: the key that signed is the one that is found."""
    token = parse_token(make_token(make_key(algorithm)))
    keys = make_key_set(make_key(algorithm, "key-0"), make_key(algorithm))
    assert verify_signature(token, keys.keys).kid == "key-1"


@pytest.mark.norm("8725-3")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_another_key_does_not_verify(algorithm):
    """A foreign key under the right name: same ``kid``, same algorithm."""
    impostor = dataclasses.replace(make_key(algorithm, "evil"), kid="key-1")
    refuse_signature(make_token(impostor), make_key(algorithm))


@pytest.mark.norm("7515-6")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 72, 96, 132, 255, 256, 257])
@pytest.mark.parametrize("octet", [b"\x00", b"\xff"], ids=["zeros", "ones"])
def test_no_made_up_signature_verifies(algorithm, length, octet):
    """Lengths of every primitive, r and s of zero or beyond the order: false, never an exception."""
    signing_input = make_token(make_key(algorithm)).rpartition(".")[0]
    refuse_signature(f"{signing_input}.{encode(octet * length)}", make_key(algorithm))


@pytest.mark.norm("7515-4")
@pytest.mark.parametrize(
    ("header", "payload"),
    [
        (b'{"kid":"key-1","alg":"ES256"}', b'{"iss" : "a" }'),
        (b' {"alg": "ES256",\r\n "kid": "key-1"}\n', b'{"b":1,"a":2}'),
        (b'{"\\u0061lg":"ES256","kid":"key-1"}', b'{"iss":"\\u0061"}'),
        (b'{"alg":"ES256","kid":"key-1"}', b'{"exp":1.70e9,"x":"\xc3\xa9"}'),
    ],
    ids=["blanks", "lines-and-order", "escapes", "numbers"],
)
def test_the_octets_are_signed_and_not_what_they_say(header, payload):
    """RFC 7515, section 5.2: JSON that is written in another way holds as it came, and not as we would write it."""
    text = sign_token(make_key(), header, payload)
    token = parse_token(text)
    assert verify_signature(token, make_key_set(make_key()).keys).kid == "key-1"
    signature = text.rpartition(".")[2]
    rewritten = ".".join(encode(json.dumps(json.loads(part)).encode()) for part in (header, payload))
    assert rewritten != text.rpartition(".")[0]
    refuse_signature(f"{rewritten}.{signature}", make_key())


@pytest.mark.norm("7518-1")
@pytest.mark.parametrize("signed", ["ES256", "ES384", "ES512"])
@pytest.mark.parametrize("claimed", ["ES256", "ES384", "ES512", "RS256", "PS256", "EdDSA"])
def test_each_curve_has_its_algorithm(signed, claimed):
    """RFC 7518, section 3.4: a key of one curve serves no other name, though its signature were good."""
    token = parse_token(make_token(make_key(signed), {"alg": claimed}))
    if claimed == signed:
        assert select_keys(token, make_key_set(make_key(signed)))
        return
    with pytest.raises(TokenRefused) as refused:
        select_keys(token, make_key_set(make_key(signed)))
    assert refused.value.reason is Reason.UNKNOWN_KEY


@pytest.mark.norm("8725-1")
@pytest.mark.parametrize(("named", "served"), [("RS256", {"RS256"}), (None, {"RS256", "PS256"})])
def test_a_key_serves_one_algorithm_if_it_says_which(named, served):
    """RFC 8725, section 3.1. Where an RSA key has no ``alg``, the list of the file is all that narrows it."""
    jwk = {**make_key("RS256").public, **({"alg": named} if named else {})}
    key_set, provider = build_key_set({"keys": [jwk]}), make_provider(algorithms=frozenset({"RS256", "PS256"}))
    taken = set()
    for algorithm in ALGORITHMS[:6]:
        token = parse_token(make_token(make_key(algorithm)))
        try:
            check_algorithm(token, provider)
            verify_signature(token, select_keys(token, key_set))
        except TokenRefused:
            continue
        taken.add(algorithm)
    assert taken == served


@pytest.mark.norm("7515-4")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("place", [0, 1, 2], ids=["header", "payload", "signature"])
def test_a_changed_token_does_not_verify(algorithm, place):
    """RFC 7515, section 5.2: the signature is of all octets of header and payload."""
    key = make_key(algorithm)
    parts = make_token(key).split(".")
    octets = bytearray(decode(parts[place]))
    # In JSON, the change stays inside of a string: of a typ, of a jti.
    position = octets.find(b"+jwt") if place == 0 else octets.find(b"token-1") if place == 1 else 9
    octets[position] ^= 1
    parts[place] = encode(bytes(octets))
    refuse_signature(".".join(parts), key)


@pytest.mark.norm("7515-6")
@pytest.mark.parametrize(("algorithm", "length"), [("ES256", 64), ("ES384", 96), ("ES512", 132)])
def test_signatures_of_ecdsa_have_a_fixed_length(algorithm, length):
    """RFC 7518, section 3.4: R and S side by side; neither as DER, nor shortened, nor with zeros before or after."""
    key = make_key(algorithm)
    signing_input = make_token(key).rpartition(".")[0]
    raw = key.sign(signing_input.encode())
    assert len(raw) == length
    r, s = raw[: length // 2], raw[length // 2 :]
    der = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
    for other in (der, b"\0" + raw, raw + b"\0", b"\0" + r + b"\0" + s, raw[:-1], r.lstrip(b"\0") + s[1:]):
        refuse_signature(f"{signing_input}.{encode(other)}", key)


@pytest.mark.norm("7518-1", "8725-1")
@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("shape", ["pem", "pem-stripped", "der", "jwk", "x", "empty"])
def test_a_public_key_is_no_secret(algorithm, shape):
    """RFC 8725, section 2.1: HS256 with the public key as the secret, in every shape an attacker has it."""
    key = make_key(algorithm)
    secret = {
        "pem": key.key.as_pem(private=False),
        "pem-stripped": key.key.as_pem(private=False).strip(),
        "der": key.key.as_der(private=False),
        "jwk": str(key.public).replace("'", '"').encode(),
        "x": str(key.public.get("x", key.public.get("n"))).encode(),
        "empty": b"",
    }[shape]
    text = sign_with_secret(secret, {"alg": "HS256", "kid": "key-1"}, {"iss": ISSUER})
    with pytest.raises(TokenRefused) as refused:
        check_algorithm(parse_token(text), make_provider())
    assert refused.value.reason is Reason.ALGORITHM_NOT_ACCEPTED
    # Under the name of the algorithm that the file lists it is no signature.
    text = sign_with_secret(secret, {"alg": algorithm, "kid": "key-1"}, {"iss": ISSUER})
    refuse_signature(text, key)


@pytest.mark.norm("7515-3")
def test_a_key_in_the_token_is_not_looked_at():
    """RFC 8725, section 3.10: ``jwk``, ``jku``, ``x5u`` and ``x5c`` say where the attacker's key is."""
    evil = make_key("ES256", "evil")
    header = make_header(evil, jwk=evil.public, jku="https://evil.example/", x5u="https://evil.example/", x5c=["AA=="])
    with pytest.raises(TokenRefused) as refused:
        select_keys(parse_token(sign_token(evil, header, {"iss": ISSUER})), make_key_set(make_key()))
    assert refused.value.reason is Reason.UNKNOWN_KEY
    refuse_signature(sign_token(evil, {**header, "kid": "key-1"}, {"iss": ISSUER}), make_key())


@pytest.mark.norm("7517-4")
def test_several_keys_of_one_name_are_all_tried():
    """RFC 7517, section 4.5: two keys may share a ``kid``."""
    first, second = make_key("ES256", "a"), make_key("ES256", "b")
    key_set = build_key_set({"keys": [{**first.public, "kid": "x"}, {**second.public, "kid": "x"}]})
    token = parse_token(make_token(dataclasses.replace(second, kid="x")))
    assert verify_signature(token, select_keys(token, key_set)) is key_set.keys[1]


# --- times


@pytest.mark.norm("7519-4")
@pytest.mark.parametrize("leeway", [0.0, 5.0, 0.5])
@pytest.mark.parametrize("exp", [NOW, NOW + 0.25])
def test_a_token_ends_at_exp(leeway, exp):
    """RFC 7519, section 4.1.4: on or after it the token must not be accepted."""
    provider = make_provider(leeway_seconds=leeway)
    assert check(provider, exp + leeway - 0.125, exp=exp)
    assert refuse(Reason.EXPIRED, provider, exp + leeway, exp=exp).received == exp
    refuse(Reason.EXPIRED, provider, exp + leeway + 1, exp=exp)


def test_a_token_without_exp_is_refused():
    """A token without an end cannot be taken back."""
    assert refuse(Reason.CLAIM_MISSING, exp=ABSENT).expected == "exp"


@pytest.mark.norm("7519-5")
@pytest.mark.parametrize("leeway", [0.0, 5.0])
def test_a_token_begins_at_nbf(leeway):
    """RFC 7519, section 4.1.5: before it the token must not be accepted."""
    provider = make_provider(leeway_seconds=leeway)
    assert check(provider, NOW - leeway, nbf=NOW, iat=0)
    assert refuse(Reason.NOT_YET_VALID, provider, NOW - leeway - 0.125, nbf=NOW, iat=0).received == NOW


@pytest.mark.norm("7519-10")
@pytest.mark.parametrize("leeway", [0.0, 5.0])
def test_a_token_was_issued_in_the_past(leeway):
    """RFC 7519, section 4.1.6, and the clock that made it is as wrong as any."""
    provider = make_provider(leeway_seconds=leeway)
    assert check(provider, NOW - leeway, iat=NOW)
    assert refuse(Reason.ISSUED_IN_FUTURE, provider, NOW - leeway - 0.125, iat=NOW).received == NOW


def test_nbf_and_iat_may_be_absent():
    """RFC 7519, section 4.1: optional."""
    assert check(iat=ABSENT)


@pytest.mark.norm("7519-10")
@pytest.mark.parametrize(("iat", "exp"), [(NOW - 100, NOW + 200), (NOW, NOW + 300), (NOW - 299, NOW + 1)])
def test_a_lifetime_may_be_limited(iat, exp):
    """``max_lifetime`` is exp - iat, and the bound itself is within."""
    assert check(make_provider(max_lifetime_seconds=300.0), iat=iat, exp=exp)
    refused = refuse(Reason.LIFETIME_TOO_LONG, make_provider(max_lifetime_seconds=299.0), iat=iat, exp=exp)
    assert refused.received == 300


def test_a_limited_lifetime_needs_both_ends():
    """Without ``iat`` nobody knows how long the token was made for; absence never permits."""
    assert refuse(Reason.CLAIM_MISSING, make_provider(max_lifetime_seconds=300.0), iat=ABSENT).expected == "iat"


def test_milliseconds_are_a_lifetime_too_long():
    """An issuer that counts milliseconds makes tokens for fifty thousand years."""
    provider = make_provider(max_lifetime_seconds=86_400.0)
    refuse(Reason.LIFETIME_TOO_LONG, provider, exp=(NOW + 3600) * 1000)


# --- audience


@pytest.mark.norm("7519-7")
@pytest.mark.parametrize(
    "aud", [AUDIENCE, [AUDIENCE], ["other", AUDIENCE], [AUDIENCE, AUDIENCE]], ids=["string", "array", "second", "twice"]
)
def test_a_token_for_us_is_accepted(aud):
    """RFC 7519, section 4.1.3: all that the token names is kept."""
    assert check(aud=aud).audience == ((aud,) if isinstance(aud, str) else tuple(aud))


@pytest.mark.norm("7519-7", "9068-4", "8725-5")
@pytest.mark.parametrize(
    "aud",
    [
        ABSENT,
        "",
        [],
        "other",
        AUDIENCE + "/",
        AUDIENCE.upper(),
        AUDIENCE[:-1],
        " " + AUDIENCE,
        ["a", "b"],
        [AUDIENCE + "x"],
        "*",
    ],
)
def test_a_token_for_others_is_refused(aud):
    """RFC 7519, section 4.1.3; RFC 9068, section 4: absent, empty or another is not us."""
    assert refuse(Reason.AUDIENCE_MISMATCH, aud=aud).expected == (AUDIENCE,)


@pytest.mark.norm("7519-8")
def test_nothing_is_normalized():
    """RFC 7519, section 7.3: two spellings of one character, or of one URL, are two names."""
    composed, decomposed = "https://caf\u00e9.example", "https://cafe\u0301.example"
    provider = make_provider(composed, issuers=(composed,))
    assert provider.has_issuer(composed)
    assert not provider.has_issuer(decomposed)
    assert check(provider, aud=composed)
    for other in (decomposed, composed.upper(), f"{composed}:443", composed.replace("caf", "%63af")):
        refuse(Reason.AUDIENCE_MISMATCH, provider, aud=other)
    provider = make_provider(required_claims=(ClaimRequirement("sub", (composed,)),))
    assert check(provider, sub=composed)
    for other in (decomposed, composed.upper()):
        refuse(Reason.CLAIM_MISMATCH, provider, sub=other)


@pytest.mark.parametrize("aud", ["urn:logto:organization:", "urn:logto:organization:a:b", "xurn:logto:organization:a"])
def test_an_organization_pattern_is_anchored(aud):
    """One non-empty run without ``:`` and ``/``, from the first character to the last."""
    refuse(Reason.AUDIENCE_MISMATCH, make_provider(ORGANIZATION), aud=aud)


@pytest.mark.norm("8725-5")
def test_no_pattern_accepts_nothing():
    """Absence never permits: an empty list is not "any"."""
    refuse(Reason.AUDIENCE_MISMATCH, make_provider(audiences=()))


@pytest.mark.norm("8725-5")
@pytest.mark.parametrize("aud", [ABSENT, "anything", []])
def test_any_audience_must_be_asked_for(aud):
    """``allow_any_audience: true`` is the one way to take tokens for others."""
    assert check(make_provider(audiences=(), allow_any_audience=True), aud=aud)


def test_the_audience_may_stand_in_another_claim():
    """Cognito's access tokens name the client only."""
    provider = make_provider("app-1", audience_claim="client_id")
    assert check(provider, aud=ABSENT).audience == ("app-1",)
    refuse(Reason.AUDIENCE_MISMATCH, provider, aud="app-1", client_id="other")
    refuse(Reason.AUDIENCE_MISMATCH, provider, aud="app-1", client_id=5)


# --- other claims


@pytest.mark.norm("8725-4")
@pytest.mark.parametrize("sub", [ABSENT, ""])
def test_a_token_has_a_subject(sub):
    """The identity is issuer and subject; nobody is called nothing."""
    assert refuse(Reason.CLAIM_MISSING, sub=sub).expected == "sub"


@pytest.mark.norm("9068-9")
@pytest.mark.parametrize("claim", ["aud", "sub", "client_id", "iat", "jti"])
@pytest.mark.parametrize("value", [ABSENT, ""])
def test_rfc9068_has_seven_required_claims(claim, value):
    """RFC 9068, section 2.2; ``exp`` and ``iss`` are wanted of every token."""
    if (claim, value) == ("iat", ""):
        value = ABSENT
    provider = make_provider(audiences=(), allow_any_audience=True, **RFC9068)
    assert refuse(Reason.CLAIM_MISSING, provider, **{claim: value}).expected == claim
    if claim != "sub":
        assert check(make_provider(audiences=(), allow_any_audience=True), **{claim: value})


@pytest.mark.parametrize("value", [0, 5, True, ["app-1"], {"app-1": 1}])
def test_rfc9068_names_the_client_in_a_string(value):
    """RFC 9068, section 2.2, and RFC 8693, section 4.3; elsewhere the claim is one among others."""
    refused = refuse(Reason.CLAIM_MISMATCH, make_provider(**RFC9068), client_id=value)
    assert (refused.received, refused.expected) == (value, "a string")
    assert check(client_id=value).client_id is None


@pytest.mark.parametrize(
    ("requirement", "claims"),
    [
        (ClaimRequirement("token_use", ("access",)), {"token_use": "access"}),
        (ClaimRequirement("token_use", ("access", "id")), {"token_use": ["id", "x"]}),
        (ClaimRequirement("a.b", (1,)), {"a": {"b": 1}}),
        (ClaimRequirement("x", None), {"x": 0}),
    ],
)
def test_required_claims_are_met(requirement, claims):
    """A value, one of several, or just there."""
    assert check(make_provider(required_claims=(requirement,)), **claims)


@pytest.mark.parametrize(
    ("requirement", "claims", "reason"),
    [
        (ClaimRequirement("token_use", ("access",)), {}, Reason.CLAIM_MISSING),
        (ClaimRequirement("token_use", ("access",)), {"token_use": None}, Reason.CLAIM_MISSING),
        (ClaimRequirement("token_use", ("access",)), {"token_use": "id"}, Reason.CLAIM_MISMATCH),
        (ClaimRequirement("token_use", ("access",)), {"token_use": "Access"}, Reason.CLAIM_MISMATCH),
        (ClaimRequirement("verified", (True,)), {"verified": 1}, Reason.CLAIM_MISMATCH),
        (ClaimRequirement("verified", None), {"verified": False}, Reason.CLAIM_MISMATCH),
        (ClaimRequirement("x", None), {"x": None}, Reason.CLAIM_MISSING),
    ],
)
def test_required_claims_that_are_not_met_refuse(requirement, claims, reason):
    """Missing and wrong are two reasons: one is mended at the issuer, the other in the file."""
    refused = refuse(reason, make_provider(required_claims=(requirement,)), **claims)
    assert requirement.path in refused.description


@pytest.mark.norm("8725-8")
@pytest.mark.parametrize("claim", ["at_hash", "c_hash", "s_hash"])
def test_an_id_token_is_no_access_token(claim):
    """OpenID Connect Core, section 2: only an ID token has these; RFC 9068 is about access tokens."""
    refuse(Reason.ID_TOKEN, make_provider(**RFC9068), **{claim: "x"})
    assert check(make_provider(**RFC9068))
    assert check(**{claim: "x"})


@pytest.mark.parametrize(
    ("claims", "client"),
    [({}, "app-1"), ({"azp": "b"}, "app-1"), ({"client_id": ABSENT, "azp": "b"}, "b"), ({"client_id": ABSENT}, None)],
)
def test_the_client_is_read(claims, client):
    """RFC 9068, section 2.2: client_id; OpenID Connect calls it azp."""
    assert check(**claims).client_id == client


def test_scopes_are_read():
    """In every spelling that the file names."""
    assert check(scope="a b").scopes == ("a", "b")
    assert check(make_provider(scope_claims=("permissions",)), scope="a", permissions=["b"]).scopes == ("b",)


# --- organization


@pytest.mark.parametrize(
    ("claims", "organization"),
    [
        ({"aud": "urn:logto:organization:org_1"}, "org_1"),
        ({"aud": AUDIENCE}, None),
        ({"aud": AUDIENCE, "organization_id": "org_1"}, "org_1"),
        ({"aud": AUDIENCE, "org_id": "org_1"}, "org_1"),
        ({"aud": "urn:logto:organization:org_1", "organization_id": "org_1", "org_id": "org_1"}, "org_1"),
        ({"aud": ["urn:logto:organization:org_1", AUDIENCE, "urn:logto:organization:org_1"]}, "org_1"),
        ({"aud": AUDIENCE, "organization_id": ""}, None),
        ({"aud": AUDIENCE, "organization_id": ["org_1"]}, None),
        ({"aud": AUDIENCE, "organization_id": None, "org_id": "org_1"}, "org_1"),
    ],
    ids=["captured", "none", "claimed", "other-claim", "all-agree", "twice", "empty", "list", "null"],
)
def test_the_organization_is_captured_or_claimed(claims, organization):
    """A Logto organization token names its organization in the audience only."""
    assert check(make_provider(ORGANIZATION, AUDIENCE), **claims).organization == organization


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["urn:logto:organization:org_1", "urn:logto:organization:org_2"]},
        {"aud": "urn:logto:organization:org_1", "organization_id": "org_2"},
        {"aud": "urn:logto:organization:org_1", "organization_id": "ORG_1"},
        {"aud": AUDIENCE, "organization_id": "org_1", "org_id": "org_2"},
    ],
    ids=["two-audiences", "claim-differs", "case", "two-claims"],
)
def test_two_organizations_are_refused(claims):
    """Which of them the caller acts for is nobody's to guess."""
    refused = refuse(Reason.ORGANIZATION_CONFLICT, make_provider(ORGANIZATION, AUDIENCE), **claims)
    assert len(refused.received) == 2


def test_an_audience_that_is_not_accepted_names_no_organization():
    """Only what a pattern took is captured."""
    aud = [AUDIENCE, "urn:other:organization:org_2"]
    assert check(make_provider(ORGANIZATION, AUDIENCE), aud=aud).organization is None


def test_an_empty_capture_is_no_organization():
    """An expression may capture nothing; the empty name is nobody's."""
    provider = make_provider(audiences=(parse_audience_regex("org:(?P<organization>.*)"),))
    assert check(provider, aud="org:").organization is None
    assert check(provider, aud="org:", org_id="org_1").organization == "org_1"


def test_the_organization_may_stand_in_another_claim():
    """A dotted path leads to it; the default names are then not looked at."""
    provider = make_provider(organization_claims=("org.id",))
    assert check(provider, org={"id": "org_1"}, org_id="org_2").organization == "org_1"


def test_of_two_failures_the_first_check_speaks():
    """An expired token for somebody else is expired: the order of the checks is fixed."""
    refuse(Reason.EXPIRED, aud="other", exp=NOW - 1, sub=ABSENT)
    refuse(Reason.AUDIENCE_MISMATCH, make_provider("x"), sub=ABSENT)
