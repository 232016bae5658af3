"""``docs/troubleshooting.md``: from a request id to its reason, and from a file to what its issuer answers."""

from __future__ import annotations

import http.server
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import ENDPOINT, KEY, Live, settle
from .pages import ROOT, Block, list_blocks
from .test_examples import run_cli, run_curl, split_console
from .test_identity import send

PAGE = ROOT / "docs" / "troubleshooting.md"
_JQ = re.compile(r"""jq '\.refused\[\] \| select\(\.request_id == "(\w+)"\)'""")
# How long ago and how long it took differ from run to run.
_LENGTHS = re.compile(r"\d+ (?:ms|s ago|min ago)")


def select(role: str) -> list[Block]:
    """Return the blocks of the page with this role."""
    return [block for block in list_blocks(PAGE) if block.role == role]


def run_jq(command: str, text: str) -> str:
    """Do what ``jq`` does with the one filter that the page has, and print it as ``jq`` does."""
    found = _JQ.fullmatch(command)
    assert found is not None, command
    picked = [each for each in json.loads(text)["refused"] if each["request_id"] == found[1]]
    return "\n".join(json.dumps(each, indent=2) for each in picked)


@pytest.mark.parametrize("block", select("refused"), ids=lambda block: block.place)
def test_refusal_is_found_by_the_request_id_of_the_page(block: Block, live: Live, tmp_path: Path, monkeypatch) -> None:
    """Each line leads from the id to the reason, and prints what stands below it."""
    monkeypatch.setenv("AUTH_GATEWAY_ADMIN", live.admin)
    for command, output in split_console(block.text):
        [request_id] = set(re.findall(r"\b[0-9a-f]{32}\b", command))
        # Of an id that is used again, the list would have both.
        fresh = f"{time.monotonic_ns():032x}"
        assert send(live, live.read_token("other-api"), path="/items?code=1", **{"X-Request-ID": fresh}) == 401
        line = command.replace(request_id, fresh)
        if line.startswith("curl "):
            curl, _, jq = line.partition(" | ")
            printed = run_jq(jq, run_curl(curl, live))
        else:
            printed, code = run_cli(line, tmp_path)
            assert code == 1
        assert _LENGTHS.sub("", settle(printed)) == _LENGTHS.sub("", settle(output)), command


@contextmanager
def run_issuer() -> Iterator[str]:
    """Run an issuer with a key for signatures and one for encryption, whose clock is late."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            encryption = {**KEY.public, "kid": "enc-1", "use": "enc"}
            body = json.dumps({"keys": [KEY.public, encryption]}).encode() if self.path == "/oidc/jwks" else b""
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(int((timestamp or time.time()) - 90))

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("block", select("live"), ids=lambda block: block.place)
def test_live_check_prints_what_stands_below_it(block: Block, folder: Path, monkeypatch) -> None:
    """The file is the one of the README, and the issuer's words are those of a real one."""
    (folder / "gateway.yaml").write_text((ROOT / "config" / "logto.yaml").read_text("utf-8"))
    with run_issuer() as url:
        monkeypatch.setenv("LOGTO_ENDPOINT", url)
        for command, output in split_console(block.text):
            printed, code = run_cli(command, folder)
            assert code == 0
            assert _LENGTHS.sub("", settle(printed, ((url, ENDPOINT),))) == _LENGTHS.sub("", settle(output))
