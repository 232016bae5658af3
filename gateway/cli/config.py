"""``auth-gateway config``."""

from __future__ import annotations

import click

from gateway.cli.invocation import ExitCode, config_option, find_config, read_environment
from gateway.config.load import load_config
from gateway.config.problems import ConfigError
from gateway.config.schema import render_schema
from gateway.config.show import render_config


@click.group("config")
@config_option()
def command() -> None:
    """
    Show the effective configuration, or its JSON Schema.

    \b
    Example:
      auth-gateway config show -c gateway.yaml
    """


@command.command("show", short_help="Print the configuration in effect, secrets masked.")
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", help="YAML (the default) or JSON.")
@config_option()
@click.pass_context
def show(context: click.Context, output: str) -> None:
    """
    Print the configuration in effect, with defaults and variables in place and secrets masked.

    \b
    Example:
      auth-gateway config show -c gateway.yaml -o json
    """
    try:
        loaded = load_config(find_config(context), read_environment())
    except ConfigError as error:
        click.echo(error.render(), err=True)
        context.exit(ExitCode.NO)
    click.echo(render_config(loaded, output), nl=False)


@command.command("schema")
def schema() -> None:
    """
    Print the JSON Schema of the file, for editors.

    \b
    Example:
      auth-gateway config schema > gateway.schema.json
    """
    click.echo(render_schema(), nl=False)
