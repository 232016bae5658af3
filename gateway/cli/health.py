"""
``auth-gateway health`` where options stand before it; without any, ``__main__`` answers before click is imported.

Its own arguments are parsed by ``gateway.admin.health``, which exits with 0 and 1 only.
"""

from __future__ import annotations

import click

from gateway.admin.health import main as check_health
from gateway.cli.invocation import read_config_option


@click.command("health", add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Ask the running gateway whether it lives, or is ready."""
    config = read_config_option(context)
    context.exit(check_health([*(("-c", config) if config else ()), *arguments]))
