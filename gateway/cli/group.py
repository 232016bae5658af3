"""
The command group: what every command shares, and where each command lives.

A command's module is imported when that command is run, so that ``version`` does not pay for an HTTP server.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any, cast

import click
from click.shell_completion import CompletionItem

from gateway import __version__
from gateway.cli.invocation import config_option, log_options

INTERRUPTED = 130

_COMMANDS = {
    "serve": "Run the gateway.",
    "check": "Check a configuration file, and say every mistake in it.",
    "explain": "Say why a token is accepted or refused, check by check.",
    "health": "Ask the running gateway whether it lives, or is ready.",
    "config": "Show the effective configuration, or its JSON Schema.",
    "init": "Print a starter configuration for an identity provider.",
    "demo": "Run an issuer, an upstream and the gateway, with requests to try.",
    "version": "Print the version.",
    "completion": "Print a completion script for a shell.",
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports them one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of the help."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; each module names its own ``command``."""
        if cmd_name not in _COMMANDS:
            return None
        return cast("click.Command", import_module(f"gateway.cli.{cmd_name}").command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer commands and options without importing any command, because somebody waits at the Tab key."""
        commands = [CompletionItem(name, help=text) for name, text in _COMMANDS.items() if name.startswith(incomplete)]
        return commands + click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; Ctrl-C is 130 as in a shell, because 1 is an answer."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 yes, 1 the answer is no, 2 wrong usage, 3 could not find out.",
)
@config_option(with_environment=True)
@log_options(with_environment=True)
@click.version_option(__version__, "-V", "--version", prog_name="auth-gateway", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """
    Authenticating reverse proxy for any issuer of JWTs.

    \b
    Examples:
      auth-gateway demo
      auth-gateway -c gateway.yaml serve
    """
    # https://no-color.org: any value but the empty one.
    if os.environ.get("NO_COLOR"):
        context.color = False
