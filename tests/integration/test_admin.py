"""The admin listener over real sockets: what it answers, to whom, and what it keeps to itself."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.admin.logs import LineHandler, configure_logging
from gateway.admin.server import AdminListener, start_admin
from gateway.config.settings import ListenAddress

from .admin import CANARY, State, run_admin
from .loop import in_loop


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    fields: dict[str, str]
    body: str


async def ask(listener: AdminListener, path: str, method: str = "GET", **fields: str) -> Answer:
    return await asyncio.to_thread(_ask, listener.address, path, method, fields)


def _ask(address: ListenAddress, path: str, method: str, fields: dict[str, str]) -> Answer:
    connection = http.client.HTTPConnection(address.host or "", address.port, timeout=5)
    with contextlib.closing(connection):
        connection.request(method, path, headers=fields)
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read().decode())


async def send_raw(listener: AdminListener, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(listener.address.host, listener.address.port)
    writer.write(data)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize("path", ["/livez", "/healthz"])
@in_loop
async def test_liveness_depends_on_nothing(path: str) -> None:
    """A gateway that drains, waits for keys or is broken behind is alive: a restart would not help."""
    async with run_admin(State(is_draining=True, not_ready="no keys", is_broken=True)) as listener:
        answer = await ask(listener, path)
        assert (answer.status, answer.body) == (200, "ok\n")


@in_loop
async def test_liveness_needs_who_serves() -> None:
    """A listener whose workers all hang is not alive: there a restart helps."""
    async with run_admin(State(is_dead=True)) as listener:
        answer = await ask(listener, "/livez")
        assert (answer.status, answer.body) == (503, "no worker answers\n")


@in_loop
async def test_readiness_follows_the_state() -> None:
    """Ready, not ready with the reason, draining; draining comes first."""
    state = State()
    async with run_admin(state) as listener:
        assert (await ask(listener, "/readyz")).status == 200
        state.not_ready = "no keys of logto"
        answer = await ask(listener, "/readyz")
        assert (answer.status, answer.body) == (503, "no keys of logto\n")
        state.is_draining = True
        answer = await ask(listener, "/readyz")
        assert (answer.status, answer.body) == (503, "draining\n")


@in_loop
async def test_metrics_are_what_was_counted() -> None:
    """Prometheus reads what the hot path counted, in the format that it asks for."""
    state = State()
    async with run_admin(state) as listener:
        state.metrics.observe_request("GET", 200, "/orders/**", (None, "allow", None), 0.01, 0.001, 0.009)
        answer = await ask(listener, "/metrics")
        families = {family.name: family for family in text_string_to_metric_families(answer.body)}
        assert families["auth_gateway_requests"].samples[0].value == 1
        assert answer.fields["Content-Type"].startswith("text/plain; version=0.0.4")
        answer = await ask(listener, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert answer.fields["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        assert answer.body.endswith("# EOF\n")


@in_loop
async def test_status_is_json() -> None:
    """The document of the state, as it is now."""
    async with run_admin(State()) as listener:
        answer = await ask(listener, "/status")
        assert json.loads(answer.body) == {"version": "1"}
        assert answer.fields["Content-Type"] == "application/json"


@pytest.mark.parametrize("path", ["/", "/livez/", "/LIVEZ", "//livez", "/livez/../x", "/%2e/livez", "/metrics/x", "*"])
@in_loop
async def test_other_paths_are_not_found(path: str) -> None:
    """Four paths by their exact text, and nothing that only leads there."""
    async with run_admin(State()) as listener:
        assert (await ask(listener, path, "OPTIONS" if path == "*" else "GET")).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
@in_loop
async def test_other_methods_are_not_allowed(method: str) -> None:
    """Nothing here can be changed."""
    async with run_admin(State()) as listener:
        answer = await ask(listener, "/metrics", method)
        assert (answer.status, answer.fields["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/status"])
@in_loop
async def test_head_has_no_body(path: str) -> None:
    """HEAD is GET without the body, and its length is told."""
    async with run_admin(State()) as listener:
        answer = await send_raw(listener, f"HEAD {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nContent-Length: " in head
        assert body == b""


@in_loop
async def test_query_does_not_matter() -> None:
    """Probes may carry one."""
    async with run_admin(State()) as listener:
        assert (await ask(listener, "/livez?verbose")).status == 200


@pytest.mark.parametrize("path", ["/livez", "/missing", "/metrics"])
@in_loop
async def test_answers_do_not_say_what_we_are_made_of(path: str) -> None:
    """No name or version of a library, and no cache keeps an answer."""
    async with run_admin(State()) as listener:
        answer = await ask(listener, path)
        assert answer.fields["Server"] == "auth-gateway"
        assert answer.fields["Cache-Control"] == "no-store"


@contextlib.contextmanager
def log_to(path: Path) -> Any:
    with path.open("w") as stream:
        output = configure_logging("debug", "json", stream)
        try:
            yield output
        finally:
            root = logging.getLogger()
            (handler,) = [handler for handler in root.handlers if isinstance(handler, LineHandler)]
            root.removeHandler(handler)
            handler.close()


@pytest.mark.parametrize(
    "request_head",
    [
        f"GET /livez HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {CANARY}\x00\r\n\r\n",
        f"GET /livez HTTP/1.1\r\nHost: a\r\nBad {CANARY}: x\r\n\r\n",
        f"GET /{CANARY}\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
        f"{CANARY} nonsense\r\n\r\n",
        f"GET /livez HTTP/1.1\r\nHost: a\r\nX: {CANARY * 1000}\r\n\r\n",
    ],
    ids=["value", "name", "target", "request line", "too large"],
)
def test_malformed_request_is_repeated_nowhere(request_head: str, tmp_path: Path) -> None:
    """aiohttp quotes the malformed field, a token included, in its answer and in its log."""

    @in_loop
    async def send() -> None:
        async with run_admin(State()) as listener:
            answer = await send_raw(listener, request_head.encode("latin-1"))
            assert answer.split(b" ", 1)[1].startswith(b"400 Bad Request\r\n")
            assert b"\r\nServer: auth-gateway\r\n" in answer
            assert answer.endswith(b"\r\n\r\nbad request\n")

    with log_to(tmp_path / "log"):
        send()
    text = (tmp_path / "log").read_text()
    # An unknown method on a new connection is not worth a line to aiohttp.
    assert ("aiohttp" in text) != request_head.startswith(CANARY)
    assert "S3CR3T" not in text


def test_failure_of_ours_is_500_without_its_text(tmp_path: Path) -> None:
    """The exception's text stays inside; the log has its type and place."""

    @in_loop
    async def send() -> None:
        async with run_admin(State(is_broken=True)) as listener:
            answer = await ask(listener, "/status")
            assert (answer.status, answer.body) == (500, "internal error\n")
            assert answer.fields["Server"] == "auth-gateway"

    with log_to(tmp_path / "log"):
        send()
    (entry,) = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert (entry["level"], entry["error"]) == ("error", "RuntimeError")
    assert CANARY not in json.dumps(entry)


@in_loop
async def test_address_in_use_is_an_error() -> None:
    """Who starts the gateway is told, and nothing is left behind."""
    async with run_admin(State()) as listener:
        with pytest.raises(OSError, match="in use"):
            await start_admin(State(), listener.address)


@in_loop
async def test_stop_ends_listening() -> None:
    """After it, nobody answers, an idle connection included."""
    async with run_admin(State()) as listener:
        reader, writer = await asyncio.open_connection(listener.address.host, listener.address.port)
        await listener.stop()
        assert await reader.read() == b""
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(listener.address.host, listener.address.port)
