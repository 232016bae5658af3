"""
What each identity provider's tokens look like: a table of settings, with ``{parameter}`` for what only the user knows.

A preset is never wider than the same entry written out: it names the algorithms that the provider signs with, and asks
for an audience unless issuer and keys, or a claim that it demands, leave tokens of nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Parameter:
    """
    A key that only presets have.

    ``pattern`` is of the whole value, and its named groups are values too; without one the value is a host or a URL,
    which comes out as a URL without a slash at its end. ``default`` is for one that may be left out.
    """

    name: str
    meaning: str
    example: str
    pattern: str | None = None
    has_path: bool = False
    is_list: bool = False
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Preset:
    """
    One way of an identity provider to issue tokens.

    ``needs`` are keys of every entry that the preset cannot know, with an example. ``audience`` says what to write
    into ``applicationID`` where ``settings`` have none.
    """

    parameters: tuple[Parameter, ...]
    settings: Mapping[str, Any]
    audience: str = ""
    needs: Mapping[str, str] = field(default_factory=dict)


def _domain(example: str, *, has_path: bool = False) -> Parameter:
    return Parameter("domain", "The host of your tenant or instance, or its URL.", example, has_path=has_path)


_WORD = "[A-Za-z0-9._-]+"
_GUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_GITHUB = "https://token.actions.githubusercontent.com"
_COMMON_GITHUB = {
    "issuer": _GITHUB,
    "jwks": f"{_GITHUB}/.well-known/jwks",
    "algorithm": ["RS256"],
    "typ": ["JWT"],
}
# Whoever runs a workflow chooses its audience, so only who that is tells your workflows from all others.
_GITHUB_AUDIENCE = "the audience that your workflows ask for"

PRESETS: Mapping[str, tuple[Preset, ...]] = {
    "logto": (
        Preset(
            (_domain("tenant.logto.app"),),
            {
                "issuer": "{domain}/oidc",
                "jwks": "{domain}/oidc/jwks",
                "algorithm": ["ES384", "RS256", "EdDSA"],
                "typ": ["at+jwt"],
                "scope_claims": ["scope"],
                "organization_claim": ["organization_id"],
                "client_claims": ["client_id"],
            },
            "the identifier of your API resource, or urn:logto:organization:{organization}",
        ),
    ),
    "auth0": (
        Preset(
            (_domain("tenant.eu.auth0.com"),),
            {
                "issuer": "{domain}/",
                "jwks": "{domain}/.well-known/jwks.json",
                "algorithm": ["RS256"],
                "typ": ["JWT", "at+jwt"],
                "scope_claims": ["scope"],
                "organization_claim": ["org_id"],
                "client_claims": ["client_id", "azp"],
            },
            "the identifier of your API",
        ),
    ),
    "clerk": (
        Preset(
            (_domain("clerk.my-app.example"),),
            {
                "issuer": "{domain}",
                "jwks": "{domain}/.well-known/jwks.json",
                "algorithm": ["RS256"],
                "typ": ["JWT"],
                # Session tokens have no aud: the origin of the page that asked for them is all that they name.
                "audience_claim": "azp",
                "organization_claim": ["o.id", "org_id"],
                "client_claims": ["client_id"],
            },
            "the origins of your pages, such as https://my-app.example",
        ),
    ),
    "keycloak": (
        Preset(
            (
                _domain("sso.my-app.example", has_path=True),
                Parameter("realm", "The name of the realm.", "my-realm", _WORD),
            ),
            {
                "issuer": "{domain}/realms/{realm}",
                "jwks": "{domain}/realms/{realm}/protocol/openid-connect/certs",
                "algorithm": ["RS256"],
                "typ": ["JWT", "at+jwt"],
                # A claim, not the header: of an ID token it is ID.
                "required_claims": {"typ": "Bearer"},
                "scope_claims": ["scope"],
                "client_claims": ["azp"],
            },
            "what the audience mapper of your clients adds",
        ),
    ),
    "entra": (
        Preset(
            (
                Parameter(
                    "tenant",
                    "The id of one tenant, a GUID in lower case.",
                    "11111111-2222-3333-4444-555555555555",
                    _GUID,
                ),
            ),
            {
                # Which of the two an API gets is a setting of its registration.
                "issuer": ["https://login.microsoftonline.com/{tenant}/v2.0", "https://sts.windows.net/{tenant}/"],
                "jwks": "https://login.microsoftonline.com/{tenant}/discovery/v2.0/keys",
                "algorithm": ["RS256"],
                "typ": ["JWT"],
                "scope_claims": ["scp"],
                "organization_claim": ["tid"],
                "client_claims": ["azp", "appid"],
            },
            "the application id of your API (v2.0 tokens), or api://... (v1.0 tokens)",
        ),
    ),
    "cognito": (
        Preset(
            (
                Parameter(
                    "pool",
                    "The id of the user pool, which begins with its region.",
                    "eu-west-1_AbCdEf123",
                    "(?P<region>[a-z]{2}(?:-[a-z]+)+-[0-9]+)_[A-Za-z0-9]+",
                ),
            ),
            {
                "issuer": "https://cognito-idp.{region}.amazonaws.com/{pool}",
                "jwks": "https://cognito-idp.{region}.amazonaws.com/{pool}/.well-known/jwks.json",
                "algorithm": ["RS256"],
                "typ": ["none"],
                # Access tokens have no aud, ID tokens no client_id.
                "audience_claim": "client_id",
                "required_claims": {"token_use": "access"},
                "scope_claims": ["scope"],
                "client_claims": ["client_id"],
            },
            "the ids of the app clients whose tokens are taken",
        ),
    ),
    "better-auth": (
        Preset(
            (_domain("my-app.example"),),
            {
                "issuer": "{domain}",
                "jwks": "{domain}/api/auth/jwks",
                "algorithm": ["EdDSA"],
                "typ": ["none", "at+jwt"],
                # That of the JWT plugin. Tokens of the OAuth provider name the resource that was asked for.
                "applicationID": ["{domain}"],
                "scope_claims": ["scope"],
            },
        ),
    ),
    "workos": (
        Preset(
            (Parameter("client", "The id of the client whose sessions are taken.", "client_01ABC", "[A-Za-z0-9_]+"),),
            {
                "issuer": "https://api.workos.com/user_management/{client}",
                "jwks": "https://api.workos.com/sso/jwks/{client}",
                "algorithm": ["RS256"],
                "typ": ["JWT"],
                # Session tokens have no aud: whose they are, only the issuer says.
                "audience_claim": "iss",
                "applicationID": ["https://api.workos.com/user_management/{client}"],
                "scope_claims": ["permissions"],
                "organization_claim": ["org_id"],
            },
        ),
        Preset(
            (_domain("my-app.authkit.app"),),
            {
                "issuer": "{domain}",
                "jwks": "{domain}/oauth2/jwks",
                "algorithm": ["RS256"],
                "typ": ["JWT"],
                "scope_claims": ["scope"],
                "organization_claim": ["org_id"],
                "client_claims": ["client_id"],
            },
            "the resource that your clients ask for, or the client id of the environment",
        ),
    ),
    "zitadel": (
        Preset(
            (_domain("my-instance.zitadel.cloud"),),
            {
                "issuer": "{domain}",
                "jwks": "{domain}/oauth/v2/keys",
                "algorithm": ["RS256"],
                "typ": ["JWT"],
                # Its tokens hold no scopes; these are the roles of the project, by name.
                "scope_claims": ["urn:zitadel:iam:org:project:roles"],
                "organization_claim": ["urn:zitadel:iam:user:resourceowner:id"],
                "client_claims": ["client_id", "azp"],
            },
            "the id of your project, in quotes",
        ),
    ),
    "supabase": (
        Preset(
            (Parameter("project", "The id of the project.", "abcdefghijklmnopqrst", "[a-z0-9]+"),),
            {
                "issuer": "https://{project}.supabase.co/auth/v1",
                "jwks": "https://{project}.supabase.co/auth/v1/.well-known/jwks.json",
                "algorithm": ["ES256", "RS256"],
                "typ": ["JWT"],
                # That of every project: issuer and keys are what ties a token to yours.
                "applicationID": ["authenticated"],
            },
        ),
    ),
    "firebase": (
        Preset(
            (Parameter("project", "The id of the project.", "my-project", "[a-z0-9-]+"),),
            {
                "issuer": "https://securetoken.google.com/{project}",
                "jwks": ("https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com"),
                "algorithm": ["RS256"],
                "typ": ["JWT"],
                "applicationID": ["{project}"],
                "organization_claim": ["firebase.tenant"],
            },
        ),
    ),
    "okta": (
        Preset(
            (
                _domain("my-org.okta.com"),
                Parameter(
                    "server", "The id of the authorization server.", "default", "[A-Za-z0-9]+", default="default"
                ),
            ),
            {
                "issuer": "{domain}/oauth2/{server}",
                "jwks": "{domain}/oauth2/{server}/v1/keys",
                "algorithm": ["RS256"],
                "typ": ["none"],
                "scope_claims": ["scp"],
                "client_claims": ["cid"],
            },
            "the audience of the authorization server; of the one named default it is api://default",
        ),
    ),
    "google": (
        Preset(
            (),
            {
                "issuer": "https://accounts.google.com",
                "jwks": "https://www.googleapis.com/oauth2/v3/certs",
                "algorithm": ["RS256"],
                "typ": ["JWT"],
            },
            "the client id that your pages sign in with",
        ),
    ),
    "github-actions": (
        Preset(
            (
                Parameter(
                    "repository",
                    "The repository whose workflows are taken, or a list, as owner/name.",
                    "my-org/my-repository",
                    f"{_WORD}/{_WORD}",
                    is_list=True,
                ),
            ),
            {**_COMMON_GITHUB, "required_claims": {"repository": "{repository}"}},
            _GITHUB_AUDIENCE,
        ),
        Preset(
            (
                Parameter(
                    "owner",
                    "The user or organization whose workflows are taken, of all repositories, or a list.",
                    "my-org",
                    "[A-Za-z0-9_-]+",
                    is_list=True,
                ),
            ),
            {**_COMMON_GITHUB, "required_claims": {"repository_owner": "{owner}"}},
            _GITHUB_AUDIENCE,
        ),
    ),
    "kubernetes": (
        Preset(
            (),
            {
                "algorithm": ["RS256"],
                "typ": ["JWT", "none"],
                # Tokens that are bound to a Pod or another object have it; those of Secrets have not.
                "required_claims": {"kubernetes.io": True},
            },
            "the audience of the projected tokens",
            needs={
                "issuer": "https://kubernetes.default.svc.cluster.local",
                "jwks": "file:jwks.json",
            },
        ),
    ),
}

# The parameters of all presets, each once; those of one name mean the same.
PARAMETERS: Mapping[str, Parameter] = {
    parameter.name: parameter for shapes in PRESETS.values() for shape in shapes for parameter in shape.parameters
}
