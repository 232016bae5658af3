"""The whole demonstration in one process: issuer, backend, the gateway as it is, and requests ready to paste."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import click

import gateway
from gateway.admin.logs import LogOutput
from gateway.app.application import Application
from gateway.cli.demo.backend import build_backend_app
from gateway.cli.demo.client import (
    ACCEPTED,
    ANONYMOUS,
    ORGANIZATION,
    REFUSED,
    Trial,
    fetch_tokens,
    run_trials,
    wait_until_ready,
)
from gateway.cli.demo.issuer import API_AUDIENCE, DemoIssuer, build_issuer_app
from gateway.cli.demo.listening import bind, find_free_port, listen, read_port, wait_for_stop
from gateway.config.load import load_config
from gateway.config.served import Served

_HOST = "127.0.0.1"
_TRIALS = (ACCEPTED, ORGANIZATION, REFUSED, ANONYMOUS)

_CONFIG = """\
# The file of a running "auth-gateway demo"; it goes when the demo ends.
version: 1
listen: {host}:{port}
admin: {host}:0
upstream: http://{host}:{backend_port}

providers:
  - type: customJwt
    name: demo
    issuer: {issuer}
    jwks: {issuer}/jwks
    algorithm: [RS256, ES384, EdDSA]
    applicationID:
      - {audience}
      - urn:logto:organization:{{organization}}
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """A demonstration that runs: ``config`` is the gateway's file, ``tokens`` are by the name of their case."""

    gateway: str
    issuer: str
    config: Path
    tokens: Mapping[str, str]


async def run_stage(port: int, output: LogOutput, *, is_once: bool) -> bool:
    """
    Set everything up, show the requests to try, and wait for the end; or try them and return whether all went right.

    Raises:
        OSError: The port is taken.
    """
    async with open_stage(port, output) as stage:
        if is_once:
            async with aiohttp.ClientSession() as session:
                return await run_trials(session, stage.gateway, stage.tokens, _TRIALS)
        click.echo(describe_stage(stage, name_command()))
        await wait_for_stop()
    return True


@asynccontextmanager
async def open_stage(port: int, output: LogOutput) -> AsyncIterator[Stage]:
    """Run issuer, backend and gateway while the block runs."""
    issuer_socket, backend_socket = bind((_HOST, 0)), bind((_HOST, 0))
    issuer = DemoIssuer(f"http://{_HOST}:{read_port(issuer_socket)}/oidc")
    with TemporaryDirectory(prefix="auth-gateway-demo-") as folder:
        config = _write_config(folder, issuer.issuer, port, read_port(backend_socket))
        async with (
            listen(build_issuer_app(issuer, time.time), issuer_socket),
            listen(build_backend_app(), backend_socket),
            Application(Served.pack(str(config), load_config(config, {}).settings), output) as application,
            aiohttp.ClientSession() as session,
        ):
            url = f"http://{application.listen}"
            tokens = await fetch_tokens(session, issuer.issuer, _TRIALS)
            _write_tokens(folder, tokens)
            await wait_until_ready(session, url, tokens["api"])
            yield Stage(url, issuer.issuer, config, tokens)


def _write_config(folder: str, issuer: str, port: int, backend_port: int) -> Path:
    path = Path(folder, "gateway.yaml")
    text = _CONFIG.format(host=_HOST, port=port, backend_port=backend_port, issuer=issuer, audience=API_AUDIENCE)
    path.write_text(text, "utf-8")
    return path


def _write_tokens(folder: str, tokens: Mapping[str, str]) -> None:
    for case, token in tokens.items():
        Path(folder, f"{case}.jwt").write_text(f"{token}\n", "ascii")


def choose_port(wanted: int | None, preferred: int) -> int:
    """Return the port that was asked for, else the preferred one or any other that is free."""
    return wanted or find_free_port(_HOST, preferred)


def describe_stage(stage: Stage, command: str) -> str:
    """Return the lines to paste into another terminal."""
    blocks = [f"The gateway runs at {stage.gateway}, its file is {stage.config}.", "Paste into another terminal:"]
    blocks += [_describe_trial(trial, stage) for trial in _TRIALS]
    refused = shlex.quote(f"@{stage.config.with_name('wrong-audience.jwt')}")
    blocks.append(f"# Why was the third one refused?\n{command} -c {shlex.quote(str(stage.config))} explain {refused}")
    blocks.append("Ctrl-C ends the demo. Its log follows, with a request that it made itself.")
    return "\n\n".join(blocks)


def _describe_trial(trial: Trial, stage: Stage) -> str:
    answer = f"{trial.status} {trial.reason}" if trial.reason else f"{trial.status}"
    credentials = f" -H 'Authorization: Bearer {stage.tokens[trial.case]}'" if trial.case else ""
    # A refusal says most in its status and its challenge; an answer of the backend is JSON to read on.
    options = "-si" if trial.reason else "-s"
    return f"# {trial.title}: {answer}\ncurl {options}{credentials} {stage.gateway}/items"


def name_command() -> str:
    """Return the words that start this very command from any folder."""
    script = Path(sys.argv[0])
    if script.name == "auth-gateway":
        return script.name if shutil.which(script.name) == str(script) else shlex.quote(str(script.absolute()))
    # Run as "python -m gateway", perhaps from a checkout that is not installed.
    checkout = Path(gateway.__file__).absolute().parent.parent
    return shlex.join(["env", f"PYTHONPATH={checkout}", sys.executable, "-m", "gateway"])
