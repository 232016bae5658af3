"""The health command: where it asks, and what it takes for an answer. Real sockets are in the integration tests."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from gateway.admin.health import (
    DEFAULT_ADDRESS,
    DEFAULT_PATHS,
    Unhealthy,
    check_health,
    find_address,
    main,
    read_address,
)
from gateway.cli import invocation


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of ours and no file of ours in sight."""
    monkeypatch.chdir(tmp_path)
    for name in ("AUTH_GATEWAY_ADMIN", "AUTH_GATEWAY_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("line", "address"),
    [
        ("admin: 127.0.0.1:9191", "127.0.0.1:9191"),
        ("admin:   127.0.0.1:9191   # loopback", "127.0.0.1:9191"),
        ("admin: '[::1]:9191'", "[::1]:9191"),
        ('admin: "127.0.0.1:9191" # quoted', "127.0.0.1:9191"),
        ('"admin": 127.0.0.1:9191', "127.0.0.1:9191"),
        ("admin: unix:/run/admin.sock", "unix:/run/admin.sock"),
        ("admin: ${HOST}:9191", "10.0.0.1:9191"),
        ("admin: 127.0.0.1:${PORT:-9191}", "127.0.0.1:9191"),
        ("admin: ${HOST:?needed}:9191", "10.0.0.1:9191"),
        ("# admin: 1.1.1.1:1", DEFAULT_ADDRESS),
        ("  admin: 1.1.1.1:1", DEFAULT_ADDRESS),
        ("administration: 1.1.1.1:1", DEFAULT_ADDRESS),
        ("", DEFAULT_ADDRESS),
    ],
)
def test_address_is_read_off_the_file(line: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain top-level scalar, with its variables; any other line is none of ours."""
    monkeypatch.setenv("HOST", "10.0.0.1")
    assert read_address(f"version: 1\n{line}\r\nlisten: 0.0.0.0:8080\n") == address


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("admin:", "AUTH_GATEWAY_ADMIN"),
        ("admin: &anchor 127.0.0.1:9191", "AUTH_GATEWAY_ADMIN"),
        ("admin: *anchor", "AUTH_GATEWAY_ADMIN"),
        ("admin: |", "AUTH_GATEWAY_ADMIN"),
        ("admin: {file: /run/secrets/x}", "AUTH_GATEWAY_ADMIN"),
        ("admin: '127.0.0.1", "AUTH_GATEWAY_ADMIN"),
        ("admin: ${UNSET_HOST}:9191", "UNSET_HOST is not set"),
        ("admin: ${UNSET_HOST:?say where}:9191", "say where"),
    ],
)
def test_address_beyond_a_plain_scalar_is_refused(line: str, why: str) -> None:
    """What this reader cannot read it does not guess; it says what to set."""
    with pytest.raises(Unhealthy, match=why):
        read_address(line)


def test_environment_outranks_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``AUTH_GATEWAY_ADMIN``, else the file, else the default."""
    assert find_address(None) == DEFAULT_ADDRESS
    (tmp_path / "gateway.yaml").write_text("admin: 127.0.0.1:1\n")
    assert find_address(None) == "127.0.0.1:1"
    monkeypatch.setenv("AUTH_GATEWAY_ADMIN", "127.0.0.1:2")
    assert find_address("missing.yaml") == "127.0.0.1:2"


def test_default_files_are_those_of_the_command() -> None:
    """The health command looks where every other command looks."""
    assert tuple(map(str, invocation.DEFAULT_PATHS)) == DEFAULT_PATHS


@pytest.mark.parametrize(
    ("arguments", "environment", "why"),
    [
        (["-c", "missing.yaml"], {}, "missing.yaml: No such file"),
        (["--config=missing.yaml"], {}, "missing.yaml: No such file"),
        ([], {"AUTH_GATEWAY_CONFIG": "missing.yaml"}, "missing.yaml: No such file"),
        (["-c", "."], {}, "cannot be read (IsADirectoryError)"),
        (["-c", "binary"], {}, "cannot be read (UnicodeDecodeError)"),
        (["-c"], {}, "-c needs a file"),
        (["--config="], {}, "--config needs a file"),
        (["--reddy"], {}, "no such argument: '--reddy'"),
        (["--ready=1"], {}, "no such argument"),
        ([], {"AUTH_GATEWAY_ADMIN": "9090"}, "no address to ask"),
        ([], {"AUTH_GATEWAY_ADMIN": "127.0.0.1:0"}, "no address to ask"),
        ([], {"AUTH_GATEWAY_ADMIN": "127.0.0.1:65536"}, "no address to ask"),
        ([], {"AUTH_GATEWAY_ADMIN": "127.0.0.1:x"}, "no address to ask"),
        ([], {"AUTH_GATEWAY_ADMIN": "unix:/no/such.sock"}, "unix:/no/such.sock/livez: No such file"),
        (["--ready"], {"AUTH_GATEWAY_ADMIN": "unix:/no/such.sock"}, "unix:/no/such.sock/readyz: No such file"),
    ],
)
def test_anything_but_yes_is_1(
    arguments: list[str],
    environment: dict[str, str],
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Docker knows 0 and 1 only; the reason is one line on standard error."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert why in err
    assert err.count("\n") == 1


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """Help is on standard output and no failure."""
    assert main(["--help"]) == 0
    assert "auth-gateway health" in capsys.readouterr().out


def test_arguments_are_those_after_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Called by the command line, it takes what stands behind ``health``."""
    monkeypatch.setattr("sys.argv", ["auth-gateway", "health", "-h"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("Usage:")


def test_nobody_listening_is_unhealthy() -> None:
    """A port without a listener is a refused connection."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(Unhealthy, match="Connection refused"):
            check_health(f"127.0.0.1:{bound.getsockname()[1]}")


def test_listener_that_does_not_answer_is_unhealthy() -> None:
    """A gateway whose loop hangs still accepts; the time is over soon."""
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(Unhealthy, match="no answer in time"):
        check_health(f"127.0.0.1:{server.getsockname()[1]}", timeout_seconds=0.05)
