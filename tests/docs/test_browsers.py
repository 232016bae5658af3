"""``docs/browsers.md``: the file of the page is run, and does with requests what the page says."""

from __future__ import annotations

import base64
import hashlib
import http.server
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from gateway.config.places import build_token_place
from gateway.core.places import PlaceKind

from .conftest import Backend, Live, run_backend, run_file, settle, write_folder
from .pages import ROOT, list_blocks, list_code, list_rows, read_page
from .test_examples import run_curl, split_console

PAGE = ROOT / "docs" / "browsers.md"
BLOCKS = {block.language: block for block in list_blocks(PAGE) if block.role in ("file", "browser")}
NODE = ("node", "--experimental-websocket")
# RFC 6455, section 1.3
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

PREFLIGHT = "-H 'Origin: https://app.example' -H 'Access-Control-Request-Method: POST'"


@contextmanager
def run_page(folder: Path, backend: Backend) -> Iterator[Live]:
    """Run the gateway on the file of the page, with the keys beside it and at ports that are free."""
    write_folder(folder, int(time.time()))
    text = BLOCKS["yaml"].text.replace("jwks: https://tenant.logto.app/oidc/jwks", "jwks: file:keys.json")
    with run_file(folder, backend, f"listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n{text}") as live:
        yield live


def test_commands_print_what_stands_below_them(tmp_path):
    """A cookie passes and does not arrive; a stranger's page and a second token are refused."""
    with run_backend() as backend, run_page(tmp_path, backend) as live:
        for command, output in split_console(BLOCKS["console"].text):
            assert settle(run_curl(command, live)) == settle(output), command
        cookies = [[value for name, value in fields if name == "Cookie"] for fields in backend.requests]
        assert cookies == [["theme=dark"], []]


def test_preflights_reach_the_backend(tmp_path):
    """They have no token; what follows one needs it."""
    with run_backend() as backend, run_page(tmp_path, backend) as live:
        assert run_curl(f"curl -s -X OPTIONS {PREFLIGHT} http://127.0.0.1:8080/items", live) == "ok\n"
        assert "missing_token" in run_curl("curl -s -X OPTIONS http://127.0.0.1:8080/items", live)
        assert "missing_token" in run_curl("curl -s http://127.0.0.1:8080/items", live)


def test_places_are_those_of_the_file():
    """Each row of the table is one kind of place, in the words of the file."""
    written = [list_code(row[0])[0] for row in list_rows(read_page(PAGE), "place")]
    kinds = [build_token_place(yaml.safe_load(text)).kind for text in written]
    assert sorted(kinds, key=str) == sorted(PlaceKind, key=str)


@contextmanager
def run_chat() -> Iterator[tuple[Backend, list[str | None]]]:
    """Run a backend that takes WebSockets, chooses the first subprotocol that it is offered, and says goodbye."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            offered.append(self.headers["Sec-WebSocket-Protocol"])
            accept = hashlib.sha1(f"{self.headers['Sec-WebSocket-Key']}{_GUID}".encode()).digest()  # noqa: S324 - RFC 6455
            self.send_response(101)
            self.send_header("Connection", "Upgrade")
            self.send_header("Upgrade", "websocket")
            self.send_header("Sec-WebSocket-Accept", base64.b64encode(accept).decode())
            if offered[-1]:
                self.send_header("Sec-WebSocket-Protocol", offered[-1].partition(",")[0])
            self.end_headers()
            self.wfile.write(b"\x88\x02\x03\xe8")
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    offered: list[str | None] = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Backend(f"http://127.0.0.1:{server.server_port}"), offered
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.node
@pytest.mark.parametrize(("page", "backend"), [("chat", "chat"), ("bearer", None)])
def test_a_websocket_of_a_page_is_opened(page, backend, tmp_path):
    """By the client of a browser, which takes no answer but one of those that it offered."""
    if shutil.which("node") is None or subprocess.run([*NODE, "-e", ""], capture_output=True, check=False).returncode:
        pytest.skip("needs Node.js 20.10 or newer, whose client is that of browsers")
    line = BLOCKS["js"].text if page == "chat" else BLOCKS["js"].text.replace('"chat", ', "")
    with run_chat() as (chat, offered), run_page(tmp_path, chat) as live:
        script = (
            f"const token = process.argv[1];{line.replace('127.0.0.1:8080', live.address)}"
            "socket.onopen = () => console.log(socket.protocol); socket.onerror = () => console.log('failed');"
        )
        command = [*NODE, "-e", script, live.read_token("api")]
        printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    assert printed.splitlines() == [page]
    assert offered == [backend]
