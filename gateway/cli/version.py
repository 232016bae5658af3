"""``auth-gateway version``."""

from __future__ import annotations

import platform

import click

from gateway import __version__
from gateway.cli.invocation import echo_json, output_option


@click.command("version")
@output_option
def command(output: str) -> None:
    """
    Print the version.

    \b
    Example:
      auth-gateway version -o json
    """
    if output == "text":
        click.echo(f"auth-gateway {__version__}")
    else:
        echo_json({"version": __version__, "python": platform.python_version(), "platform": platform.platform()})
