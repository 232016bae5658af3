"""Organizations as tenants, as an operator has them: lists in files, taken in while the gateway runs."""

from __future__ import annotations

import http.client
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.signing import make_key, make_token

from .command import RunningCommand, run_command, start_command
from .test_workers import Upstream, wait_until

KEY = make_key("ES256", "tenants")
CONFIG = """\
version: 1
listen: 127.0.0.1:0
admin: 127.0.0.1:0
upstream: http://127.0.0.1:{port}
workers: {workers}
providers:
  - type: customJwt
    name: logto
    issuer: https://issuer.example/oidc
    jwks: {{keys: [{key}]}}
    applicationID: urn:logto:organization:{{organization}}
organizations:
  allow: {{file: tenants.txt}}
routes:
  - path: /organizations/{{organization}}/**
    require: {{organization: "{{organization}}"}}
"""


class Gateway:
    """The running command, its folder, and a connection to it that stays open."""

    def __init__(self, command: RunningCommand, folder: Path, listen: str, admin: str) -> None:
        self.command = command
        self.folder = folder
        self.admin = admin
        self._connection = http.client.HTTPConnection(listen, timeout=10)
        now = int(time.time())
        self._tokens = {
            name: make_token(KEY, aud=f"urn:logto:organization:{name}", iat=now, exp=now + 600)
            for name in ("org_1", "org_2")
        }

    def get(self, caller: str, organization: str) -> tuple[int, str | None]:
        """Return the status of a request of one organization's member for another's path, and why it was refused."""
        fields = {"Authorization": f"Bearer {self._tokens[caller]}"}
        self._connection.request("GET", f"/organizations/{organization}/items", headers=fields)
        answer = self._connection.getresponse()
        body = answer.read()
        return answer.status, None if answer.status == 200 else json.loads(body)["reason"]

    def write_list(self, text: str | bytes) -> None:
        """Put a new list in the place of the old one, whole."""
        new = self.folder / "tenants.new"
        new.write_bytes(text if isinstance(text, bytes) else text.encode())
        new.replace(self.folder / "tenants.txt")

    def wait_event(self, name: str) -> dict[str, Any]:
        entry: dict[str, Any] = json.loads(self.command.wait_line(lambda line: f'"event":"{name}"' in line)[-1])
        return entry

    def read_metric(self, name: str) -> float:
        connection = http.client.HTTPConnection(self.admin, timeout=10)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        [value] = re.findall(rf"^auth_gateway_{name} (.*)$", text, re.MULTILINE)
        return float(value)

    def close(self) -> None:
        self._connection.close()


@contextmanager
def run_gateway(folder: Path, port: int, workers: int) -> Iterator[Gateway]:
    (folder / "gateway.yaml").write_text(CONFIG.format(port=port, workers=workers, key=json.dumps(KEY.public)))
    (folder / "tenants.txt").write_text("org_1\norg_2\n")
    with start_command("serve", "-c", "gateway.yaml", "--log-format", "json", folder=folder) as command:
        entry = json.loads(command.wait_line(lambda line: '"listening"' in line)[-1])
        gateway = Gateway(command, folder, entry["listen"], entry["admin"])
        yield gateway
        gateway.close()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_removed_organization_is_refused_within_a_second_of_the_reload(tmp_path, upstream, workers):
    """Each sees its own; the removed one is out on its open connection and with its known token, the other is not."""
    with run_gateway(tmp_path, upstream.port, workers) as gateway:
        for name, other in (("org_1", "org_2"), ("org_2", "org_1")):
            assert gateway.get(name, name) == (200, None)
            assert gateway.get(name, name) == (200, None)
            assert gateway.get(name, other) == (403, "organization_mismatch")
        gateway.write_list("org_2\n")
        gateway.wait_event("config_reloaded")
        assert gateway.get("org_1", "org_1") == (403, "organization_denied")
        assert gateway.get("org_2", "org_2") == (200, None)
        gateway.write_list("org_2\norg_1 # back\n")
        gateway.wait_event("config_reloaded")
        assert gateway.get("org_1", "org_1") == (200, None)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bad_list_changes_nothing_but_a_line_and_a_gauge(tmp_path, upstream, workers):
    """The last good one serves; the line says which file, where it is named, and why."""
    with run_gateway(tmp_path, upstream.port, workers) as gateway:
        gateway.write_list(b"org_1\n\xff\n")
        [problem] = gateway.wait_event("config_refused")["problems"]
        assert problem.startswith("gateway.yaml:13:17: error: organizations.allow: tenants.txt: not UTF-8")
        assert gateway.read_metric("config_last_reload_successful") == 0
        assert gateway.get("org_2", "org_2") == (200, None)
        gateway.write_list("org_1\n")
        gateway.wait_event("config_reloaded")
        assert gateway.read_metric("config_last_reload_successful") == 1
        assert gateway.get("org_2", "org_2") == (403, "organization_denied")


def test_a_new_worker_has_the_list_of_the_others(tmp_path, upstream):
    """Though the file is gone, as it has the configuration that the others serve."""
    with run_gateway(tmp_path, upstream.port, 2) as gateway:
        (tmp_path / "tenants.txt").unlink()
        connection = http.client.HTTPConnection(gateway.admin, timeout=10)

        def list_workers():
            connection.request("GET", "/status")
            return {each["pid"] for each in json.loads(connection.getresponse().read())["workers"]}

        old = list_workers()
        for pid in old:
            os.kill(pid, 9)
        wait_until(lambda: len(list_workers() - old) == 2, 20)
        connection.close()
        gateway.close()
        assert gateway.get("org_1", "org_1") == (200, None)


@pytest.mark.parametrize("words", [["serve", "-c"], ["check"]], ids=lambda words: words[0])
def test_without_its_list_nothing_starts(tmp_path, words):
    """A list that cannot be read is a mistake of the file: neither an empty one nor none at all."""
    (tmp_path / "gateway.yaml").write_text(CONFIG.format(port=9, workers=1, key=json.dumps(KEY.public)))
    answer = run_command(*words, "gateway.yaml", folder=tmp_path)
    assert answer.returncode == 1
    assert "error: organizations.allow: tenants.txt: no such file or directory" in answer.stdout + answer.stderr
