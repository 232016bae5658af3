"""``docs/deployment.md`` names the metrics, the keys of the log and the events that there are."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import urllib.error
import uuid

import pytest
import yaml

from gateway.admin.access import AccessRecord, build_access_line
from gateway.admin.exposition import SnapshotCollector
from gateway.admin.metrics import Metrics
from gateway.cli.group import cli
from gateway.core.errors import Reason
from gateway.providers.source import FetchResult
from gateway.proxy.tunnel import StreamEnd
from tests.integration.command import COMMAND, clean_environment

from .conftest import run_backend, run_gateway, settle
from .pages import ROOT, cut_section, find_block, list_blocks, list_code, list_rows, read_page
from .test_identity import send

PAGE = ROOT / "docs" / "deployment.md"
TEXT = read_page(PAGE)
SOURCES = [path.read_text("utf-8") for path in (ROOT / "gateway").rglob("*.py")]


# --- containers ------------------------------------------------------------------------------------------------------


def test_compose_example_hides_the_backend_and_hardens_the_gateway():
    """Only the gateway has a port, and it runs as docker-compose.yml of the repository runs it."""
    services = yaml.safe_load(find_block(PAGE, "compose").text)["services"]
    assert "ports" not in services["backend"]
    gateway = services["gateway"]
    assert gateway["ports"] == ["8080:8080"]
    whole = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["gateway"]
    for key in ("read_only", "tmpfs", "cap_drop", "security_opt"):
        assert gateway[key] == whole[key]
    source, target, _ = gateway["volumes"][0].split(":")
    assert (ROOT / source).is_file()
    assert f"AUTH_GATEWAY_CONFIG={target}" in (ROOT / "Dockerfile").read_text()


def test_keys_are_kept_where_the_image_may_write():
    """The folder of the page is one of the image, of its user, and both examples put a volume there."""
    [block] = [block for block in list_blocks(PAGE) if "keys_snapshot" in block.text and block.role == "fragment"]
    folder = yaml.safe_load(block.text)["keys_snapshot"]
    dockerfile = (ROOT / "Dockerfile").read_text()
    [user] = re.findall(r"^USER (\d+)", dockerfile, re.MULTILINE)
    assert f"RUN install -d -o {user} -g {user} -m 0700 {folder}\n" in dockerfile
    compose = yaml.safe_load(find_block(PAGE, "compose=snapshot").text)
    name, target = compose["services"]["gateway"]["volumes"][1].split(":")
    assert (name in compose["volumes"], target) == (True, folder)
    pod = yaml.safe_load(find_block(PAGE, "snapshot").text)["spec"]
    [container] = pod["containers"]
    assert container["volumeMounts"] == [{"name": pod["volumes"][0]["name"], "mountPath": folder}]
    assert pod["securityContext"] == dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"), int(user))


def test_image_is_as_described():
    """User and name of the page are those of the Dockerfile and the Makefile."""
    [user] = re.findall(r"^USER (\d+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert f"user {user}" in TEXT
    assert "IMAGE ?= auth-gateway:local" in (ROOT / "Makefile").read_text()


def test_variables_are_those_of_the_command():
    """Each option of the table has this variable; the last one is of ``health``."""
    rows = {list_code(row[0])[0]: list_code(row[1]) for row in list_rows(TEXT, "variable")}
    options = {option.envvar: option.opts for option in cli.params if getattr(option, "envvar", None)}
    assert set(rows) == {*options, "AUTH_GATEWAY_ADMIN"}
    assert all(rows[name][0] in opts for name, opts in options.items())


# --- probes ----------------------------------------------------------------------------------------------------------


def test_probe_commands_say_yes(live):
    """Both commands of the Kubernetes example exit with 0 beside a gateway that is ready."""
    probes = yaml.safe_load(find_block(PAGE, "probes").text)
    environment = clean_environment() | {"AUTH_GATEWAY_ADMIN": live.admin}
    for probe in probes.values():
        name, *arguments = probe["exec"]["command"]
        assert name == "auth-gateway"
        subprocess.run([*COMMAND, *arguments], env=environment, capture_output=True, timeout=30, check=True)


def test_paths_of_the_admin_address_are_there(live):
    """Each path of the table is answered with 200 by a gateway that is ready, any other with 404."""
    paths = [list_code(row[0])[0] for row in list_rows(TEXT, "path", "200")]
    assert len(paths) == 5
    assert all(live.read_admin(path) for path in paths)
    with pytest.raises(urllib.error.HTTPError) as refusal:
        live.read_admin("/")
    with refusal.value as answer:
        assert answer.code == 404


# --- signals ---------------------------------------------------------------------------------------------------------


def test_reload_and_stop_go_as_described(tmp_path):
    """A bad file changes nothing but an event, a good one says what needs a restart; SIGTERM ends with 0."""
    with run_backend() as backend, run_gateway(tmp_path, backend) as running:
        file = tmp_path / "live.yaml"
        good = file.read_text()
        file.write_text(f"{good}\nunknown: 1\n")
        running.command.wait_line(lambda line: '"event":"config_refused"' in line)
        assert "auth_gateway_config_last_reload_successful 0.0" in running.read_admin("/metrics")
        assert send(running, running.read_token("api")) == 200
        file.write_text(good.replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:1"))
        os.kill(running.command._process.pid, signal.SIGHUP)
        [*_, line] = running.command.wait_line(lambda line: '"event":"config_reloaded"' in line)
        assert json.loads(line)["needs_restart"] == ["listen"]
        assert running.command.stop() == 0


def test_events_are_those_of_the_sources():
    """Every event that the gateway logs has its row, and no other."""
    named = {name for source in SOURCES for name in re.findall(r'"event": ?"([a-z_]+)"', source)}
    said = {name for source in SOURCES for name in re.findall(r'_say\(\s*[\w.]+,\s*"([a-z_]+)"', source)}
    rows = {list_code(row[0])[0] for row in list_rows(TEXT, "event", "when")}
    # The access line has its own table; a record that cannot be formatted is a defect, not an event.
    assert rows == (named | said) - {"request", "unformattable"}


# --- logs ------------------------------------------------------------------------------------------------------------


def test_log_keys_are_those_of_the_line():
    """The table has every key in its order; those of a refused token come last."""
    record = AccessRecord("id", "127.0.0.1", "GET", "/", decision="deny")
    always = list(json.loads(build_access_line(record, 0)))
    record.token_iss = record.token_aud = record.token_alg = record.token_kid = "x"
    rows = [list_code(row[0])[0] for row in list_rows(TEXT, "key", "meaning")]
    assert rows == list(json.loads(build_access_line(record, 0)))
    assert [key for key in rows if not key.startswith("token_")] == always


@pytest.mark.parametrize(("role", "name"), [("log=accepted", "api"), ("log=refused", "other-api")])
def test_lines_are_those_of_the_gateway(live, role, name):
    """The two lines of the page are what such requests leave in the log."""
    request_id = uuid.uuid4().hex
    send(live, live.read_token(name), "/items?page=2", **{"X-Request-ID": request_id})
    [*_, line] = live.command.wait_line(lambda line: request_id in line)
    assert settle(line, [(live.address, "127.0.0.1:8080")]) == settle(find_block(PAGE, role).text)


# --- metrics ---------------------------------------------------------------------------------------------------------


def list_families():
    """Return type and labels of every metric that there can be, by its name in the exposition."""
    families = {}
    for family in SnapshotCollector(Metrics().snapshot()).collect():
        suffix, kind = {"counter": ("_total", "counter"), "info": ("_info", "gauge")}.get(
            family.type, ("", family.type)
        )
        labels = getattr(family, "_labelnames", ()) or (family.samples[0].labels if family.samples else ())
        families[f"{family.name}{suffix}".removeprefix("auth_gateway_")] = (kind, set(labels) - {"le"})
    return families


def test_metrics_are_those_of_the_exposition():
    """Name, type and labels of each metric are in the table, and no other."""
    rows = list_rows(TEXT, "metric", "type")
    shown = {list_code(row[0])[0]: (row[1], set(list_code(row[2]))) for row in rows}
    assert shown == list_families()


def test_running_gateway_exposes_what_the_page_names(live):
    """Every type line of ``/metrics`` is a row of the table."""
    found = re.findall(r"^# TYPE auth_gateway_(\w+) (\w+)$", live.read_admin("/metrics"), re.MULTILINE)
    assert dict(found) == {list_code(row[0])[0]: row[1] for row in list_rows(TEXT, "metric", "type")}


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("stream_closes_total", {end.value for end in StreamEnd}),
        ("jwks_fetch_total", set(FetchResult)),
        ("upstream_errors_total", {reason.word for reason in Reason if reason.word.startswith("upstream_")}),
        ("streams_active", {"sse", "websocket"}),
        ("config_reloads_total", {"success", "failure"}),
    ],
)
def test_words_of_labels_are_complete(metric, words):
    """Where a label takes our words, the page has all of them."""
    [row] = [row for row in list_rows(TEXT, "metric", "type") if list_code(row[0]) == [metric]]
    assert set(list_code(row[3])) == words


# --- limits of the README --------------------------------------------------------------------------------------------


def exchange(address: str, request: bytes) -> bytes:
    """Send bytes and return what comes back until the connection closes."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_http_2_is_refused(live):
    """The preface of HTTP/2 is no request here."""
    answer = exchange(live.address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"reason":"malformed_request"' in answer


def test_trailers_of_requests_are_dropped(live):
    """A trailer passes neither as one nor as a header."""
    token = live.read_token("api").encode()
    head = b"GET /items HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer " + token
    framing = b"\r\nTransfer-Encoding: chunked\r\nTrailer: X-Late\r\n\r\n"
    body = b"3\r\nabc\r\n0\r\nX-Late: 1\r\n\r\n"
    assert exchange(live.address, head + framing + body).startswith(b"HTTP/1.1 200 ")
    assert live.backend.values("x-late") == live.backend.values("trailer") == []
    assert cut_section(read_page(ROOT / "README.md"), "## Limits").count("Trailers of a request are dropped") == 1
