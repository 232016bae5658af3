"""
What the pages talk about, made real: a folder as the reader has it, and the gateway that runs in it.

There are two folders of the same files. In one it is always the time that the pages say, for commands with ``--at``;
in the other the tokens are fresh, and the gateway is the real one.
"""

from __future__ import annotations

import http.server
import json
import os
import re
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration.command import start_command
from tests.signing import make_key, sign_token

from .pages import ROOT

# 2027-01-15T08:00:00Z
NOW = 1_800_000_000
ENDPOINT = "https://tenant.logto.app"
ENVIRONMENT = {"LOGTO_ENDPOINT": ENDPOINT}
KEY = make_key("ES384", "k-1")

# What stands in files of these names: the claims that differ from those of a token for the API.
TOKENS: dict[str, dict[str, Any]] = {
    "api": {},
    "organization": {"aud": "urn:logto:organization:org_1"},
    "other-api": {"aud": "https://other-api.example"},
    "slash": {"aud": "https://my-api.example/"},
    "http": {"iss": "http://tenant.logto.app/oidc"},
    "few-scopes": {"aud": "urn:logto:organization:org_1", "scope": "write:items"},
}


def make_token(now: int, **changes: Any) -> str:
    """Return an access token as Logto gives them out, issued four minutes ago."""
    claims = {
        "email": "foo@example.com",
        "username": "foo",
        "jti": "token-1",
        "sub": "foo-user",
        "iat": now - 240,
        "exp": now + 3360,
        "scope": "read:items write:items",
        "client_id": "my-app",
        "iss": f"{ENDPOINT}/oidc",
        "aud": "https://my-api.example",
        **changes,
    }
    return sign_token(KEY, {"alg": "ES384", "typ": "at+jwt", "kid": "k-1"}, claims)


def write_folder(folder: Path, now: int) -> Path:
    """
    Write the files of the reader: ``gateway.yaml``, tokens, and what the pages say of either.

    The file is that of the README but for the address of its keys: they are beside it, so no issuer is asked.
    """
    text = (ROOT / "config" / "logto.yaml").read_text("utf-8")
    text, count = re.subn(r"jwks: \$\{LOGTO_ENDPOINT:[^}]*\}/oidc/jwks", "jwks: file:keys.json", text)
    assert count == 1
    (folder / "gateway.yaml").write_text(text)
    (folder / "keys.json").write_text(json.dumps({"keys": [KEY.public]}))
    for name, changes in TOKENS.items():
        (folder / f"{name}.jwt").write_text(make_token(now, **changes) + "\n")
    (folder / "old.jwt").write_text(make_token(now - 7200) + "\n")
    (folder / "opaque.txt").write_text("wXk1Jn0pQm7\n")
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reader's folder at the time of the pages, as the working folder; of variables only theirs are set."""
    for name in list(os.environ):
        if name.startswith("AUTH_GATEWAY_"):
            monkeypatch.delenv(name)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return write_folder(tmp_path, NOW)


# --- a backend -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Backend:
    """A backend that keeps the fields of each request: names as they came, and their values."""

    url: str
    requests: list[list[tuple[str, str]]] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        """The values of one field of the last request."""
        return [value for key, value in self.requests[-1] if key.lower() == name.lower()]


@contextmanager
def run_backend() -> Iterator[Backend]:
    """Run a backend while the block runs."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            backend.requests.append([*self.headers.items(), *self._read_trailers()])
            self.send_response(200)
            self.send_header("Content-Length", "3")
            self.end_headers()
            self.wfile.write(b"ok\n")

        do_POST = do_OPTIONS = do_GET  # noqa: N815 - names of http.server

        def _read_trailers(self) -> list[tuple[str, str]]:
            """Read a chunked body to its end; what comes after it counts as fields, to be seen."""
            if "Transfer-Encoding" not in self.headers:
                return []
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
            lines = iter(lambda: str(self.rfile.readline(), "latin-1").strip(), "")
            return [tuple(line.split(": ", 1)) for line in lines]

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    backend = Backend(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield backend
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# --- the gateway -----------------------------------------------------------------------------------------------------

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Live:
    """The gateway as a reader runs it, with fresh tokens in its folder."""

    folder: Path
    address: str
    admin: str
    backend: Backend
    command: Any

    def read_token(self, name: str) -> str:
        """Return a fresh token."""
        return (self.folder / f"{name}.jwt").read_text().strip()

    def read_admin(self, path: str) -> str:
        """Return what the admin listener answers."""
        with _DIRECT.open(f"http://{self.admin}{path}", timeout=10) as answer:
            return str(answer.read(), "utf-8")


@contextmanager
def run_gateway(folder: Path, backend: Backend, more: str = "") -> Iterator[Live]:
    """Run the real command on the reader's file, with further keys, at ports that are free; ready when the block is."""
    text = (write_folder(folder, int(time.time())) / "gateway.yaml").read_text("utf-8")
    for written, used in [
        ("listen: 0.0.0.0:8080", "listen: 127.0.0.1:0"),
        ("admin: 127.0.0.1:9090", "admin: 127.0.0.1:0"),
        ("${LOGTO_ENDPOINT:?the endpoint of your tenant, such as https://tenant.logto.app}", ENDPOINT),
    ]:
        assert written in text
        text = text.replace(written, used)
    with run_file(folder, backend, f"{text}\n{more}") as running:
        yield running


@contextmanager
def run_file(folder: Path, backend: Backend, text: str) -> Iterator[Live]:
    """Run the real command on a file of the pages, beside the keys and tokens that lie in the folder."""
    written = "upstream: http://backend:3000"
    assert written in text
    (folder / "live.yaml").write_text(text.replace(written, f"upstream: {backend.url}"))
    with start_command("serve", "-c", "live.yaml", "--log-format", "json", folder=folder) as command:
        lines = command.wait_line(lambda line: '"event":"listening"' in line)
        if not any('"event":"keys_loaded"' in line for line in lines):
            command.wait_line(lambda line: '"event":"keys_loaded"' in line)
        entry = json.loads(next(line for line in lines if '"event":"listening"' in line))
        yield Live(folder, entry["listen"], entry["admin"], backend, command)


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A gateway that runs for all tests of the pages."""
    with run_backend() as backend, run_gateway(tmp_path_factory.mktemp("live"), backend) as running:
        yield running


# --- what differs from run to run ------------------------------------------------------------------------------------

_CHANGING = (
    (re.compile(r"^Date: .*$", re.MULTILINE), "Date: now"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "digest"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "request-id"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"), "now"),
    (re.compile(r'("(?:duration|upstream|overhead)_ms": ?)[0-9.]+'), r"\g<1>0"),
    (re.compile(r'("(?:uptime|age)_seconds": ?)[0-9.]+'), r"\g<1>0"),
    (re.compile(r'("python": ?)"[^"]+"'), r'\1"version"'),
    (re.compile(r'("refused": )\[\n.*?\n  \]', re.DOTALL), r"\1[]"),
)


def settle(text: str, addresses: Sequence[tuple[str, str]] = ()) -> str:
    """Return output with all that differs from run to run replaced, and without blanks at the ends of lines."""
    for used, written in addresses:
        text = text.replace(used, written)
    for pattern, replacement in _CHANGING:
        text = pattern.sub(replacement, text)
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
