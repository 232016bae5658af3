"""``auth-gateway serve`` and ``health`` as processes."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .command import clean_environment, run_command, start_command

CONFIG = """\
version: 1
listen: 127.0.0.1:0
admin: 127.0.0.1:0
upstream: http://127.0.0.1:9
providers:
  - type: customJwt
    issuer: https://issuer.example
    jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}]}
    applicationID: https://my-api.example
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A file that needs nothing from outside."""
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG)
    return path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("arguments", [["serve", "-c"], ["--log-level", "info", "-c"]], ids=["after", "before"])
def test_gateway_serves_until_it_is_asked_to_stop(config, number, arguments):
    """The file may be named before or after the command; a wish to stop is no failure."""
    before_command = arguments[0] != "serve"
    words = [*arguments, str(config), *(["serve"] if before_command else [])]
    with start_command(*words, folder=config.parent) as gateway:
        entry = json.loads(gateway.wait_line(lambda line: '"listening"' in line)[-1])
        assert entry["listen"].startswith("127.0.0.1:")
        assert gateway.stop(number) == 0


def test_what_compiles_the_file_is_not_in_the_process_that_serves(config):
    """A quarter of its memory would be for that; it is in a process of its own, which has ended."""
    with start_command("serve", "-c", str(config), folder=config.parent) as gateway:
        gateway.wait_line(lambda line: '"listening"' in line)
        maps = Path(f"/proc/{gateway.pid}/maps").read_text()
        assert "/cryptography/" in maps
        assert "pydantic_core" not in maps
        assert "/yaml/" not in maps
        assert not Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split()
        assert gateway.stop() == 0


def test_health_finds_the_gateway_by_its_file(config):
    """Yes while it runs and no when it is gone, by whichever way the file is named."""
    with start_command("serve", "-c", str(config), folder=config.parent) as gateway:
        entry = json.loads(gateway.wait_line(lambda line: '"listening"' in line)[-1])
        seen = config.with_name("seen.yaml")
        seen.write_text(CONFIG.replace("admin: 127.0.0.1:0", f"admin: {entry['admin']}"))
        for words in (["health", "-c", str(seen)], ["-c", str(seen), "health"], ["-c", str(seen), "health", "--ready"]):
            answer = run_command(*words, folder=config.parent)
            assert (answer.returncode, answer.stdout[:3]) == (0, "OK:"), answer
        gateway.stop()
    assert run_command("-c", str(seen), "health", folder=config.parent).returncode == 1


def test_health_imports_nothing_heavy(tmp_path):
    """It runs every few seconds beside the gateway; click alone would double its cost."""
    script = (
        "import sys; sys.argv = ['auth-gateway', 'health']\n"
        "from gateway.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert stop.code in (0, 1)\n"
        "print({'click', 'aiohttp', 'asyncio', 'yaml', 'pydantic', 'joserfc'} & set(sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**clean_environment(), "AUTH_GATEWAY_ADMIN": f"unix:{tmp_path}/absent"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert answer.stdout == "set()\n", answer.stderr


def test_health_answers_wrong_usage_with_no(tmp_path):
    """Docker reserves 2 for itself."""
    assert run_command("health", "--nonsense", folder=tmp_path).returncode == 1


def test_broken_file_never_listens(config):
    """Every mistake at once on stderr, exit code 1, and not one line of log."""
    config.write_text(CONFIG.replace("version: 1", "version: 2").replace("jwks:", "jwsk:"))
    answer = run_command("serve", "-c", str(config), folder=config.parent)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.count(" error: ") >= 2


@pytest.mark.parametrize("key", ["listen", "admin"])
def test_address_that_is_taken_is_named(config, key):
    """Which of the two, so that nobody looks for the other one."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        config.write_text(CONFIG.replace(f"{key}: 127.0.0.1:0", f"{key}: {address}"))
        answer = run_command("serve", "-c", str(config), folder=config.parent)
    assert answer.returncode == 1
    assert f"the gateway cannot start: {key} {address} is taken" in answer.stdout


def test_address_of_another_machine_is_named(config):
    """TEST-NET-1 (RFC 5737) is nobody's."""
    config.write_text(CONFIG.replace("listen: 127.0.0.1:0", "listen: 192.0.2.1:18080"))
    answer = run_command("serve", "-c", str(config), folder=config.parent)
    assert answer.returncode == 1
    assert "the gateway cannot start: listen 192.0.2.1:18080 cannot assign requested address" in answer.stdout


def test_certificate_that_is_not_there_is_named(config):
    """OpenSSL says "no such file" and no name."""
    config.with_name("server.key").write_text("")
    config.write_text(f"{CONFIG}tls: {{certificate: server.pem, key: server.key}}\n")
    answer = run_command("serve", "-c", str(config), folder=config.parent)
    assert answer.returncode == 1
    assert f"tls.certificate: {config.with_name('server.pem')}: no such file" in answer.stdout


def test_certificate_that_is_none_is_named(config):
    """A file that is there and holds something else leads to those that are looked at."""
    config.with_name("server.pem").write_text("")
    config.write_text(f"{CONFIG}tls: {{certificate: server.pem, key: server.pem}}\n")
    answer = run_command("serve", "-c", str(config), folder=config.parent)
    assert answer.returncode == 1
    assert "the gateway cannot start: not usable for TLS" in answer.stdout
    assert f"tls.certificate {config.with_name('server.pem')}" in answer.stdout


def test_variables_come_from_the_environment_of_the_process(config):
    """A file refers to what its process was given."""
    config.write_text(CONFIG.replace("https://my-api.example", "${NOT_SET_ANYWHERE}"))
    answer = run_command("check", str(config), folder=config.parent)
    assert answer.returncode == 1
    assert "NOT_SET_ANYWHERE" in answer.stderr
