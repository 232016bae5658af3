"""``workers: 2`` as a user has it: processes that are one gateway to callers, probes, signals and the log."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .command import RunningCommand, run_command, start_command
from .loop import select_files

CONFIG = """\
version: 1
listen: 127.0.0.1:0
admin: 127.0.0.1:0
upstream: http://127.0.0.1:{port}
workers: 2
providers:
  - type: customJwt
    issuer: https://issuer.example
    jwks: {{keys: [{{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}}]}}
    applicationID: https://my-api.example
routes:
  - {{path: /open/**, access: public}}
"""
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


class Upstream:
    """Answers each connection's one request with 200; ``/slow`` when ``release`` is set."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.is_asked = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._answer, args=(peer,))
            thread.start()
            self._threads.append(thread)

    def _answer(self, peer: socket.socket) -> None:
        with peer:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = peer.recv(65536)
                if not piece:
                    return
                head += piece
            if b"/slow" in head:
                self.is_asked.set()
                self.release.wait(10)
            try:
                peer.sendall(ANSWER)
            except OSError:
                return

    def close(self) -> None:
        self.release.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in [self._accepting, *self._threads]:
            thread.join()


@dataclass(frozen=True, slots=True)
class Gateway:
    """The running command."""

    command: RunningCommand
    listen: str
    admin: str
    file: Path

    @property
    def pid(self) -> int:
        return self.command._process.pid

    def wait_event(self, name: str) -> dict[str, Any]:
        """Return the next entry of the log with this event."""
        entry: dict[str, Any] = json.loads(self.command.wait_line(lambda line: f'"event":"{name}"' in line)[-1])
        return entry

    def read_admin(self, path: str) -> tuple[int, str]:
        return ask(self.admin, path)

    def get(self, path: str = "/open/") -> int:
        """Return the status of one request on a connection of its own."""
        return ask(self.listen, path)[0]

    @property
    def workers(self) -> list[int]:
        """The processes that ``/status`` names."""
        return [worker["pid"] for worker in json.loads(self.read_admin("/status")[1])["workers"]]

    def read_metric(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        found = re.findall(rf"^auth_gateway_{name}(?:\{{.*\}})? (.*)$", self.read_admin("/metrics")[1], re.MULTILINE)
        assert found
        return sum(map(float, found))


def ask(address: str, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def wait_until(is_so: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Return whether a process runs; one that is dead and unburied does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def count_sockets(pid: int) -> int:
    """Return how many sockets a process has open."""
    return sum(file.startswith("socket:") for file in select_files(pid))


@contextmanager
def run_gateway(folder: Path, upstream: Upstream, more: str = "") -> Iterator[Gateway]:
    file = folder / "gateway.yaml"
    file.write_text(CONFIG.format(port=upstream.port) + more)
    with start_command("serve", "-c", str(file), folder=folder) as command:
        entry = json.loads(command.wait_line(lambda line: '"listening"' in line)[-1])
        assert entry["workers"] == 2
        yield Gateway(command, entry["listen"], entry["admin"], file)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture
def gateway(tmp_path: Path, upstream: Upstream) -> Iterator[Gateway]:
    with run_gateway(tmp_path, upstream) as running:
        yield running


def test_two_processes_answer_on_one_port_and_are_counted_as_one(gateway):
    """Connections are spread over both; probes, status and metrics are those of the whole."""
    before = {pid: count_sockets(pid) for pid in gateway.workers}
    assert len(before) == 2
    assert gateway.pid not in before
    host, _, port = gateway.listen.partition(":")
    with ExitStack() as stack:
        for _ in range(40):
            client = stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
            client.sendall(b"GET /open/ HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
        held = {pid: count_sockets(pid) - before[pid] for pid in before}
        # 40 fair throws of a coin: below 6 once in a million runs.
        assert min(held.values()) >= 6, held
    assert gateway.read_metric("requests_total") == 40
    assert gateway.read_metric("request_duration_seconds_count") == 40
    assert gateway.read_metric("workers") == 2
    assert (gateway.read_admin("/readyz"), gateway.read_admin("/livez")) == ((200, "ok\n"), (200, "ok\n"))
    status = json.loads(gateway.read_admin("/status")[1])
    assert status["ready"]
    assert [worker | {"pid": 0} for worker in status["workers"]] == [{"pid": 0, "answers": True, "ready": True}] * 2
    assert [provider["name"] for provider in status["providers"]] == ["issuer.example"]


def test_a_reload_reaches_both(gateway):
    """SIGHUP changes what each of them answers and is logged and counted once; a bad file changes none."""
    assert gateway.get("/other/") == 401
    gateway.file.write_text(gateway.file.read_text().replace("/open/**", "/other/**"))
    os.kill(gateway.pid, signal.SIGHUP)
    assert gateway.wait_event("config_reloaded")["needs_restart"] == []
    assert {gateway.get("/other/") for _ in range(20)} == {200}
    assert {gateway.get("/open/") for _ in range(20)} == {401}
    assert gateway.read_metric("config_reloads_total") == 1
    gateway.file.write_text("version: 2\n")
    os.kill(gateway.pid, signal.SIGHUP)
    gateway.wait_event("config_refused")
    assert {gateway.get("/other/") for _ in range(20)} == {200}
    assert gateway.read_metric("config_last_reload_successful") == 0


def test_refusals_of_all_workers_are_one_list(gateway):
    """Whoever asks does not know which process answered; what a worker refused goes with it."""
    assert {gateway.get(f"/refused/{number}") for number in range(20)} == {401}
    refused = json.loads(gateway.read_admin("/status")[1])["refused"]
    assert {each["path"] for each in refused} == {f"/refused/{number}" for number in range(20)}
    assert refused == sorted(refused, key=lambda each: each["time"], reverse=True)
    assert len({each["request_id"] for each in refused}) == 20
    first, _ = gateway.workers
    os.kill(first, signal.SIGSTOP)
    try:
        assert len(json.loads(gateway.read_admin("/status")[1])["refused"]) < 20
    finally:
        os.kill(first, signal.SIGCONT)


def test_a_worker_that_dies_is_replaced(gateway):
    """Requests go on meanwhile and after, counters do not fall, and the successor has the file that is in use."""
    assert {gateway.get() for _ in range(20)} == {200}
    assert gateway.read_metric("requests_total") == 20
    first, second = gateway.workers
    gateway.file.write_text("version: 2\n")
    gateway.wait_event("config_refused")
    os.kill(first, signal.SIGKILL)
    entry = gateway.wait_event("worker_died")
    assert (entry["pid"], entry["why"], entry["replaced_in_seconds"]) == (first, "SIGKILL", 0.0)
    # None is lost: who meets the dead one's socket waits for the new one.
    assert {gateway.get() for _ in range(20)} == {200}
    wait_until(lambda: len(gateway.workers) == 2)
    assert first not in gateway.workers
    assert second in gateway.workers
    assert gateway.read_metric("requests_total") == 40
    assert gateway.read_metric("worker_deaths_total") == 1
    assert gateway.read_admin("/readyz")[0] == 200


def test_who_dies_again_and_again_is_given_time(gateway):
    """The second death in a row waits for half a second, the third longer, while the other worker serves."""
    _, other = gateway.workers
    delays = []
    for _ in range(3):
        wait_until(lambda: len(gateway.workers) == 2)
        [victim] = set(gateway.workers) - {other}
        os.kill(victim, signal.SIGKILL)
        delays.append(gateway.wait_event("worker_died")["replaced_in_seconds"])
        # Nobody waits for a worker that is not there: the socket went with it.
        assert not delays[-1] or {gateway.get() for _ in range(10)} == {200}
    assert delays == [0.0, 0.5, 1.0]
    assert gateway.command.stop() == 0


def test_a_worker_that_hangs_is_left_out(gateway):
    """A probe is answered in time and says so; what the worker last told is still counted."""
    assert gateway.get() == 200
    assert gateway.read_metric("requests_total") == 1
    first, _ = gateway.workers
    os.kill(first, signal.SIGSTOP)
    try:
        assert 'workers{state="silent"} 1.0' in gateway.read_admin("/metrics")[1]
        assert gateway.read_metric("requests_total") == 1
        assert gateway.read_admin("/readyz")[0] == 200
    finally:
        os.kill(first, signal.SIGCONT)
    wait_until(lambda: 'workers{state="silent"} 0.0' in gateway.read_admin("/metrics")[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_drains_both(tmp_path, upstream, number):
    """Not ready at once, serving for ``drain_delay``, the request in flight is answered, and the exit code is 0."""
    with run_gateway(tmp_path, upstream, "drain_delay: 1s\nshutdown_timeout: 10s\n") as gateway:
        workers = gateway.workers
        statuses: list[int] = []
        slow = [threading.Thread(target=lambda: statuses.append(gateway.get("/open/slow"))) for _ in range(6)]
        for thread in slow:
            thread.start()
        wait_until(lambda: gateway.read_metric("requests_in_flight") == 6)
        os.kill(gateway.pid, number)
        gateway.wait_event("draining")
        assert gateway.read_admin("/readyz") == (503, "draining\n")
        assert {gateway.get() for _ in range(10)} == {200}
        host, _, port = gateway.listen.partition(":")
        wait_until(lambda: not is_listening(host, int(port)))
        upstream.release.set()
        for thread in slow:
            thread.join()
        assert statuses == [200] * 6
        assert gateway.command._process.wait(10) == 0
        assert not any(map(is_running, workers))


def is_listening(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    except OSError:
        # Reset: it was in the queue of a socket that was closed.
        return True
    return True


def test_a_second_signal_ends_all_at_once(gateway, upstream):
    """Whoever asks twice does not want to wait: exit code 143, and no worker is left."""
    workers = gateway.workers
    slow = threading.Thread(target=get_cut, args=(gateway,))
    slow.start()
    assert upstream.is_asked.wait(10)
    os.kill(gateway.pid, signal.SIGTERM)
    gateway.wait_event("draining")
    assert gateway.command.stop() == 143
    wait_until(lambda: not any(map(is_running, workers)))
    slow.join()


def get_cut(gateway: Gateway) -> None:
    with pytest.raises(ConnectionError):
        gateway.get("/open/slow")


def test_workers_end_with_a_supervisor_that_was_killed(gateway):
    """SIGKILL leaves nobody behind, and the port is free."""
    workers = gateway.workers
    os.kill(gateway.pid, signal.SIGKILL)
    wait_until(lambda: not any(map(is_running, workers)), seconds=5)
    host, _, port = gateway.listen.partition(":")
    wait_until(lambda: not is_listening(host, int(port)), seconds=5)


def test_signals_to_a_worker_change_nothing(gateway):
    """Stopping and reloading are the supervisor's; one of a group that is signalled as a whole must not go first."""
    workers = gateway.workers
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        for pid in workers:
            os.kill(pid, number)
    assert {gateway.get() for _ in range(10)} == {200}
    assert gateway.workers == workers


def test_a_file_that_is_wrong_never_listens(tmp_path):
    """As with one process: exit code 1 and the mistakes; a certificate that is not there is one as well."""
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG.format(port=9).replace("version: 1", "version: 2"))
    answer = run_command("serve", "-c", str(file), folder=tmp_path)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "version" in answer.stderr
    file.write_text(CONFIG.format(port=9) + "tls: {certificate: absent.pem, key: absent.pem}\n")
    answer = run_command("serve", "-c", str(file), folder=tmp_path)
    assert answer.returncode == 1
    assert [json.loads(line)["event"] for line in answer.stdout.splitlines()] == ["failed_to_start"]


def test_a_port_that_is_taken_is_not_shared(tmp_path, gateway):
    """Two gateways on one port would each get half of the connections of both."""
    file = tmp_path / "second.yaml"
    file.write_text(gateway.file.read_text().replace("listen: 127.0.0.1:0", f"listen: {gateway.listen}"))
    answer = run_command("serve", "-c", str(file), folder=tmp_path)
    assert answer.returncode == 1
    assert "is taken" in answer.stdout


def test_workers_share_a_unix_socket(tmp_path, upstream):
    """A path can be bound once, so both accept from one socket; it stays while one of them is replaced."""
    file = tmp_path / "gateway.yaml"
    text = CONFIG.format(port=upstream.port).replace("listen: 127.0.0.1:0", f"listen: unix:{tmp_path}/public.sock")
    file.write_text(text)
    with start_command("serve", "-c", str(file), folder=tmp_path) as command:
        entry = json.loads(command.wait_line(lambda line: '"listening"' in line)[-1])
        gateway = Gateway(command, "", entry["admin"], file)
        for pid in (None, *gateway.workers):
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                gateway.wait_event("worker_died")
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(10)
                client.connect(f"{tmp_path}/public.sock")
                client.sendall(b"GET /open/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                assert client.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
        assert command.stop() == 0
