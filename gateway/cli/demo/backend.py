"""A backend for demonstrations: it answers with what it was sent, so one sees what the gateway adds and removes."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web


def build_backend_app() -> web.Application:
    """Return an application that answers every request with its method, target, fields and identity."""
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", _echo)
    return app


async def _echo(request: web.Request) -> web.Response:
    received = {
        "method": request.method,
        "target": request.raw_path,
        "identity": _read_identity(request.headers.get("X-Identity")),
        "headers": {name: ", ".join(request.headers.getall(name)) for name in request.headers},
    }
    return web.Response(text=f"{json.dumps(received, indent=2)}\n", content_type="application/json")


def _read_identity(value: str | None) -> Any:
    try:
        return json.loads(value or "null")
    except ValueError:
        return None
