"""``auth-gateway explain``: gathers the file, the token and the keys, and shows the decision on them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import click

from gateway.cli.explain_json import build_document
from gateway.cli.explain_text import render_text
from gateway.cli.explanation import (
    Situation,
    Verdict,
    build_explanation,
    find_organization,
    read_token,
    verify_alone,
)
from gateway.cli.invocation import ExitCode, config_option, echo_json, find_config, output_option, read_environment
from gateway.cli.refused import explain_request
from gateway.cli.remarks import list_remarks
from gateway.cli.times import parse_time
from gateway.cli.token_input import clean_token, list_remedies, read_token_argument
from gateway.config.load import Loaded, load_config
from gateway.config.problems import ConfigError
from gateway.config.settings import Settings
from gateway.core.decision import RequestHead
from gateway.core.fields import FieldSet
from gateway.core.jwks import KeySet
from gateway.core.organizations import Standing
from gateway.core.routes import Route
from gateway.core.verification import NeedKeys
from gateway.providers.fetch import open_session
from gateway.providers.keyring import Keyring
from gateway.providers.organizations import OrganizationCheck

_EXIT_CODES = {Verdict.ACCEPTED: ExitCode.YES, Verdict.REFUSED: ExitCode.NO, Verdict.UNKNOWN: ExitCode.UNKNOWN}


class _Time(click.ParamType[float]):
    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return parse_time(value)
        except ValueError:
            self.fail(f"{value!r} is neither RFC 3339 (2026-01-31T12:00:00Z) nor seconds since the epoch", param, ctx)


@click.command("explain")
@click.argument("token", required=False)
@click.option("--request-id", metavar="ID", help="Ask the running gateway why it refused this request.")
@click.option("--method", default="GET", metavar="METHOD", help="Method of the request; GET by default.")
@click.option("--path", metavar="PATH", help="Path of the request, with its query; / by default.")
@click.option("--at", "now", type=_Time(), metavar="TIME", help="Decide as of then: RFC 3339 or epoch seconds.")
@click.option("--offline", is_flag=True, help="Fetch nothing: take only keys in the file or in local files.")
@output_option
@config_option()
@click.pass_context
def command(
    context: click.Context,
    token: str | None,
    request_id: str | None,
    method: str,
    path: str | None,
    now: float | None,
    *,
    offline: bool,
    output: str,
) -> None:
    """
    Say why a token is accepted or refused, check by check.

    TOKEN is the token, - for standard input, or @FILE. A token given as an argument stays in the shell's history.

    With --request-id instead, say why the running gateway refused a request, as long as it remembers: the last 100.

    \b
    Examples:
      pbpaste | auth-gateway explain -
      auth-gateway explain @token.txt --method POST --path /orders
      auth-gateway explain --request-id 063847c2404f49c389e99bffae69a4fd
    """
    if request_id is not None:
        if token is not None or path is not None or now is not None or offline:
            raise click.UsageError("--request-id is about a decided request: only -c and -o go with it.", context)
        context.exit(explain_request(context, request_id, output, time.time()))
    if token is None:
        raise click.UsageError("Name a token, or a request with --request-id.", context)
    config = find_config(context)
    text, left_out = clean_token(read_token_argument(token))
    try:
        loaded = load_config(config, read_environment())
    except ConfigError as error:
        click.echo(error.render(), err=True)
        context.exit(ExitCode.UNKNOWN)
    head = RequestHead(method, path or "/", FieldSet([(b"Authorization", f"Bearer {text}".encode("utf-8", "replace"))]))
    situation = replace(
        _describe_situation(loaded, config.name, head, text, time.time() if now is None else now, is_offline=offline),
        has_path=path is not None,
        remedies=list_remedies(left_out),
    )
    explanation = build_explanation(situation)
    notes = (*(f"{each.value} left out." for each in left_out), *list_remarks(explanation))
    if output == "json":
        echo_json(build_document(explanation, notes))
    else:
        for line in render_text(explanation, notes):
            click.echo(line)
    context.exit(_EXIT_CODES[explanation.verdict])


def _describe_situation(
    loaded: Loaded, name: str, head: RequestHead, text: str, at: float, *, is_offline: bool
) -> Situation:
    """Return all that the decision on a token depends on; keys and organizations are asked for, unless offline."""
    keys = asyncio.run(_collect_keys(text, loaded.settings, at, is_offline=is_offline))
    places = _Places(loaded, name)
    policy = loaded.settings.policy
    situation = Situation(head, text, policy, keys.sets, at, places.locate, places.locate_route, keys.errors)
    organization = find_organization(situation)
    if organization is None:
        return situation
    standing = asyncio.run(_find_standing(organization, loaded.settings, is_offline=is_offline))
    return replace(situation, standings={organization: standing})


@dataclass(frozen=True, slots=True)
class _Places:
    """Where things stand in a file, as ``gateway.yaml:12``."""

    loaded: Loaded
    name: str

    def locate(self, *path: str | int) -> str:
        """Return the place of a setting, or of the nearest one around it that is written."""
        return f"{self.name}:{self.loaded.locate(*path).line}"

    def locate_route(self, route: Route) -> str:
        """Return the place of a rule; of two equal ones the first, which is the one that decides."""
        for index, written in enumerate(self.loaded.config.routes):
            methods = None if written.methods is None else frozenset(written.methods)
            if (written.path, methods) == (route.pattern.text, route.methods):
                return self.locate("routes", index)
        return self.locate("routes")


async def _find_standing(organization: str, settings: Settings, *, is_offline: bool) -> Standing:
    """Ask the service that the file names, as the proxy does."""
    if is_offline or settings.organization_check is None:
        return Standing.UNKNOWN
    async with open_session() as session:
        return await OrganizationCheck(settings.organization_check, session).ask(organization)


@dataclass(frozen=True, slots=True)
class _Keys:
    """The keys that could be had, and for the other providers why not."""

    sets: Mapping[str, KeySet]
    errors: Mapping[str, str]


async def _collect_keys(text: str, settings: Settings, now: float, *, is_offline: bool) -> _Keys:
    """Ask for the keys of every provider that may have issued the token; the others are left in peace."""
    policy = settings.policy
    token = read_token(text, policy)
    if token is None or not token.issuer:
        return _Keys({}, {})
    wanted = {provider.name for provider in policy.select_providers(token.issuer)}
    # A snapshot is the running gateway's: whoever asks here may be another user.
    sources = [replace(each, snapshot_path=None) for each in settings.key_sources if each.provider in wanted]
    local = [source for source in sources if source.is_local]
    async with Keyring(local if is_offline else sources) as keyring:
        for provider in policy.select_providers(token.issuer):
            asked: dict[str, bool] = {}
            # Asked for like the proxy does: only if this token's fate hangs on it, and once.
            while isinstance(need := verify_alone(token, provider, policy, keyring.sets, now, asked), NeedKeys):
                asked[provider.name] = await keyring.supply(need)
        errors = {each.provider: each.last_error or "no answer in time" for each in keyring.status()}
        return _Keys(dict(keyring.sets), dict.fromkeys(wanted, "not fetched (--offline)") | errors)
