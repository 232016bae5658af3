"""The refusals of one explanation, one by one, as those who look for their causes want them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.cli.checks import ID_TOKEN_CLAIMS, is_about_token
from gateway.cli.explanation import Explanation, ProviderResult
from gateway.core.claims import read_audiences, read_first_string
from gateway.core.errors import GatewayError, Reason
from gateway.core.jwt import Token
from gateway.core.tokens import Provider

ID_NOT_ACCESS = (
    "This looks like an ID token: it tells an app who signed in. Send the access token of the same sign-in instead."
)


@dataclass(frozen=True, slots=True)
class Case:
    """One refusal of a token; ``provider`` is the one that refused, None where no issuer matched."""

    explanation: Explanation
    error: GatewayError
    token: Token
    provider: Provider | None
    where: str

    @property
    def provider_name(self) -> str:
        """The name of the provider that refused."""
        return self.provider.name if self.provider else ""


def list_cases(explanation: Explanation, error: GatewayError, token: Token) -> Iterator[Case]:
    """Yield the refusal itself, and after it those of other providers of the issuer that have another reason."""
    decisive = explanation.decisive
    where = locate(decisive) if decisive and decisive.error else explanation.situation.locate("providers")
    yield Case(explanation, error, token, decisive.provider if decisive else None, where)
    if not is_about_token(error.reason):
        return
    for result in explanation.providers:
        if result.error is None or result.error.reason in (error.reason, Reason.UNKNOWN_ISSUER):
            continue
        yield Case(explanation, result.error, token, result.provider, locate(result))


def locate(result: ProviderResult) -> str:
    """Return where the setting stands at which a provider stopped."""
    return result.failed_check.where if result.failed_check else result.where


def is_unsigned(token: Token) -> bool:
    """Return whether a token says that it has no signature (RFC 7518, section 3.6)."""
    return token.algorithm.lower() == "none"


def is_symmetric(token: Token) -> bool:
    """Return whether whoever can check a token could have made it (RFC 7518, section 3.2)."""
    return token.algorithm.startswith("HS")


def is_id_token(token: Token) -> bool:
    """Return whether a token looks like one for a client rather than for an API (OpenID Connect Core, section 2)."""
    if any(name in token.claims for name in ID_TOKEN_CLAIMS):
        return True
    # Cognito and Keycloak say it themselves, in these claims.
    if token.claims.get("token_use") == "id" or token.claims.get("typ") == "ID":
        return True
    client = read_first_string(token.claims, ("client_id", "azp"))
    return token.typ != "at+jwt" and client is not None and read_audiences(token.claims, "aud") == (client,)
