"""
What ``explain`` says to the usual mistakes, word for word.

The texts are in ``golden/``; ``UPDATE_GOLDEN=1`` writes them anew, to be read before they are committed.
"""

import json
import os
from pathlib import Path

import pytest

from .conftest import CONFIG, NOW, sign, sign_text

GOLDEN = Path(__file__).parent / "golden"
CLOSED = "aa.bb.cc.dd.ee"

# name: the token, further arguments, the exit code
CASES = {
    "accepted": (sign({"scope": "read:items", "client_id": "web"}), [], 0),
    "accepted_organization": (
        sign({"aud": "urn:logto:organization:org_1"}),
        ["--path", "/organizations/org_1/members"],
        0,
    ),
    "accepted_in_quotes": (f"'Bearer {sign({})}'", [], 0),
    "public_route": (sign({"aud": "https://other.example"}), ["--path", "/public/logo.png"], 0),
    "audience_of_another_api": (sign({"aud": "https://other-api.example"}), [], 1),
    "audience_trailing_slash": (sign({"aud": "https://my-api.example/"}), [], 1),
    "audience_case": (sign({"aud": "https://My-Api.example"}), [], 1),
    "audience_absent": (sign({"aud": None}), [], 1),
    "organization_with_colon": (sign({"aud": "urn:logto:organization:a:b"}), [], 1),
    "expired_by_a_minute": (sign({"iat": NOW - 3660, "exp": NOW - 60}), [], 1),
    "expired_long_ago": (sign({"iat": NOW - 93600, "exp": NOW - 90000}), [], 1),
    "never_expires": (sign({"exp": None}), [], 1),
    "issued_in_future": (sign({"iat": NOW + 40}), [], 1),
    "not_yet_valid": (sign({"nbf": NOW + 400}), [], 1),
    "lifetime": (sign({"exp": NOW + 86400}), [], 1),
    "http_issuer": (sign({"iss": "http://tenant.logto.app/oidc"}), [], 1),
    "other_tenant": (sign({"iss": "https://tenant-2.logto.app/oidc"}), [], 1),
    "foreign_issuer": (sign({"iss": "urn:x"}), [], 1),
    "no_issuer": (sign({"iss": None}), [], 1),
    "exact_issuer": (sign({"iss": "https://strict.example"}), [], 1),
    "opaque": ("wXk1Jn0pQm7", [], 1),
    "encrypted": (CLOSED, [], 1),
    "damaged": (sign({})[:-3] + ".x", [], 1),
    "cut": (sign({}).rpartition(".")[0] + ".A", [], 1),
    "id_token": (sign({"aud": "web", "nonce": "n", "at_hash": "h"}, typ="JWT"), [], 1),
    "id_token_of_a_client": (sign({"aud": "web", "azp": "web"}, typ="JWT"), [], 1),
    "id_token_strict": (
        sign({"iss": "https://strict.example/", "client_id": "web", "jti": "1", "at_hash": "h"}),
        [],
        1,
    ),
    "logout_token": (sign({}, typ="logout+jwt"), [], 1),
    "other_type": (sign({}, typ="x-access+jwt"), [], 1),
    "hs256": (sign({}, alg="HS256"), [], 1),
    "unsigned": (sign({}, alg="none"), [], 1),
    "algorithm_not_listed": (sign({}, alg="ES256"), [], 1),
    "foreign_key": (sign({}, kid="k-2"), [], 1),
    "bad_signature": (sign({})[:-8] + "AAAAAAAA", [], 1),
    "graph": (sign({"aud": "https://graph.microsoft.com"})[:-8] + "AAAAAAAA", [], 1),
    "claim_missing": (sign({"iss": "https://staff.example"}), [], 1),
    "claim_mismatch": (sign({"iss": "https://staff.example", "token_use": "id"}), [], 1),
    "two_organizations": (sign({"aud": "urn:logto:organization:org_1", "org_id": "org_2"}), [], 1),
    "missing_scope": (sign({"scope": "read:items"}), ["--path", "/orders"], 1),
    "other_organization": (
        sign({"aud": "urn:logto:organization:org_1"}),
        ["--path", "/organizations/org_2/members"],
        1,
    ),
    "recent_strong_sign_in": (sign({"auth_time": NOW - 60, "acr": "mfa"}), ["--path", "/payments"], 0),
    "no_auth_time": (sign({}), ["--path", "/payments"], 1),
    "auth_time_in_quotes": (sign({"auth_time": str(NOW)}), ["--path", "/payments"], 1),
    "auth_time_in_milliseconds": (sign({"auth_time": NOW * 1000}), ["--path", "/payments"], 1),
    "auth_time_in_future": (sign({"auth_time": NOW + 60}), ["--path", "/payments"], 1),
    "old_sign_in": (sign({"auth_time": NOW - 3600, "acr": "mfa"}), ["--path", "/payments"], 1),
    "no_acr": (sign({"auth_time": NOW}), ["--path", "/payments"], 1),
    "weak_sign_in": (sign({"auth_time": NOW, "acr": "pwd"}), ["--path", "/payments"], 1),
    "other_method": (sign({}), ["--path", "/orders", "--method", "POST"], 1),
    "ambiguous_path": (sign({}), ["--path", "/public/../orders"], 1),
    "no_organization": (sign({}), ["--path", "/organizations/org_2/members"], 1),
    "no_scope": (sign({}), ["--path", "/orders"], 1),
    "other_provider": (sign({}), ["--path", "/staff/rota"], 1),
    "unmet_requirement": (sign({"email_verified": "no"}), ["--path", "/verified"], 1),
    "method_of_nobody": (sign({}), ["--method", "TRACE"], 1),
    "machine_without_subject": (sign({"sub": None, "client_id": "m2m"}), [], 1),
    "strict_without_client": (sign({"iss": "https://strict.example/", "jti": "1"}), [], 1),
    "too_large": (sign({"groups": ["g" * 20] * 1000}), [], 1),
    "large_identity": (sign({"groups": ["g" * 20] * 400}), [], 1),
    "half_a_character": (sign({"name": "ad\ud800min"}), [], 1),
    "critical_header": (sign({}, crit=["exp"]), [], 1),
    "member_twice": (sign_text('{"sub": "user_1", "sub": "admin"}'), [], 1),
    "deep": (sign({"x": json.loads("[" * 40 + "]" * 40)}), [], 1),
    "in_quotes_inside_of_bearer": (f'Bearer "{sign({})}"', [], 0),
    "in_two_lines": ("\n".join(sign({}).partition(".")), [], 0),
    "pasted_field": (f"Authorization: Bearer {sign({})}", [], 0),
    "keys_not_at_hand": (sign({"iss": "https://remote.example"}), [], 3),
    "expiry_in_quotes": (sign({"exp": str(NOW + 3360)}), [], 1),
    "expiry_in_milliseconds": (sign({"exp": (NOW + 3360) * 1000}), [], 1),
    "issued_in_milliseconds": (sign({"iat": (NOW - 240) * 1000}), [], 1),
    "id_token_for_the_api": (sign({"nonce": "n", "at_hash": "h"}, typ="JWT"), [], 0),
    "unsigned_of_another_type": (sign({"nonce": "n"}, alg="none", typ="x-access+jwt"), [], 1),
    "hs256_of_another_type": (sign({}, alg="HS256", typ="x-access+jwt"), [], 1),
    "hostile_claims": (sign({"iss": "https://x\x1b[2Jy.example", "sub": "\u202eadmin"}), [], 1),
}


@pytest.mark.parametrize("name", CASES)
def test_explanation_is_as_agreed(run, name):
    """The text names the provider, the check, both sides with their place in the file, and the remedy."""
    token, arguments, code = CASES[name]
    result = run("explain", "-", "--at", str(NOW), "--offline", *arguments, input=token)
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(result.output)
    assert result.output == golden.read_text()
    assert result.exit_code == code


@pytest.mark.parametrize("name", [name for name, (_, _, code) in CASES.items() if code])
def test_last_line_is_a_remedy(name):
    """Whoever reads the end only learns what to do; the verdict with its reason stands above it."""
    lines = (GOLDEN / f"{name}.txt").read_text().splitlines()
    verdict = next(index for index, line in enumerate(lines) if line.startswith(("REFUSED", "UNKNOWN")))
    assert lines[verdict + 1].startswith("Request: ")
    hints = lines[verdict + 2 :]
    assert hints
    assert all(line.startswith("Hint: ") for line in hints)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("form", ["text", "json"])
def test_token_is_never_printed_back(run, name, form):
    """Output ends in tickets: no form of it holds a part of the token as it came."""
    token, arguments, _ = CASES[name]
    result = run("explain", "-", "--at", str(NOW), "--offline", "-o", form, *arguments, input=token)
    parts = [part for part in token.strip("'").removeprefix("Bearer ").split(".") if len(part) > 10]
    assert not [part for part in parts if part in result.output]


def test_every_golden_text_has_its_case():
    """No text outlives its test."""
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)


def test_lines_of_the_file_are_right(run):
    """A place is the line where the setting stands."""
    output = run("explain", "-", "--at", str(NOW), "--offline", input=CASES["audience_of_another_api"][0]).output
    line = CONFIG.splitlines().index("    applicationID:") + 1
    assert f"https://my-api.example   (gateway.yaml:{line})" in output


@pytest.mark.parametrize("name", CASES)
def test_parts_agree_with_the_whole(run, name):
    """The verdict is the word of the provider that is named, and a provider that fails does so at just one check."""
    token, arguments, code = CASES[name]
    result = run("explain", "-", "--at", str(NOW), "--offline", "-o", "json", *arguments, input=token)
    assert result.exit_code == code
    document = json.loads(result.output)
    assert document["schema"] == 1
    assert document["verdict"] == {0: "accepted", 1: "refused", 3: "unknown"}[code]
    providers = {provider["name"]: provider for provider in document["providers"]}
    # The identity is the gateway's to make: what it cannot carry, a provider has accepted.
    if (
        document["status"] in (401, 503)
        and document["provider"]
        and not (document["reason"] == "identity_unsafe" or document["reason"].endswith("_authentication"))
    ):
        assert providers[document["provider"]]["reason"] == document["reason"]
    for provider in providers.values():
        results = [check["result"] for check in provider["checks"]]
        stops = [index for index, result in enumerate(results) if result in ("failed", "unknown")]
        assert len(stops) == (not provider["accepted"])
        end = stops[0] if stops else len(results)
        assert results == ["passed"] * end + results[end : end + 1] + ["not checked"] * (len(results) - end - 1)


def test_programs_get_the_same_members_always(run):
    """``schema`` 1 promises these names, accepted or not, token or not."""
    documents = [
        json.loads(run("explain", "-", "--at", str(NOW), "--offline", "-o", "json", input=CASES[name][0]).output)
        for name in ("accepted", "opaque", "audience_of_another_api")
    ]
    assert {tuple(document) for document in documents} == {
        (
            "schema",
            "verdict",
            "reason",
            "status",
            "description",
            "provider",
            "token",
            "providers",
            "request",
            "route",
            "upstream_fields",
            "notes",
            "hints",
        )
    }
    assert documents[0]["upstream_fields"][0]["name"] == "X-Identity"
