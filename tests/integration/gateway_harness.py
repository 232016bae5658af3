"""A whole gateway in this process, between a scripted upstream and a client that writes and reads bytes."""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from joserfc import jwt
from joserfc.jwk import ECKey

from gateway.admin.lines import LineWriter
from gateway.admin.logs import LogOutput
from gateway.app.application import Application
from gateway.config.served import Served
from gateway.config.settings import (
    KeySourceSettings,
    Limits,
    ListenAddress,
    Settings,
    Streams,
    Timeouts,
    UpstreamSettings,
)
from gateway.core.audience import parse_audience_pattern
from gateway.core.identity import IdentitySettings
from gateway.core.jwks import build_key_set
from gateway.core.places import AUTHORIZATION
from gateway.core.policy import Forwarding, Policy
from gateway.core.routes import RouteTable
from gateway.core.tokens import Provider
from gateway.providers.clock import Clock

ISSUER = "https://issuer.example/oidc"
API = "https://my-api.example"
LOCAL = ListenAddress("127.0.0.1", 0)


@functools.cache
def signing_key() -> ECKey:
    return ECKey.generate_key("P-256", {"kid": "k1"})


def make_token(audience: object = API, *, key: ECKey | None = None, **claims: object) -> str:
    """Return a signed access token; claims that are None are left out."""
    now = int(time.time())
    payload = {"iss": ISSUER, "sub": "user-1", "aud": audience, "iat": now, "exp": now + 600, **claims}
    header = {"alg": "ES256", "typ": "at+jwt", "kid": "k1"}
    return jwt.encode(header, {k: v for k, v in payload.items() if v is not None}, key or signing_key())


def bearer(audience: object = API, **claims: object) -> bytes:
    return f"Authorization: Bearer {make_token(audience, **claims)}\r\n".encode()


def make_settings(upstream: UpstreamSettings, **changed: Any) -> Settings:
    """Return the settings of a small file; ``policy`` and the like are dicts of what differs from it."""
    provider = Provider(
        "logto",
        "customJwt",
        (ISSUER,),
        frozenset({"ES256"}),
        tuple(map(parse_audience_pattern, (API, "urn:logto:organization:{organization}"))),
        token_places=changed.pop("token_places", (AUTHORIZATION,)),
    )
    key_set = build_key_set({"keys": [signing_key().as_dict(private=False)]})
    forwarding = replace(Forwarding(host=upstream.host_field), **changed.pop("forwarding", {}))
    identity = IdentitySettings(**changed.pop("identity", {}))
    routes = RouteTable(changed.pop("routes", ()))
    return Settings(
        policy=Policy((provider,), forwarding, routes=routes, identity=identity, **changed.pop("policy", {})),
        key_sources=changed.pop("key_sources", (KeySourceSettings("logto", (ISSUER,), key_set=key_set),)),
        listen=LOCAL,
        admin=LOCAL,
        upstream=upstream,
        limits=Limits(**changed.pop("limits", {})),
        timeouts=Timeouts(**{"shutdown_seconds": 2.0, **changed.pop("timeouts", {})}),
        streams=Streams(**changed.pop("streams", {})),
        **changed,
    )


@asynccontextmanager
async def open_gateway(
    port: int,
    *,
    host: str = "127.0.0.1",
    output_path: str = os.devnull,
    clock: Clock | None = None,
    **changed: Any,
) -> AsyncIterator[Application]:
    """Open a gateway in front of the upstream on that port; access lines go to that file, keys age by that clock."""
    settings = make_settings(UpstreamSettings("http", host, port), **changed)
    served = Served("gateway.yaml", settings, b"")
    with open_output(output_path) as output:
        application = Application(served, output, clock=clock)
        async with application:
            yield application


@contextmanager
def open_output(path: str = os.devnull) -> Iterator[LogOutput]:
    """Open an output for access lines; logging itself is left as pytest has it."""
    with Path(path).open("a") as file:
        writer = LineWriter(file.fileno())
        try:
            yield LogOutput(writer, is_json=True, has_colour=False, has_info=True)
        finally:
            writer.close()


@dataclass(frozen=True)
class Answer:
    """One response as it came: head with its empty line, decoded body, and whether the connection was closed after."""

    head: bytes
    body: bytes

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])

    def fields(self, name: bytes) -> list[bytes]:
        lines = (line.partition(b":") for line in self.head.split(b"\r\n")[1:])
        return [value.strip() for key, _, value in lines if key.lower() == name.lower()]


class RawClient:
    """A connection to the gateway, of bytes."""

    def __init__(self, application: Application) -> None:
        self._address = application.listen

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection(self._address.host, self._address.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            pass

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def read_answer(self, *, is_head: bool = False) -> Answer:
        """Return the next response; asyncio.IncompleteReadError where its body is cut."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        answer = Answer(head, b"")
        if is_head or answer.status in (204, 304) or answer.status < 200:
            return answer
        return Answer(head, await asyncio.wait_for(self._read_body(answer), 10))

    async def _read_body(self, answer: Answer) -> bytes:
        lengths = answer.fields(b"content-length")
        if lengths:
            return await self.reader.readexactly(int(lengths[0]))
        if not answer.fields(b"transfer-encoding"):
            return await self.reader.read()
        body = b""
        while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        while await self.reader.readuntil(b"\r\n") != b"\r\n":
            pass
        return body

    async def ask(self, request: bytes, **options: bool) -> Answer:
        await self.send(request)
        return await self.read_answer(**options)

    async def get(self, target: bytes = b"/", *fields: bytes) -> Answer:
        return await self.ask(b"GET %b HTTP/1.1\r\nHost: gateway.example\r\n%b\r\n" % (target, b"".join(fields)))


async def ask_once(application: Application, request: bytes) -> Answer:
    """Send one request on a connection of its own."""
    async with RawClient(application) as client:
        return await client.ask(request)
