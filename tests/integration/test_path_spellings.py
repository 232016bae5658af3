"""
No spelling of a path reaches what the rules keep closed.

For each spelling the gateway refuses, or the rule that it found is the one of what a server behind it would serve for
the very octets that it forwards: by readers written out here, by Node.js, by uvicorn and by nginx.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.core.decision import RequestHead, match_route
from gateway.core.errors import RequestRefused
from gateway.core.fields import FieldSet
from gateway.core.policy import Policy
from tests.policies import make_policy, make_route, make_routes

from .gateway_harness import RawClient, open_gateway
from .loop import in_loop
from .spellings import READERS, SPELLINGS, clean
from .upstream import OK, Peer, Upstream

# Rules by their first segments, in order; what none takes is "default".
TABLES: dict[str, tuple[str, ...]] = {
    "closed in open": ("admin", ""),
    "open in closed": ("public",),
    "nested": ("public/admin", "public", "admin/users", "admin"),
    "captured": ("{first}",),
}


def make_table(name: str) -> Policy:
    """Return a policy with these rules."""
    routes = [make_route(f"/{prefix}/**" if prefix else "/**") for prefix in TABLES[name]]
    return make_policy(routes=make_routes(*routes))


POLICIES = {name: make_table(name) for name in TABLES}


def ask(spelling: str, policy: Policy) -> tuple[str, str | None] | None:
    """Return the rule that the gateway finds, and what it captures; None for a path that it refuses."""
    head = RequestHead("GET", spelling, FieldSet([(b"Host", b"h")]))
    try:
        target, match = match_route(head, policy)
    except RequestRefused:
        return None
    assert target == spelling
    # What was found once is found again, and not that of another spelling.
    assert match_route(head, policy) == (target, match)
    return match.label, match.captures.get("first")


def find(path: str, table: str) -> tuple[str, str | None]:
    """Return the rule of a path as a server reads it, segment by segment."""
    segments = [segment for segment in path.split("/") if segment]
    for prefix in TABLES[table]:
        names = [name for name in prefix.split("/") if name]
        if prefix == "{first}" and segments:
            return "/{first}/**", segments[0]
        if segments[: len(names)] == names:
            return f"/{prefix}/**" if prefix else "/**", None
    return make_policy().routes.default.label, None


def list_holes(readings: Iterable[tuple[str, str | None]]) -> list[tuple[str, str, object, object]]:
    """Return what gets around a rule: the spelling and its reading, and what either side makes of it."""
    return [
        (spelling, table, found, (reading, find(reading, table)))
        for spelling, reading in readings
        if reading is not None
        for table, policy in POLICIES.items()
        if (found := ask(spelling, policy)) is not None and found != find(reading, table)
    ]


def get_path(spelling: str) -> str:
    return spelling.partition("?")[0].partition("#")[0]


def test_the_spellings_are_many_and_are_disputed():
    """Were they few, or all read in one way, the others would hold nothing."""
    assert len(SPELLINGS) > 150
    disputed = [each for each in SPELLINGS if len({reader(get_path(each)) for reader in READERS.values()}) > 1]
    assert len(disputed) > 100
    for table in TABLES:
        rules = [
            {find(path, table) for reader in READERS.values() if (path := reader(get_path(each)))} for each in disputed
        ]
        assert sum(len(found) > 1 for found in rules) > 20, table


@pytest.mark.parametrize("name", READERS)
def test_no_spelling_gets_around_a_rule(name):
    """Whatever the server behind the gateway makes of the octets."""
    assert list_holes((each, READERS[name](get_path(each))) for each in SPELLINGS) == []


@pytest.mark.parametrize(
    "spelling",
    [
        *(
            "/",
            "/public/a;b",
            "/public/a;b=1;c/d",
            "/public/a%3Bb/c",
            "/public/a..b",
            "/public/..a",
            "/public/...",
            "/public/.a",
        ),
        *(
            "/public/a%20b",
            "/public/caf%C3%A9",
            "/public/%e2%82%ac",
            "/public/a:b@c",
            "/public/a?/../admin",
            "/%61dmin",
        ),
        *("/public/Admin", "/public/admin~", "/public/a%2Cb", "/public/*", "/ad+min", "/admin%26/users", "/public/%61"),
    ],
)
def test_what_is_plain_to_everyone_passes(spelling):
    """A rule against all that is rare would hold as well, and nobody could use it."""
    assert ask(spelling, POLICIES["open in closed"]) is not None
    assert ask(spelling, POLICIES["closed in open"]) is not None


@in_loop
async def test_what_passes_is_forwarded_as_it_came() -> None:
    """The octets that were matched are those that the server gets, through the whole gateway."""
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            heads.append(await peer.read_head())
            await peer.send(OK)

    routes = (make_route("/**", "public"),)
    async with Upstream(script) as upstream, open_gateway(upstream.port, routes=routes) as application:
        policy = make_policy(routes=make_routes(*routes))
        for spelling in SPELLINGS:
            heads.clear()
            async with RawClient(application) as client:
                answer = await client.get(spelling.encode("latin-1"))
            line = b"GET " + spelling.encode("latin-1") + b" HTTP/1.1"
            expected = [] if ask(spelling, policy) is None else [line]
            assert [head.partition(b"\r\n")[0] for head in heads] == expected
            assert answer.status == (200 if expected else 400)


@pytest.mark.parametrize(
    ("path", "cleaned"),
    [
        ("/", "/"),
        ("//a///b/", "/a/b"),
        ("/a/./b/.", "/a/b"),
        ("/a/../b", "/b"),
        ("/../../a", "/a"),
        ("/a/b/../../..", "/"),
    ],
)
def test_the_cleaner_cleans(path, cleaned):
    """As the examples of Go's documentation have it."""
    assert clean(path) == cleaned


# --- real servers ----------------------------------------------------------------------------------------------------

NODE = """
const http = require("node:http"), url = require("node:url");
const attempt = (read) => { try { return decodeURIComponent(read()); } catch { return null; } };
http.createServer((request, response) => response.end(JSON.stringify([
  attempt(() => request.url.split("?")[0]),
  attempt(() => url.parse(request.url).pathname),
  attempt(() => new URL(request.url, "http://h").pathname),
]))).listen(process.argv[1]);
"""
UVICORN = """
import json, sys, uvicorn

async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(scope["path"]).encode()})

uvicorn.run(app, uds=sys.argv[1], lifespan="off", log_level="error")
"""
NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen unix:{folder}/socket; location / {{ default_type text/plain; return 200 "$uri"; }} }}
}}
"""


@contextmanager
def run_server(command: list[str], path: Path) -> Iterator[None]:
    """Run a server on a Unix socket; it takes connections when the block begins."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 20
            while not _is_open(path):
                assert process.poll() is None, process.stderr and process.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield
        finally:
            process.terminate()


def _is_open(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def fetch(path: Path, spelling: str) -> tuple[int, bytes]:
    """Return the status and the body that a server answers to a GET of these octets."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        client.sendall(b"GET " + spelling.encode("latin-1") + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"chunked" in head:
        body = body.partition(b"\r\n")[2].partition(b"\r\n0\r\n")[0]
    return int(head.split()[1]), body


@pytest.mark.node
def test_node_serves_what_was_matched(tmp_path):
    """Its HTTP server with the three ways in which its applications read ``request.url``."""
    if shutil.which("node") is None:
        pytest.skip("needs Node.js")
    path, readings = tmp_path / "socket", []
    with run_server(["node", "-e", NODE, str(path)], path):
        for spelling in SPELLINGS:
            status, body = fetch(path, spelling)
            readings += [(spelling, reading) for reading in json.loads(body)] if status == 200 else []
    assert len(readings) > 2 * len(SPELLINGS)
    assert list_holes(readings) == []


def test_uvicorn_serves_what_was_matched(tmp_path):
    """``path`` of the scope is what applications of Python route by."""
    path, readings = tmp_path / "socket", []
    with run_server([sys.executable, "-c", UVICORN, str(path)], path):
        for spelling in SPELLINGS:
            status, body = fetch(path, spelling)
            readings += [(spelling, json.loads(body))] if status == 200 else []
    assert len(readings) > 100
    assert list_holes(readings) == []


def test_nginx_serves_what_was_matched(tmp_path):
    """``$uri`` is what its locations are matched with: decoded, dots walked, slashes merged."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        pytest.skip("needs nginx, of which this machine has none")
    path, readings = tmp_path / "socket", []
    (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path))
    with run_server([program, "-e", "stderr", "-c", str(tmp_path / "nginx.conf")], path):
        for spelling in SPELLINGS:
            status, body = fetch(path, spelling)
            readings += [(spelling, body.decode("utf-8", "surrogateescape"))] if status == 200 else []
    assert len(readings) > 100
    assert list_holes(readings) == []
