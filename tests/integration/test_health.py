"""The health command in a process of its own, against real listeners, good and bad."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.config.settings import ListenAddress

from .admin import State, run_admin
from .loop import in_loop

HEAVY = (
    "aiohttp",
    "asyncio",
    "click",
    "joserfc",
    "json",
    "logging",
    "pathlib",
    "prometheus_client",
    "pydantic",
    "yaml",
)


async def run_health(*arguments: str, **environment: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "health", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@in_loop
async def test_health_says_yes_with_0() -> None:
    """Alive though not ready by default; ``--ready`` asks for readiness."""
    state = State(not_ready="no keys of logto")
    async with run_admin(state) as listener:
        address = str(listener.address)
        assert await run_health(AUTH_GATEWAY_ADMIN=address) == (0, f"OK: http://{address}/livez\n", "")
        code, out, err = await run_health("--ready", AUTH_GATEWAY_ADMIN=address)
        assert (code, out, err) == (1, "", f"error: http://{address}/readyz: 503 no keys of logto\n")
        state.not_ready = ""
        assert await run_health("--ready", AUTH_GATEWAY_ADMIN=address) == (0, f"OK: http://{address}/readyz\n", "")


@pytest.mark.parametrize("host", ["0.0.0.0", ""])
@in_loop
async def test_health_asks_the_loopback_of_a_listener_on_all_addresses(host: str) -> None:
    """``0.0.0.0`` is no address to ask."""
    async with run_admin(State()) as listener:
        code, _, err = await run_health(AUTH_GATEWAY_ADMIN=f"{host}:{listener.address.port}")
        assert (code, err) == (0, "")


@in_loop
async def test_health_finds_the_address_in_the_file(tmp_path: Path) -> None:
    """The ``admin`` of the file, given by option or by variable."""
    async with run_admin(State()) as listener:
        file = tmp_path / "gateway.yaml"
        file.write_text(f"version: 1\nadmin: 127.0.0.1:${{PORT:-{listener.address.port}}}  # probes\n")
        assert (await run_health("-c", str(file)))[0] == 0
        assert (await run_health(AUTH_GATEWAY_CONFIG=str(file)))[0] == 0
        assert (await run_health(AUTH_GATEWAY_CONFIG=str(file), PORT="1"))[0] == 1


@in_loop
async def test_health_and_admin_speak_over_a_unix_socket(tmp_path: Path) -> None:
    """``unix:/path`` stands in the place of host and port; a socket that was left behind is no obstacle."""
    path = tmp_path / "admin.sock"
    address = ListenAddress(path=str(path))
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    async with run_admin(State(), address) as listener:
        assert listener.address == address
        code, out, _ = await run_health(AUTH_GATEWAY_ADMIN=f"unix:{path}")
        assert (code, out) == (0, f"OK: unix:{path}/livez\n")


async def answer_once(
    play: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> tuple[int, str, str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await play(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        return await run_health(AUTH_GATEWAY_ADMIN=f"{host}:{port}")


@in_loop
async def test_health_does_not_wait_for_an_answer_that_drips() -> None:
    """The time is for the whole answer, not for each piece of it."""

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"H")
            await writer.drain()
            await asyncio.sleep(0.05)

    began = asyncio.get_running_loop().time()
    code, _, err = await answer_once(drip)
    assert code == 1
    assert "no answer in time" in err
    assert asyncio.get_running_loop().time() - began < 5


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "no HTTP answer"),
        (b"SSH-2.0-OpenSSH\r\n", "no HTTP answer"),
        (b"HTTP/1.1\r\n\r\n", "no HTTP answer"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "204"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "2000"),
        (b"HTTP/1.1 503 x\r\n\r\nno\x1b[2J\r\n\x85keys\n", r"503 no\x1b[2J\r\n\x85keys"),
        (b"HTTP/1.1 500 " + b"x" * 100_000, "500"),
    ],
    ids=["nothing", "another protocol", "no status", "204", "four digits", "nasty reason", "endless"],
)
@in_loop
async def test_health_takes_200_only(answer: bytes, why: str) -> None:
    """Whatever else answers is not a healthy gateway; what it says is one line of ASCII."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    code, out, err = await answer_once(play)
    assert (code, out) == (1, "")
    assert why in err
    assert err.count("\n") == 1
    assert err.isascii()


def test_health_loads_nothing_heavy() -> None:
    """A container runs this every few seconds; it must not load the server."""
    script = "import sys, gateway.__main__, gateway.admin.health; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "gateway.admin.health" in loaded
    assert not {name.partition(".")[0] for name in loaded} & set(HEAVY)
