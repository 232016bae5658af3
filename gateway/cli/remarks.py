"""What is odd about a token whatever the verdict: the notes at the top of ``explain``."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.cli.checks import ID_TOKEN_CLAIMS
from gateway.cli.explanation import Explanation
from gateway.cli.times import is_in_milliseconds
from gateway.core.decision import Allow
from gateway.core.jwt import Token


def list_remarks(explanation: Explanation) -> tuple[str, ...]:
    """Return what the owner of the file or of the issuer should look at."""
    observing = tuple(_find_observing(explanation))
    if explanation.token is None:
        return observing
    return (*observing, *_find_milliseconds(explanation.token), *_find_id_token(explanation, explanation.token))


def _find_observing(explanation: Explanation) -> Iterator[str]:
    """What is said below is what enforcing would do."""
    route = explanation.match.route if explanation.match is not None else None
    if explanation.situation.policy.is_observed or (route is not None and route.is_observed):
        yield "mode: observe lets a request pass that is refused below, and writes the reason down."


def _find_milliseconds(token: Token) -> Iterator[str]:
    for name in ("exp", "nbf", "iat"):
        if is_in_milliseconds(token.claims.get(name, 0)):
            yield (
                f"{name} looks like milliseconds, and is read as seconds (NumericDate; RFC 7519, section 2): let the "
                f"issuer write {int(token.claims[name]) // 1000}."
            )


def _find_id_token(explanation: Explanation, token: Token) -> Iterator[str]:
    """An ID token is for the app that asked for it; whoever has it there could call the API with it."""
    outcome, decisive = explanation.outcome, explanation.decisive
    found = [name for name in ID_TOKEN_CLAIMS if name in token.claims]
    is_verified = isinstance(outcome, Allow) and outcome.verified is not None
    # An OpenID provider of the file is there for ID tokens.
    if found and is_verified and decisive is not None and decisive.provider.kind != "oidc":
        yield (
            f"this looks like an ID token (it has {', '.join(found)}), and passes because its audience fits. To take "
            f"access tokens only, write typ: at+jwt or profile: rfc9068 at {decisive.where}."
        )
