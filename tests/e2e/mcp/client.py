"""The official client of PyPI against an MCP server that asks for tokens: discovery, token, call, step-up."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata

CALLBACK = "http://127.0.0.1/callback"


class Storage:
    """What the client remembers, in memory; and each token that it got."""

    def __init__(self) -> None:
        self.tokens: Any = None
        self.scopes: list[str | None] = []

    async def get_tokens(self) -> Any:
        return self.tokens

    async def set_tokens(self, tokens: Any) -> None:
        self.tokens = tokens
        self.scopes.append(tokens.scope)

    async def get_client_info(self) -> OAuthClientInformationFull:
        return OAuthClientInformationFull(
            client_id="web",
            client_secret="web-secret",
            redirect_uris=[CALLBACK],
            token_endpoint_auth_method="client_secret_post",
        )

    async def set_client_info(self, _info: Any) -> None:
        return None


class Browser:
    """A user who is signed in at once: it follows the issuer's redirects up to the client's own address."""

    async def open(self, url: str) -> None:
        async with httpx2.AsyncClient(trust_env=False) as http:
            while not url.startswith(CALLBACK):
                response = await http.get(url)
                url = str(response.url.join(response.headers["location"]))
        self.answer = parse_qs(urlsplit(url).query)

    async def take_answer(self) -> AuthorizationCodeResult:
        answer = {name: values[0] for name, values in self.answer.items()}
        return AuthorizationCodeResult(code=answer["code"], state=answer.get("state"), iss=answer.get("iss"))


def build_auth(grant: str, url: str, issuer: str, storage: Storage) -> httpx2.Auth:
    """Return a client that gets its tokens as a machine, or for a user."""
    if grant == "machine":
        return ClientCredentialsOAuthProvider(url, storage, "mcp", "mcp-secret", issuer=issuer)
    browser = Browser()
    metadata = OAuthClientMetadata(redirect_uris=[CALLBACK], token_endpoint_auth_method="client_secret_post")
    return OAuthClientProvider(url, metadata, storage, browser.open, browser.take_answer)


async def main(url: str, issuer: str, grant: str) -> None:
    """Print one JSON line: the tools, what two of them said, and the scopes of the tokens that it took."""
    storage = Storage()
    auth = build_auth(grant, url, issuer, storage)
    seen: list[list[object]] = []

    async def note(response: httpx2.Response) -> None:
        if response.url.path == "/mcp":
            seen.append([response.status_code, response.request.headers.get("mcp-protocol-version")])

    async with httpx2.AsyncClient(auth=auth, event_hooks={"response": [note]}, trust_env=False) as http:
        async with Client(streamable_http_client(url, http_client=http)) as client:
            tools = sorted(tool.name for tool in (await client.list_tools()).tools)
            read = await client.call_tool("read_item", {"name": "a"})
            deleted = await client.call_tool("delete_item", {"name": "b"})
    report = {
        "tools": tools,
        "read": json.loads(read.content[0].text),
        "deleted": json.loads(deleted.content[0].text),
        "scopes": storage.scopes,
        "seen": seen,
    }
    print(json.dumps(report))  # noqa: T201 - the answer to who started this


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
