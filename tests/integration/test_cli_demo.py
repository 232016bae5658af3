"""``auth-gateway demo``: all in one process, and its parts apart."""

from __future__ import annotations

import json
import shlex
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from gateway.cli.demo.stage import choose_port

from .command import clean_environment, run_command, start_command
from .demo_issuer import DIRECT, find_free_port, open_issuer, write_config


def send(line: str) -> tuple[int, dict[str, object]]:
    """Do what a curl line of the demo says, and return status and body."""
    words = shlex.split(line)
    assert words[:2] in (["curl", "-s"], ["curl", "-si"])
    headers = dict(words[index + 1].split(": ", 1) for index, word in enumerate(words) if word == "-H")
    try:
        with DIRECT.open(urllib.request.Request(words[-1], headers=headers), timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_demo_once_shows_every_case_and_ends(tmp_path):
    """Exit code 0 says that accepted, organization, refused and anonymous requests were answered as they should be."""
    answer = run_command("demo", "--once", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert [line.partition(": ")[2] for line in answer.stdout.splitlines() if line.startswith("ok")] == [
        "200",
        "200",
        "401 audience_mismatch",
        "401 missing_token",
    ]
    assert '"organization": "org_1"' in answer.stdout
    assert answer.stderr == ""


def test_lines_of_the_demo_work_when_pasted(tmp_path):
    """Three curl lines, a fourth without token, and the question why; Ctrl-C takes everything away."""
    with start_command("demo", folder=tmp_path) as demo:
        lines = [line.rstrip("\n") for line in demo.wait_line(lambda line: line.startswith("Ctrl-C"))]
        accepted, organization, refused, anonymous = (send(line) for line in lines if line.startswith("curl "))
        assert (accepted[0], accepted[1]["identity"]["email"]) == (200, "foo@example.com")
        assert set(accepted[1]["identity"]) == {
            *("tokenIdentifier", "issuer", "subject", "client_id", "email", "scope", "username"),
            *("audience", "scopes", "provider"),
        }
        assert (organization[0], organization[1]["identity"]["organization"]) == (200, "org_1")
        assert (refused[0], refused[1]["reason"]) == (401, "audience_mismatch")
        assert (anonymous[0], anonymous[1]["reason"]) == (401, "missing_token")

        (explain,) = (line for line in lines if " explain " in line)
        why = subprocess.run(explain, shell=True, cwd="/", capture_output=True, text=True, timeout=30, check=False)  # noqa: S602
        assert why.returncode == 1, why.stderr
        config = Path(shlex.split(explain)[-1].removeprefix("@")).with_name("gateway.yaml")
        line = config.read_text().splitlines().index("    applicationID:") + 1
        assert "REFUSED by demo: audience_mismatch" in why.stdout
        assert "audience      FAIL the token has     https://other-api.example" in why.stdout
        assert f"the file accepts  https://my-api.example   (gateway.yaml:{line})" in why.stdout

        assert demo.stop(signal.SIGINT) == 0
    assert not config.parent.exists()


def test_demo_says_that_its_port_is_taken(tmp_path):
    """A port that was asked for is not replaced by another one."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        other_port = other.getsockname()[1]
        answer = run_command("demo", "--once", "--port", str(other_port), folder=tmp_path)
    assert answer.returncode == 1
    assert f"The demo cannot start: port {other_port} is taken, name another one with --port" in answer.stderr


def test_demo_takes_another_port_where_the_usual_one_is_taken():
    """Nobody has to stop anything to see the demo."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        assert choose_port(None, taken) != taken
        assert choose_port(taken, 8080) == taken


@pytest.fixture
def issuer(tmp_path):
    """The address of a demo issuer."""
    with open_issuer(tmp_path) as url:
        yield url


def test_parts_make_a_whole(issuer, tmp_path):
    """Issuer, backend, gateway and client as a compose file runs them: keys by discovery, and both answers right."""
    port = find_free_port()
    with start_command("demo", "backend", "--listen", f"127.0.0.1:{port}", folder=tmp_path) as backend:
        backend.wait_line(lambda line: "listening" in line, "stderr")
        config = write_config(tmp_path, f"domain: {issuer}", f"http://127.0.0.1:{port}")
        with start_command("serve", "-c", str(config), folder=tmp_path) as gateway:
            entry = json.loads(gateway.wait_line(lambda line: '"listening"' in line)[-1])
            url = f"http://{entry['listen']}"
            answer = run_command("demo", "client", "--gateway", url, "--issuer", issuer, folder=tmp_path)
            assert answer.returncode == 0, answer.stderr
            assert answer.stdout.splitlines()[0] == "ok   A token for this API is accepted: 200"
            assert (
                answer.stdout.splitlines()[-1] == "ok   A token for another audience is refused: 401 audience_mismatch"
            )
            assert gateway.stop() == 0
        assert backend.stop() == 0


def test_client_tells_wrong_answers_from_right_ones(issuer, tmp_path):
    """A backend without a gateway before it accepts everybody: exit code 1."""
    port = find_free_port()
    with start_command("demo", "backend", "--listen", f"127.0.0.1:{port}", folder=tmp_path) as backend:
        backend.wait_line(lambda line: "listening" in line, "stderr")
        url = f"http://127.0.0.1:{port}"
        answer = run_command("demo", "client", "--gateway", url, "--issuer", issuer, folder=tmp_path)
    assert answer.returncode == 1
    assert answer.stdout.count("FAIL") == 2


def test_client_gives_up_in_time(tmp_path):
    """Nobody there is neither yes nor no: exit code 3."""
    nobody = f"http://127.0.0.1:{find_free_port()}"
    words = ["demo", "client", "--gateway", nobody, "--issuer", nobody, "--timeout", "0.3"]
    answer = run_command(*words, folder=tmp_path)
    assert answer.returncode == 3
    assert "not ready" in answer.stderr


def test_issuer_names_its_cases(issuer):
    """Whoever asks for an unknown case learns the known ones."""
    with pytest.raises(urllib.error.HTTPError) as refusal, DIRECT.open(f"{issuer}/token?case=x", timeout=10):
        pass
    with refusal.value as answer:
        assert (answer.code, answer.read()) == (400, b"case is one of: api, organization, wrong-audience, expired\n")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:http", ":"])
def test_address_without_port_is_wrong_usage(tmp_path, address):
    """HOST:PORT, nothing guessed."""
    assert run_command("demo", "backend", "--listen", address, folder=tmp_path).returncode == 2


def test_environment_of_these_tests_is_clean():
    """A developer's own settings do not reach the processes."""
    assert not [name for name in clean_environment() if name.startswith("AUTH_GATEWAY_")]
