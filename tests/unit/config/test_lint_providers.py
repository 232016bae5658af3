"""Rules on providers: errors, and warnings that ``strict`` makes errors."""

from __future__ import annotations

import pytest

from gateway.config.problems import Severity
from tests.unit.config.conftest import HEAD, Complain, Load


def write(*providers: str) -> str:
    return HEAD + "providers:\n" + "".join(f"  - {provider}\n" for provider in providers)


def custom(
    issuer: str = "https://i.example", jwks: str = "https://i.example/jwks", more: str = "applicationID: a"
) -> str:
    return f"{{type: customJwt, issuer: '{issuer}', jwks: '{jwks}', {more}}}"


def warn(load: Load, text: str) -> list[str]:
    return [str(problem).removeprefix("f.yaml:") for problem in load(text).warnings]


def test_names_are_unique(complain: Complain) -> None:
    """A name stands for one provider, in the log and in routes."""
    text = write(custom(more="applicationID: a, name: x"), custom(more="applicationID: b, name: x"))
    assert complain(text) == ["5:108: error: providers[1].name: the name of providers[0] too: choose another one"]


@pytest.mark.norm("8725-5")
@pytest.mark.parametrize(
    ("more", "messages"),
    [
        (
            "name: x",
            [
                (
                    "providers[0]: no applicationID: write the audiences that are yours, or allow_any_audience: true "
                    "for tokens that were issued to anyone"
                )
            ],
        ),
        (
            "allow_any_audience: false",
            [
                (
                    "providers[0]: no applicationID: write the audiences that are yours, or "
                    "allow_any_audience: true for tokens that were issued to anyone"
                )
            ],
        ),
        (
            "allow_any_audience: off",
            [
                (
                    "providers[0]: no applicationID: write the audiences that are yours, or "
                    "allow_any_audience: true for tokens that were issued to anyone"
                )
            ],
        ),
        (
            "allow_any_audience: true, applicationID: a",
            ["providers[0].allow_any_audience: contradicts applicationID: keep one of the two"],
        ),
        (
            "applicationID: a, audience: b",
            ["providers[0].audience: another name of applicationID: keep one of the two"],
        ),
        (
            "applicationID: []",
            ["providers[0].applicationID: an empty list: write at least one entry, or remove the key"],
        ),
        (
            "applicationID: '{organization}'",
            [
                (
                    "providers[0].applicationID[0]: bad audience pattern: "
                    "a pattern without literal text accepts every audience; write what yours begins with"
                )
            ],
        ),
        (
            "applicationID: 'a{x}{y}'",
            ["providers[0].applicationID[0]: bad audience pattern: two wildcards need literal text between them"],
        ),
        (
            "applicationID: {regex: '('}",
            [
                (
                    "providers[0].applicationID[0]: bad audience pattern: "
                    "not a regular expression that RE2 accepts: missing ): ("
                )
            ],
        ),
        (
            "applicationID: {regex: '.*'}",
            ["providers[0].applicationID[0]: bad audience pattern: the expression accepts the empty audience"],
        ),
        (
            "applicationID: {regexp: a}",
            ["providers[0].applicationID[0]: expected text, or {regex: ...}: put a pattern with braces in quotes"],
        ),
        (
            "applicationID: {organization: x}",
            ["providers[0].applicationID[0]: expected text, or {regex: ...}: put a pattern with braces in quotes"],
        ),
        (
            f"applicationID: {{regex: {'a' * 4097}}}",
            ["providers[0].applicationID[0]: the expression is longer than 4096 characters"],
        ),
        (
            "allow_any_audience: maybe",
            [
                (
                    "providers[0]: no applicationID: write the audiences that are yours, or "
                    "allow_any_audience: true for tokens that were issued to anyone"
                ),
                "providers[0].allow_any_audience: expected true or false",
            ],
        ),
        ("applicationID: 5", ["providers[0].applicationID[0]: expected text: put it in quotes"]),
    ],
)
def test_absence_never_permits(complain: Complain, more: str, messages: list[str]) -> None:
    """Who the tokens are for is said, in one way, or the file is refused."""
    assert [problem.partition(": error: ")[2] for problem in complain(write(custom(more=more)))] == messages


@pytest.mark.norm("8414-3")
def test_plain_http(load: Load, complain: Complain) -> None:
    """Over http off this machine, whoever is in between hands out the keys."""
    text = write(custom("http://i.example", "http://i.example/jwks"), "{domain: 'http://d.example', applicationID: a}")
    messages = [
        "4:31: {}: providers[0].issuer: http can be changed on its way: write https",
        "4:57: {}: providers[0].jwks: http can be changed on its way: write https",
        "5:14: {}: providers[1].domain: http can be changed on its way: write https",
    ]
    assert warn(load, text) == [message.format("warning") for message in messages]
    assert complain(text, strict=True) == [message.format("error") for message in messages]
    assert all(problem.severity is Severity.WARNING for problem in load(text).warnings)


@pytest.mark.norm("8414-3")
@pytest.mark.parametrize("host", ["localhost:3000", "127.0.0.1:3000", "[::1]:3000", "app.localhost"])
def test_plain_http_on_this_machine(load: Load, host: str) -> None:
    """Nobody is in between there."""
    assert warn(load, write(custom(f"http://{host}/oidc", f"http://{host}/jwks"))) == []


SHARED = "this issuer is shared by many applications, and"


@pytest.mark.parametrize(
    "issuer",
    [
        "https://accounts.google.com",
        "https://accounts.google.com/",
        "accounts.google.com",
        "https://api.workos.com",
        "https://login.microsoftonline.com/common/v2.0",
        "https://login.microsoftonline.com/common",
        "https://login.microsoftonline.com/consumers/v2.0",
        "https://login.microsoftonline.com/organizations/v2.0",
        "https://securetoken.google.com/my-project",
        "https://token.actions.githubusercontent.com",
    ],
)
def test_shared_issuers(load: Load, complain: Complain, issuer: str) -> None:
    """Of an issuer that signs for everyone, only the audience says which tokens are ours."""
    loose = write(custom(issuer, more="allow_any_audience: true"))
    [problem] = warn(load, loose)
    assert problem.endswith(
        f"warning: providers[0].allow_any_audience: {SHARED} tokens of all of them pass: write applicationID"
    )
    [problem] = warn(load, write(custom(issuer, more="applicationID: [mine, '*.apps.example']")))
    assert problem.endswith(
        f"warning: providers[0].applicationID[1]: {SHARED} a pattern takes tokens of others: "
        "write the audiences that are yours"
    )
    assert len(warn(load, write(custom(issuer, more="applicationID: {regex: 'a.+'}")))) == 1
    assert warn(load, write(custom(issuer))) == []
    assert len(complain(loose, strict=True)) == 1


@pytest.mark.parametrize(
    "issuer",
    [
        "https://api.workos.com/user_management/client_1",
        "https://login.microsoftonline.com/0b1c/v2.0",
        "https://x.example",
    ],
)
def test_issuers_of_one_tenant(load: Load, issuer: str) -> None:
    """An issuer that names its tenant signs for that one."""
    assert warn(load, write(custom(issuer, more="allow_any_audience: true"))) == []


def test_keys_in_the_file_that_are_not_used(load: Load) -> None:
    """A key that is written out and skipped is worth a word."""
    key = "{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}"
    text = write(f"{{type: customJwt, issuer: i, jwks: {{keys: [{key}, {{kty: oct, k: x}}]}}, applicationID: a}}")
    assert warn(load, text) == [
        "4:40: warning: providers[0].jwks: key 1 is not used: a symmetric key; whoever can read it can sign: remove it"
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("applicationID: a", "applicationID: a"),
        ("applicationID: [a, b]", "applicationID: b"),
        ("applicationID: 'a-*'", "applicationID: a-1"),
        ("applicationID: {regex: 'a.+'}", "applicationID: ab"),
        ("applicationID: {regex: 'a.+'}", "applicationID: {regex: 'a.+'}"),
        ("allow_any_audience: true", "applicationID: a"),
        ("allow_any_audience: true", "allow_any_audience: true"),
        ("applicationID: a", "applicationID: a, profile: rfc9068"),
        ("applicationID: a", "applicationID: a, max_lifetime: 1h, required_claims: {x: y}, leeway: 1s"),
    ],
)
def test_a_provider_that_is_never_reached(load: Load, complain: Complain, first: str, second: str) -> None:
    """Where an earlier one takes all of its tokens, a later one only seems to say something."""
    text = write(custom(more=first), custom(more=second))
    message = "providers[1]: never reached: providers[0] takes all of its tokens first: remove one of them"
    assert warn(load, text) == [f"5:5: warning: {message}"]
    assert complain(text, strict=True) == [f"5:5: error: {message}"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (custom(more="applicationID: a"), custom(more="applicationID: b")),
        (custom(more="applicationID: a"), custom(more="allow_any_audience: true")),
        (custom(more="applicationID: a"), custom(jwks="https://j.example/jwks", more="applicationID: a")),
        (custom(more="applicationID: a"), custom(issuer="https://j.example", more="applicationID: a")),
        (custom(more="applicationID: a, algorithm: RS256"), custom(more="applicationID: a")),
        (custom(more="applicationID: a, profile: rfc9068"), custom(more="applicationID: a")),
        (custom(more="applicationID: a, required_claims: {x: y}"), custom(more="applicationID: a")),
        (custom(more="applicationID: a, max_lifetime: 1h"), custom(more="applicationID: a")),
        (custom(more="applicationID: a, leeway: 0"), custom(more="applicationID: a")),
        (custom(more="applicationID: a, audience_claim: cid"), custom(more="applicationID: a")),
        (custom(more="applicationID: a, organization_claim: o"), custom(more="applicationID: a")),
        (custom(more="applicationID: 'a-{organization}'"), custom(more="applicationID: a-1")),
        (custom(more="applicationID: 'a-*'"), custom(more="applicationID: 'a-b-*'")),
    ],
)
def test_a_provider_that_may_be_reached(load: Load, first: str, second: str) -> None:
    """In doubt there is no warning."""
    assert warn(load, write(first, second)) == []
