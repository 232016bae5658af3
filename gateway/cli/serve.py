"""``auth-gateway serve``."""

from __future__ import annotations

import click

from gateway.cli.invocation import (
    ExitCode,
    config_option,
    find_config,
    log_options,
    read_environment,
    read_log_options,
)
from gateway.config.compiler import Compiler
from gateway.config.problems import ConfigError


@click.command("serve")
@config_option()
@log_options()
@click.pass_context
def command(context: click.Context) -> None:
    """
    Run the gateway.

    SIGHUP or a change of the file reloads it; SIGTERM or Ctrl-C finishes what is in flight and stops.

    \b
    Example:
      auth-gateway serve -c gateway.yaml --log-format json
    """
    path = find_config(context)
    level, form = read_log_options(context)
    compiler = Compiler(str(path), read_environment())
    try:
        compiler.start()
        # All that serves is imported while the file is compiled.
        from gateway.app.run import run_gateway  # noqa: PLC0415 - see above

        code = run_gateway(compiler.load, level, form)
    except ConfigError as error:
        click.echo(error.render(), err=True)
        context.exit(ExitCode.NO)
    context.exit(code)
