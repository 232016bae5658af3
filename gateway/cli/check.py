"""``auth-gateway check``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gateway.cli.invocation import ExitCode, config_option, echo_json, find_config, output_option, read_environment
from gateway.config.load import Loaded, load_config
from gateway.config.problems import ConfigError, Problem


@click.command("check")
@click.argument("file", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--strict", is_flag=True, help="Take warnings for errors.")
@output_option
@config_option()
@click.pass_context
def command(context: click.Context, file: Path | None, *, strict: bool, output: str) -> None:
    """
    Check a configuration file, and say every mistake in it.

    \b
    Examples:
      auth-gateway check gateway.yaml
      auth-gateway check --strict -o json
    """
    path = file or find_config(context)
    loaded: Loaded | None = None
    try:
        loaded = load_config(path, read_environment(), strict=strict)
        problems: Sequence[Problem] = loaded.warnings
    except ConfigError as error:
        problems = error.problems
    if output == "json":
        echo_json(_build_document(path, loaded, problems))
    else:
        _print_text(path, loaded, problems)
    context.exit(ExitCode.NO if loaded is None else ExitCode.YES)


def _print_text(path: Path, loaded: Loaded | None, problems: Sequence[Problem]) -> None:
    for problem in problems:
        click.echo(problem.render(), err=True)
    if loaded is None:
        click.echo(f"{path}: {_count(len(problems), 'mistake')}")
        return
    for line in _summarize(path, loaded):
        click.echo(line)


def _summarize(path: Path, loaded: Loaded) -> list[str]:
    settings = loaded.settings
    policy = settings.policy
    warnings = f", {_count(len(loaded.warnings), 'warning')}" if loaded.warnings else ""
    lines = [
        f"{path}: good{warnings}",
        f"  listen    {settings.listen}, admin {settings.admin}",
        f"  upstream  {loaded.config.upstream.url}",
    ]
    for provider in policy.providers:
        audiences = ", ".join(each.text for each in provider.audiences) or "any audience"
        lines.append(f"  provider  {provider.name}: {', '.join(provider.issuers)} for {audiences}")
    lines.append(f"  routes    {len(loaded.config.routes) or 'none; every path needs a valid token'}")
    return lines


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
