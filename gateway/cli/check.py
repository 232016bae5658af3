"""``auth-gateway check``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.invocation import ExitCode, config_option, echo_json, find_config, output_option, read_environment
from gateway.config.files import find_unusable
from gateway.config.load import Loaded, load_config
from gateway.config.problems import ConfigError, Problem, Severity, take_strictly

if TYPE_CHECKING:
    from gateway.cli.live_answer import LiveAnswer


@click.command("check")
@click.argument("file", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--strict", is_flag=True, help="Take warnings for errors.")
@click.option("--live", is_flag=True, help="Fetch the keys of every provider as the gateway does, and check them.")
@output_option
@config_option()
@click.pass_context
def command(context: click.Context, file: Path | None, *, strict: bool, live: bool, output: str) -> None:
    """
    Check a configuration file, and say every mistake in it.

    With --live, issuers are asked from here, as the gateway would ask them; exit code 3 if one cannot be asked.

    \b
    Examples:
      auth-gateway check gateway.yaml
      auth-gateway check --strict -o json
      auth-gateway check --live
    """
    path = file or find_config(context)
    loaded, problems = _load(path)
    if strict and problems:
        loaded, problems = None, take_strictly(problems)
    # Of a file that is not taken, the place of the keys may be the very mistake.
    answer = _ask_issuers(loaded) if live and loaded is not None else None
    if output == "json":
        document = _build_document(path, loaded, problems)
        echo_json(document if answer is None else {**document, "live": answer.build_document()})
    else:
        _print_text(path, loaded, problems)
        for line in answer.render() if answer else ():
            click.echo(line)
    if loaded is None:
        context.exit(ExitCode.NO)
    context.exit(ExitCode.YES if answer is None else answer.judge(is_strict=strict))


def _ask_issuers(loaded: Loaded) -> LiveAnswer:
    from gateway.cli.live_answer import LiveAnswer  # noqa: PLC0415 - an HTTP client takes as long to load as all else

    return LiveAnswer.ask(loaded)


def _load(path: Path) -> tuple[Loaded | None, Sequence[Problem]]:
    """Return a file that can be used with what to be warned of, or one that cannot with all that is wrong with it."""
    try:
        loaded = load_config(path, read_environment())
    except ConfigError as error:
        return None, error.problems
    problems = (*loaded.warnings, *find_unusable(loaded))
    return loaded, sorted(problems, key=lambda problem: (problem.line, problem.column))


def _print_text(path: Path, loaded: Loaded | None, problems: Sequence[Problem]) -> None:
    for problem in problems:
        click.echo(problem.render(), err=True)
    if loaded is None:
        click.echo(f"{path}: {_count_by_severity(problems)}")
        return
    for line in _summarize(path, loaded, problems):
        click.echo(line)


def _summarize(path: Path, loaded: Loaded, warnings: Sequence[Problem]) -> list[str]:
    settings = loaded.settings
    policy = settings.policy
    counted = _count_by_severity(warnings)
    lines = [
        f"{path}: good{counted and f', {counted}'}",
        f"  listen    {settings.listen}, admin {settings.admin}",
        f"  upstream  {loaded.config.upstream.url}",
    ]
    for provider in policy.providers:
        audiences = ", ".join(each.text for each in provider.audiences) or "any audience"
        lines.append(f"  provider  {provider.name}: {', '.join(provider.issuers)} for {audiences}")
    lines.append(f"  routes    {len(loaded.config.routes) or 'none; every path needs a valid token'}")
    return lines


def _count_by_severity(problems: Sequence[Problem]) -> str:
    """Return ``2 mistakes, 1 warning``, without what there is none of."""
    counts = Counter("mistake" if problem.severity is Severity.ERROR else "warning" for problem in problems)
    return ", ".join(_count(counts[what], what) for what in ("mistake", "warning") if counts[what])


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _build_document(path: Path, loaded: Loaded | None, problems: Sequence[Problem]) -> dict[str, Any]:
    document: dict[str, Any] = {
        "file": str(path),
        "valid": loaded is not None,
        "problems": [
            {
                "severity": each.severity.value,
                "line": each.line,
                "column": each.column,
                "message": each.message,
            }
            for each in problems
        ],
    }
    if loaded is not None:
        document["providers"] = [
            {
                "name": provider.name,
                "issuers": list(provider.issuers),
                "audiences": [each.text for each in provider.audiences],
                "algorithms": sorted(provider.algorithms),
            }
            for provider in loaded.settings.policy.providers
        ]
        document["routes"] = len(loaded.config.routes)
    return document
