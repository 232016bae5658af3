"""
What usually lies behind a refusal, and how to fix it: the last lines of ``explain``.

Each function knows one kind of mistake, is given one refusal, and yields sentences. None of them decides anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gateway.cli.explanation import Explanation
from gateway.cli.near_names import find_audience, find_issuer
from gateway.cli.near_routes import find_route
from gateway.cli.refusals import ID_NOT_ACCESS, Case, is_id_token, is_symmetric, is_unsigned, list_cases
from gateway.cli.times import describe_duration, is_in_milliseconds
from gateway.core.claims import read_audiences
from gateway.core.errors import GatewayError, Reason

# A clock is rarely further off; a token that ended longer ago is just old.
_CLOCK_SECONDS = 300
# RFC 8725, section 3.11: types that say themselves that they are something else than an access token.
_OTHER_TYPES = frozenset({"logout+jwt", "dpop+jwt", "secevent+jwt", "oauth-authz-req+jwt", "token-introspection+jwt"})
_GRAPH_AUDIENCES = frozenset({"00000003-0000-0000-c000-000000000000", "https://graph.microsoft.com"})


def find_near_misses(explanation: Explanation) -> tuple[str, ...]:
    """Return the likely causes of a refusal with their remedies, the likeliest first; nothing for a request allowed."""
    error = explanation.error
    if error is None:
        return ()
    if error.reason is Reason.NO_ROUTE:
        return tuple(find_route(explanation))
    if explanation.token is None:
        return tuple(_explain_unreadable(error, explanation.situation.text))
    return tuple(hint for case in list_cases(explanation, error, explanation.token) for hint in _explain_case(case))


def _explain_case(case: Case) -> Iterator[str]:
    finder = _FINDERS.get(case.error.reason)
    if finder is None:
        return
    for hint in finder(case):
        # The first hints are about the refusal; those of another provider say so.
        yield hint if case.error is case.explanation.error else f"Provider {case.provider_name}: {hint}"


# --- texts that are no token ---------------------------------------------------------------------------------------


def _explain_unreadable(error: GatewayError, text: str) -> Iterator[str]:
    reason = error.reason
    if reason is Reason.NOT_A_JWT and "." not in text:
        yield _OPAQUE
    elif reason is Reason.MALFORMED_TOKEN and error.expected is not None:
        yield f"No copying did this: the issuer wrote {error.received}. Let it write {error.expected}."
    elif reason is Reason.ENCRYPTED_TOKEN:
        yield "This is an encrypted token (JWE, five parts). Let the issuer sign access tokens for this API instead."
    elif reason in _DAMAGED:
        yield "The token is damaged: often a part is cut off, or more than the token was copied. Copy it again."


_DAMAGED = frozenset({Reason.NOT_A_JWT, Reason.MALFORMED_TOKEN, Reason.MALFORMED_CREDENTIALS})
_OPAQUE = (
    "This is not a JWT but an opaque token. Logto, Auth0 and Zitadel give those when the client asks for no API: "
    "ask for the token with resource=<your API> (Auth0: audience=<your API>)."
)


# --- tokens that a provider refuses --------------------------------------------------------------------------------


def _find_type(case: Case) -> Iterator[str]:
    if is_unsigned(case.token) or is_symmetric(case.token):
        # Whatever its type: to accept that would only lead to the next refusal.
        yield from _find_algorithm(case)
    elif is_id_token(case.token):
        yield ID_NOT_ACCESS
    elif case.token.typ in _OTHER_TYPES:
        yield f"Its type says that it is no access token ({case.token.typ}). Send the access token instead."
    elif case.provider is not None:
        types = ", ".join([*sorted(case.provider.types), case.token.typ])
        yield f"If such tokens are access tokens at your issuer, accept them with typ: [{types}] at {case.where}."


def _find_algorithm(case: Case) -> Iterator[str]:
    algorithm = case.token.algorithm
    if is_symmetric(case.token):
        yield (
            f"{algorithm} signs with a shared secret, so whoever can check a token could make one: it is never "
            "accepted. Let the issuer sign this API's tokens with RS256, ES256, ES384 or EdDSA."
        )
    elif is_unsigned(case.token):
        yield "The token is not signed at all (alg none). Such tokens are never accepted."
    else:
        yield f"If your issuer signs with {algorithm}, add it to algorithm at {case.where}."


def _find_key(case: Case) -> Iterator[str]:
    if case.provider is None:
        return
    keys = case.explanation.situation.keys.get(case.provider.name)
    known = ", ".join(key.kid or "(no kid)" for key in keys.keys) if keys and keys.keys else "none"
    yield (
        f"Keys of {case.provider.name}: {known}. The kid of the token is not among them, or for another algorithm: the "
        f"token is of another tenant, or jwks at {case.where} is the address of another one."
    )


def _find_signature(case: Case) -> Iterator[str]:
    if _GRAPH_AUDIENCES & set(read_audiences(case.token.claims, "aud") or ()):
        yield (
            "This token is for Microsoft Graph, and only Graph can verify it. Ask for a token with a scope of your own "
            "API (api://<application>/.default)."
        )
    else:
        yield (
            "The token was changed after it was signed, was cut when it was copied, or was signed by another key of "
            "the same kid (a test issuer that was started anew)."
        )


def _find_expired(case: Case) -> Iterator[str]:
    late = case.explanation.situation.now - (case.token.exp or 0.0)
    yield f"It expired {describe_duration(late)} ago: get a new token; clients refresh theirs before exp."
    if late < _CLOCK_SECONDS:
        yield "If it should still be valid, a clock is off: compare date -u here and on the issuer's host."


def _find_early(case: Case) -> Iterator[str]:
    claim = "nbf" if case.error.reason is Reason.NOT_YET_VALID else "iat"
    if is_in_milliseconds(case.token.claims[claim]):
        # Said in a note already, and no clock is that far off.
        return
    ahead = describe_duration(case.token.claims[claim] - case.explanation.situation.now)
    yield (
        f"Its {claim} is {ahead} ahead of this clock, so a clock is off: compare date -u here and on the issuer's "
        "host. For a small difference, raise leeway."
    )


def _find_lifetime(case: Case) -> Iterator[str]:
    lived, allowed = case.error.received, case.error.expected
    if isinstance(lived, int | float) and isinstance(allowed, int | float):
        yield (
            f"It lives {describe_duration(lived)}, and max_lifetime is {describe_duration(allowed)}: shorten tokens at "
            "the issuer, or raise max_lifetime."
        )


def _find_claim(case: Case) -> Iterator[str]:
    if is_id_token(case.token):
        yield ID_NOT_ACCESS
    name = str(case.error.expected)
    if case.error.reason is Reason.CLAIM_MISMATCH:
        yield f"required_claims at {case.where} wants another value; the issuer decides what the token says."
    elif name == "exp":
        yield "A token that never ends cannot be withdrawn, so exp is always needed: let the issuer set a lifetime."
    else:
        yield f"Let the issuer put {name} into its access tokens; a template or a scope decides that at most issuers."


def _find_conflict(_case: Case) -> Iterator[str]:
    yield "Ask for a token of one organization: audience and organization claim must name the same one."


def _find_kind(_case: Case) -> Iterator[str]:
    yield ID_NOT_ACCESS


def _find_unavailable(case: Case) -> Iterator[str]:
    why = case.explanation.situation.key_errors.get(case.provider_name, "they were not asked for")
    yield f"The keys of {case.provider_name} ({case.where}) could not be had, so nothing is said of the token: {why}."


# --- callers that a route refuses ----------------------------------------------------------------------------------


def _find_scope(case: Case) -> Iterator[str]:
    received = case.error.received if isinstance(case.error.received, tuple) else ()
    missing = [scope for scope in case.error.scopes if scope not in received]
    yield (
        f"Missing scope: {' '.join(missing)}. The client must ask for it, and the issuer must grant it to this user or "
        "client (role, permission or consent)."
    )


def _find_organization(case: Case) -> Iterator[str]:
    yield (
        f"The token has {case.error.received}, the route wants {case.error.expected}. Use the path of the token's "
        "organization, or ask for a token of the other one."
    )


def _find_method(case: Case) -> Iterator[str]:
    yield f"The rules of this path allow other methods only: {', '.join(case.error.allowed_methods)}."


def _find_requirement(case: Case) -> Iterator[str]:
    yield f"The route requires {case.error.expected}; the caller has {case.error.received}."


_FINDERS: dict[Reason, Callable[[Case], Iterator[str]]] = {
    Reason.UNKNOWN_ISSUER: find_issuer,
    Reason.TYP_NOT_ACCEPTED: _find_type,
    Reason.ALGORITHM_NOT_ACCEPTED: _find_algorithm,
    Reason.UNKNOWN_KEY: _find_key,
    Reason.BAD_SIGNATURE: _find_signature,
    Reason.EXPIRED: _find_expired,
    Reason.NOT_YET_VALID: _find_early,
    Reason.ISSUED_IN_FUTURE: _find_early,
    Reason.LIFETIME_TOO_LONG: _find_lifetime,
    Reason.AUDIENCE_MISMATCH: find_audience,
    Reason.CLAIM_MISSING: _find_claim,
    Reason.CLAIM_MISMATCH: _find_claim,
    Reason.ORGANIZATION_CONFLICT: _find_conflict,
    Reason.ID_TOKEN: _find_kind,
    Reason.KEYS_UNAVAILABLE: _find_unavailable,
    Reason.METHOD_NOT_ALLOWED: _find_method,
    Reason.INSUFFICIENT_SCOPE: _find_scope,
    Reason.ORGANIZATION_MISMATCH: _find_organization,
    Reason.REQUIREMENT_NOT_MET: _find_requirement,
}
