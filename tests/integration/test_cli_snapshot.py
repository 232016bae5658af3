"""``auth-gateway serve`` that is started again while its issuer is away, as one process and as several."""

from __future__ import annotations

import http.client
import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.signing import make_key, sign_token

from .command import RunningCommand, run_command, start_command

KEY = make_key("ES256", "k1")
CONFIG = """\
version: 1
listen: 127.0.0.1:0
admin: 127.0.0.1:0
upstream: http://127.0.0.1:{port}
keys_snapshot: state
providers:
  - type: customJwt
    name: logto
    issuer: https://issuer.example
    jwks: http://127.0.0.1:{port}/jwks
    applicationID: https://my-api.example
"""


@contextmanager
def serve_keys(port: int = 0) -> Iterator[int]:
    """Be an issuer, and a backend, that answers everything with its keys."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"keys": [KEY.public]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(address: str, path: str, token: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def wait_until_ready(command: RunningCommand) -> dict[str, str]:
    """Return the line that says where it listens, once it has its keys."""
    entry: dict[str, str] = json.loads(command.wait_line(lambda line: '"listening"' in line)[-1])
    deadline = time.monotonic() + 20
    while ask(entry["admin"], "/readyz")[0] != 200:
        assert time.monotonic() < deadline, ask(entry["admin"], "/readyz")
        time.sleep(0.05)
    return entry


def make_token(kid: str = "k1") -> str:
    now = int(time.time())
    claims = {"iss": "https://issuer.example", "sub": "u", "aud": "https://my-api.example", "iat": now}
    return sign_token(KEY, {"alg": "ES256", "typ": "at+jwt", "kid": kid}, {**claims, "exp": now + 600})


@pytest.mark.parametrize("workers", [1, 2])
def test_start_again_without_the_issuer(tmp_path, workers):
    """It is ready and decides on tokens with the keys that it had, and probe and status say where they are from."""
    good, unknown = make_token(), make_token("k2")
    (tmp_path / "state").mkdir()
    file = tmp_path / "gateway.yaml"
    with serve_keys() as port:
        file.write_text(CONFIG.format(port=port) + f"workers: {workers}\n")
        with start_command("serve", "-c", str(file), folder=tmp_path) as command:
            entry = wait_until_ready(command)
            assert ask(entry["admin"], "/readyz") == (200, "ok\n")
            assert ask(entry["listen"], "/", good)[0] == 200
            assert command.stop() == 0
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["logto.json"]
    with start_command("serve", "-c", str(file), folder=tmp_path) as command:
        entry = wait_until_ready(command)
        assert ask(entry["admin"], "/readyz") == (200, "ok, keys from a snapshot: logto\n")
        [provider] = json.loads(ask(entry["admin"], "/status")[1])["providers"]
        assert provider["from_snapshot"] is True
        assert [key["kid"] for key in provider["keys"]] == ["k1"]
        assert "cannot connect" in provider["last_error"]
        # Nobody is at the upstream either, but it is the token that is accepted.
        assert {ask(entry["listen"], "/", good)[0] for _ in range(10)} == {502}
        assert {ask(entry["listen"], "/", unknown)[0] for _ in range(10)} == {503}
        assert {ask(entry["listen"], "/")[0] for _ in range(10)} == {401}
        assert command.stop() == 0


def test_explain_leaves_the_snapshot_alone(tmp_path):
    """It is the running gateway's: what another user wrote there, that one might not read."""
    (tmp_path / "state").mkdir()
    (tmp_path / "token.jwt").write_text(make_token())
    with serve_keys() as port:
        (tmp_path / "gateway.yaml").write_text(CONFIG.format(port=port))
        answer = run_command("-c", "gateway.yaml", "explain", "@token.jwt", folder=tmp_path)
    assert answer.returncode == 0, answer
    assert list((tmp_path / "state").iterdir()) == []
