"""``auth-gateway init``."""

from __future__ import annotations

from importlib.resources import files

import click

from gateway.config.presets import PRESETS

STARTERS = (*PRESETS, "convex", "other")
_HELP = f"Identity provider; logto by default. One of {', '.join(STARTERS)}."


@click.command("init")
@click.option("--idp", type=click.Choice(STARTERS), default="logto", metavar="NAME", help=_HELP)
def command(idp: str) -> None:
    """
    Print a starter configuration for an identity provider.

    \b
    Example:
      auth-gateway init --idp auth0 > gateway.yaml
    """
    click.echo(files("gateway.cli").joinpath("starters", f"{idp}.yaml").read_text("utf-8"), nl=False)
