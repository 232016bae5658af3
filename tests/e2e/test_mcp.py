"""MCP servers behind the gateway, used by both official clients: they find the issuer, get a token, call, step up."""

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from .conftest import DIRECT, HERE, START_TIMEOUT_SECONDS, Lines, stop_process

pytestmark = pytest.mark.node

MCP = HERE / "mcp"
FILE = """
version: 1
listen: 127.0.0.1:${PORT}
admin: 127.0.0.1:0
upstream: ${UPSTREAM}
providers:
  - type: customJwt
    name: issuer
    issuer: ${ISSUER}
    jwks: ${ISSUER}/jwks
    profile: rfc9068
    applicationID: ${RESOURCE}
resource: ${RESOURCE}
routes:
  - path: /mcp/**
    scopes: [read:items]
"""
TOOLS = '    mcp: {tools: {"delete_*": write:items}}\n'
TOOL_NAMES = ["delete_item", "read_item"]


@pytest.fixture(scope="module")
def mcp_server():
    """A real MCP server, without any check of its own of who calls."""
    with subprocess.Popen(
        [sys.executable, MCP / "server.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        ready = Lines(process.stdout).wait_json(lambda entry: "mcp" in entry, START_TIMEOUT_SECONDS)
        assert ready is not None
        yield ready["mcp"]
        stop_process(process)


def start(gateway, issuer, mcp_server, tail=""):
    """Start a gateway whose resource is its own address; the port is free now, and nobody else asks for ports here."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    resource = f"http://127.0.0.1:{port}/mcp"
    started = gateway(FILE + tail, PORT=str(port), UPSTREAM=mcp_server, ISSUER=issuer.issuer, RESOURCE=resource)
    started.wait_ready()
    return started, resource


def run(program: str | Path, script: str, *arguments: str, **environment: str):
    """Return what a client reports."""
    done = subprocess.run(
        [program, MCP / script, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("grant", "subject"), [("machine", "mcp"), ("user", "user_1")])
def test_the_python_client_steps_up_to_a_tool(gateway, issuer, mcp_server, grant, subject):
    """It lists and calls, is refused a tool without its scope, gets a token that has it, and calls again."""
    _, resource = start(gateway, issuer, mcp_server, TOOLS)
    report = run(sys.executable, "client.py", resource, issuer.issuer, grant)
    assert report["tools"] == TOOL_NAMES
    # The server is told who calls, and never gets the token (no passthrough).
    assert report["read"] == {"read": "a", "subject": subject, "has_token": False}
    assert report["deleted"] == {"deleted": "b", "subject": subject, "has_token": False}
    assert report["scopes"] == ["read:items", "read:items write:items"]
    assert [status for status, _ in report["seen"]] == [401, 200, 200, 200, 403, 200]


@pytest.mark.parametrize(("grant", "subject"), [("machine", "mcp"), ("user", "user_1")])
def test_the_node_client_calls_a_tool(gateway, issuer, mcp_server, grant, subject):
    """The same way with sessions and event streams, as the version before has them."""
    _, resource = start(gateway, issuer, mcp_server)
    report = run("node", "client.mjs", resource, issuer.issuer, grant, "read:items")
    assert report.get("error") is None
    assert report["tools"] == TOOL_NAMES
    assert report["read"] == {"read": "a", "subject": subject, "has_token": False}
    assert report["seen"][0] == ["POST", 401]


def test_the_node_client_steps_up_for_a_user(gateway, issuer, mcp_server):
    """With a token that lacks the scope it is refused, sends the user through another sign-in, and calls."""
    _, resource = start(gateway, issuer, mcp_server)
    token = issuer.access_token(resource, scope="write:items")
    report = run("node", "client.mjs", resource, issuer.issuer, "user", TOKEN=token)
    assert report.get("error") is None
    assert report["read"] == {"read": "a", "subject": "user_1", "has_token": False}
    assert report["seen"][0] == ["POST", 403]


def test_the_node_client_is_refused_without_the_scope(gateway, issuer, mcp_server):
    """It tries once more for what the challenge names, and gives up."""
    _, resource = start(gateway, issuer, mcp_server)
    report = run("node", "client.mjs", resource, issuer.issuer, "machine", "write:items")
    assert "403" in report["error"]
    assert "tools" not in report


def test_a_version_that_promises_nothing_is_refused_where_tools_have_scopes(gateway, issuer, mcp_server):
    """The fields of such a client could name another tool than its body."""
    started, resource = start(gateway, issuer, mcp_server, TOOLS)
    report = run("node", "client.mjs", resource, issuer.issuer, "machine", "read:items")
    assert "needs a version of MCP that names the tool" in report["error"]
    assert started.wait_log(lambda entry: entry.get("status") == 400)["reason"] == "malformed_request"


ORACLE = """
import * as oauth from 'oauth4webapi';
const resource = new URL(process.argv[2]);
const allow = { [oauth.allowInsecureRequests]: true };
const metadata = await oauth.resourceDiscoveryRequest(resource, allow);
const server = await oauth.processResourceDiscoveryResponse(resource, metadata);
const challenges = [];
for (const token of process.argv.slice(3)) {
  try {
    await oauth.protectedResourceRequest(token, 'POST', resource, new Headers(), null, allow);
  } catch (error) {
    challenges.push(error.cause.map(({ scheme, parameters }) => ({ scheme, ...parameters })));
  }
}
console.log(JSON.stringify({ server, challenges }));
"""


def test_an_independent_client_reads_metadata_and_challenges(gateway, issuer, mcp_server):
    """oauth4webapi checks the document as RFC 9728, section 3.3, demands, and parses challenges strictly."""
    _, resource = start(gateway, issuer, mcp_server)
    token = issuer.access_token(resource, scope="write:items")
    done = subprocess.run(
        ["node", "--input-type=module", "-e", ORACLE, "x", resource, "not-a-token", token],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=HERE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["server"] == {
        "resource": resource,
        "authorization_servers": [issuer.issuer],
        "scopes_supported": ["read:items"],
        "bearer_methods_supported": ["header"],
    }
    metadata = resource.replace("/mcp", "/.well-known/oauth-protected-resource/mcp")
    [[invalid], [insufficient]] = report["challenges"]
    assert (invalid["scheme"], invalid["error"]) == ("bearer", "invalid_token")
    assert (insufficient["error"], insufficient["scope"]) == ("insufficient_scope", "read:items")
    assert invalid["resource_metadata"] == insufficient["resource_metadata"] == metadata


def test_a_page_of_another_origin_can_read_metadata(gateway, issuer, mcp_server):
    """Clients that run in browsers look for it too."""
    started, _ = start(gateway, issuer, mcp_server)
    request = urllib.request.Request(
        f"{started.url}/.well-known/oauth-protected-resource/mcp", headers={"Origin": "https://app.example"}
    )
    with DIRECT.open(request, timeout=10) as response:
        assert response.headers["Access-Control-Allow-Origin"] == "*"
