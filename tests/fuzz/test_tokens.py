"""
Whatever stands in the field: an identity or a documented reason; and a token that was changed never verifies.

Ten thousand examples in each run, five thousand of either. ``FUZZ_ROUNDS=100`` makes a million of them; each round is a
test of its own, as Hypothesis keeps in memory what one has tried.
"""

from __future__ import annotations

import functools
import json
import os
import string
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from gateway.core.decision import Allow, RequestHead, decide
from gateway.core.errors import GatewayError, Reason
from gateway.core.fields import FieldSet
from gateway.core.proofs import ProofCache, name_token
from tests.policies import RFC9068, make_head, make_policy, make_provider
from tests.signing import (
    ALGORITHMS,
    AUDIENCE,
    NOW,
    decode,
    encode,
    make_claims,
    make_header,
    make_key,
    make_key_set,
    make_token,
    sign_token,
)

ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "1"))
EXAMPLES = 5000

ORGANIZATION = "urn:organization:"
SIGNERS = [make_key(algorithm, algorithm) for algorithm in ALGORITHMS]
KEYS = {"main": make_key_set(*SIGNERS)}
POLICIES = [
    make_policy(make_provider(allow_any_audience=True)),
    make_policy(make_provider(AUDIENCE, ORGANIZATION + "{organization}", **RFC9068)),
]
# What a token can be refused for where no route asks for more.
REASONS = {
    reason for reason in Reason if Reason.MISSING_TOKEN.stage <= reason.stage <= Reason.IDENTITY_UNSAFE.stage
} | {Reason.IDENTITY_TOO_LARGE}

rounds = pytest.mark.parametrize("run", range(ROUNDS))
# Hundreds in a second are usual, and a machine that is busy with other things still tries ten.
patience = pytest.mark.timeout(EXAMPLES / 10)
many = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])

# --- anything

any_text = st.text(st.characters(codec=None), max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | any_text
json_lists = st.lists(scalars, max_size=3)
json_values = scalars | json_lists | st.lists(st.tuples(any_text, scalars | json_lists), max_size=2).map(dict)
# Of the right type half of the time, so that the later rules have their turn.
texts = any_text | json_values
times = st.integers(NOW - 100, NOW + 100) | json_values
audiences = st.lists(st.sampled_from([AUDIENCE, ORGANIZATION + "a", ORGANIZATION + "b"]), max_size=3) | texts
text_names = st.sampled_from(["iss", "sub", "jti", "client_id", "scope", "org_id", "at_hash", "issuer", "a.b"])
claims = st.one_of(
    st.tuples(text_names, texts),
    st.tuples(st.sampled_from(["exp", "nbf", "iat"]), times),
    st.tuples(st.just("aud"), audiences),
    st.tuples(any_text, json_values),
)
claim_changes = st.lists(claims, min_size=1, max_size=3).map(dict)
header_names = st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jwk", "x"])
header_values = st.sampled_from([*ALGORITHMS, "none", "HS256", "JWT", "at+jwt"]) | json_values
header_changes = st.lists(st.tuples(header_names, header_values), min_size=1, max_size=2).map(dict)
b64token_like = st.text(string.ascii_letters + string.digits + "-_.~+/=", max_size=60)


def field(token: str) -> bytes:
    return b"Bearer " + token.encode("utf-8", "replace")


def sign(signer: Any, header: dict[str, Any], claims: dict[str, Any]) -> str:
    return sign_token(signer, make_header(signer, **header), make_claims(**claims))


signers = st.sampled_from(SIGNERS)
fields = st.one_of(
    st.binary(max_size=60),
    st.builds(bytes.__add__, st.sampled_from([b"Bearer ", b"bearer  ", b"Basic "]), b64token_like.map(str.encode)),
    st.lists(st.binary(max_size=40).map(encode), min_size=2, max_size=6).map(".".join).map(field),
    # The issuer itself may sign anything.
    st.builds(sign, signers, st.just({}), claim_changes).map(field),
    st.builds(sign, signers, header_changes, claim_changes).map(field),
    st.builds(lambda signer, octets: sign_token(signer, make_header(signer), octets), signers, st.binary()).map(field),
    st.builds(lambda signer, octets: sign_token(signer, octets, make_claims()), signers, st.binary()).map(field),
)


@rounds
@patience
@many
@given(fields, st.sampled_from(POLICIES))
@example(b"Bearer e30.e30.", POLICIES[0])
@example(field(make_token(SIGNERS[0])), POLICIES[0])
def test_any_octets_are_an_identity_or_refused(run, value, policy):
    """Never another exception; and what was proven before is decided as if it were not."""
    head = RequestHead("GET", "/", FieldSet(((b"Host", b"api.example"), (b"Authorization", value))))
    proofs = ProofCache()
    outcomes = [attempt(head, policy, each) for each in (None, proofs, proofs)]
    assert outcomes[0] == outcomes[1] == outcomes[2]
    reason, identity = outcomes[0]
    if reason is not None:
        assert reason in REASONS
        return
    assert identity["tokenIdentifier"] == f"{identity['issuer']}|{identity['subject']}"
    assert identity["provider"] == "main"


def attempt(head: RequestHead, policy: Any, proofs: ProofCache | None) -> tuple[Reason | None, Any]:
    """Return why the request is refused, or the identity; any exception but ours fails the test."""
    try:
        outcome = decide(head, policy, KEYS, NOW, {"main": True}, proofs)
    except GatewayError as error:
        return error.reason, None
    assert isinstance(outcome, Allow)
    return None, json.loads(dict(outcome.fields)[b"X-Identity"])


# --- a token that was changed

TOKENS = [make_token(signer, sub=signer.algorithm) for signer in SIGNERS]
tokens = st.sampled_from(TOKENS)
positions = st.integers(0, 9999)
alphabet = st.sampled_from(string.ascii_letters + string.digits + "-_.=+/~")


def change_character(token: str, position: int, character: str, removed: int) -> str:
    """Return the token with one character replaced or put in; left out where it is replaced by itself."""
    place = position % len(token)
    changed = token[:place] + character + token[place + removed :]
    return changed if changed != token else token[:place] + token[place + 1 :]


def flip_bit(token: str, part: int, position: int) -> str:
    """Return the token with one bit of what it encodes turned around."""
    parts = token.split(".")
    octets = bytearray(decode(parts[part]))
    place = position % (len(octets) * 8)
    octets[place // 8] ^= 1 << place % 8
    return ".".join([*parts[:part], encode(bytes(octets)), *parts[part + 1 :]])


def change_members(token: str, part: int, changes: dict[str, Any]) -> str:
    """Return the token with other members in its header or payload."""
    parts = token.split(".")
    parts[part] = encode(json.dumps({**json.loads(decode(parts[part])), **changes}).encode())
    return ".".join(parts)


def exchange_part(first: str, second: str, part: int) -> str:
    """Return the token with a part of another one."""
    parts = first.split(".")
    parts[part] = second.split(".")[part]
    return ".".join(parts)


def cut(token: str, position: int) -> str:
    """Return the beginning of the token."""
    return token[: position % len(token)]


changed_tokens = st.one_of(
    st.builds(change_character, tokens, positions, alphabet, st.integers(0, 1)),
    st.builds(flip_bit, tokens, st.integers(0, 2), positions),
    st.builds(change_members, tokens, st.integers(0, 1), claim_changes | header_changes),
    st.builds(exchange_part, tokens, tokens, st.integers(0, 2)),
    st.builds(cut, tokens, positions),
)


@functools.cache
def prove(policy: int) -> ProofCache:
    """Return what a gateway of this policy knows after all of the tokens, unchanged, have come by."""
    proofs = ProofCache()
    for token in TOKENS:
        assert attempt(make_head(token), POLICIES[policy], proofs)[0] is None
    return proofs


@pytest.mark.parametrize("policy", range(len(POLICIES)))
def test_the_unchanged_tokens_verify(policy):
    """Else the next test would prove nothing."""
    assert all(prove(policy).find(name_token(token.encode())) for token in TOKENS)


@rounds
@patience
@many
@given(changed_tokens, st.integers(0, len(POLICIES) - 1))
def test_a_changed_token_never_verifies(run, changed, policy):
    """RFC 7515, section 5.2: it is another token, which nobody signed, though the one that it was is well known."""
    assume(changed not in TOKENS)
    reason, _ = attempt(make_head(changed), POLICIES[policy], prove(policy))
    assert reason in REASONS
