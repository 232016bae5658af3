"""
What commands share: the options for the file and the log, the search for the file, the exit codes.

``-c`` may stand before or after the command; the later one wins.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])

DEFAULT_PATHS = (Path("gateway.yaml"), Path("/etc/auth-gateway/gateway.yaml"))
LOG_LEVELS = ("debug", "info", "warning", "error")
LogFormat = Literal["auto", "json", "text"]
LOG_FORMATS: tuple[LogFormat, ...] = ("auto", "json", "text")

_CONFIG, _LOG_LEVEL, _LOG_FORMAT = (f"gateway.cli.{name}" for name in ("config", "log_level", "log_format"))


class ExitCode(IntEnum):
    """What the exit code of a command says."""

    YES = 0
    NO = 1
    USAGE = 2
    UNKNOWN = 3


def _remember(key: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def callback(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
        if value is not None:
            context.meta[key] = value

    return callback


def config_option(*, with_environment: bool = False) -> Callable[[Function], Function]:
    """Add ``-c``; the environment counts on the group only, where every command's own option outranks it."""
    return click.option(
        "-c",
        "--config",
        metavar="FILE",
        envvar="AUTH_GATEWAY_CONFIG" if with_environment else None,
        show_envvar=with_environment,
        callback=_remember(_CONFIG),
        expose_value=False,
        help=f"Configuration file; else {' or '.join(map(str, DEFAULT_PATHS))}.",
    )


def log_options(*, with_environment: bool = False) -> Callable[[Function], Function]:
    """Add ``--log-level`` and ``--log-format``."""
    level = click.option(
        "--log-level",
        type=click.Choice(LOG_LEVELS),
        envvar="AUTH_GATEWAY_LOG_LEVEL" if with_environment else None,
        show_envvar=with_environment,
        callback=_remember(_LOG_LEVEL),
        expose_value=False,
        help="How much is logged; info by default.",
    )
    form = click.option(
        "--log-format",
        type=click.Choice(LOG_FORMATS),
        envvar="AUTH_GATEWAY_LOG_FORMAT" if with_environment else None,
        show_envvar=with_environment,
        callback=_remember(_LOG_FORMAT),
        expose_value=False,
        help="auto (the default) is text on a terminal, else JSON.",
    )
    return lambda function: level(form(function))


output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Text for people (the default) or JSON for programs.",
)


def read_log_options(context: click.Context) -> tuple[str, LogFormat]:
    """Return log level and log format."""
    return context.meta.get(_LOG_LEVEL, "info"), context.meta.get(_LOG_FORMAT, "auto")


def read_config_option(context: click.Context) -> str | None:
    """Return the file that ``-c`` or the environment names."""
    named: str | None = context.meta.get(_CONFIG)
    return named


def find_config(context: click.Context) -> Path:
    """
    Return the file that ``-c`` or the environment names, else the first default that is there.

    Raises:
        click.UsageError: No such file.
    """
    named = read_config_option(context)
    candidates = DEFAULT_PATHS if named is None else (Path(named),)
    for path in candidates:
        if path.exists():
            return path
    places = " nor ".join(map(str, candidates))
    raise click.UsageError(
        f"There is no configuration file {places}. Name one with -c, or write one: auth-gateway init > gateway.yaml"
    )


def read_environment() -> Mapping[str, str]:
    """Return the variables that a file may refer to."""
    return os.environ


def echo_json(document: Mapping[str, Any]) -> None:
    """Print a result for programs: one JSON document in ASCII."""
    click.echo(json.dumps({"schema": 1, **document}, indent=2))
