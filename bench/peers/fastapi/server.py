"""A peer of the benchmark: the check and the relay as one would write them with FastAPI, httpx and PyJWT."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
from fastapi import FastAPI, HTTPException, Request
from starlette.background import BackgroundTask
from starlette.responses import StreamingResponse

settings = json.loads(Path(os.environ["BENCH_SETTINGS"]).read_text(encoding="utf-8"))
keys = {key.key_id: key.key for key in jwt.PyJWKSet.from_dict(settings["keys"]).keys}
_HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with httpx.AsyncClient(base_url=settings["upstream"], timeout=None) as client:  # noqa: S113 - a local peer
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


def authenticate(request: Request) -> dict[str, Any]:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer":
        raise HTTPException(401, "no token", {"WWW-Authenticate": "Bearer"})
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            keys[jwt.get_unverified_header(token)["kid"]],
            algorithms=settings["algorithms"],
            audience=settings["audience"],
            issuer=settings["issuer"],
        )
    except (jwt.InvalidTokenError, KeyError):
        raise HTTPException(401, "invalid_token", {"WWW-Authenticate": "Bearer"}) from None
    return claims


@app.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
async def relay(request: Request) -> StreamingResponse:
    claims = authenticate(request)
    dropped = _HOP_BY_HOP | {"host", "authorization", "x-identity"}
    headers = [(name, value) for name, value in request.headers.items() if name not in dropped]
    headers.append(("x-identity", json.dumps(claims)))
    has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
    client: httpx.AsyncClient = request.app.state.client
    outgoing = client.build_request(
        request.method,
        httpx.URL(path=request.url.path, query=request.url.query.encode()),
        headers=headers,
        content=request.stream() if has_body else None,
    )
    answer = await client.send(outgoing, stream=True)
    kept = {name: value for name, value in answer.headers.items() if name not in _HOP_BY_HOP}
    return StreamingResponse(answer.aiter_raw(), answer.status_code, kept, background=BackgroundTask(answer.aclose))
