"""A client for demonstrations: it sends requests to a gateway and says whether each was answered as it should be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import click

_PAUSE_SECONDS = 0.2
_UNAVAILABLE = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Trial:
    """One request to try: ``case`` names its token, None is for no token; ``reason`` None expects it to pass."""

    title: str
    case: str | None
    status: int
    reason: str | None = None
    organization: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; ``identity`` is what the backend says it was told."""

    status: int
    reason: str | None
    identity: Mapping[str, Any] | None


ACCEPTED = Trial("A token for this API is accepted", "api", 200)
ORGANIZATION = Trial(
    "A token for an organization is accepted, and the backend learns which", "organization", 200, organization="org_1"
)
REFUSED = Trial("A token for another audience is refused", "wrong-audience", 401, "audience_mismatch")
ANONYMOUS = Trial("No token at all", None, 401, "missing_token")


def is_as_expected(trial: Trial, answer: Answer) -> bool:
    """Return whether a request was answered as it should be."""
    if (answer.status, answer.reason) != (trial.status, trial.reason):
        return False
    if trial.reason is not None:
        return True
    identity = answer.identity or {}
    return identity.get("subject") == "user_1" and identity.get("organization") == trial.organization


async def ask_gateway(session: aiohttp.ClientSession, url: str, token: str | None) -> Answer:
    """Send one GET, with a bearer token if there is one."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with session.get(f"{url.rstrip('/')}/items", headers=headers) as response:
        body = await _read_object(response)
        return Answer(response.status, body.get("reason"), body.get("identity"))


async def _read_object(response: aiohttp.ClientResponse) -> Mapping[str, Any]:
    try:
        body = json.loads(await response.read())
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


async def run_trials(
    session: aiohttp.ClientSession, url: str, tokens: Mapping[str, str], trials: tuple[Trial, ...]
) -> bool:
    """Send every request, print each answer, and return whether all were as they should be."""
    results = []
    for trial in trials:
        answer = await ask_gateway(session, url, tokens[trial.case] if trial.case else None)
        results.append(is_as_expected(trial, answer))
        click.echo(f"{'ok  ' if results[-1] else 'FAIL'} {trial.title}: {answer.status} {answer.reason or ''}".rstrip())
        if answer.identity is not None:
            click.echo(f"     X-Identity: {json.dumps(answer.identity)}")
    return all(results)


async def fetch_tokens(session: aiohttp.ClientSession, issuer: str, trials: tuple[Trial, ...]) -> dict[str, str]:
    """Return a token of the demo issuer for each request that carries one."""
    tokens = {}
    for case in filter(None, (trial.case for trial in trials)):
        async with session.get(f"{issuer.rstrip('/')}/token", params={"case": case}) as response:
            response.raise_for_status()
            tokens[case] = await response.text()
    return tokens


async def try_gateway(gateway: str, issuer: str, timeout_seconds: float) -> bool:
    """
    Wait until issuer and gateway answer, then send one request that must pass and one that must not.

    Raises:
        TimeoutError: They did not come up in time.
    """
    trials = (ACCEPTED, REFUSED)
    async with aiohttp.ClientSession() as session:
        async with asyncio.timeout(timeout_seconds):
            tokens = await _wait_for_tokens(session, issuer, trials)
            await wait_until_ready(session, gateway, tokens[ACCEPTED.case or ""])
        return await run_trials(session, gateway, tokens, trials)


async def _wait_for_tokens(session: aiohttp.ClientSession, issuer: str, trials: tuple[Trial, ...]) -> dict[str, str]:
    while True:
        try:
            return await fetch_tokens(session, issuer, trials)
        except aiohttp.ClientError:
            await asyncio.sleep(_PAUSE_SECONDS)


async def wait_until_ready(session: aiohttp.ClientSession, gateway: str, token: str) -> None:
    """Return when the gateway answers for itself: it is up, has its keys, and reaches its backend."""
    while True:
        try:
            answer = await ask_gateway(session, gateway, token)
        except aiohttp.ClientError:
            answer = None
        if answer is not None and answer.status not in _UNAVAILABLE:
            return
        await asyncio.sleep(_PAUSE_SECONDS)
