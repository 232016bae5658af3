"""What is known again of requests and answers, seen from both ends: everyone gets what is theirs."""

from __future__ import annotations

import re
from dataclasses import replace

from gateway.config.served import Served
from gateway.core.identity import IdentitySettings
from gateway.core.routes import Access, Route, parse_path_pattern

from .gateway_harness import RawClient, bearer, open_gateway
from .loop import in_loop
from .upstream import Peer, Upstream

HEAD = b"GET /items/%b HTTP/1.1\r\nHost: gateway.example\r\nAccept: */*\r\n%bUser-Agent: one\r\n\r\n"
_SUBJECT = re.compile(rb'X-Identity: \{[^\r]*"subject":"([^"]*)"')


async def echo_head(peer: Peer) -> None:
    """Answer each request with its own head, under one and the same head of an answer."""
    while True:
        head = await peer.read_head()
        await peer.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\n" + head.ljust(1000)
        )


@in_loop
async def test_callers_with_the_same_client_are_told_apart() -> None:
    """One header but for the token, and one path: each is who the token says, and who has none is nobody."""
    routes = [Route(parse_path_pattern("/items/{id}"), access=Access.OPTIONAL)]
    async with (
        Upstream(echo_head) as upstream,
        open_gateway(upstream.port, routes=routes) as application,
        RawClient(application) as client,
    ):
        alice, bob = (bearer(sub=name) for name in ("alice", "bob"))
        asked = [(alice, b"alice"), (bob, b"bob"), (b"", None), (alice, b"alice"), (bob, b"bob"), (b"", None)]
        for number, (fields, subject) in enumerate(asked * 3):
            answer = await client.ask(HEAD % (b"%d" % (number % 2), fields))
            assert answer.status == 200
            assert b"GET /items/%d HTTP/1.1\r\n" % (number % 2) in answer.body
            found = _SUBJECT.search(answer.body)
            assert (found[1] if found else None) == subject
            assert b"Authorization" not in answer.body
        for damaged in (alice.replace(b"\r\n", b" x\r\n"), alice.replace(b"ey", b"\xe9", 1), alice + bob):
            assert (await client.ask(HEAD % (b"1", damaged))).status in (400, 401)
        broken = alice.rstrip()[:-3] + b"AAA\r\n"
        assert (await client.ask(HEAD % (b"1", broken))).status == 401
        assert _SUBJECT.findall((await client.ask(HEAD % (b"1", bob))).body) == [b"bob"]


@in_loop
async def test_what_was_known_before_a_reload_is_not_known_after_it() -> None:
    """A field that passed is the identity's from then on, and a path that was anybody's is not."""
    async with (
        Upstream(echo_head) as upstream,
        open_gateway(upstream.port, routes=[Route(parse_path_pattern("/**"), access=Access.OPTIONAL)]) as application,
        RawClient(application) as client,
    ):
        for _ in range(3):
            assert b"Accept: */*\r\n" in (await client.ask(HEAD % (b"1", b""))).body
        settings = application.settings
        policy = replace(
            settings.policy, identity=IdentitySettings(header=b"Accept"), routes=type(settings.policy.routes)()
        )
        changed = replace(settings, policy=policy, digest="another")
        assert await application.take(lambda: Served("gateway.yaml", changed, b"")) is not None
        for _ in range(3):
            assert (await client.ask(HEAD % (b"1", b""))).status == 401
            told = (await client.ask(HEAD % (b"1", bearer()))).body
            assert b"Accept: */*\r\n" not in told
            assert told.count(b"\r\nAccept: {") == 1
