"""``auth-gateway init``."""

from __future__ import annotations

from importlib.resources import files

import click

STARTERS = ("logto", "convex", "other")


@click.command("init")
@click.option("--idp", type=click.Choice(STARTERS), default="logto", help="Identity provider; logto by default.")
def command(idp: str) -> None:
    """
    Print a starter configuration for an identity provider.

    \b
    Example:
      auth-gateway init --idp logto > gateway.yaml
    """
    click.echo(files("gateway.cli").joinpath("starters", f"{idp}.yaml").read_text("utf-8"), nl=False)
