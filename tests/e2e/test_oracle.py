"""
Another opinion: oauth4webapi takes and refuses the same access tokens as ``profile: rfc9068``, but for what is listed.

The decision is asked without a server, as time must stand still for both.
"""

import json
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.core.decision import Allow, RequestHead, decide
from gateway.core.errors import GatewayError
from gateway.core.fields import FieldSet
from gateway.core.jwks import build_key_set
from tests.e2e.corpus import build_corpus
from tests.policies import RFC9068, make_policy, make_provider
from tests.signing import ALGORITHMS, AUDIENCE, ISSUER, NOW

# Seconds on a quiet machine, most of them for making keys.
pytestmark = [pytest.mark.node, pytest.mark.timeout(180)]

POLICY = make_policy(make_provider(**RFC9068))


class Difference(NamedTuple):
    """Cases that one of the two takes and the other refuses, and why; ``ours`` is our reason, None where we take."""

    why: str
    ours: str | None
    cases: tuple[str, ...]


STRICTER = (
    Difference(
        "nobody and no client has the empty name, and no token the empty id",
        "claim_missing",
        ('claim: sub ""', 'claim: client_id ""', 'claim: jti ""'),
    ),
    Difference(
        "RFC 7519, section 4.1.3: an array of strings, each of them",
        "malformed_token",
        ('aud: ["https://api.example", 1]', 'aud: ["https://api.example", null]'),
    ),
    Difference(
        "no clock shows what is below 0 or beyond the integers that a double holds",
        "malformed_token",
        (
            *("claim: iat -1", "claim: nbf -1", "time: iat -0.5", "time: nbf -0.5", "time: exp 9007199254740992"),
            *("time: exp 1000000000000000000000000000000", "time: exp written 1e400", "time: nbf written -1e400"),
            *("time: iat 9007199254740992", "time: iat 1000000000000000000000000000000"),
            *("time: iat written 1e400", "time: iat written -1e400"),
        ),
    ),
    Difference(
        "the oracle asks for iat and does not look at it; a token from the future was made by a wrong clock",
        "issued_in_future",
        (
            *(
                "time: iat now+0.001",
                "time: iat now+0.5",
                "time: iat now+1",
                "time: iat now+3600",
                "time: iat 1700000060000",
            ),
            *("time: iat 9007199254740991", "time: iat written 1700000060.0", "time: iat written 1.8e9"),
        ),
    ),
    Difference(
        "RFC 7797, section 7: b64 has no place in a JWT, and an honest issuer makes it critical",
        "critical_header",
        ("header: b64 false", "header: b64 true", "header: b64 null"),
    ),
    Difference(
        "one token has one spelling, or lists of revoked tokens can be got around; the oracle's decoder is lenient",
        "malformed_token",
        (
            *("spelling: payload in base64", "spelling: payload with a stray bit", "spelling: signature padded"),
            *("spelling: signature with a stray bit", "spelling: signature in base64"),
        ),
    ),
    Difference(
        "as before, and RFC 6750 has no such character in a token",
        "malformed_credentials",
        ("spelling: payload in padded", "spelling: payload with a tab", "spelling: signature with a tab"),
    ),
    Difference(
        "what stands twice is read as the first by one parser and as the last by the other",
        "malformed_token",
        (
            *("payload JSON: a member twice, equal", "payload JSON: a member twice, other"),
            *("payload JSON: a member twice, escaped", "payload JSON: a member twice, inside"),
            *("header JSON: alg twice", "header JSON: kid twice"),
        ),
    ),
    Difference(
        "RFC 8259, section 8.1: UTF-8 without a mark; the oracle puts U+FFFD for what is none, so two names become one",
        "malformed_token",
        (
            *("payload JSON: byte order mark", "payload JSON: Latin-1", "payload JSON: overlong UTF-8"),
            *("payload JSON: surrogate in UTF-8", "header JSON: byte order mark", "header JSON: Latin-1"),
        ),
    ),
    Difference(
        "half of a pair is text that no field carries to the upstream",
        "identity_unsafe",
        ("payload JSON: surrogate escaped", "payload JSON: surrogate escaped in a name"),
    ),
    Difference(
        "bounds of our parser: 32 levels, finite numbers, integers of 4300 digits",
        "malformed_token",
        (
            *("payload JSON: 32 levels", "payload JSON: 100 levels", "payload JSON: 3000 levels"),
            *("payload JSON: a number beyond doubles", "payload JSON: a number of 5000 digits"),
        ),
    ),
    Difference("8 KiB of identity", "identity_too_large", ('more: name "x*9000"',)),
    Difference("16 KiB of token", "token_too_large", ('more: name "x*20000"',)),
    Difference("only an ID token has this hash", "id_token", ('more: at_hash "x"',)),
    Difference(
        "a caller is of one organization", "organization_conflict", ("more: organization_id and org_id differ",)
    ),
)

LAXER = (
    Difference(
        "we check no proof of possession, so a bound token is like any other (RFC 9449, section 7.2)",
        None,
        (
            'more: cnf {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}',
            *('more: cnf {"x5t#S256": "bwcK0es"}', 'more: cnf "x"', "more: cnf null"),
        ),
    ),
    Difference(
        "the oracle takes no token that more than one key fits; we try them",
        None,
        ("keys: kid twice, second right", "keys: no kid, two keys"),
    ),
    Difference(
        "RFC 7517, section 5: what is no key is passed over; the oracle refuses the set",
        None,
        ("keys: no object beside",),
    ),
    Difference(
        "RFC 9864: two names of one algorithm, which the oracle tells apart",
        None,
        ('keys: EdDSA said, "Ed25519" published', 'keys: Ed25519 said, "EdDSA" published'),
    ),
)


@pytest.fixture(scope="module")
def corpus():
    return build_corpus()


@pytest.fixture(scope="module")
def refusals(corpus, node):
    """What the oracle has against each case, by name; None where it takes the token."""
    known = {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": [*ALGORITHMS, "Ed25519"], "now": NOW}
    questions = [{**known, "authorization": case.authorization, "keys": case.keys} for case in corpus]
    answered = subprocess.run(
        [node, Path(__file__).with_name("oracle.mjs")],
        input="".join(json.dumps(question) + "\n" for question in questions),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return dict(zip([case.name for case in corpus], map(json.loads, answered.stdout.splitlines()), strict=True))


def find_reason(case):
    """Return why the gateway refuses; None where it takes the token."""
    head = RequestHead("GET", "/", FieldSet(((b"Authorization", case.authorization.encode()),)))
    try:
        outcome = decide(head, POLICY, {"main": build_key_set({"keys": case.keys})}, NOW, {"main": True})
    except GatewayError as error:
        return error.reason.word
    assert isinstance(outcome, Allow)
    return None


def test_the_oracle_agrees_but_for_what_is_listed(corpus, refusals):
    """What one takes and the other refuses has its reason above, and no reason stands there idly."""
    found = {case.name: (find_reason(case), refusals[case.name]) for case in corpus}
    differing = {name: ours for name, (ours, theirs) in found.items() if (ours is None) != (theirs is None)}
    assert differing == {name: each.ours for each in (*STRICTER, *LAXER) for name in each.cases}


def test_the_corpus_asks_what_matters(corpus, refusals):
    """Each question once; both answers often, and every reason that a token alone can have."""
    assert len(refusals) == len(corpus) > 500
    reasons = [find_reason(case) for case in corpus]
    assert 100 < reasons.count(None) < len(corpus) - 300
    assert list(refusals.values()).count(None) > 100
    assert set(reasons) >= {
        *("missing_token", "malformed_credentials", "token_too_large", "not_a_jwt", "encrypted_token"),
        *("malformed_token", "critical_header", "unknown_issuer", "typ_not_accepted", "algorithm_not_accepted"),
        *("unknown_key", "bad_signature", "expired", "not_yet_valid", "issued_in_future", "audience_mismatch"),
        *("claim_missing", "claim_mismatch", "organization_conflict", "id_token", "identity_unsafe"),
    }
