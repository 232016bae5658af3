"""``docs/mcp.md``: its file answers as its table says, and its challenge is the one that is sent."""

from __future__ import annotations

import json

import pytest

from gateway.config.load import parse_config
from gateway.core.credentials import build_challenge
from gateway.core.decision import Allow, RequestHead, decide
from gateway.core.errors import GatewayError
from gateway.core.fields import FieldSet
from gateway.core.refusal import find_resource
from tests.signing import NOW, make_key, make_key_set, make_token

from .pages import ROOT, find_block, list_code, list_rows, read_page

PAGE = ROOT / "docs" / "mcp.md"
ROWS = list_rows(read_page(PAGE), "request", "token")
POLICY = parse_config(find_block(PAGE, "file").text, "gateway.yaml", {}).settings.policy
KEYS = {"logto": make_key_set(make_key("ES384", "ES384"))}


def make_head(http: str, call: list[str], scope: str | None) -> RequestHead:
    """Return the request of a row, as a client of the version that names its tools sends it."""
    method, path = http.split(" ")
    fields = [(b"Host", b"mcp.example"), (b"MCP-Protocol-Version", b"2026-07-28")]
    fields += list(zip((b"Mcp-Method", b"Mcp-Name"), (word.encode() for word in call), strict=False))
    if scope is not None:
        claims = {"iss": "https://tenant.logto.app/oidc", "aud": "https://mcp.example/mcp", "scope": scope}
        token = make_token(make_key("ES384", "ES384"), typ="at+jwt", client_id="agent", jti="1", **claims)
        fields.append((b"Authorization", f"Bearer {token}".encode()))
    return RequestHead(method, path, FieldSet(fields))


@pytest.mark.parametrize(("request_", "token", "answer"), ROWS)
def test_the_table(request_: str, token: str, answer: str) -> None:
    """Each row, decided by the file of the page."""
    http, *call = list_code(request_)
    head = make_head(http, call, (list_code(token) or [None])[0])
    if head.target in POLICY.documents:
        assert json.loads(POLICY.documents[head.target])["resource"] == "https://mcp.example/mcp"
        assert answer.startswith("200")
        return
    assert answer == answer_to(head)


def answer_to(head: RequestHead) -> str:
    """Return what the decision makes of a request, as the table has it."""
    try:
        outcome = decide(head, POLICY, KEYS, NOW, {"logto": True})
    except GatewayError as error:
        return f"{error.reason.status} `{error.reason.word}`"
    return "200" if isinstance(outcome, Allow) else "undecided"


def test_the_challenge() -> None:
    """It names all scopes of the call, and where to get a token with them."""
    head = make_head("POST /mcp", ["tools/call", "delete_item"], "items:read")
    with pytest.raises(GatewayError) as refused:
        decide(head, POLICY, KEYS, NOW, {"logto": True})
    resource = find_resource(head, POLICY)
    assert resource is not None
    challenge = build_challenge(refused.value, POLICY.realm, with_description=True, metadata_url=resource.metadata_url)
    assert find_block(PAGE, "step-up").text == f"WWW-Authenticate: {challenge}\n"
