"""What was proven before: when it is believed, and when not."""

from __future__ import annotations

import pytest

from gateway.core.claims import ClaimRequirement
from gateway.core.decision import Allow, decide
from gateway.core.errors import GatewayError, Reason
from gateway.core.jwks import build_key_set
from gateway.core.proofs import MAX_CACHED_LENGTH, Proof, ProofCache, name_token
from gateway.core.tokens import forget_text
from gateway.core.verification import NeedKeys
from tests.policies import RFC9068, make_head, make_policy, make_provider, make_route, make_routes
from tests.signing import ABSENT, AUDIENCE, NOW, make_claims, make_key, make_key_set, make_token

KEYS = {"main": make_key_set(make_key())}
ASKED = {"main": True}


def decide_twice(head, policy, proofs, now=NOW, keys=KEYS, later=None):
    """Return what the second of two decisions says, the second ``later`` and with ``keys``."""
    first = decide(head, policy, KEYS, now, ASKED, proofs)
    assert isinstance(first, Allow)
    return decide(head, policy, keys, now if later is None else later, ASKED, proofs)


def test_a_token_is_proven_once():
    """The second time nothing is built anew: the lines are the very same."""
    proofs = ProofCache()
    head, policy = make_head(make_token()), make_policy()
    first = decide(head, policy, KEYS, NOW, ASKED, proofs)
    second = decide(head, policy, KEYS, NOW, ASKED, proofs)
    assert second == first._replace(verified=forget_text(first.verified))
    assert second.lines is first.lines
    assert (second.fields, second.expires_at) == (first.fields, first.expires_at)
    assert (proofs.requests, proofs.hits) == (2, 1)


def test_time_is_never_believed():
    """A cached proof says nothing of time: the token expires on the second, as without it (RFC 7519, section 4.1.4)."""
    proofs = ProofCache()
    claims = make_claims()
    with pytest.raises(GatewayError) as refusal:
        decide_twice(make_head(make_token()), make_policy(), proofs, later=claims["exp"])
    assert refusal.value.reason is Reason.EXPIRED


def test_a_clock_that_is_set_back_is_believed():
    """What was proven holds from its beginning only (RFC 7519, section 4.1.5)."""
    with pytest.raises(GatewayError) as refusal:
        decide_twice(make_head(make_token(nbf=NOW)), make_policy(), ProofCache(), later=NOW - 1)
    assert refusal.value.reason is Reason.NOT_YET_VALID


def test_other_keys_prove_anew():
    """A key that leaves the set takes along what it proved; the same kid of another key proves nothing."""
    proofs = ProofCache()
    head, policy = make_head(make_token()), make_policy()
    same_again = {"main": make_key_set(make_key())}
    assert decide_twice(head, policy, proofs, keys=same_again).fields
    with pytest.raises(GatewayError) as refusal:
        decide_twice(head, policy, proofs, keys={"main": build_key_set({"keys": []})})
    assert refusal.value.reason is Reason.UNKNOWN_KEY


def test_keys_that_are_gone_are_wished_for():
    """Without keys, what was proven with them is not believed: an outage beyond its bound is one for everybody."""
    proofs = ProofCache()
    head, policy = make_head(make_token()), make_policy()
    decide(head, policy, KEYS, NOW, ASKED, proofs)
    assert isinstance(decide(head, policy, {}, NOW, {}, proofs), NeedKeys)


def test_the_rules_of_the_route_are_the_requests_own():
    """A token that was accepted on one route is refused on another that wants more."""
    proofs = ProofCache()
    policy = make_policy(routes=make_routes(make_route("/open"), make_route("/admin", scopes=("admin",))))
    token = make_token()
    decide(make_head(token, target="/open"), policy, KEYS, NOW, ASKED, proofs)
    with pytest.raises(GatewayError) as refusal:
        decide(make_head(token, target="/admin"), policy, KEYS, NOW, ASKED, proofs)
    assert refusal.value.reason is Reason.INSUFFICIENT_SCOPE
    assert refusal.value.context["subject"] == "user-1"
    assert proofs.hits == 1


# --- the same without it

TOKEN = make_token()
SPELLINGS = {
    "good": [f"Bearer {TOKEN}"],
    "spaces": [f"Bearer   {TOKEN}"],
    "case": [f"bEARER {TOKEN}"],
    "none": [],
    "twice": [f"Bearer {TOKEN}", f"Bearer {TOKEN}"],
    "space-after": [f"Bearer {TOKEN} "],
    "padding-after": [f"Bearer {TOKEN}="],
    "list": [f"Bearer {TOKEN},Bearer {TOKEN}"],
    "other-scheme": [f"Basic {TOKEN}"],
    "longer-scheme": [f"Bearers {TOKEN}"],
    "no-scheme": [TOKEN],
    "no-space": [f"Bearer{TOKEN}"],
    "tab": [f"Bearer\t{TOKEN}"],
    "space-before": [f" Bearer {TOKEN}"],
    "no-token": ["Bearer "],
    "empty": [""],
    "cut": [f"Bearer {TOKEN[:-2]}"],
    "unsigned": [f"Bearer {TOKEN.rpartition('.')[0]}."],
}


@pytest.mark.parametrize("values", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("access", ["required", "optional", "public"])
def test_the_decision_is_the_same_without_proofs(values, access):
    """Whatever was proven before, only that very token in its one place is the same again."""
    policy = make_policy(routes=make_routes(make_route("/**", access)))
    head = make_head(fields=[(b"Authorization", value.encode()) for value in values])

    def run(proofs):
        try:
            outcome = decide(head, policy, KEYS, NOW, ASKED, proofs)
        except GatewayError as error:
            return error.reason, error.description, error.received, error.expected, error.context
        return outcome._replace(verified=outcome.verified and forget_text(outcome.verified))

    proofs = ProofCache()
    decide(make_head(TOKEN), policy, KEYS, NOW, ASKED, proofs)
    assert run(proofs) == run(proofs) == run(None)


def test_a_token_is_known_in_every_spelling_of_its_scheme():
    """RFC 9110, section 11.1: the scheme in any case, then one space or more."""
    proofs = ProofCache()
    for value in ("Bearer ", "bearer ", "BEARER   "):
        head = make_head(fields=[(b"Authorization", value.encode() + TOKEN.encode())])
        decide(head, make_policy(), KEYS, NOW, ASKED, proofs)
    assert (proofs.requests, proofs.hits) == (3, 2)


@pytest.mark.parametrize("values", [[], [b"Basic dTpw"], [b"Bearer"], [b"Bearer a", b"Bearer a"]])
def test_what_is_no_token_is_not_looked_up(values):
    """The counters are of tokens."""
    proofs = ProofCache()
    with pytest.raises(GatewayError):
        decide(make_head(fields=[(b"Authorization", value) for value in values]), make_policy(), KEYS, NOW, {}, proofs)
    assert (proofs.requests, proofs.hits) == (0, 0)


def test_a_public_route_looks_nothing_up():
    """It never looks at credentials, known or not."""
    proofs = ProofCache()
    policy = make_policy(routes=make_routes(make_route("/**", "public")))
    for _ in range(2):
        assert decide(make_head(TOKEN), policy, KEYS, NOW, ASKED, proofs).verified is None
    assert proofs.requests == 0


# --- several providers of one issuer


def test_each_provider_has_its_own_proof():
    """What one provider made of a token says nothing to another with the same issuer."""
    proofs = ProofCache()
    first = make_provider("https://other.example", name="other")
    policy = make_policy(first, make_provider())
    keys = {"other": KEYS["main"], "main": KEYS["main"]}
    asked = {"other": True, "main": True}
    for _ in range(2):
        allow = decide(make_head(TOKEN), policy, keys, NOW, asked, proofs)
        assert allow.verified.provider.name == "main"
    assert proofs.hits == 1


LASTING = {
    Reason.TYP_NOT_ACCEPTED: ({"types": frozenset({"jwt"})}, {}),
    Reason.ALGORITHM_NOT_ACCEPTED: ({"algorithms": frozenset({"RS256"})}, {}),
    Reason.EXPIRED: ({}, {"exp": NOW - 1}),
    Reason.LIFETIME_TOO_LONG: ({"max_lifetime_seconds": 1.0}, {}),
    Reason.AUDIENCE_MISMATCH: ({"audience_claim": "other"}, {}),
    Reason.CLAIM_MISSING: ({"required_claims": (ClaimRequirement("x", None),)}, {}),
    Reason.CLAIM_MISMATCH: ({"required_claims": (ClaimRequirement("sub", ("x",)),)}, {}),
    Reason.ORGANIZATION_CONFLICT: ({"organization_claims": ("sub", "jti")}, {}),
    Reason.ID_TOKEN: (RFC9068, {"at_hash": "x"}),
}


def decide_for_two(token, changes, *moments):
    """Return who takes a token each time, of two providers, and how often it was known from before."""
    policy = make_policy(make_provider(name="first", **changes), make_provider(name="second", leeway_seconds=60.0))
    proofs = ProofCache()
    names = []
    for now, keys, asked in moments:
        outcome = decide(make_head(token), policy, keys, now, asked, proofs)
        alone = decide(make_head(token), policy, keys, now, asked)
        assert forget_text(outcome.verified) == forget_text(alone.verified)
        names.append(outcome.verified.provider.name)
    return names, proofs.hits


BOTH = dict.fromkeys(("first", "second"), KEYS["main"])


@pytest.mark.parametrize(("changes", "claims"), LASTING.values(), ids=[reason.word for reason in LASTING])
def test_a_refusal_that_nothing_can_mend_is_remembered(changes, claims):
    """The provider before would say the same for ever, so that who takes the token is known."""
    moment = (NOW, BOTH, {})
    assert decide_for_two(make_token(**claims), changes, moment, moment) == (["second", "second"], 1)


@pytest.mark.parametrize("reason", LASTING, ids=lambda reason: reason.word)
def test_the_refusals_are_those_that_are_meant(reason):
    """Each of them stands for its reason."""
    changes, claims = LASTING[reason]
    with pytest.raises(GatewayError) as refusal:
        decide(make_head(make_token(**claims)), make_policy(make_provider(**changes)), KEYS, NOW, ASKED)
    assert refusal.value.reason is reason


OTHER_KEY = build_key_set({"keys": [{**make_key("ES256", "other").public, "kid": "key-1"}]})
NO_KEY = build_key_set({"keys": []})


@pytest.mark.parametrize(
    ("claims", "first_keys", "asked", "later"),
    [
        ({"nbf": NOW + 30}, KEYS["main"], {}, NOW + 30),
        ({"iat": NOW + 30}, KEYS["main"], {}, NOW + 30),
        ({}, OTHER_KEY, {}, NOW),
        ({}, NO_KEY, {"first": True}, NOW),
        ({}, NO_KEY, {"first": False}, NOW),
        ({}, NO_KEY, {}, NOW),
        ({}, None, {"first": True}, NOW),
        ({}, None, {}, NOW),
    ],
    ids=["nbf", "iat", "signature", "unknown-key", "outage", "wish", "no-keys", "first-wish"],
)
def test_a_provider_that_may_yet_take_the_token_is_asked_again(claims, first_keys, asked, later):
    """The first in file order that takes it wins, on each request, whoever took it before."""
    keys = {"second": KEYS["main"]} if first_keys is None else {"first": first_keys, "second": KEYS["main"]}
    early = (NOW, keys, asked)
    names, hits = decide_for_two(make_token(**claims), {}, early, early, (later, BOTH, {}))
    assert names == ["second", "second", "first"]
    assert hits == 0


# --- what is kept


def test_a_token_that_was_not_proven_is_not_kept():
    """Forgeries push nothing out, and are looked at each time they come."""
    proofs = ProofCache(1)
    decide(make_head(TOKEN), make_policy(), KEYS, NOW, ASKED, proofs)
    forged = make_token()[:-6] + "AAAAAA"
    for _ in range(2):
        with pytest.raises(GatewayError):
            decide(make_head(forged), make_policy(), KEYS, NOW, ASKED, proofs)
    assert (proofs.requests, proofs.hits, proofs.evictions) == (3, 0, 0)
    decide(make_head(TOKEN), make_policy(), KEYS, NOW, ASKED, proofs)
    assert proofs.hits == 1


@pytest.mark.parametrize("claims", [{"exp": NOW}, {"aud": ABSENT}, {"name": "\ud800"}])
def test_a_token_that_is_refused_is_not_kept(claims):
    """Its signature holds, and yet nothing was built of it that could be believed."""
    proofs = ProofCache()
    for _ in range(2):
        with pytest.raises(GatewayError):
            decide(make_head(make_token(**claims)), make_policy(), KEYS, NOW, ASKED, proofs)
    assert (proofs.requests, proofs.hits) == (2, 0)


def test_a_long_token_is_not_kept():
    """A few giants would weigh as much as all others."""
    proofs = ProofCache()
    token = make_token(padding="x" * MAX_CACHED_LENGTH)
    for _ in range(2):
        decide(make_head(token), make_policy(), KEYS, NOW, ASKED, proofs)
    assert (proofs.requests, proofs.hits) == (2, 0)
    assert len(name_token(b"x" * MAX_CACHED_LENGTH)) == 32
    assert name_token(b"x" * (MAX_CACHED_LENGTH + 1)) == b""


def test_the_cache_is_bounded():
    """The token that came first goes first, used or not, and is counted."""
    proofs = ProofCache(2)
    heads = [make_head(make_token(jti=str(number))) for number in range(3)]
    hits = []
    for head in (heads[0], heads[1], heads[0], heads[2], heads[1], heads[0], heads[2]):
        decide(head, make_policy(), KEYS, NOW, ASKED, proofs)
        hits.append(proofs.hits)
    assert hits == [0, 0, 1, 1, 2, 2, 3]
    assert (proofs.requests, proofs.evictions) == (7, 2)


def test_a_proof_replaces_an_older_one_of_its_token():
    """Proven anew by other keys, it pushes out nobody but itself."""
    proofs = ProofCache(1)
    head, again = make_head(TOKEN), {"main": make_key_set(make_key())}
    for keys in (KEYS, again, again):
        decide(head, make_policy(), keys, NOW, ASKED, proofs)
    assert proofs.evictions == 0
    proof = proofs.find(name_token(TOKEN.encode()))
    assert proof is not None
    assert proof.keys is again["main"]


def test_a_known_token_is_not_its_text():
    """The cache knows tokens by a hash: who sees its memory has no key to look for (RFC 9700, section 4)."""
    proofs = ProofCache()
    decide(make_head(TOKEN), make_policy(), KEYS, NOW, ASKED, proofs)
    [(name, proof)] = proofs._proofs.items()
    assert len(name) == 32
    assert isinstance(proof, Proof)
    assert not any(part in repr(proof) for part in TOKEN.split("."))
    assert (proof.verified.token.signing_input, proof.verified.token.signature) == (b"", b"")
    assert proof.verified.audience == (AUDIENCE,)
