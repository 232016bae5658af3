"""Load: small requests by wrk, and what else there is by programs of our own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError
from bench.install import install_debian

_SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw."""

    requests: int
    seconds: float
    p50_microseconds: int
    p99_microseconds: int


def run_load(
    port: int,
    tokens: Path,
    *,
    seconds: int,
    connections: int,
    is_once: bool,
    is_traced: bool,
    cores: Sequence[int],
) -> Load:
    """
    Send the tokens in turn; ``is_once`` ends with the last of them, ``is_traced`` gives each a trace of its own.

    Raises:
        BenchError: A request was not answered with 2xx; figures of refusals would be worth nothing.
    """
    install_debian("wrk", "wrk")
    done = _run(
        cores,
        [
            *("wrk", "--threads", "1", "--connections", str(connections), "--duration", str(seconds)),
            *("--timeout", "20", "--script", str(_SCRIPT), f"http://127.0.0.1:{port}/"),
            *("--", str(tokens), "once" if is_once else "cycle", *(["traced"] if is_traced else [])),
        ],
    )
    return parse_load(done.stdout, done.stderr)


def parse_load(output: str, errors: str) -> Load:
    """
    Read the line that the script prints last.

    Raises:
        BenchError: It is not there, or some requests failed.
    """
    last = output.strip().rpartition("\n")[2]
    try:
        seen = json.loads(last)
    except ValueError as error:
        raise BenchError(f"wrk failed: {errors or output}") from error
    if seen["errors"] or not seen["requests"]:
        raise BenchError(f"{seen['errors']} of {seen['requests']} requests failed")
    return Load(seen["requests"], seen["microseconds"] / 1e6, seen["p50"], seen["p99"])


def run_module(module: str, arguments: Sequence[object], cores: Sequence[int]) -> dict[str, float]:
    """
    Run a load generator of our own and return what it prints.

    Raises:
        BenchError: It failed.
    """
    done = _run(cores, [sys.executable, "-m", module, *map(str, arguments)])
    if done.returncode:
        raise BenchError(f"{module} failed: {done.stderr.strip()[-500:]}")
    seen: dict[str, float] = json.loads(done.stdout)
    return seen


def _run(cores: Sequence[int], argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    prefix = ("taskset", "--cpu-list", ",".join(map(str, cores)))
    return subprocess.run([*prefix, *argv], capture_output=True, text=True, check=False)
