"""A real MCP server with two tools, on 127.0.0.1 and a free port; it says who calls, as the gateway tells it."""

from __future__ import annotations

import json
import socket
import sys
import threading

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import TransportSecuritySettings

server = MCPServer("items")


def _read_caller(context: Context) -> dict[str, object]:
    headers = context.headers or {}
    return {
        "subject": json.loads(headers["x-identity"])["subject"],
        "has_token": "authorization" in {name.lower() for name in headers},
    }


@server.tool()
def read_item(name: str, context: Context) -> str:
    """Read an item."""
    return json.dumps({"read": name, **_read_caller(context)})


@server.tool()
def delete_item(name: str, context: Context) -> str:
    """Delete an item."""
    return json.dumps({"deleted": name, **_read_caller(context)})


def main() -> None:
    """Serve until standard input closes, so that no server outlives a test run that was killed."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(json.dumps({"mcp": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)  # noqa: T201 - who started this reads it
    app = server.streamable_http_app(
        json_response=True,
        # The gateway's Host is the upstream's own, so this only keeps the server's own check in place.
        transport_security=TransportSecuritySettings(
            enable_dns_rebinding_protection=True, allowed_hosts=["127.0.0.1:*"], allowed_origins=[]
        ),
    )
    running = uvicorn.Server(uvicorn.Config(app, log_level="warning"))

    def stop_with_input() -> None:
        sys.stdin.read()
        running.should_exit = True

    threading.Thread(target=stop_with_input, daemon=True).start()
    running.run(sockets=[listener])


if __name__ == "__main__":
    main()
