"""What is wrong with a preset, said at its line, and underlined by editors."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from gateway.config.presets import PARAMETERS, PRESETS
from gateway.config.schema import build_schema
from tests.issuers import ISSUERS
from tests.unit.config.conftest import HEAD, Complain
from tests.unit.config.json_schema import is_valid

SCHEMA = build_schema()
FILE = {"version": 1, "upstream": "http://backend:3000"}


@pytest.mark.parametrize(
    ("lines", "problems"),
    [
        ("preset: autho", ["4:13: error: providers[0].preset: no such preset: did you mean auth0?"]),
        (
            "preset: zzz\n    leeway: x",
            [
                f"4:13: error: providers[0].preset: no such preset: there are {', '.join(PRESETS)}",
                "5:13: error: providers[0].leeway: expected a duration such as 30s, 5m, 1h or 250ms",
            ],
        ),
        (
            "preset: [auth0]\n    applicationID: a",
            [f"4:13: error: providers[0].preset: no such preset: there are {', '.join(PRESETS)}"],
        ),
        ("preset:", ["4:12: error: no value: write one, or remove the key"]),
        (
            "presett: auth0\n    domain: a.example\n    audience: a",
            ["4:5: error: providers[0].presett: unknown key: did you mean preset?"],
        ),
        (
            "preset: auth0",
            [
                "4:5: error: providers[0].domain: missing: write 'domain: tenant.eu.auth0.com'",
                "4:5: error: providers[0]: no applicationID: write the identifier of your API",
            ],
        ),
        (
            "preset: auth0\n    domian: a.example\n    applicationId: a",
            [
                "5:5: error: providers[0].domian: unknown key: did you mean domain?",
                "6:5: error: providers[0].applicationId: unknown key: written applicationID: capital I, capital D",
            ],
        ),
        (
            "preset: supabase\n    project: abc\n    type: customJwt",
            ["6:5: error: providers[0].type: the preset says it already: keep one of the two"],
        ),
        (
            "preset: entra\n    domain: a.example\n    tenant: common\n    audience: a",
            [
                "5:5: error: providers[0].domain: entra has none: it takes tenant",
                (
                    "6:13: error: providers[0].tenant: expected the id of one tenant, a GUID in lower case, such as "
                    "11111111-2222-3333-4444-555555555555"
                ),
            ],
        ),
        (
            "preset: google\n    project: a\n    audience: a",
            ["5:5: error: providers[0].project: google has none: remove it"],
        ),
        (
            "preset: firebase\n    project: a\n    zzz: a",
            [
                (
                    "6:5: error: providers[0].zzz: unknown key: known here are algorithm, allow_any_audience, "
                    "applicationID, audience, audience_claim, client_claims, issuer, jwks, jwks_options, leeway, "
                    "max_lifetime, name, organization_claim, preset, profile, project, required_claims, scope_claims, "
                    "token_from, typ"
                )
            ],
        ),
        (
            "preset: workos",
            [
                (
                    "4:5: error: providers[0].client: missing: write 'client: client_01ABC' or "
                    "'domain: my-app.authkit.app'"
                )
            ],
        ),
        (
            "preset: workos\n    client: a\n    domain: a.example",
            ["6:5: error: providers[0].domain: workos has none: it takes client"],
        ),
        ("preset: workos\n    clientt: a", ["5:5: error: providers[0].clientt: unknown key: did you mean client?"]),
        (
            "preset: github-actions\n    audience: a",
            [
                (
                    "4:5: error: providers[0].repository: missing: write 'repository: my-org/my-repository' or "
                    "'owner: my-org'"
                )
            ],
        ),
        (
            "preset: github-actions\n    audience: a\n    repository: [my-org/a, b]",
            [
                (
                    "6:17: error: providers[0].repository: expected the repository whose workflows are taken, or a "
                    "list, as owner/name, such as my-org/my-repository"
                )
            ],
        ),
        (
            "preset: github-actions\n    audience: a\n    repository: []",
            ["6:17: error: providers[0].repository: an empty list: write at least one entry, or remove the key"],
        ),
        (
            "preset: kubernetes\n    audience: a\n    issuer: https://a.example",
            ["4:5: error: providers[0].jwks: missing: write 'jwks: file:jwks.json'"],
        ),
        (
            "preset: kubernetes\n    audience: a\n    issuer: https://a.example\n    jwks: a",
            [
                (
                    "7:11: error: providers[0].jwks: expected an http(s) URL, file:PATH, a data: URI, or a JWK Set as "
                    "{keys: [...]}"
                )
            ],
        ),
        (
            "preset: supabase\n    project: a\n    audience: a\n    applicationID: b",
            ["6:5: error: providers[0].audience: another name of applicationID: keep one of the two"],
        ),
        (
            "preset: supabase\n    project: a\n    required_claims: [a]\n    profile: x",
            [
                "6:22: error: providers[0].required_claims: expected a mapping of keys",
                "7:14: error: providers[0].profile: expected rfc9068",
            ],
        ),
        (
            "preset: auth0\n    domain: http://a.example\n    leeway: x\n    audience: a",
            [
                "5:13: warning: providers[0].issuer: http can be changed on its way: write https",
                "5:13: warning: providers[0].jwks: http can be changed on its way: write https",
                "6:13: error: providers[0].leeway: expected a duration such as 30s, 5m, 1h or 250ms",
            ],
        ),
        (
            "preset: auth0\n    domain: ${UNSET}\n    audience: a",
            ["5:13: error: the variable UNSET is not set: set it, or write ${UNSET:-default}"],
        ),
    ],
)
def test_mistakes(complain: Complain, lines: str, problems: list[str]) -> None:
    """Each at its line, and in one run with all others."""
    assert complain(f"{HEAD}providers:\n  - {lines}\n") == problems


@pytest.mark.parametrize(
    ("domain", "problem"),
    [
        ("5", "expected text: put it in quotes"),
        ("[a.example]", "expected text, not a list"),
        ("tenant", "not a whole host name: expected one such as tenant.eu.auth0.com"),
        ("a b.example", "a URL has visible ASCII only: encode the rest with %"),
        ("ftp://a.example", "the scheme should be http or https: expected a URL such as https://issuer.example"),
        ("https://a.example/b", "the host alone, without /b: the preset knows what follows"),
        ("https://a.example/?b=c", "a host has no user, query or fragment: write tenant.eu.auth0.com"),
        ("https://user@a.example", "a host has no user, query or fragment: write tenant.eu.auth0.com"),
        ("a.example#", "a host has no user, query or fragment: write tenant.eu.auth0.com"),
    ],
)
def test_domains_that_are_none(complain: Complain, domain: str, problem: str) -> None:
    """The issuer is made of it, so nothing doubtful may be in it."""
    text = f"{HEAD}providers:\n  - preset: auth0\n    domain: '{domain}'\n    audience: a\n"
    text = text.replace("'5'", "5").replace("'[a.example]'", "[a.example]")
    assert complain(text) == [f"5:13: error: providers[0].domain: {problem}"]


@pytest.mark.parametrize("parameter", PARAMETERS.values(), ids=lambda parameter: parameter.name)
def test_examples_are_good(parameter: Any) -> None:
    """What messages tell people to write is taken."""
    assert parameter.pattern is None or re.fullmatch(parameter.pattern, parameter.example)


# --- editors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ISSUERS)
def test_editors_know_presets(name: str) -> None:
    """No editor underlines an entry that loads."""
    assert is_valid({**FILE, "providers": [dict(ISSUERS[name].entry)]}, SCHEMA, SCHEMA)


@pytest.mark.parametrize(
    "entry",
    [
        "{preset: autho, domain: a.example, applicationID: a}", "{preset: auth0, applicationID: a}",
        "{preset: auth0, domain: a.example}", "{preset: auth0, domain: a.example, tenant: a, applicationID: a}",
        "{preset: auth0, domain: a.example, applicationID: a, type: customJwt}", "{preset: workos}",
        "{preset: workos, client: a, domain: a.example, applicationID: a}", "{preset: workos, domain: a.example}",
        "{preset: github-actions, applicationID: a}", "{preset: kubernetes, issuer: a, applicationID: a}",
        "{preset: firebase, project: [a]}",
    ],
)  # fmt: skip
def test_editors_underline_what_is_wrong(entry: str) -> None:
    """What a preset needs and does not take, the schema says too."""
    assert not is_valid({**FILE, "providers": [yaml.safe_load(entry)]}, SCHEMA, SCHEMA)


def test_editors_leave_variables_alone() -> None:
    """Of a preset that the environment names, nothing more is known."""
    entry = {"preset": "${PRESET}", "domain": "${DOMAIN}", "applicationID": "a"}
    assert is_valid({**FILE, "providers": [entry]}, SCHEMA, SCHEMA)
