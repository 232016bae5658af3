"""
What usually lies behind a refusal, and how to fix it: the last lines of ``explain``.

Each function knows one kind of mistake, is given one refusal, and yields sentences. None of them decides anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from gateway.cli.explanation import Explanation
from gateway.cli.near_names import find_audience, find_issuer
from gateway.cli.near_routes import ROUTE_FINDERS
from gateway.cli.near_sign_ins import find_stale, find_weak
from gateway.cli.refusals import ID_NOT_ACCESS, Case, is_id_token, is_symmetric, is_unsigned, list_cases
from gateway.cli.times import describe_duration, is_in_milliseconds
from gateway.core.claims import read_audiences
from gateway.core.errors import GatewayError, Reason

# A clock is rarely further off; a token that ended longer ago is just old.
_CLOCK_SECONDS = 300
_LONGEST_VALUE = 100
# RFC 8725, section 3.11: types that say themselves that they are something else than an access token.
_OTHER_TYPES = frozenset({"logout+jwt", "dpop+jwt", "secevent+jwt", "oauth-authz-req+jwt", "token-introspection+jwt"})
_GRAPH_AUDIENCES = frozenset({"00000003-0000-0000-c000-000000000000", "https://graph.microsoft.com"})


def find_near_misses(explanation: Explanation) -> tuple[str, ...]:
    """
    Return the likely causes of a refusal with their remedies, the likeliest first.

    For a request that is allowed, only what is wrong with the text that was pasted.
    """
    return (*_find_causes(explanation), *explanation.situation.remedies)


def _find_causes(explanation: Explanation) -> Iterator[str]:
    error = explanation.error
    if error is None:
        return
    if error.reason in ROUTE_FINDERS:
        yield from ROUTE_FINDERS[error.reason](explanation, error)
    elif explanation.token is None:
        yield from _explain_unreadable(error, explanation)
    else:
        for case in list_cases(explanation, error, explanation.token):
            yield from _explain_case(case)


def _explain_case(case: Case) -> Iterator[str]:
    finder = _FINDERS.get(case.error.reason)
    if finder is None:
        return
    for hint in finder(case):
        # The first hints are about the refusal; those of another provider say so.
        yield hint if case.error is case.explanation.error else f"Provider {case.provider_name}: {hint}"


# --- texts that are no token ---------------------------------------------------------------------------------------


def _explain_unreadable(error: GatewayError, explanation: Explanation) -> Iterator[str]:
    reason, situation = error.reason, explanation.situation
    if reason is Reason.NOT_A_JWT and "." not in situation.text:
        yield _OPAQUE
    elif reason is Reason.TOKEN_TOO_LARGE:
        yield (
            f"It has {error.received} characters, and limits.token at {situation.locate('limits', 'token')} is "
            f"{error.expected}: have the issuer put less into it (groups, roles), or raise that limit."
        )
    elif reason is Reason.CRITICAL_HEADER:
        yield (
            "Its header asks for an extension (crit, b64) that changes what a token means, and none is supported: turn "
            "it off at the issuer."
        )
    elif reason is Reason.MALFORMED_TOKEN and error.expected is not None:
        yield f"No copying did this: the issuer wrote {error.received}. Let it write {error.expected}."
    elif reason is Reason.ENCRYPTED_TOKEN:
        yield (
            "This is an encrypted token (JWE, five parts). Let the issuer sign access tokens for this API instead; "
            "Auth0 does so when the client asks for one (audience=<your API>)."
        )
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
        yield (
            "The token is not signed at all (alg none), so anyone could have made it: it is never accepted. Let the "
            "issuer sign this API's tokens with RS256, ES256, ES384 or EdDSA."
        )
    else:
        yield f"If your issuer signs with {algorithm}, add it to algorithm at {case.where}."


def _find_key(case: Case) -> Iterator[str]:
    if case.provider is None:
        return
    keys = case.explanation.situation.keys.get(case.provider.name)
    known = ", ".join(key.kid or "(no kid)" for key in keys.keys) if keys and keys.keys else "none"
    yield (
        f"Keys of {case.provider.name}: {known}. The kid of the token is not among them, or for another algorithm: the "
        f"token is of another tenant, or jwks at {case.where} is the address of another one. Send a token of this "
        "tenant, or correct the address."
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
            "the same kid (a test issuer that was started anew). Copy all of it, or get a new one; if that is refused "
            f"too, compare the keys at {case.where} with those of the issuer."
        )


def _find_expired(case: Case) -> Iterator[str]:
    late = case.explanation.situation.now - (case.token.exp or 0.0)
    yield f"It expired {describe_duration(late)} ago: get a new token; clients refresh theirs before exp."
    if late < _CLOCK_SECONDS:
        yield "If it should still be valid, a clock is off: compare date -u here and on the issuer's host."


def _find_early(case: Case) -> Iterator[str]:
    claim = "nbf" if case.error.reason is Reason.NOT_YET_VALID else "iat"
    if is_in_milliseconds(case.token.claims[claim]):
        # No clock is that far off.
        yield _describe_milliseconds(claim, case.token.claims[claim])
        return
    ahead = describe_duration(case.token.claims[claim] - case.explanation.situation.now)
    yield (
        f"Its {claim} is {ahead} ahead of this clock, so a clock is off: compare date -u here and on the issuer's "
        "host. For a small difference, raise leeway."
    )


def _find_lifetime(case: Case) -> Iterator[str]:
    lived, allowed = case.error.received, case.error.expected
    if is_in_milliseconds(case.token.exp or 0.0):
        yield _describe_milliseconds("exp", case.token.claims["exp"])
    elif isinstance(lived, int | float) and isinstance(allowed, int | float):
        yield (
            f"It lives {describe_duration(lived)}, and max_lifetime is {describe_duration(allowed)}: shorten tokens at "
            "the issuer, or raise max_lifetime."
        )


def _describe_milliseconds(claim: str, when: float) -> str:
    return f"Its {claim} is in milliseconds, and is read as seconds: let the issuer write {int(when) // 1000}."


def _find_claim(case: Case) -> Iterator[str]:
    if is_id_token(case.token):
        yield ID_NOT_ACCESS
    name = str(case.error.expected)
    if case.error.reason is Reason.CLAIM_MISMATCH:
        wanted = case.error.expected if isinstance(case.error.expected, tuple) else ()
        yield (
            f"The token has {_shorten(case.error.received)}, and required_claims at {case.where} wants "
            f"{' or '.join(map(_shorten, wanted))}: send the token that has it, let the issuer write it, or change the "
            "file."
        )
    elif name == "exp":
        yield "A token that never ends cannot be withdrawn, so exp is always needed: let the issuer set a lifetime."
    elif name == "sub":
        yield (
            "Without sub nobody is known. Tokens that a machine gets for itself (client credentials) have none at some "
            "issuers: let the issuer write the client's id there."
        )
    else:
        yield f"Let the issuer put {name} into its access tokens; a template or a scope decides that at most issuers."


def _shorten(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _find_conflict(_case: Case) -> Iterator[str]:
    yield "Ask for a token of one organization: audience and organization claim must name the same one."


def _find_kind(_case: Case) -> Iterator[str]:
    yield ID_NOT_ACCESS


def _find_unavailable(case: Case) -> Iterator[str]:
    why = case.explanation.situation.key_errors.get(case.provider_name, "they were not asked for")
    yield f"The keys of {case.provider_name} ({case.where}) could not be had, so nothing is said of the token: {why}."
    yield (
        "Run this where the gateway runs, without --offline. If the keys cannot be had there either, the address of "
        "the issuer is wrong or not reachable from there, or the issuer is down."
    )


def _find_unsafe(case: Case) -> Iterator[str]:
    names = [name for name, value in case.token.claims.items() if not _is_carried({name: value})]
    where = case.explanation.situation.locate("identity", "exclude")
    yield (
        f"Half of a character (a lone surrogate) stands in {', '.join(names) or 'a claim'}, and no two programs read "
        f"that alike: correct the user's data at the issuer, or leave the claim out with identity.exclude ({where})."
    )


def _is_carried(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _find_denied(case: Case) -> Iterator[str]:
    where = case.explanation.situation.locate("organizations")
    if case.error.received is None:
        yield f"By organizations at {where} only some of them may call: ask for a token of an organization."
    else:
        yield (
            f"By organizations at {where}, {case.error.received} may not call: it is in deny, not in allow, or the "
            "service of check does not know it."
        )


def _find_unasked(case: Case) -> Iterator[str]:
    where = case.explanation.situation.locate("organizations", "check")
    yield f"The service of check at {where} was not asked (--offline), or gave no answer that counts: 2xx, 404 or 410."


def _find_large(case: Case) -> Iterator[str]:
    where = case.explanation.situation.locate("identity", "max_size")
    yield (
        f"The identity has {case.error.received}, and identity.max_size ({where}) is {case.error.expected}: carry less "
        "of it with identity.include or identity.exclude, or raise the limit if your backend reads such headers."
    )


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
    Reason.IDENTITY_UNSAFE: _find_unsafe,
    Reason.IDENTITY_TOO_LARGE: _find_large,
    Reason.STALE_AUTHENTICATION: find_stale,
    Reason.WEAK_AUTHENTICATION: find_weak,
    Reason.ORGANIZATION_DENIED: _find_denied,
    Reason.AUTHORIZATION_UNAVAILABLE: _find_unasked,
}
