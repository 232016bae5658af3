"""``auth-gateway completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """
    Print a completion script for a shell.

    \b
    Examples:
      source <(auth-gateway completion bash)
      auth-gateway completion fish > ~/.config/fish/completions/auth-gateway.fish
    """
    completion = get_completion_class(shell)
    if completion is None:
        raise click.UsageError(f"{shell} is not supported.")
    root = context.find_root().command
    click.echo(completion(root, {}, "auth-gateway", "_AUTH_GATEWAY_COMPLETE").source())
