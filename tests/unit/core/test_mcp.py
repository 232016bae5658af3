"""Tools of MCP servers, authorized by fields (Model Context Protocol 2026-07-28)."""

from __future__ import annotations

import base64

import pytest

from gateway.core.decision import Allow, RequestHead, decide
from gateway.core.errors import GatewayError, Reason
from gateway.core.fields import FieldSet
from gateway.core.mcp import ToolRule
from tests.policies import make_policy, make_route, make_routes
from tests.signing import NOW, make_key, make_key_set, make_token

KEYS = {"main": make_key_set(make_key())}
TOOLS = (
    ToolRule("read_*", ("mcp:read",)),
    ToolRule("delete_item", ("mcp:write", "mcp:delete")),
    ToolRule("*.admin", ("mcp:admin",)),
)
POLICY = make_policy(routes=make_routes(make_route("/mcp", scopes=("mcp",), tools=TOOLS)))
VERSION = (b"MCP-Protocol-Version", b"2026-07-28")
CALL = (b"Mcp-Method", b"tools/call")


def ask(*fields, scope, method="POST", policy=POLICY):
    credentials = (b"Authorization", b"Bearer " + make_token(scope=scope).encode())
    head = RequestHead(method, "/mcp", FieldSet([(b"Host", b"api.example"), credentials, *fields]))
    return decide(head, policy, KEYS, NOW, {"main": True})


def call(name, scope):
    return ask(VERSION, CALL, (b"Mcp-Name", name), scope=scope)


def encode(name):
    return b"=?base64?" + base64.b64encode(name.encode()) + b"?="


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        (b"read_item", ["mcp", "mcp:read"]),
        (b"read_", ["mcp", "mcp:read"]),
        (encode("read_\u00e9\n"), ["mcp", "mcp:read"]),
        (b"delete_item", ["mcp", "mcp:write", "mcp:delete"]),
        (b"db.admin", ["mcp", "mcp:admin"]),
        (b"delete_items", ["mcp"]),
        (b"dbxadmin", ["mcp"]),
        (b"Read_item", ["mcp"]),
    ],
)
def test_a_tool_needs_its_scopes_and_the_routes(name, needed):
    """Each of them; the refusal names all (RFC 6750, section 3.1)."""
    assert isinstance(call(name, " ".join(needed)), Allow)
    for missing in needed:
        with pytest.raises(GatewayError) as refused:
            call(name, " ".join(scope for scope in needed if scope != missing))
        assert refused.value.reason is Reason.INSUFFICIENT_SCOPE
        assert list(refused.value.scopes) == needed


def test_the_first_rule_that_takes_a_tool_decides():
    tools = (ToolRule("read_*", ("a",)), ToolRule("*", ("b",)))
    policy = make_policy(routes=make_routes(make_route("/mcp", tools=tools)))
    assert isinstance(ask(VERSION, CALL, (b"Mcp-Name", b"read_x"), scope="a", policy=policy), Allow)
    assert isinstance(ask(VERSION, CALL, (b"Mcp-Name", b"x"), scope="b", policy=policy), Allow)


@pytest.mark.parametrize("method", [b"tools/list", b"server/discover"])
def test_other_methods_of_mcp_need_what_the_route_needs(method):
    assert isinstance(ask(VERSION, (b"Mcp-Method", method), scope="mcp"), Allow)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
def test_some_methods_carry_no_calls(method):
    assert isinstance(ask(scope="mcp", method=method), Allow)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "QUERY"])
def test_any_other_method_may_carry_one(method):
    with pytest.raises(GatewayError, match="malformed_request"):
        ask(scope="mcp", method=method)


NAME = (b"Mcp-Name", b"read_item")


@pytest.mark.parametrize(
    "fields",
    [
        (CALL, NAME),
        ((b"MCP-Protocol-Version", b"2025-11-25"), CALL, NAME),
        ((b"MCP-Protocol-Version", b"2099-01-01"), CALL, NAME),
        (VERSION, VERSION, CALL, NAME),
        (VERSION, NAME),
        (VERSION, CALL),
        (VERSION, CALL, CALL, NAME),
        (VERSION, CALL, (b"Mcp-Method", b"tools/list"), NAME),
        (VERSION, CALL, NAME, NAME),
        (VERSION, CALL, NAME, (b"mcp_name", b"delete_item")),
        (VERSION, (b"Mcp-Method", b"tools/list"), (b"Mcp.Method", b"tools/call")),
        (VERSION, CALL, (b"Mcp-Name", b"")),
        (VERSION, CALL, (b"Mcp-Name", b"\xc3\xa9")),
        (VERSION, CALL, (b"Mcp-Name", b"=?base64?wA==?=")),
        (VERSION, CALL, (b"Mcp-Name", b"=?base64?eB==?=")),
        (VERSION, CALL, (b"Mcp-Name", b"=?base64?eA=?=")),
        (VERSION, CALL, (b"Mcp-Name", b"=?base64??=")),
        (VERSION, CALL, (b"Mcp-Name", b"x" * 257)),
        (VERSION, CALL, (b"Mcp-Name", b"=?BASE64?ZGVsZXRlX2l0ZW0=?=")),
        (VERSION, CALL, (b"Mcp-Name", b"=?base64?-?=")),
        (VERSION, (b"Mcp-Method", b"TOOLS/CALL"), NAME),
    ],
)
def test_what_nobody_can_tell_the_tool_of_is_refused(fields):
    """Even with every scope: the body might call another tool than the one that was decided on."""
    with pytest.raises(GatewayError) as refused:
        ask(*fields, scope="mcp mcp:read mcp:write mcp:delete mcp:admin")
    assert refused.value.reason is Reason.MALFORMED_REQUEST


def test_a_route_without_tools_reads_no_field_of_mcp():
    policy = make_policy(routes=make_routes(make_route("/mcp", scopes=("mcp",))))
    assert isinstance(ask(scope="mcp", policy=policy), Allow)


@pytest.mark.parametrize(
    ("origins", "passes"),
    [
        ((), True),
        ((b"https://app.example",), True),
        ((b"https://evil.example",), False),
        ((b"null",), False),
        ((b"https://app.example", b"https://app.example"), False),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pages_of_other_origins_call_nothing(origins, passes, method):
    """Against a name that is rebound to the user's own machine."""
    policy = make_policy(
        routes=make_routes(make_route("/mcp", tools=TOOLS)), allowed_origins=frozenset({b"https://app.example"})
    )
    fields = (VERSION, CALL, NAME, *((b"Origin", origin) for origin in origins))
    if passes:
        assert isinstance(ask(*fields, scope="mcp:read", method=method, policy=policy), Allow)
        return
    with pytest.raises(GatewayError) as refused:
        ask(*fields, scope="mcp:read", method=method, policy=policy)
    assert refused.value.reason is Reason.ORIGIN_DENIED
