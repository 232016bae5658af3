"""``auth-gateway explain`` as a process, with keys that must be fetched."""

from __future__ import annotations

import socket

import pytest

from .command import run_command
from .demo_issuer import open_issuer, read_token, write_config


@pytest.fixture
def issuer(tmp_path):
    """The address of a demo issuer."""
    with open_issuer(tmp_path) as url:
        yield url


@pytest.mark.parametrize(
    ("case", "code", "word"),
    [
        ("api", 0, "ACCEPTED"),
        ("wrong-audience", 1, "audience_mismatch"),
        ("expired", 1, "It expired 1 h ago"),
        ("organization", 1, "audience_mismatch"),
    ],
)
def test_keys_are_fetched_as_the_gateway_does(issuer, tmp_path, case, code, word):
    """By discovery; the token comes from a pipe."""
    config = write_config(tmp_path, f"domain: {issuer}")
    answer = run_command("explain", "-", "-c", str(config), folder=tmp_path, text=read_token(issuer, case))
    assert answer.returncode == code, answer.stderr
    assert word in answer.stdout


def test_without_keys_nothing_is_said_of_the_token(issuer, tmp_path):
    """An outage is not the token's fault: exit code 3, and why the keys could not be had."""
    token = read_token(issuer, "api")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        jwks = f"http://127.0.0.1:{nobody.getsockname()[1]}/jwks"
        config = write_config(tmp_path, f"type: customJwt\n    issuer: {issuer}\n    jwks: {jwks}")
        answer = run_command("explain", "-", "-c", str(config), folder=tmp_path, text=token)
    assert answer.returncode == 3, answer.stdout + answer.stderr
    assert "UNKNOWN by " in answer.stdout
    assert "could not be had" in answer.stdout


def test_offline_fetches_nothing(issuer, tmp_path):
    """The issuer is up, and still not asked."""
    config = write_config(tmp_path, f"domain: {issuer}")
    words = ("explain", "-", "-c", str(config), "--offline")
    answer = run_command(*words, folder=tmp_path, text=read_token(issuer, "api"))
    assert answer.returncode == 3
    assert "not fetched (--offline)" in answer.stdout


def test_issuers_of_other_tokens_are_left_in_peace(issuer, tmp_path):
    """A token decides whose keys are fetched: nobody else hears of it."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"http://127.0.0.1:{other.getsockname()[1]}"
        config = write_config(tmp_path, f"domain: {issuer}\n  - applicationID: x\n    domain: {address}")
        answer = run_command("explain", "-", "-c", str(config), folder=tmp_path, text=read_token(issuer, "api"))
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()
    assert answer.returncode == 0, answer.stdout + answer.stderr
