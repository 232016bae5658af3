"""The service that is asked for organizations: what it is told, how often, and what counts while it is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from gateway.config.settings import OrganizationCheckSettings, UpstreamSettings
from gateway.core.organizations import OrganizationRules, Standing
from gateway.providers.fetch import open_session
from gateway.providers.organizations import RETRY_SECONDS, OrganizationCheck, encode_segment

from .gateway_harness import RawClient, bearer, make_settings, open_gateway
from .issuer import Answer, Gate, Issuer, drip, hang, respond
from .loop import in_loop, wait_until
from .stepped_clock import SteppedClock
from .test_gateway_lifecycle import File, open_file
from .upstream import OK, Peer, Upstream, play_and_wait

YES, NO, DOWN = respond(), respond(status="404 Not Found"), respond(status="503 Service Unavailable")
ORG_1 = "/o/org_1"


async def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection without a word."""
    writer.close()


@asynccontextmanager
async def open_check(
    answers: dict[str, Answer], *, max_organizations: int = 100, **settings: Any
) -> AsyncIterator[tuple[OrganizationCheck, Issuer, SteppedClock]]:
    """Open a service with these answers (404 for all else), and who asks it."""
    clock = SteppedClock()
    async with Issuer(answers) as service, open_session() as session:
        url = service.locate("/o/{organization}")
        yield (
            OrganizationCheck(OrganizationCheckSettings(url, **settings), session, clock, max_organizations),
            service,
            clock,
        )


@pytest.mark.parametrize(
    ("status", "standing"),
    [
        *((f"{status} X", Standing.EXISTS) for status in (200, 201, 204, 206, 299)),
        *((f"{status} X", Standing.GONE) for status in (404, 410)),
        *((f"{status} X", Standing.UNKNOWN) for status in (300, 304, 400, 401, 403, 405, 409, 429, 500, 503)),
    ],
)
@in_loop
async def test_the_status_is_the_answer(status: str, standing: Standing) -> None:
    """2xx is a yes, 404 and 410 are a no, and nothing else is an answer."""
    async with open_check({ORG_1: respond(status=status)}) as (check, _, _):
        assert await check.ask("org_1") is standing
        assert check.get("org_1") is standing


@in_loop
async def test_redirects_are_not_followed() -> None:
    """Where a service sends us is not for it to say: "see other" may be a page to sign in, with status 200."""
    answers: dict[str, Answer] = {ORG_1: respond(status="302 Found", location="/o/org_2"), "/o/org_2": YES}
    async with open_check(answers) as (check, service, _):
        assert await check.ask("org_1") is Standing.UNKNOWN
        assert len(service.heads) == 1


@pytest.mark.parametrize("answer", [hang, reset, b"junk\r\n\r\n"], ids=["hang", "reset", "junk"])
@in_loop
async def test_no_answer_is_unknown(answer: Answer) -> None:
    """However the service fails, and within the time that the file allows."""
    async with open_check({ORG_1: answer}, timeout_seconds=0.2) as (check, _, _):
        async with asyncio.timeout(5):
            assert await check.ask("org_1") is Standing.UNKNOWN


@in_loop
async def test_a_long_body_is_not_waited_for() -> None:
    """The status says all."""
    async with open_check({ORG_1: drip}) as (check, _, _):
        async with asyncio.timeout(5):
            assert await check.ask("org_1") is Standing.EXISTS


@pytest.mark.parametrize(
    ("organization", "segment"),
    [
        ("a/b", "a%2Fb"),
        ("a?b#c", "a%3Fb%23c"),
        ("..", None),
        (".", None),
        ("...", "..."),
        ("../admin", "..%2Fadmin"),
        ("%2e%2e", "%252e%252e"),
        ("é x", "%C3%A9%20x"),
        ("\r\nHost: x", "%0D%0AHost%3A%20x"),
        ("\ud800", None),
        ("-_~", "-_~"),
    ],
)
@in_loop
async def test_a_name_is_one_segment(organization: str, segment: str | None) -> None:
    """Whatever it is, the service is asked for that very name; for what no segment can be, it is not asked."""
    assert encode_segment(organization) == segment
    async with open_check({f"/o/{segment}": YES}) as (check, service, _):
        assert await check.ask(organization) is (Standing.GONE if segment is None else Standing.EXISTS)
        assert [head.split(b" ")[1].decode() for head in service.heads] == (
            [] if segment is None else [f"/o/{segment}"]
        )


@in_loop
async def test_an_answer_is_believed_for_a_while() -> None:
    """A yes and a no alike, until the cache's time is over."""
    async with open_check({ORG_1: YES}, cache_seconds=60.0) as (check, service, clock):
        assert check.get("org_1") is None
        await check.ask("org_1")
        await check.ask("org_2")
        clock._now += 59.9
        assert (check.get("org_1"), check.get("org_2")) == (Standing.EXISTS, Standing.GONE)
        clock._now += 0.1
        assert (check.get("org_1"), check.get("org_2")) == (None, None)
        service.answers[ORG_1] = NO
        assert await check.ask("org_1") is Standing.GONE
        assert service.count(ORG_1) == 2


@in_loop
async def test_many_ask_once() -> None:
    """One question at a time for each organization; who gives up leaves alone."""
    gate = Gate(YES)
    async with open_check({ORG_1: gate}, timeout_seconds=10.0) as (check, service, _):
        first, *others = [asyncio.create_task(check.ask("org_1")) for _ in range(50)]
        await wait_until(lambda: service.count(ORG_1) == 1)
        assert await check.ask("org_2") is Standing.GONE
        first.cancel()
        gate.open()
        assert set(await asyncio.gather(*others)) == {Standing.EXISTS}
        assert first.cancelled()
        assert service.count(ORG_1) == 1


@pytest.mark.parametrize("answer", [YES, NO], ids=["yes", "no"])
@in_loop
async def test_the_last_answer_counts_while_it_is_not_too_old(answer: bytes) -> None:
    """By its own age, not by the outage's; and meanwhile the service is asked once in a while, not once a request."""
    async with open_check({ORG_1: answer}, cache_seconds=60.0, max_stale_seconds=600.0) as (check, service, clock):
        said = await check.ask("org_1")
        service.answers[ORG_1] = DOWN
        clock._now += 60
        assert await check.ask("org_1") is said
        assert check.get("org_1") is said
        clock._now += RETRY_SECONDS
        assert check.get("org_1") is None
        clock._now += 600 - 60 - RETRY_SECONDS - 0.5
        assert await check.ask("org_1") is said
        clock._now += 0.5
        assert check.get("org_1") is None
        assert await check.ask("org_1") is Standing.UNKNOWN
        assert check.get("org_1") is Standing.UNKNOWN
        clock._now += RETRY_SECONDS
        service.answers[ORG_1] = answer
        assert await check.ask("org_1") is said


@in_loop
async def test_without_an_answer_there_is_nothing_to_fall_back_on() -> None:
    """An outage that goes on makes no answer of itself, and ``max_stale: 0`` takes none from before."""
    async with open_check({ORG_1: DOWN}, cache_seconds=1.0, max_stale_seconds=0.0) as (check, service, clock):
        for _ in range(3):
            assert await check.ask("org_1") is Standing.UNKNOWN
            clock._now += RETRY_SECONDS
        service.answers[ORG_1] = YES
        assert await check.ask("org_1") is Standing.EXISTS
        service.answers[ORG_1] = DOWN
        clock._now += 1
        assert await check.ask("org_1") is Standing.UNKNOWN


@in_loop
async def test_an_outage_is_one_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """It says why, and names no organization."""
    async with open_check({ORG_1: DOWN}) as (check, _, clock):
        for _ in range(60):
            await check.ask("org_1")
            clock._now += 2
    lines = [record for record in caplog.records if getattr(record, "event", "") == "organizations_failed"]
    assert len(lines) == 2
    assert lines[0].fields == {"why": "status 503"}  # type: ignore[attr-defined] # put there by logging


@in_loop
async def test_answers_are_bounded() -> None:
    """As many organizations are remembered as fit; the one that was longest not asked for goes."""
    async with open_check({}, max_organizations=2) as (check, _, _):
        for name in ("a", "b", "a", "c"):
            await check.ask(name)
        assert [check.get(name) for name in "abc"] == [Standing.GONE, None, Standing.GONE]


# --- in a gateway ----------------------------------------------------------------------------------------------------


def describe(service: Issuer, **settings: Any) -> dict[str, Any]:
    """Return the settings of a gateway that asks this service."""
    check = OrganizationCheckSettings(service.locate("/o/{organization}"), **settings)
    return {"organization_check": check, "policy": {"organizations": OrganizationRules(is_checked=True)}}


def of(organization: str) -> bytes:
    return bearer(f"urn:logto:organization:{organization}")


@in_loop
async def test_a_gateway_asks_once_and_tells_nothing_of_the_caller() -> None:
    """The first request waits for the answer, the others do not; who is unknown is refused and never forwarded."""
    forwarded: list[bytes] = []

    async def serve(peer: Peer) -> None:
        while True:
            forwarded.append(await peer.read_head())
            await peer.send(OK)

    async with Upstream(serve) as upstream, Issuer({ORG_1: YES}) as service:
        async with open_gateway(upstream.port, **describe(service)) as gateway, RawClient(gateway) as client:
            token = of("org_1")
            assert [(await client.get(b"/", token)).status for _ in range(3)] == [200] * 3
            assert service.count(ORG_1) == 1
            refused = await client.get(b"/", of("org_2"))
            assert (refused.status, b"organization_denied" in refused.body) == (403, True)
            assert len(forwarded) == 3
            said = b"".join(service.heads).lower()
            assert b"authorization" not in said
            assert b"identity" not in said


@in_loop
async def test_an_outage_of_the_service_is_503_and_passes() -> None:
    """RFC 9110, section 10.2.3: when to come back; and then the same connection is served."""
    async with Upstream(play_and_wait(OK)) as upstream, Issuer({ORG_1: DOWN}) as service:
        async with open_gateway(upstream.port, **describe(service)) as gateway, RawClient(gateway) as client:
            refused = await client.get(b"/", of("org_1"))
            assert (refused.status, refused.fields(b"retry-after")) == (503, [b"5"])
            assert b'"reason":"authorization_unavailable"' in refused.body
            assert upstream.connections == 0
            service.answers[ORG_1] = YES
            await asyncio.sleep(RETRY_SECONDS)
            assert (await client.get(b"/", of("org_1"))).status == 200


@in_loop
async def test_a_reload_keeps_the_answers_of_the_same_service() -> None:
    """Another file is no reason to ask again; another service is, and no service is asked nothing."""
    async with Upstream(play_and_wait(*[OK] * 4)) as upstream, Issuer({ORG_1: YES, "/2/org_1": YES}) as service:
        file = File(make_settings(UpstreamSettings("http", "127.0.0.1", upstream.port), **describe(service)))
        async with open_file(file) as gateway, RawClient(gateway) as client:
            first = gateway.settings
            assert first.organization_check is not None
            other = replace(first.organization_check, url=service.locate("/2/{organization}"))
            steps: list[tuple[dict[str, Any], list[int]]] = [
                ({}, [1, 0]),
                ({}, [1, 0]),
                ({"organization_check": other}, [1, 1]),
                ({"organization_check": None, "policy": replace(first.policy, organizations=None)}, [1, 1]),
            ]
            for number, (changed, counts) in enumerate(steps):
                file.settings = replace(first, digest=str(number), **changed)
                await gateway.reload()
                assert (await client.get(b"/", of("org_1"))).status == 200
                assert [service.count(target) for target in (ORG_1, "/2/org_1")] == counts
