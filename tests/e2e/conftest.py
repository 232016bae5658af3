"""
The outside of the end-to-end tests: a real issuer, the real command, and an upstream that keeps every byte it got.

Nothing here knows how the gateway works inside. What runs in Node.js needs it and the packages of
``package-lock.json``; without them its tests are skipped with the reason, and under ``CI`` they fail instead.
"""

import base64
import hashlib
import http.client
import http.cookiejar
import json
import os
import queue
import secrets
import shutil
import socketserver
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest

HERE = Path(__file__).parent
COMMAND = Path(sys.executable).with_name("auth-gateway")
START_TIMEOUT_SECONDS = 20
STOP_TIMEOUT_SECONDS = 10
CALLBACK = "http://127.0.0.1/callback"
# A proxy that the environment names must not see what goes to 127.0.0.1.
NO_PROXY = urllib.request.ProxyHandler({})
DIRECT = urllib.request.build_opener(NO_PROXY)


class Lines:
    """The lines that a process prints, read by a thread so that neither side ever waits for a full pipe."""

    def __init__(self, stream: IO[str]) -> None:
        self.seen: list[str] = []
        self._new: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self.seen.append(line)
            self._new.put(line)
        self._new.put(None)

    def wait_json(self, wanted: Callable[[dict[str, Any]], bool], timeout_seconds: float) -> dict[str, Any] | None:
        """Return the next JSON object that is wanted; None when the stream ends or the time is over."""
        deadline = time.monotonic() + timeout_seconds
        try:
            while (line := self._new.get(timeout=max(0.0, deadline - time.monotonic()))) is not None:
                entry = json.loads(line) if line.startswith("{") else None
                if entry is not None and wanted(entry):
                    return entry
        except queue.Empty:
            return None
        return None


def stop_process(process: subprocess.Popen[str]) -> int:
    """Ask the process to stop and return its exit code; one that does not obey is killed."""
    process.terminate()
    try:
        return process.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


# --- the issuer ------------------------------------------------------------------------------------------------------


class _StopAtCallback(urllib.request.HTTPRedirectHandler):
    """Follows the issuer's redirects, but not the last one: it carries the code to a client that does not listen."""

    def redirect_request(self, *args: Any) -> urllib.request.Request | None:
        return None if args[-1].startswith(CALLBACK) else super().redirect_request(*args)


@dataclass(frozen=True, slots=True)
class Issuer:
    """A running oidc-provider, the engine under Logto."""

    issuer: str
    jwks: str
    token_endpoint: str
    authorization_endpoint: str
    control: str

    def access_token(
        self,
        resource: str = "https://my-api.example",
        scope: str = "read:items",
        alg: str = "ES384",
        ttl_seconds: int = 600,
    ) -> str:
        """Return the ``at+jwt`` of a machine (client_credentials) whose audience is the resource."""
        form = {"grant_type": "client_credentials", "resource": _with_options(resource, alg, ttl_seconds)}
        return self._fetch_tokens("m2m", {**form, "scope": scope})["access_token"]

    def user_access_token(
        self, resource: str = "https://my-api.example", scope: str = "read:items", alg: str = "ES384"
    ) -> str:
        """Return the ``at+jwt`` of a signed-in user, with the claims ``email`` and ``username``."""
        return self._sign_in(f"openid {scope}", _with_options(resource, alg, 600))["access_token"]

    def id_token(self) -> str:
        """Return the ID token of a signed-in user: its audience is the client ``web``."""
        return self._sign_in("openid email profile")["id_token"]

    def rotate_keys(self) -> None:
        """Replace every signing key; the old ones are gone from the JWK Set."""
        self._control("/rotate")

    def begin_outage(self) -> None:
        """Let every connection to the issuer die without an answer."""
        self._control("/outage")

    def end_outage(self) -> None:
        """Answer again."""
        self._control("/recovery")

    def count_fetches(self) -> int:
        """Return how often the JWK Set was asked for."""
        return int(self._control("/fetches", data=None))

    def _control(self, action: str, data: bytes | None = b"") -> bytes:
        with DIRECT.open(self.control + action, data, timeout=10) as response:
            return response.read()

    def _fetch_tokens(self, client: str, form: dict[str, str]) -> dict[str, str]:
        form = {"client_id": client, "client_secret": f"{client}-secret", **form}
        with DIRECT.open(self.token_endpoint, urllib.parse.urlencode(form).encode(), timeout=10) as response:
            return json.load(response)

    def _sign_in(self, scope: str, resource: str | None = None) -> dict[str, str]:
        verifier = secrets.token_urlsafe(32)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        target = {"resource": resource} if resource else {}
        query = {"client_id": "web", "response_type": "code", "redirect_uri": CALLBACK, "scope": scope, **target}
        code = self._authorize({**query, "code_challenge": challenge, "code_challenge_method": "S256"})
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": verifier}
        return self._fetch_tokens("web", {**form, **target})

    def _authorize(self, query: dict[str, str]) -> str:
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        browser = urllib.request.build_opener(NO_PROXY, _StopAtCallback, cookies)
        with pytest.raises(urllib.error.HTTPError) as stopped:
            browser.open(f"{self.authorization_endpoint}?{urllib.parse.urlencode(query)}", timeout=10)
        with stopped.value as response:
            location = urllib.parse.urlsplit(response.headers["Location"])
        return urllib.parse.parse_qs(location.query)["code"][0]


def _with_options(resource: str, alg: str, ttl_seconds: int) -> str:
    return f"{resource}{'&' if '?' in resource else '?'}{urllib.parse.urlencode({'alg': alg, 'ttl': ttl_seconds})}"


@pytest.fixture(scope="session")
def node() -> str:
    """The command of Node.js, whose programs find their packages."""
    refuse = pytest.fail if os.environ.get("CI") else pytest.skip
    if shutil.which("node") is None:
        refuse("Node.js is not installed")
    if not (HERE / "node_modules").is_dir():
        refuse("the packages of Node.js are not installed: run `make test`, or `npm ci` in tests/e2e")
    return "node"


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory, node: str) -> Iterator[Issuer]:
    """A real issuer for the whole run. A test that rotates keys or begins an outage takes ``own_issuer``."""
    yield from _run_issuer(node, tmp_path_factory.mktemp("issuer") / "stderr.log")


@pytest.fixture
def own_issuer(tmp_path: Path, node: str) -> Iterator[Issuer]:
    """A real issuer for one test, which may rotate its keys and let it fail."""
    yield from _run_issuer(node, tmp_path / "issuer-stderr.log")


def _run_issuer(node: str, errors: Path) -> Iterator[Issuer]:
    with errors.open("w") as stderr, _start([node, HERE / "issuer.mjs"], stderr=stderr) as process:
        ready = Lines(process.stdout).wait_json(lambda entry: "issuer" in entry, START_TIMEOUT_SECONDS)
        if ready is None:
            stop_process(process)
            pytest.fail(f"the issuer did not start:\n{errors.read_text()}")
        yield Issuer(**ready)
        stop_process(process)


def _start(command: list[str | Path], **options: Any) -> subprocess.Popen[str]:
    # The pipe to its standard input is how the issuer learns that a test run was killed.
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)


# --- the gateway -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running ``auth-gateway serve``."""

    process: subprocess.Popen[str]
    lines: Lines
    url: str
    admin_url: str

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the public listener."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def wait_log(self, wanted: Callable[[dict[str, Any]], bool], timeout_seconds: float = 10) -> dict[str, Any]:
        """Return the next log entry that is wanted."""
        entry = self.lines.wait_json(wanted, timeout_seconds)
        assert entry is not None, f"no such log entry; the log:\n{''.join(self.lines.seen)}"
        return entry

    def wait_ready(self, timeout_seconds: float = 10) -> None:
        """Wait until the gateway says that it is ready."""
        deadline = time.monotonic() + timeout_seconds
        while (status := self._readiness())[0] != 200:
            assert time.monotonic() < deadline, f"still not ready: {status}"
            time.sleep(0.02)

    def _readiness(self) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.admin_url.removeprefix("http://"), timeout=5)
        try:
            connection.request("GET", "/readyz")
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def stop(self) -> int:
        """Stop the gateway and return its exit code."""
        return stop_process(self.process)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """Start the real command on a file of this text: ``gateway(text, NAME=value)``; stopped with the test."""
    with ExitStack() as running:

        def start(text: str, **environment: str) -> Gateway:
            file = tmp_path / f"gateway-{len(list(tmp_path.iterdir()))}.yaml"
            file.write_text(text)
            command: list[str | Path] = [COMMAND, "serve", "-c", file, "--log-format", "json"]
            process = _start(command, stderr=subprocess.STDOUT, env={**os.environ, **environment})
            running.enter_context(process)
            running.callback(stop_process, process)
            lines = Lines(process.stdout)
            ready = lines.wait_json(lambda entry: entry.get("event") == "listening", START_TIMEOUT_SECONDS)
            if ready is None:
                code = stop_process(process)
                pytest.fail(f"the gateway does not listen (exit code {code}):\n{''.join(lines.seen)}")
            return Gateway(process, lines, f"http://{ready['listen']}", f"http://{ready['admin']}")

        yield start


# --- the upstream ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class RecordingUpstream:
    """An HTTP/1.1 server that keeps the exact bytes of each request and answers a small 200."""

    url: str
    requests: list[bytes] = field(default_factory=list)

    def head(self, index: int = -1) -> list[bytes]:
        """The request line and the field lines of one request, as they came."""
        return self.requests[index].partition(b"\r\n\r\n")[0].split(b"\r\n")

    def values(self, name: str, index: int = -1) -> list[str]:
        """The values of one field of one request, every field line by itself."""
        lines = (line.partition(b":") for line in self.head(index)[1:])
        return [value.strip().decode() for key, _, value in lines if key.decode().lower() == name.lower()]


class _Record(socketserver.StreamRequestHandler):
    """Reads request after request off one connection. It takes only what a gateway may send: no obs-fold, no 1.0."""

    server: "_RecordingServer"

    def handle(self) -> None:
        while head := self._read_head():
            self.server.upstream.requests.append(head + self._read_body(head.lower()))
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n")

    def _read_head(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) not in (b"", b"\r\n"):
            lines.append(line)
        return b"".join(lines) + line if lines else b""

    def _read_body(self, head: bytes) -> bytes:
        if b"\r\ntransfer-encoding: chunked\r\n" in head:
            return b"".join(self._read_chunks())
        _, found, rest = head.partition(b"\r\ncontent-length:")
        return self.rfile.read(int(rest.partition(b"\r\n")[0])) if found else b""

    def _read_chunks(self) -> Iterator[bytes]:
        size = None
        while size != 0:
            line = self.rfile.readline()
            size = int(line.partition(b";")[0], 16)
            yield line
            if size:
                yield self.rfile.read(size + 2)
        yield self._read_head() or b"\r\n"


class _RecordingServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    upstream: RecordingUpstream

    def handle_error(self, _request: Any, _address: Any) -> None:
        """Let a connection that a test cut go by in silence; anything else is a fault of a test."""
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            raise error


@pytest.fixture
def recording_upstream() -> Iterator[RecordingUpstream]:
    """An upstream that keeps the exact bytes of each request."""
    with _RecordingServer(("127.0.0.1", 0), _Record) as server:
        server.upstream = RecordingUpstream(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.upstream
        server.shutdown()
        thread.join()
