"""
Tokens in the shape of each identity provider that has a preset, and what people send instead of them by mistake.

Their keys are ours, and nobody is asked: what is tested is what the preset makes of such a token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.signing import ABSENT, SigningKey, make_key, sign_token, sign_with_secret

API = "https://my-api.example"
TENANT = "11111111-2222-3333-4444-555555555555"
OTHER_TENANT = "99999999-2222-3333-4444-555555555555"
API_GUID = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
GRAPH = "00000003-0000-0000-c000-000000000000"
ID_TOKEN = {"nonce": "n-1", "at_hash": "h-1"}


@dataclass(frozen=True, slots=True)
class Mistake:
    """What differs from a good token, and the word of the refusal; a foreign one has a signature of nobody's."""

    reason: str
    claims: Mapping[str, Any] = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=dict)
    is_foreign: bool = False


@dataclass(frozen=True, slots=True)
class Issuer:
    """
    One issuer: its entry of the file, the algorithm and header type of its tokens, and their claims.

    ``variants`` are changes of a token that is good all the same.
    """

    entry: Mapping[str, Any]
    claims: Mapping[str, Any]
    mistakes: Mapping[str, Mistake]
    algorithm: str = "RS256"
    typ: str | None = "JWT"
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def key(self) -> SigningKey:
        """The key that signs."""
        return make_key(self.algorithm, "k-1")

    def make_token(
        self, now: int, claims: Mapping[str, Any] | None = None, header: Mapping[str, Any] | None = None
    ) -> str:
        """Return a token that was issued four minutes ago, with these changes; ``ABSENT`` takes one away."""
        payload = {"iat": now - 240, "exp": now + 3360, **self.claims, **(claims or {})}
        head = {"alg": self.algorithm, "typ": self.typ or ABSENT, "kid": "k-1", **(header or {})}
        parts = [{name: value for name, value in part.items() if value is not ABSENT} for part in (head, payload)]
        if head["alg"] == "HS256":
            return sign_with_secret(b"secret" * 6, parts[0], parts[1])
        return sign_token(self.key, parts[0], parts[1])

    def make_mistake(self, now: int, name: str) -> str:
        """Return the token of one mistake."""
        mistake = self.mistakes[name]
        token = self.make_token(now, mistake.claims, mistake.header)
        return token[:-8] + "AAAAAAAA" if mistake.is_foreign else token


ISSUERS: dict[str, Issuer] = {
    "logto": Issuer(
        {"preset": "logto", "domain": "tenant.logto.app", "applicationID": [API, "urn:logto:organization:*"]},
        {"iss": "https://tenant.logto.app/oidc", "sub": "user-1", "aud": API, "client_id": "app-1", "scope": "read"},
        {
            "id-token": Mistake("typ_not_accepted", {"aud": "app-1", **ID_TOKEN}, {"typ": "JWT"}),
            "other-tenant": Mistake("unknown_issuer", {"iss": "https://other.logto.app/oidc"}),
        },
        algorithm="ES384",
        typ="at+jwt",
        variants={"organization": {"aud": "urn:logto:organization:org_1"}},
    ),
    "auth0": Issuer(
        {"preset": "auth0", "domain": "tenant.eu.auth0.com", "applicationID": API},
        {
            "iss": "https://tenant.eu.auth0.com/",
            "sub": "auth0|user-1",
            "aud": [API, "https://tenant.eu.auth0.com/userinfo"],
            "azp": "app-1",
            "scope": "openid read:items",
        },
        {
            "id-token": Mistake("audience_mismatch", {"aud": "app-1", "scope": ABSENT, "nonce": "n-1"}),
            "other-tenant": Mistake("unknown_issuer", {"iss": "https://other.eu.auth0.com/"}),
        },
        variants={"without-openid": {"aud": API}},
    ),
    "clerk": Issuer(
        {"preset": "clerk", "domain": "clerk.my-app.example", "applicationID": "https://my-app.example"},
        {
            "iss": "https://clerk.my-app.example",
            "sub": "user_1",
            "azp": "https://my-app.example",
            "o": {"id": "org_1", "rol": "admin", "slg": "first"},
        },
        {
            "other-page": Mistake("audience_mismatch", {"azp": "https://other.example"}),
            "no-azp": Mistake("audience_mismatch", {"azp": ABSENT}),
            "other-instance": Mistake("unknown_issuer", {"iss": "https://clerk.other.example"}),
        },
        variants={"first-version": {"o": ABSENT, "org_id": "org_1"}},
    ),
    "keycloak": Issuer(
        {"preset": "keycloak", "domain": "sso.my-app.example", "realm": "my-realm", "applicationID": "my-api"},
        {
            "iss": "https://sso.my-app.example/realms/my-realm",
            "sub": "user-1",
            "aud": ["my-api", "account"],
            "azp": "my-app",
            "typ": "Bearer",
            "scope": "profile",
        },
        {
            "no-mapper": Mistake("audience_mismatch", {"aud": "account"}),
            "id-token": Mistake("claim_mismatch", {"aud": "my-api", "typ": "ID", **ID_TOKEN}),
            "other-realm": Mistake("unknown_issuer", {"iss": "https://sso.my-app.example/realms/master"}),
        },
    ),
    "entra": Issuer(
        {"preset": "entra", "tenant": TENANT, "applicationID": [API_GUID, f"api://{API_GUID}"]},
        {
            "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
            "sub": "user-1",
            "aud": API_GUID,
            "azp": "app-1",
            "scp": "Items.Read",
            "tid": TENANT,
        },
        {
            "graph": Mistake(
                "bad_signature",
                {"iss": f"https://sts.windows.net/{TENANT}/", "aud": GRAPH, "scp": "User.Read"},
                {"nonce": "n-1"},
                is_foreign=True,
            ),
            "id-token": Mistake("audience_mismatch", {"aud": "app-1", "scp": ABSENT, "nonce": "n-1"}),
            "other-tenant": Mistake(
                "unknown_issuer",
                {"iss": f"https://login.microsoftonline.com/{OTHER_TENANT}/v2.0", "tid": OTHER_TENANT},
            ),
        },
        variants={
            "v1": {
                "iss": f"https://sts.windows.net/{TENANT}/",
                "aud": f"api://{API_GUID}",
                "azp": ABSENT,
                "appid": "app-1",
            }
        },
    ),
    "cognito": Issuer(
        {"preset": "cognito", "pool": "eu-west-1_AbCdEf123", "applicationID": "1example23456789"},
        {
            "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf123",
            "sub": "user-1",
            "client_id": "1example23456789",
            "token_use": "access",
            "scope": "my-api/read",
        },
        {
            "id-token": Mistake(
                "audience_mismatch", {"aud": "1example23456789", "client_id": ABSENT, "token_use": "id"}
            ),
            "other-use": Mistake("claim_mismatch", {"token_use": "id"}),
            "other-client": Mistake("audience_mismatch", {"client_id": "other-client"}),
        },
        typ=None,
    ),
    "better-auth": Issuer(
        {"preset": "better-auth", "domain": "my-app.example"},
        {"iss": "https://my-app.example", "sub": "user-1", "aud": "https://my-app.example", "email": "foo@example.com"},
        {
            "other-resource": Mistake("audience_mismatch", {"aud": "https://other-api.example"}),
            "no-audience": Mistake("audience_mismatch", {"aud": ABSENT}),
        },
        algorithm="EdDSA",
        typ=None,
    ),
    "workos": Issuer(
        {"preset": "workos", "client": "client_01ABC"},
        {
            "iss": "https://api.workos.com/user_management/client_01ABC",
            "sub": "user_1",
            "org_id": "org_1",
            "role": "admin",
            "permissions": ["items:read"],
        },
        {
            "short-issuer": Mistake("unknown_issuer", {"iss": "https://api.workos.com"}),
            "other-client": Mistake("unknown_issuer", {"iss": "https://api.workos.com/user_management/client_02"}),
        },
    ),
    "workos-connect": Issuer(
        {"preset": "workos", "domain": "my-app.authkit.app", "applicationID": API},
        {"iss": "https://my-app.authkit.app", "sub": "user_1", "aud": API, "client_id": "app-1", "scope": "read"},
        {"other-resource": Mistake("audience_mismatch", {"aud": "https://other-api.example"})},
    ),
    "zitadel": Issuer(
        {"preset": "zitadel", "domain": "my-instance.zitadel.cloud", "applicationID": "298850416327749890"},
        {
            "iss": "https://my-instance.zitadel.cloud",
            "sub": "240117093581625472",
            "aud": ["171300452206881735", "298850416327749890"],
            "client_id": "171300452206881735",
            "urn:zitadel:iam:org:project:roles": {"reader": {"160884209753346119": "my-org.example"}},
        },
        {"no-project": Mistake("audience_mismatch", {"aud": ["171300452206881735", "171300518866413511"]})},
    ),
    "supabase": Issuer(
        {"preset": "supabase", "project": "abcdefghijklmnopqrst"},
        {
            "iss": "https://abcdefghijklmnopqrst.supabase.co/auth/v1",
            "sub": "user-1",
            "aud": "authenticated",
            "role": "authenticated",
        },
        {
            "legacy": Mistake("algorithm_not_accepted", header={"alg": "HS256", "kid": ABSENT}),
            "other-project": Mistake("unknown_issuer", {"iss": "https://zyxwvutsrqponmlkjihg.supabase.co/auth/v1"}),
        },
        algorithm="ES256",
        variants={"list": {"aud": ["authenticated"]}},
    ),
    "firebase": Issuer(
        {"preset": "firebase", "project": "my-project"},
        {"iss": "https://securetoken.google.com/my-project", "sub": "user-1", "aud": "my-project"},
        {
            "other-project": Mistake(
                "unknown_issuer", {"iss": "https://securetoken.google.com/other-project", "aud": "other-project"}
            ),
            "other-audience": Mistake("audience_mismatch", {"aud": "other-project"}),
        },
    ),
    "okta": Issuer(
        {"preset": "okta", "domain": "my-org.okta.com", "applicationID": "api://default"},
        {
            "iss": "https://my-org.okta.com/oauth2/default",
            "sub": "foo@example.com",
            "aud": "api://default",
            "cid": "app-1",
            "scp": ["items.read"],
        },
        {
            "org-server": Mistake(
                "unknown_issuer", {"iss": "https://my-org.okta.com", "aud": "https://my-org.okta.com"}
            ),
            "id-token": Mistake("audience_mismatch", {"aud": "app-1", **ID_TOKEN}),
        },
        typ=None,
    ),
    "google": Issuer(
        {"preset": "google", "applicationID": "1234-my-app.apps.googleusercontent.com"},
        {
            "iss": "https://accounts.google.com",
            "sub": "110000000000000000001",
            "aud": "1234-my-app.apps.googleusercontent.com",
            "email": "foo@example.com",
        },
        {"other-client": Mistake("audience_mismatch", {"aud": "5678-other.apps.googleusercontent.com"})},
    ),
    "github-actions": Issuer(
        {"preset": "github-actions", "repository": "my-org/my-repository", "applicationID": API},
        {
            "iss": "https://token.actions.githubusercontent.com",
            "sub": "repo:my-org/my-repository:ref:refs/heads/main",
            "aud": API,
            "repository": "my-org/my-repository",
            "repository_owner": "my-org",
        },
        {
            "other-repository": Mistake(
                "claim_mismatch",
                {
                    "sub": "repo:stranger/fork:ref:refs/heads/main",
                    "repository": "stranger/fork",
                    "repository_owner": "stranger",
                },
            ),
            "default-audience": Mistake("audience_mismatch", {"aud": "https://github.com/my-org"}),
        },
    ),
    "github-actions-owner": Issuer(
        {"preset": "github-actions", "owner": ["my-org", "my-other-org"], "applicationID": API},
        {
            "iss": "https://token.actions.githubusercontent.com",
            "sub": "repo:my-org/any:ref:refs/heads/main",
            "aud": API,
            "repository": "my-org/any",
            "repository_owner": "my-org",
        },
        {"other-owner": Mistake("claim_mismatch", {"repository_owner": "stranger"})},
    ),
    "kubernetes": Issuer(
        {
            "preset": "kubernetes",
            "issuer": "https://kubernetes.default.svc.cluster.local",
            "jwks": "https://kubernetes.default.svc.cluster.local/openid/v1/jwks",
            "applicationID": "my-api",
        },
        {
            "iss": "https://kubernetes.default.svc.cluster.local",
            "sub": "system:serviceaccount:shop:worker",
            "aud": ["my-api"],
            "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "worker"}},
        },
        {
            "default-token": Mistake("audience_mismatch", {"aud": ["https://kubernetes.default.svc.cluster.local"]}),
            "unbound": Mistake("claim_missing", {"kubernetes.io": ABSENT}),
        },
        typ=None,
    ),
}
