"""``docs/convex.md`` row by row: each provider, token, identity and mistake of its tables goes through the gateway."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from gateway.config.load import parse_config
from gateway.config.problems import ConfigError
from gateway.core.decision import Allow, RequestHead, decide
from gateway.core.errors import GatewayError
from gateway.core.fields import FieldSet
from gateway.core.identity import _OIDC_DROPPED, _OIDC_RENAMED
from gateway.core.policy import Policy
from tests.signing import make_key, make_key_set, sign_token

from .conftest import ENVIRONMENT, NOW
from .pages import ROOT, cut_section, find_block, list_blocks, list_code, list_rows, read_page

PAGE = ROOT / "docs" / "convex.md"
TEXT = read_page(PAGE)
BASE = yaml.safe_load(find_block(PAGE, "fragment=base").text)["providers"][0]
TOKEN = json.loads(find_block(PAGE, "token").text)
IDENTITY = json.loads(find_block(PAGE, "identity").text)
OIDC = {"domain": TOKEN["claims"]["iss"], "applicationID": TOKEN["claims"]["aud"]}

MATCHES = list_rows(TEXT, "provider", "token", "here", "Convex")
CLAIMS = list_rows(TEXT, "claim", "`customJwt`", "`oidc`", "Convex")
MISTAKES = list_rows(TEXT, "provider", "Convex", "here")

_HEADER_NAMES = ("alg", "typ", "kid", "crit")
_TIMES = ("exp", "nbf", "iat")


def change(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a mapping with some members changed, and without those that are None."""
    return {name: value for name, value in {**base, **changes}.items() if value is not None}


def read_providers(cell: str) -> list[dict[str, Any]]:
    """Return the entries that a cell stands for: what it changes of the one above the tables, or a whole ``oidc``."""
    if cell == "unchanged":
        return [BASE]
    entries = [yaml.safe_load(code) for code in list_code(cell)]
    assert entries
    return [entry if "domain" in entry and "type" not in entry else change(BASE, entry) for entry in entries]


def write_file(providers: list[dict[str, Any]]) -> str:
    """Return a whole file of these entries."""
    return json.dumps({"version": 1, "upstream": "http://backend:3000", "providers": providers})


def load(providers: list[dict[str, Any]]) -> Policy:
    """Return what a file of these entries says."""
    return parse_config(write_file(providers), "gateway.yaml", {}).settings.policy


def read_token(cell: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims that a cell stands for, with the times that it gives from now."""
    changes = {} if cell == "unchanged" else yaml.safe_load(list_code(cell)[0])
    claims = change(TOKEN["claims"], {name: value for name, value in changes.items() if name not in _HEADER_NAMES})
    claims |= {name: NOW + claims[name] for name in _TIMES if name in claims}
    return change(TOKEN["header"], {name: changes[name] for name in _HEADER_NAMES if name in changes}), claims


def ask(policy: Policy, header: dict[str, Any], claims: dict[str, Any]) -> Allow | GatewayError:
    """Return the decision on a request with that token, signed by a key that every provider has for its algorithm."""
    kid = TOKEN["header"]["kid"]
    keys = {algorithm: make_key(algorithm, kid) for algorithm in ("RS256", "ES256", "ES384", "EdDSA")}
    signer = {**keys, "PS256": make_key("PS256", kid)}.get(header["alg"], keys["RS256"])
    field = (b"Authorization", b"Bearer " + sign_token(signer, header, claims).encode())
    sets = dict.fromkeys((provider.name for provider in policy.providers), make_key_set(*keys.values()))
    try:
        outcome = decide(RequestHead("GET", "/", FieldSet([field])), policy, sets, NOW, dict.fromkeys(sets, True))
    except GatewayError as error:
        return error
    assert isinstance(outcome, Allow)
    return outcome


def name_row(row: list[str]) -> str:
    """Return the name of a row's test."""
    return " ".join(row[:2]).replace("`", "")


# --- the file --------------------------------------------------------------------------------------------------------


def test_both_files_are_the_same():
    """What stands in ``auth.config.ts``, read as YAML, gives the very policy that the file below it gives."""
    source = find_block(PAGE, "auth.config.ts").text
    listed = re.search(r"providers: (\[.*\]),\n} satisfies", source, re.DOTALL)[1]
    # A template and a trailing comma are all that YAML does not read; a variable has another name for itself.
    listed = re.sub(r"`([^`]*)`", r'"\1"', listed).replace("${process.env.", "${")
    pasted = f"version: 1\nupstream: http://backend:3000\nproviders: {listed}\n"
    [written] = [block.text for block in list_blocks(PAGE) if (block.language, block.role) == ("yaml", "file")]
    ours, theirs = (parse_config(text, "gateway.yaml", ENVIRONMENT).settings for text in (written, pasted))
    assert len(ours.policy.providers) == 2
    assert ours.policy.providers == theirs.policy.providers
    assert ours.key_sources == theirs.key_sources


# --- which provider takes which token --------------------------------------------------------------------------------


@pytest.mark.parametrize("row", MATCHES, ids=name_row)
def test_tokens_are_taken_as_the_table_says(row):
    """A row is a file, a token and what comes of it."""
    providers, (header, claims) = read_providers(row[0]), read_token(row[1])
    if row[2] == "mistake in the file":
        with pytest.raises(ConfigError):
            load(providers)
        return
    outcome = ask(load(providers), header, claims)
    words = list_code(row[2])
    if row[2].startswith("accepted"):
        assert isinstance(outcome, Allow)
        assert words in ([], [outcome.verified.provider.name])
    else:
        assert isinstance(outcome, GatewayError)
        assert [outcome.reason.word] == words


def test_tables_have_every_kind_of_match():
    """Both kinds, both answers, both sides of each comparison."""
    assert len(MATCHES) >= 60
    results = {row[2].partition(" by")[0] for row in MATCHES}
    assert {"accepted", "mistake in the file"} < results
    assert {row[2].startswith("accepted") for row in MATCHES if "domain" in row[0]} == {True, False}


# --- the identity ----------------------------------------------------------------------------------------------------


def build(entry: dict[str, Any], **claims: Any) -> dict[str, Any]:
    """Return the identity that the token of the page gets with these claims added to it."""
    header, usual = read_token("unchanged")
    outcome = ask(load([entry]), header, usual | claims)
    assert isinstance(outcome, Allow)
    return json.loads(outcome.fields[0][1])


@pytest.mark.parametrize("entry", [BASE, OIDC], ids=["customJwt", "oidc"])
def test_identity_is_that_of_the_page(entry):
    """Of both kinds, in this order."""
    assert list(build(entry).items()) == list(IDENTITY.items())


@pytest.mark.parametrize("row", CLAIMS, ids=lambda row: row[0].replace("`", ""))
@pytest.mark.parametrize(("entry", "column"), [(BASE, 1), (OIDC, 2)], ids=["customJwt", "oidc"])
def test_claims_arrive_as_the_table_says(row, entry, column):
    """A claim adds these members to the identity, or changes them, and no others."""
    claims = json.loads(f"{{{list_code(row[0])[0]}}}")
    expected = {} if row[column] == "none" else json.loads(f"{{{list_code(row[column])[0]}}}")
    identity = build(entry, **claims)
    changed = {name: value for name, value in identity.items() if name not in IDENTITY or IDENTITY[name] != value}
    assert changed == expected
    assert IDENTITY.keys() <= identity.keys()


def test_every_claim_with_a_rule_has_its_row():
    """What is renamed, dropped or ours stands in the table."""
    named = {name for row in CLAIMS for name in json.loads(f"{{{list_code(row[0])[0]}}}")}
    assert named >= _OIDC_DROPPED | _OIDC_RENAMED.keys() | IDENTITY.keys() | {"address", "organization"}


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", MISTAKES, ids=name_row)
def test_mistakes_are_named_as_the_table_says(row):
    """The words of the table are those of ``auth-gateway check``."""
    with pytest.raises(ConfigError) as refused:
        load(read_providers(row[0]))
    assert list_code(row[2])[0] in refused.value.render()


def test_tables_say_what_convex_does():
    """No row leaves its last word out, and the differences are a list of their own."""
    rows = [*MATCHES, *CLAIMS, *list_rows(cut_section(TEXT, "## What differs"), "", "Convex", "here")]
    assert all(all(cells) for cells in rows)
    assert len(list_rows(TEXT, "", "Convex", "here")) >= 20
