"""What was proven before: when it is believed, and when not."""

from __future__ import annotations

import pytest

from gateway.core.decision import Allow, NeedKeys, decide
from gateway.core.errors import GatewayError, Reason
from gateway.core.jwks import build_key_set
from gateway.core.proofs import MAX_CACHED_LENGTH, KnownToken, ProofCache
from tests.policies import make_head, make_policy, make_provider, make_route, make_routes
from tests.signing import NOW, make_claims, make_key, make_key_set, make_token

KEYS = {"main": make_key_set(make_key())}
ASKED = {"main": True}


def decide_twice(head, policy, proofs, now=NOW, keys=KEYS, later=None):
    """Return what the second of two decisions says, the second ``later`` and with ``keys``."""
    first = decide(head, policy, KEYS, now, ASKED, proofs)
    assert isinstance(first, Allow)
    return decide(head, policy, keys, now if later is None else later, ASKED, proofs)


def test_a_token_is_proven_once():
    """The second time nothing is built anew: the fields are the very same."""
    proofs = ProofCache()
    head, policy = make_head(make_token()), make_policy()
    first = decide(head, policy, KEYS, NOW, ASKED, proofs)
    second = decide(head, policy, KEYS, NOW, ASKED, proofs)
    assert second == first
    assert second.fields is first.fields
    assert (proofs.requests, proofs.hits) == (2, 1)


def test_time_is_never_believed():
    """A cached proof says nothing of time: the token expires on the second, as without it (RFC 7519, section 4.1.4)."""
    proofs = ProofCache()
    claims = make_claims()
    with pytest.raises(GatewayError) as refusal:
        decide_twice(make_head(make_token()), make_policy(), proofs, later=claims["exp"] + 5)
    assert refusal.value.reason is Reason.EXPIRED


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


def test_each_provider_has_its_own_proof():
    """What one provider made of a token says nothing to another with the same issuer."""
    proofs = ProofCache()
    first = make_provider("https://other.example", name="other")
    policy = make_policy(first, make_provider())
    keys = {"other": KEYS["main"], "main": KEYS["main"]}
    asked = {"other": True, "main": True}
    for _ in range(2):
        allow = decide(make_head(make_token()), policy, keys, NOW, asked, proofs)
        assert allow.verified.provider.name == "main"


def test_a_token_that_was_not_proven_is_not_kept():
    """Forgeries push nothing out, and are looked at each time they come."""
    proofs = ProofCache()
    forged = make_token()[:-6] + "AAAAAA"
    for _ in range(2):
        with pytest.raises(GatewayError):
            decide(make_head(forged), make_policy(), KEYS, NOW, ASKED, proofs)
    assert (proofs.requests, proofs.hits) == (2, 0)


def test_a_long_token_is_not_kept():
    """A few giants would weigh as much as all others."""
    proofs = ProofCache()
    token = make_token(padding="x" * MAX_CACHED_LENGTH)
    for _ in range(2):
        decide(make_head(token), make_policy(), KEYS, NOW, ASKED, proofs)
    assert proofs.hits == 0


def test_the_cache_is_bounded():
    """The token that was not used for longest goes first, and is counted."""
    proofs = ProofCache(2)
    heads = [make_head(make_token(jti=str(number))) for number in range(3)]
    for head in (heads[0], heads[1], heads[0], heads[2], heads[0], heads[1]):
        decide(head, make_policy(), KEYS, NOW, ASKED, proofs)
    assert (proofs.requests, proofs.hits, proofs.evictions) == (6, 2, 2)


def test_a_known_token_is_not_its_text():
    """The cache knows tokens by a hash: who sees its memory has no key to look for (RFC 9700, section 4)."""
    proofs = ProofCache()
    token = make_token()
    decide(make_head(token), make_policy(), KEYS, NOW, ASKED, proofs)
    [(name, known)] = proofs._known.items()
    assert len(name) == 32
    assert isinstance(known, KnownToken)
    assert token not in repr(known)
