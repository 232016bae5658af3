"""Metadata of resources, preflights and shadow mode, over real sockets."""

from __future__ import annotations

import json

import pytest

from gateway.core.resource import build_resource
from gateway.core.routes import Access, Route, parse_path_pattern

from .faults import Observed, answer_all, observe
from .gateway_harness import RawClient, bearer
from .loop import in_loop
from .upstream import OK, Peer

RESOURCE = build_resource("https://api.example/mcp")
METADATA = RESOURCE.metadata_target.encode()
ORIGIN = b"Origin: https://app.example\r\n"
PREFLIGHT = b"OPTIONS /items HTTP/1.1\r\nHost: g\r\n" + ORIGIN + b"Access-Control-Request-Method: POST\r\n"


@pytest.mark.parametrize("is_warm", [False, True], ids=["cold", "warm"])
@in_loop
async def test_metadata_is_for_anybody(is_warm: bool) -> None:
    """RFC 9728, section 3: without a token, for scripts too, and it says what stands in the file."""
    async with observe(answer_all, is_warm=is_warm, policy={"resource": RESOURCE}) as gateway:
        async with RawClient(gateway.application) as client:
            answer = await client.get(METADATA, ORIGIN)
            assert answer.status == 200
            assert answer.fields(b"content-type") == [b"application/json"]
            assert answer.fields(b"cache-control") == [b"public, max-age=3600"]
            assert answer.fields(b"access-control-allow-origin") == [b"*"]
            assert json.loads(answer.body)["resource"] == "https://api.example/mcp"
            head = await client.ask(b"HEAD " + METADATA + b" HTTP/1.1\r\nHost: g\r\n\r\n", is_head=True)
            assert (head.status, head.fields(b"content-length")) == (200, answer.fields(b"content-length"))
            allowed = await client.ask(b"OPTIONS " + METADATA + b" HTTP/1.1\r\nHost: g\r\n\r\n")
            assert (allowed.status, allowed.fields(b"access-control-allow-methods")) == (204, [b"GET, HEAD"])
            refused = await client.ask(b"PUT " + METADATA + b" HTTP/1.1\r\nHost: g\r\nContent-Length: 0\r\n\r\n")
            assert (refused.status, refused.fields(b"allow")) == (405, [b"GET, HEAD, OPTIONS"])
        await gateway.check_recovered((200, None), (200, None), (204, None), (405, None))
        assert gateway.upstream.connections == 1


@in_loop
async def test_an_unread_body_ends_the_connection() -> None:
    """Nobody reads it, so nothing behind it is a request."""
    async with observe(answer_all, policy={"resource": RESOURCE}) as gateway, RawClient(gateway.application) as client:
        answer = await client.ask(b"POST " + METADATA + b" HTTP/1.1\r\nHost: g\r\nContent-Length: 5\r\n\r\n")
        assert (answer.status, answer.fields(b"connection")) == (405, [b"close"])


@in_loop
async def test_another_spelling_of_the_metadata_is_a_path_like_others() -> None:
    """No rule is bypassed by what merely looks like it."""
    async with observe(answer_all, policy={"resource": RESOURCE}) as gateway, RawClient(gateway.application) as client:
        for target in (METADATA + b"/", METADATA + b"?x=1", METADATA.replace(b"m", b"%6d"), METADATA.upper()):
            assert (await client.get(target)).status == 401


@in_loop
async def test_challenges_point_to_the_metadata() -> None:
    """RFC 9728, section 5.1: in each 401 and each 403, of a token or of none."""
    routes = (Route(parse_path_pattern("/admin"), scopes=("admin",)),)
    async with observe(answer_all, policy={"resource": RESOURCE}, routes=routes) as gateway:
        async with RawClient(gateway.application) as client:
            for path, fields, status in (
                (b"/", b"", 401),
                (b"/", b"Authorization: Bearer x\r\n", 401),
                (b"/admin", bearer(), 403),
            ):
                answer = await client.get(path, fields)
                assert answer.status == status
                [challenge] = answer.fields(b"www-authenticate")
                assert f'resource_metadata="{RESOURCE.metadata_url}"'.encode() in challenge


@pytest.mark.parametrize("is_warm", [False, True], ids=["cold", "warm"])
@in_loop
async def test_a_preflight_reaches_the_upstream(is_warm: bool) -> None:
    """The backend answers it, for it knows which origins it serves; a refusal can be read by the page that asked."""
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            seen.append(await peer.read_head())
            await peer.send(OK)

    async with observe(script, is_warm=is_warm, policy={"passes_preflights": True}) as gateway:
        async with RawClient(gateway.application) as client:
            assert (await client.ask(PREFLIGHT + b"\r\n")).status == 200
            assert b"\r\nX-Identity: null\r\n" in seen[-1]
            assert b"\r\nAccess-Control-Request-Method: POST\r\n" in seen[-1]
            answer = await client.get(b"/items", ORIGIN)
            assert answer.status == 401
            assert answer.fields(b"access-control-allow-origin") == [b"*"]
            assert b"WWW-Authenticate" in answer.fields(b"access-control-expose-headers")[0]
            assert not (await client.get(b"/items")).fields(b"access-control-allow-origin")


REQUESTS = (
    (b"GET", b"/items", bearer),
    (b"GET", b"/items", lambda: b""),
    (b"GET", b"/items", lambda: b"Authorization: Bearer x\r\n"),
    (b"GET", b"/admin", bearer),
    (b"PUT", b"/admin", bearer),
    (b"GET", b"/a//b", bearer),
    (b"GET", b"/public", lambda: b""),
    (b"GET", b"/closed", bearer),
)
ROUTES = (
    Route(parse_path_pattern("/public"), access=Access.PUBLIC),
    Route(parse_path_pattern("/admin"), methods=frozenset({"GET"}), scopes=("admin",)),
    Route(parse_path_pattern("/closed"), providers=frozenset({"other"})),
)


async def _send_all(gateway: Observed) -> list[int]:
    statuses = []
    async with RawClient(gateway.application) as client:
        for method, path, make_fields in REQUESTS:
            # What a client says of itself is removed, observed or not.
            request = method + b" " + path + b" HTTP/1.1\r\nHost: g\r\nX-Identity: forged\r\n" + make_fields() + b"\r\n"
            statuses.append((await client.ask(request)).status)
    return statuses


@pytest.mark.parametrize("is_warm", [False, True], ids=["cold", "warm"])
@in_loop
async def test_observing_refuses_nothing_and_counts_the_same(is_warm: bool) -> None:
    """The same traffic, the same reasons in log and metrics, and the upstream knows who called or that nobody did."""
    identities: list[object] = []

    async def script(peer: Peer) -> None:
        while True:
            head = await peer.read_head()
            [value] = [line[12:] for line in head.split(b"\r\n") if line.startswith(b"X-Identity: ")]
            identity = json.loads(value)
            identities.append(identity and identity["subject"])
            await peer.send(OK)

    reasons = {}
    for is_observed in (False, True):
        async with observe(script, is_warm=is_warm, routes=ROUTES, policy={"is_observed": is_observed}) as gateway:
            identities.clear()
            statuses = await _send_all(gateway)
            records = await gateway.wait_for_records(len(REQUESTS))
            reasons[is_observed] = [(record["reason"], record["provider"]) for record in records]
            decisions = {record["decision"] for record in records}
            counted = gateway.application._metrics.snapshot()["decisions_total"]
            refused = sum(count for (_, decision, _), (count,) in counted if decision in ("deny", "would_deny"))
            await gateway.check_at_rest()
        assert refused == 6
        if is_observed:
            assert statuses == [200] * len(REQUESTS)
            assert decisions == {"allow", "would_deny"}
            user = identities[0]
            assert identities == [user, None, None, user, user, user, None, user]
        else:
            assert statuses == [200, 401, 401, 403, 405, 400, 200, 403]
    assert [reason for reason, _ in reasons[True]] == [reason for reason, _ in reasons[False]]
