"""The sums that workers are started and told by."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.app.cores import _read_quota, count_workers
from gateway.app.worker import share
from gateway.app.worker_slot import plan_restart
from gateway.config.load import parse_config
from gateway.config.settings import MAX_WORKERS

FILE = """\
version: 1
upstream: http://127.0.0.1:1
limits: {connections: 10, upstream_connections: 1, cached_tokens: 7}
providers:
  - type: customJwt
    issuer: https://issuer.example
    jwks: https://issuer.example/jwks
    applicationID: https://my-api.example
"""


def test_a_number_is_taken_as_it_is() -> None:
    """The file's word counts, whatever the machine has."""
    assert (count_workers(1), count_workers(7)) == (1, 7)


def test_auto_is_no_more_than_the_cores() -> None:
    """One worker at least, and none that would have no core."""
    assert 1 <= count_workers(None) <= min(len(os.sched_getaffinity(0)), MAX_WORKERS)


@pytest.mark.parametrize(
    ("text", "cores"),
    [("max 100000\n", None), ("50000 100000\n", 1), ("150000 100000\n", 2), ("400000 100000\n", 4), ("", None)],
)
def test_a_quota_is_rounded_up(tmp_path: Path, text: str, cores: int | None) -> None:
    """Half a core is one worker; no quota is no word."""
    file = tmp_path / "cpu.max"
    assert _read_quota(file) is None
    file.write_text(text)
    assert _read_quota(file) == cores


def test_limits_are_shared_out() -> None:
    """All workers together stay near what the file allows, and each has one of everything."""
    settings = parse_config(FILE, "gateway.yaml", {}).settings
    limits = share(settings, 4).limits
    assert (limits.connections, limits.upstream_connections, limits.cached_tokens) == (3, 1, 7)
    assert share(settings, 1) == settings


def test_restarts_back_off() -> None:
    """At once, then doubling from half a second to half a minute."""
    delays = [plan_restart(failures) for failures in range(1, 10)]
    assert delays == [0, 0.5, 1, 2, 4, 8, 16, 30, 30]
    assert plan_restart(10_000) == 30
