"""Presets: what each stands for, which tokens it takes, and that no preset takes what the same entry would not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config.expansion import expand_presets
from gateway.config.load import Loaded, parse_config
from gateway.config.presets import PRESETS
from gateway.config.show import render_config
from gateway.core.decision import Allow, decide
from gateway.core.errors import GatewayError
from tests.issuers import API, ISSUERS
from tests.policies import make_head
from tests.signing import NOW, make_key_set
from tests.unit.config.conftest import HEAD, Load

GOLDEN = yaml.safe_load((Path(__file__).parent / "presets.yaml").read_text("utf-8"))


def write(*entries: Mapping[str, Any]) -> str:
    return HEAD + yaml.safe_dump({"providers": list(map(dict, entries))}, sort_keys=False)


def load_entry(entry: Mapping[str, Any]) -> Loaded:
    return parse_config(write(entry), "f.yaml", {})


def test_every_preset_has_its_tokens() -> None:
    """A preset that is new needs a token of its provider, and a mistake."""
    assert {issuer.entry["preset"] for issuer in ISSUERS.values()} == set(PRESETS)
    assert all(issuer.mistakes for issuer in ISSUERS.values())


# --- what a preset stands for ----------------------------------------------------------------------------------------


def show_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a provider as ``config show`` prints it, without what presets leave alone."""
    [shown] = yaml.safe_load(render_config(load_entry(entry)))["providers"]
    assert shown.pop("token_from") == ["authorization"]
    assert shown.pop("jwks_options") == {"cooldown": "30s", "max_stale": "24h", "timeout": "5s"}
    assert shown.pop("leeway") == "5s"
    return shown


@pytest.mark.parametrize("name", ISSUERS)
def test_what_is_shown(name: str) -> None:
    """``config show`` has no preset in it, but all that it says."""
    assert show_entry(ISSUERS[name].entry) == GOLDEN[name]


@pytest.mark.parametrize("name", ISSUERS)
def test_what_is_shown_is_the_same_provider(name: str) -> None:
    """Written out, the entry comes to the same rules and the same keys, without a warning."""
    loaded = load_entry(ISSUERS[name].entry)
    again = parse_config(render_config(loaded), "f.yaml", {})
    assert loaded.warnings == again.warnings == ()
    assert loaded.settings.policy.providers == again.settings.policy.providers
    assert loaded.settings.key_sources == again.settings.key_sources


@pytest.mark.parametrize("name", ISSUERS)
def test_no_preset_loosens(name: str) -> None:
    """An audience is always checked, keys come over TLS, and no more is taken than what the defaults would take."""
    [provider] = load_entry(ISSUERS[name].entry).settings.policy.providers
    [plain] = load_entry(
        {"type": "customJwt", "issuer": "https://a.example", "jwks": "https://a.example/jwks", "applicationID": "a"}
    ).settings.policy.providers
    assert not provider.allow_any_audience
    assert provider.audiences
    assert provider.algorithms <= plain.algorithms
    assert provider.types <= plain.types
    assert provider.leeway_seconds == plain.leeway_seconds
    [source] = load_entry(ISSUERS[name].entry).settings.key_sources
    assert str(source.url).startswith("https://")


# --- tokens ----------------------------------------------------------------------------------------------------------


def judge(name: str, token: str) -> str:
    """Return ``accepted``, or the word of the refusal."""
    issuer = ISSUERS[name]
    policy = load_entry(issuer.entry).settings.policy
    [provider] = policy.providers
    keys = {provider.name: make_key_set(issuer.key)}
    try:
        outcome = decide(make_head(token), policy, keys, NOW, {provider.name: True})
    except GatewayError as error:
        return error.reason.word
    assert isinstance(outcome, Allow)
    return "accepted"


@pytest.mark.parametrize(
    ("name", "variant"), [(name, variant) for name in ISSUERS for variant in ("", *ISSUERS[name].variants)]
)
def test_tokens_of_the_provider_are_taken(name: str, variant: str) -> None:
    """As it gives them out."""
    issuer = ISSUERS[name]
    assert judge(name, issuer.make_token(NOW, issuer.variants.get(variant))) == "accepted"


@pytest.mark.parametrize(("name", "mistake"), [(name, each) for name in ISSUERS for each in ISSUERS[name].mistakes])
def test_the_usual_mistakes_are_refused(name: str, mistake: str) -> None:
    """With the reason that the page of the provider says."""
    issuer = ISSUERS[name]
    assert judge(name, issuer.make_mistake(NOW, mistake)) == issuer.mistakes[mistake].reason


@pytest.mark.parametrize(
    ("name", "organization", "scopes", "client"),
    [
        ("auth0", None, ("openid", "read:items"), "app-1"),
        ("clerk", "org_1", (), None),
        ("keycloak", None, ("profile",), "my-app"),
        ("entra", "11111111-2222-3333-4444-555555555555", ("Items.Read",), "app-1"),
        ("cognito", None, ("my-api/read",), "1example23456789"),
        ("workos", "org_1", ("items:read",), None),
        ("zitadel", None, ("reader",), "171300452206881735"),
        ("okta", None, ("items.read",), "app-1"),
    ],
)
def test_claims_are_found_where_the_provider_has_them(
    name: str, organization: str | None, scopes: tuple[str, ...], client: str | None
) -> None:
    """Organization, scopes and client have another name at each provider."""
    issuer = ISSUERS[name]
    policy = load_entry(issuer.entry).settings.policy
    [provider] = policy.providers
    outcome = decide(make_head(issuer.make_token(NOW)), policy, {provider.name: make_key_set(issuer.key)}, NOW)
    assert isinstance(outcome, Allow)
    assert outcome.verified is not None
    verified = outcome.verified
    assert (verified.organization, verified.scopes, verified.client_id) == (organization, scopes, client)


# --- what stands beside a preset -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "more", "expected"),
    [
        ("auth0", {"algorithm": "PS256"}, {"algorithm": ["PS256"]}),
        ("auth0", {"scope_claims": ["scope", "permissions"]}, {"scope_claims": ["scope", "permissions"]}),
        ("supabase", {"issuer": "https://auth.example/auth/v1"}, {"issuer": ["https://auth.example/auth/v1"]}),
        ("supabase", {"audience": "mine"}, {"applicationID": ["mine"]}),
        ("supabase", {"allow_any_audience": False}, {"applicationID": ["authenticated"]}),
        ("better-auth", {"applicationID": [API]}, {"applicationID": [API]}),
        ("okta", {"server": "aus1"}, {"issuer": ["https://my-org.okta.com/oauth2/aus1"]}),
        ("cognito", {"required_claims": {"a": 1}}, {"required_claims": {"token_use": ["access"], "a": [1]}}),
        ("cognito", {"required_claims": {"token_use": "id"}}, {"required_claims": {"token_use": ["id"]}}),
        ("google", {"required_claims": {"hd": "my-app.example"}}, {"required_claims": {"hd": ["my-app.example"]}}),
        ("logto", {"domain": "http://localhost:3001/"}, {"issuer": ["http://localhost:3001/oidc"]}),
        (
            "keycloak",
            {"domain": "https://sso.example/auth"},
            {"issuer": ["https://sso.example/auth/realms/my-realm"]},
        ),
    ],
)
def test_explicit_keys_win(name: str, more: dict[str, Any], expected: dict[str, Any]) -> None:
    """What is written beside a preset is what holds; of required claims, one by one."""
    shown = show_entry({**ISSUERS[name].entry, **more})
    assert {key: shown[key] for key in expected} == expected


def test_a_profile_says_the_type() -> None:
    """Beside ``profile``, the ``typ`` of a preset would be a mistake that nobody wrote."""
    shown = show_entry({**ISSUERS["logto"].entry, "profile": "rfc9068"})
    assert "typ" not in shown


def test_any_audience_is_the_users_own_word() -> None:
    """Only then the preset's audience goes."""
    shown = show_entry({**ISSUERS["supabase"].entry, "allow_any_audience": True})
    assert shown["allow_any_audience"] is True
    assert "applicationID" not in shown


def test_the_file_is_left_as_it_was() -> None:
    """Places are looked up in what was written."""
    data = {"providers": [dict(ISSUERS["cognito"].entry), {"domain": "https://a.example"}]}
    before = yaml.safe_dump(data)
    expanded = expand_presets(data)
    assert yaml.safe_dump(data) == before
    assert expanded.data["providers"][1] == {"domain": "https://a.example"}


def test_settings_stand_where_they_come_from(load: Load) -> None:
    """``explain`` names the line of a parameter for what is made of it, and that of the preset for the rest."""
    loaded = load(
        f"{HEAD}providers:\n  - name: a\n    preset: cognito\n    pool: eu-west-1_a\n    audience: x\n    leeway: 1s\n"
    )
    lines = {key: loaded.locate("providers", 0, key).line for key in ("issuer", "jwks", "typ", "applicationID")}
    assert lines == {"issuer": 6, "jwks": 6, "typ": 5, "applicationID": 7}
    assert loaded.locate("providers", 0, "required_claims", "token_use").line == 5
