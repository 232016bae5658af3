"""
``auth-gateway health``: asks the running gateway beside it over a bare socket.

A container runs this every few seconds, and what it costs is taken from the gateway. So nothing is imported here that
takes long: no HTTP library, no YAML. The address is ``AUTH_GATEWAY_ADMIN``, else that of the configuration file: the
plain scalar of the line that begins with ``admin:``, its ``${VAR}`` forms resolved; else ``127.0.0.1:9090``.

``/livez`` by default: an outage of the issuer must not restart the gateway.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Sequence

from gateway.config.interpolation import InterpolationError, interpolate

ADDRESS_VARIABLE = "AUTH_GATEWAY_ADMIN"
CONFIG_VARIABLE = "AUTH_GATEWAY_CONFIG"
DEFAULT_ADDRESS = "127.0.0.1:9090"
DEFAULT_PATHS = ("gateway.yaml", "/etc/auth-gateway/gateway.yaml")
TIMEOUT_SECONDS = 2.0
MAX_ANSWER_BYTES = PIECE_BYTES = 4096

# Where to ask when the listener takes every address of the machine.
_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound

USAGE = """\
Usage: auth-gateway health [--ready] [-c FILE]

  Ask the running gateway whether it lives; exit with 0 if so, else with 1.

Options:
  --ready            Ask whether it is ready: keys loaded, not stopping.
  -c, --config FILE  The file whose 'admin' is the address, unless AUTH_GATEWAY_ADMIN says it.
  -h, --help         Show this message.

Examples:
  auth-gateway health
  AUTH_GATEWAY_ADMIN=unix:/run/admin.sock auth-gateway health --ready
"""


class Unhealthy(Exception):
    """The gateway did not say yes; the text is the reason."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with the arguments after ``health``; 0 is yes, 1 is anything else."""
    arguments = sys.argv[2:] if arguments is None else arguments
    try:
        path, config = _parse_arguments(arguments)
        if path is None:
            sys.stdout.write(USAGE)
            return 0
        address = find_address(config)
        check_health(address, path)
    except Unhealthy as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"OK: {_name(address, path)}\n")
    return 0


def _parse_arguments(arguments: Sequence[str]) -> tuple[str | None, str | None]:
    path, config = "/livez", os.environ.get(CONFIG_VARIABLE) or None
    rest = iter(arguments)
    for argument in rest:
        name, has_value, value = argument.partition("=")
        if argument in ("-h", "--help"):
            return None, None
        if argument == "--ready":
            path = "/readyz"
        elif name in ("-c", "--config"):
            config = value if has_value else next(rest, None)
            if not config:
                raise Unhealthy(f"{name} needs a file")
        else:
            raise Unhealthy(f"no such argument: {argument!a}; see auth-gateway health --help")
    return path, config


def find_address(config: str | None) -> str:
    """
    Return the admin listener's address: of the environment, else of the file, else the default.

    Raises:
        Unhealthy: The named file cannot be read, or its ``admin`` is more than a plain scalar.
    """
    if address := os.environ.get(ADDRESS_VARIABLE):
        return address
    for path in (config,) if config else DEFAULT_PATHS:
        try:
            with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib takes as long to load as the check
                return read_address(file.read())
        except FileNotFoundError as error:
            if config:
                raise Unhealthy(f"{path}: {error.strerror}") from error
        except (OSError, UnicodeDecodeError) as error:
            raise Unhealthy(f"{path}: cannot be read ({type(error).__name__})") from error
    return DEFAULT_ADDRESS


def read_address(text: str) -> str:
    """
    Return the value of the top-level ``admin`` of a configuration file, or the default where there is none.

    Raises:
        Unhealthy: It is not a plain scalar, or a variable in it is not set.
    """
    for line in text.splitlines():
        name, found, value = line.partition(":")
        if not found or name.strip("\"'") != "admin":
            continue
        value = value.partition(" #")[0].strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        elif not value or value[0] in "&*!|>{[\"'#":
            raise Unhealthy(f"cannot read the address off the file; set {ADDRESS_VARIABLE}")
        try:
            return interpolate(value, os.environ)
        except InterpolationError as error:
            raise Unhealthy(f"admin: {error}") from error
    return DEFAULT_ADDRESS


def check_health(address: str, path: str = "/livez", timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    """
    Ask an admin listener, ``host:port`` or ``unix:/path``, and return if its answer is 200.

    Raises:
        Unhealthy: Any other answer, or none within the time.
    """
    read_answer(address, path, timeout_seconds, MAX_ANSWER_BYTES)


def read_answer(address: str, path: str, timeout_seconds: float, max_bytes: int) -> bytes:
    """
    Return the body of what an admin listener answers with 200, cut at so many bytes, its head included.

    Raises:
        Unhealthy: Any other answer, or none within the time.
    """
    request = f"GET {path} HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n".encode("ascii")
    try:
        answer = _exchange(address, request, time.monotonic() + timeout_seconds, max_bytes)
    except OSError as error:
        raise Unhealthy(f"{_name(address, path)}: {error.strerror or 'no answer in time'}") from error
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head[:13].split(b" ")
    if status[0] != b"HTTP/1.1" or len(status) < 2:  # noqa: PLR2004
        raise Unhealthy(f"{_name(address, path)}: no HTTP answer")
    if status[1] != b"200":
        words = (status[1] + b" " + body[:MAX_ANSWER_BYTES]).decode("latin-1").strip()
        raise Unhealthy(f"{_name(address, path)}: {ascii(words)[1:-1]}")
    return body


def _exchange(address: str, request: bytes, deadline: float, max_bytes: int) -> bytes:
    answer = b""
    with _connect(address, deadline) as connection:
        connection.sendall(request)
        while len(answer) < max_bytes:
            # One timeout for all: an answer that drips must not hold us.
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            piece = connection.recv(PIECE_BYTES)
            if not piece:
                break
            answer += piece
    return answer


def _connect(address: str, deadline: float) -> socket.socket:
    seconds = max(deadline - time.monotonic(), 0.001)
    if address.startswith("unix:"):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(seconds)
        try:
            connection.connect(address.removeprefix("unix:"))
        except OSError:
            connection.close()
            raise
        return connection
    host, has_port, port = address.rpartition(":")
    host = host.strip("[]")
    if not has_port or not port.isdecimal() or not 0 < int(port) < 65536:  # noqa: PLR2004
        raise Unhealthy(f"{address!a} is no address to ask: write host:port or unix:/path in {ADDRESS_VARIABLE}")
    return socket.create_connection((_LOOPBACK.get(host, host), int(port)), seconds)


def _name(address: str, path: str) -> str:
    return f"{address}{path}" if address.startswith("unix:") else f"http://{address}{path}"
