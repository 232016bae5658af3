"""
``auth-gateway demo``: an issuer, a backend and the gateway in one process, and requests to try.

The parts also run by themselves, for a compose file: ``demo issuer``, ``demo backend``, ``demo client``.
"""

from __future__ import annotations

import asyncio
import errno
import sys
import time

import click
from aiohttp import web

from gateway.admin.logs import configure_logging
from gateway.cli.demo.backend import build_backend_app
from gateway.cli.demo.client import try_gateway
from gateway.cli.demo.issuer import DemoIssuer, build_issuer_app
from gateway.cli.demo.listening import Address, HostAndPort, bind, listen, wait_for_stop
from gateway.cli.demo.stage import choose_port, run_stage
from gateway.cli.invocation import ExitCode, log_options, read_log_options

DEFAULT_PORT = 8080


@click.group("demo", invoke_without_command=True)
@click.option("--port", type=click.IntRange(1, 65535), metavar="PORT", help="Port of the gateway; 8080 if it is free.")
@click.option("--once", is_flag=True, help="Send the requests, print the answers, and exit.")
@log_options()
@click.pass_context
def command(context: click.Context, port: int | None, *, once: bool) -> None:
    """
    Run an issuer, an upstream and the gateway, with requests to try.

    Needs no configuration and no network. Ctrl-C ends it.

    \b
    Examples:
      auth-gateway demo
      auth-gateway demo --once
    """
    if context.invoked_subcommand is not None:
        return
    level, form = read_log_options(context)
    output = configure_logging("warning" if once else level, form, sys.stderr)
    try:
        chosen = choose_port(port, DEFAULT_PORT)
        is_good = asyncio.run(run_stage(chosen, output, is_once=once))
    except OSError as error:
        why = f"port {chosen} is taken, name another one with --port" if error.errno == errno.EADDRINUSE else error
        raise click.ClickException(f"The demo cannot start: {why}") from error
    finally:
        output.writer.flush()
    context.exit(ExitCode.YES if is_good else ExitCode.NO)


@command.command("issuer")
@click.option("--listen", "address", type=HostAndPort(), required=True, metavar="HOST:PORT", help="Where to listen.")
@click.option("--issuer", required=True, metavar="URL", help="Its name in tokens, and where others reach it.")
def run_issuer(address: Address, issuer: str) -> None:
    """
    Run an issuer that signs a token for whoever asks.

    Serves /jwks, /.well-known/openid-configuration and /token?case=api, organization, wrong-audience or expired, each
    under the path of its URL.

    \b
    Example:
      auth-gateway demo issuer --listen 127.0.0.1:3001 --issuer http://127.0.0.1:3001/oidc
    """
    asyncio.run(_serve(build_issuer_app(DemoIssuer(issuer), time.time), address))


@command.command("backend")
@click.option("--listen", "address", type=HostAndPort(), required=True, metavar="HOST:PORT", help="Where to listen.")
def run_backend(address: Address) -> None:
    """
    Run a backend that answers with what it was sent.

    \b
    Example:
      auth-gateway demo backend --listen 127.0.0.1:3000
    """
    asyncio.run(_serve(build_backend_app(), address))


async def _serve(app: web.Application, address: Address) -> None:
    try:
        listener = bind(address)
    except OSError as error:
        raise click.ClickException(f"Cannot listen on {address[0]}:{address[1]}: {error.strerror}.") from error
    async with listen(app, listener):
        click.echo(f"listening on {address[0]}:{address[1]}", err=True)
        await wait_for_stop()


@command.command("client")
@click.option("--gateway", required=True, metavar="URL", help="The gateway to try.")
@click.option("--issuer", required=True, metavar="URL", help="The demo issuer that it believes.")
@click.option("--timeout", "timeout_seconds", default=60.0, metavar="SECONDS", help="How long to wait for both; 60.")
@click.pass_context
def run_client(context: click.Context, gateway: str, issuer: str, timeout_seconds: float) -> None:
    """
    Try a gateway: one request must pass, one must not.

    Waits until issuer and gateway are ready, and prints what came back.

    \b
    Example:
      auth-gateway demo client --gateway http://127.0.0.1:8080 --issuer http://127.0.0.1:3001/oidc
    """
    try:
        is_good = asyncio.run(try_gateway(gateway, issuer, timeout_seconds))
    except TimeoutError:
        click.echo(f"{gateway} and {issuer} were not ready within {timeout_seconds:g} s.", err=True)
        context.exit(ExitCode.UNKNOWN)
    context.exit(ExitCode.YES if is_good else ExitCode.NO)
