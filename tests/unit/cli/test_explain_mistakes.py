"""
The usual mistakes, and what the last lines of ``explain`` say to each: the cause, and what to do about it.

The texts are those of ``golden/``, which ``test_explain_golden`` holds to the command.
"""

from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"

# name of the text: words that name the cause, words that name the remedy
MISTAKES = {
    "other_tenant": ("may be of another tenant or stage", "send one of https://tenant.logto.app/oidc"),
    "foreign_issuer": ("No provider of the file has this issuer", "add a provider"),
    "http_issuer": ("Only http and https differ", "fix the public URL"),
    "exact_issuer": ("Only a trailing slash differs", "write https://strict.example at gateway.yaml:25"),
    "no_issuer": ("nobody can tell whose token this is", "write the issuer of the file"),
    "audience_trailing_slash": ("Only a trailing slash differs", "ask the issuer for a token for"),
    "audience_case": ("Only upper and lower case differ", "ask the issuer for a token for"),
    "audience_of_another_api": ("The nearest audience of the file is", "add that to applicationID at gateway.yaml:12"),
    "audience_absent": ("It has no aud", "ask the issuer for a token for this API"),
    "organization_with_colon": ("without : and /", "add that to applicationID"),
    "id_token": ("an ID token", "Send the access token"),
    "id_token_strict": ("an ID token", "Send the access token"),
    "logout_token": ("no access token (logout+jwt)", "Send the access token"),
    "other_type": ("accept them with typ:", "x-access+jwt] at gateway.yaml:7"),
    "opaque": ("an opaque token", "resource=<your API>"),
    "encrypted": ("an encrypted token", "Let the issuer sign"),
    "cut": ("a part is cut off", "Copy it again"),
    "damaged": ("a part is cut off", "Copy it again"),
    "hs256": ("a shared secret", "sign this API's tokens with RS256"),
    "unsigned": ("not signed at all", "sign this API's tokens with RS256"),
    "algorithm_not_listed": ("signs with ES256", "add it to algorithm at gateway.yaml:11"),
    "foreign_key": ("not among them", "correct the address"),
    "bad_signature": ("was changed after it was signed", "Copy all of it, or get a new one"),
    "graph": ("for Microsoft Graph", "a scope of your own API"),
    "expired_by_a_minute": ("It expired 1 min ago", "compare date -u"),
    "expired_long_ago": ("It expired 25 h ago", "get a new token"),
    "issued_in_future": ("40 s ahead of this clock", "raise leeway"),
    "not_yet_valid": ("6 min ahead of this clock", "compare date -u"),
    "issued_in_milliseconds": ("iat is in milliseconds", "let the issuer write 1799999760"),
    "expiry_in_milliseconds": ("exp is in milliseconds", "let the issuer write 1800003360"),
    "expiry_in_quotes": ("the issuer wrote exp: a string", "a JSON number of seconds"),
    "lifetime": ("It lives 24 h 4 min", "raise max_lifetime"),
    "never_expires": ("never ends", "let the issuer set a lifetime"),
    "machine_without_subject": ("a machine gets for itself", "write the client's id there"),
    "claim_missing": ("token_use", "Let the issuer put"),
    "claim_mismatch": ('The token has "id"', "send the token that has it"),
    "missing_scope": ("Missing scope: read:orders", "must ask for it"),
    "no_scope": ("no scope at all", "scope_claims at gateway.yaml:7"),
    "other_organization": ('The token has organization "org_1"', "ask for a token of the other one"),
    "no_organization": ("of no organization", "ask the issuer for a token of that organization"),
    "two_organizations": ("must name the same one", "Ask for a token of one organization"),
    "other_provider": ("this one is of api", "add api to providers at gateway.yaml:54"),
    "unmet_requirement": ('the caller has email_verified "no"', "change require at gateway.yaml:56"),
    "other_method": ("allow other methods only", "ask with GET, or add POST"),
    "ambiguous_path": ("could read this path differently", "without . and .."),
    "keys_not_at_hand": ("could not be had", "Run this where the gateway runs, without --offline"),
    "accepted_in_quotes": ("quotes around its token", "the bare token"),
    "in_two_lines": ("line breaks inside of its token", "in one piece"),
    "too_large": ("It has 32380 characters", "have the issuer put less into it"),
    "large_identity": ("9396 bytes", "identity.include or identity.exclude"),
    "half_a_character": ("stands in name", "correct the user's data at the issuer"),
    "critical_header": ("an extension (crit, b64)", "turn it off at the issuer"),
    "member_twice": ("a member twice", "each member once"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_last_lines_name_cause_and_remedy(name):
    """Both stand in the hints, behind which nothing comes."""
    lines = (GOLDEN / f"{name}.txt").read_text().splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith("Hint: "))
    hints = lines[first:]
    assert all(line.startswith("Hint: ") for line in hints)
    assert [words for words in MISTAKES[name] if words not in "\n".join(hints)] == []
