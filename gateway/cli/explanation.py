"""
Why a token is accepted or refused: the decision of the proxy, taken apart into its checks.

Nothing here is a rule. The verdict is ``core.decision.decide``; what each provider says is ``core.decision.verify``
with that provider alone; a check that failed is told from the reason, and those before it passed because the core runs
them in that order. This file reads no file, asks no network and prints nothing: ``explain`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from gateway.cli.checks import Check, Sides, describe_sides, find_failed_check, is_about_token
from gateway.core.decision import Allow, RequestHead, decide, find_match
from gateway.core.errors import GatewayError, Reason
from gateway.core.jwks import KeySet
from gateway.core.jwt import Token, parse_token
from gateway.core.organizations import NeedStanding, Standing
from gateway.core.places import AUTHORIZATION
from gateway.core.policy import Policy
from gateway.core.routes import Match, Route
from gateway.core.tokens import Provider, VerifiedToken
from gateway.core.verification import NeedKeys, verify

# Refusals of an outage: they say nothing of the caller.
_UNKNOWN = frozenset({Reason.KEYS_UNAVAILABLE, Reason.AUTHORIZATION_UNAVAILABLE})

# Where something stands in the file, as "gateway.yaml:12"; a key that is not written stands where its parent does.
Locate = Callable[..., str]


class Result(Enum):
    """How a check ended. ``UNKNOWN`` is one that could not be made: the keys could not be had."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    NOT_CHECKED = "not checked"


class Verdict(Enum):
    """The answer to "would this request pass?"; ``UNKNOWN`` where keys that matter could not be had."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check: how it ended, what the token has and the file accepts, and where the file says so."""

    check: Check
    result: Result
    sides: Sides
    where: str


@dataclass(frozen=True, slots=True)
class ProviderResult:
    """What one provider says of the token; ``error`` None is a yes."""

    provider: Provider
    where: str
    checks: tuple[CheckResult, ...]
    error: GatewayError | None

    @property
    def failed_check(self) -> CheckResult | None:
        """The check at which this provider stopped."""
        return next((each for each in self.checks if each.result in (Result.FAILED, Result.UNKNOWN)), None)


@dataclass(frozen=True, slots=True)
class Situation:
    """
    All that a decision depends on, and where it stands in the file.

    ``keys`` has no entry for a provider whose keys could not be had; ``key_errors`` says why. ``now`` is in seconds
    since the epoch. ``has_path`` says whether the path of the request was named, or is the one by default. ``remedies``
    are what to do if a request has its token as it was pasted. ``standings``
    are those of organizations that were asked for.
    """

    head: RequestHead
    text: str
    policy: Policy
    keys: Mapping[str, KeySet]
    now: float
    locate: Locate
    locate_route: Callable[[Route], str]
    key_errors: Mapping[str, str] = field(default_factory=dict)
    has_path: bool = True
    remedies: tuple[str, ...] = ()
    standings: Mapping[str, Standing] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    A decision and its parts.

    ``token`` is None for a text that is no JWT, ``match`` where no route takes the request.
    """

    situation: Situation
    token: Token | None
    providers: tuple[ProviderResult, ...]
    match: Match | None
    outcome: Allow | GatewayError

    @property
    def route_where(self) -> str | None:
        """Where the rule that the request falls under stands, or None where the default applies."""
        if self.match is None or self.match.route is None:
            return None
        return self.situation.locate_route(self.match.route)

    @property
    def error(self) -> GatewayError | None:
        """The refusal, if it is one."""
        return None if isinstance(self.outcome, Allow) else self.outcome

    @property
    def verdict(self) -> Verdict:
        """The answer in one word."""
        if self.error is None:
            return Verdict.ACCEPTED
        return Verdict.UNKNOWN if self.error.reason in _UNKNOWN else Verdict.REFUSED

    @property
    def decisive(self) -> ProviderResult | None:
        """The provider whose word the outcome is: the first that accepts, else the one that got furthest."""
        if self.error is None or not is_about_token(self.error.reason):
            return next((each for each in self.providers if each.error is None), None)
        names = [attempt.provider for attempt in self.error.attempts if attempt.error is self.error]
        return next((each for each in self.providers if each.provider.name in names), None)


def build_explanation(situation: Situation) -> Explanation:
    """Return the decision on a request, and what each provider says of its token."""
    token = read_token(situation.text, situation.policy)
    providers = () if token is None else _ask_providers(token, situation)
    return Explanation(situation, token, providers, find_match(situation.head, situation.policy), _decide(situation))


def read_token(text: str, policy: Policy) -> Token | None:
    """Return the token that a text is, or None for a text that the core refuses to read as one."""
    try:
        return parse_token(text, max_length=policy.max_token_length)
    except GatewayError:
        return None


def find_organization(situation: Situation) -> str | None:
    """Return the organization on whose standing the decision hangs, if it does on any."""
    try:
        outcome = _ask(situation)
    except GatewayError:
        return None
    return outcome.organization if isinstance(outcome, NeedStanding) else None


def _decide(situation: Situation) -> Allow | GatewayError:
    try:
        outcome = _ask(situation)
    except GatewayError as error:
        return error
    if isinstance(outcome, Allow):
        return outcome
    raise TypeError("keys and organizations are asked for before an explanation, not during it")


def _ask(situation: Situation) -> Allow | NeedKeys | NeedStanding:
    answers = _list_answers(situation)
    return decide(
        situation.head,
        _forget_places(situation.policy),
        situation.keys,
        situation.now,
        answers,
        standings=situation.standings,
    )


def _forget_places(policy: Policy) -> Policy:
    """Return a policy that takes tokens from where the one to explain is put; where it stood, nobody has said."""
    if policy.token_places is None:
        return policy
    providers = tuple(replace(provider, token_places=(AUTHORIZATION,)) for provider in policy.providers)
    return replace(policy, providers=providers)


def _list_answers(situation: Situation) -> Mapping[str, bool]:
    """Every provider was asked; those without keys did not answer."""
    return {provider.name: provider.name in situation.keys for provider in situation.policy.providers}


def verify_alone(
    token: Token,
    provider: Provider,
    policy: Policy,
    keys: Mapping[str, KeySet],
    now: float,
    asked: Mapping[str, bool],
) -> VerifiedToken | NeedKeys | GatewayError:
    """Return what one provider says of a token, as if the file had no other."""
    try:
        return verify(token, replace(policy, providers=(provider,)), keys, now, asked)
    except GatewayError as error:
        return error


def _ask_providers(token: Token, situation: Situation) -> tuple[ProviderResult, ...]:
    return tuple(
        _ask_provider(token, provider, index, situation) for index, provider in enumerate(situation.policy.providers)
    )


def _ask_provider(token: Token, provider: Provider, index: int, situation: Situation) -> ProviderResult:
    policy, keys, now = situation.policy, situation.keys, situation.now
    outcome = verify_alone(token, provider, policy, keys, now, _list_answers(situation))
    error = outcome if isinstance(outcome, GatewayError) else None
    checks = tuple(
        CheckResult(
            check,
            result,
            describe_sides(check, token, provider, keys.get(provider.name), now),
            situation.locate("providers", index, _name_setting(check, provider)),
        )
        for check, result in _rank_checks(provider, error)
    )
    return ProviderResult(provider, situation.locate("providers", index), checks, error)


def _name_setting(check: Check, provider: Provider) -> str:
    # Of an OpenID provider the domain says whose tokens these are, and leads to the keys.
    is_discovered = provider.kind == "oidc" and check.setting in ("issuer", "jwks")
    return "domain" if is_discovered else check.setting


def _rank_checks(provider: Provider, error: GatewayError | None) -> list[tuple[Check, Result]]:
    checks = [check for check in Check if check is not Check.KIND or provider.is_rfc9068]
    if error is None:
        return [(check, Result.PASSED) for check in checks]
    stop = checks.index(find_failed_check(error, provider))
    ending = Result.UNKNOWN if error.reason is Reason.KEYS_UNAVAILABLE else Result.FAILED
    results = [Result.PASSED] * stop + [ending] + [Result.NOT_CHECKED] * (len(checks) - stop - 1)
    return list(zip(checks, results, strict=True))
