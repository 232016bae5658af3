"""Issuers that were well when the gateway started and are not any more: what serves on, what it costs, what is said."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from dataclasses import replace

import pytest

from gateway.config.settings import KeySourceSettings
from gateway.core.verification import NeedKeys
from tests.integration.issuer import Answer, Issuer, drip, hang, make_key, publish, respond
from tests.integration.key_sources import describe, list_kids, load, open_keyring
from tests.integration.loop import in_loop
from tests.integration.stepped_clock import SteppedClock

HOUR = 3600.0
DOWN = respond(status="500 Internal Server Error")
ELSEWHERE = "http://127.0.0.1:1/jwks"


async def pour(writer: asyncio.StreamWriter) -> None:
    """Answer without end, as fast as it is read."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        await writer.drain()


MISBEHAVIOUR = [
    pytest.param(DOWN, "status 500", id="500"),
    pytest.param(respond(status="429 Too Many Requests", retry_after="9"), "status 429", id="429"),
    pytest.param(respond(status="302 Found", location=ELSEWHERE), "another origin: http://127.0.0.1:1", id="elsewhere"),
    pytest.param(respond(status="302 Found", location="file:///etc/passwd"), "is no http URL", id="redirect-to-a-file"),
    pytest.param(respond(status="307 X", location="/well"), "more than 3 redirects", id="redirect-loop"),
    pytest.param(pour, "more than 512 KiB", id="endless"),
    pytest.param(respond(b" " * 600_000), "more than 512 KiB", id="huge"),
    pytest.param(respond(gzip.compress(bytes(8 << 20)), content_encoding="gzip"), "more than 512 KiB", id="gzip-bomb"),
    pytest.param(respond(b"{}", content_length="100"), "ended early", id="cut"),
    pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not HTTP", id="not-http"),
    pytest.param(b"", "closed before an answer", id="closed"),
    pytest.param(hang, "no complete answer within 0.1 s", id="hang"),
    pytest.param(drip, "no complete answer within 0.1 s", id="drip"),
]


@pytest.mark.parametrize(("answer", "reason"), MISBEHAVIOUR)
@in_loop
async def test_last_good_keys_serve_on(answer: Answer, reason: str) -> None:
    """Whatever it does instead of answering, the set stays the very same, the reason is known, and it is got over."""
    clock = SteppedClock()
    good = publish([make_key("a")])
    async with (
        Issuer({"/well": good}) as issuer,
        open_keyring(describe(issuer, target="/well", timeout_seconds=0.1), clock=clock) as keyring,
    ):
        await load(keyring)
        before = keyring.sets["logto"]
        issuer.answers["/well"] = answer
        await clock.run(700)
        assert keyring.sets["logto"] is before
        assert reason in (keyring.status()[0].last_error or "")
        issuer.answers["/well"] = good
        await clock.run(30)
        assert keyring.status()[0].last_error is None
        assert keyring.sets["logto"] is before


def find_by_metadata(issuer: Issuer, **fields: object) -> KeySourceSettings:
    settings = describe(issuer, discovery_url=issuer.locate("/metadata"), timeout_seconds=0.1, **fields)
    return replace(settings, url=None)


def tell(issuer: Issuer, /, **members: object) -> bytes:
    metadata = {"issuer": issuer.locate(""), "jwks_uri": issuer.locate(), **members}
    return respond(json.dumps(metadata).encode())


@pytest.mark.parametrize(("answer", "reason"), MISBEHAVIOUR)
@in_loop
async def test_metadata_that_fails_keeps_the_keys(answer: Answer, reason: str) -> None:
    """Metadata is fetched as carefully as keys are: what it cannot say now is no reason to lose a set."""
    clock = SteppedClock()
    async with Issuer({"/jwks": publish([make_key("a")])}) as issuer:
        issuer.answers["/metadata"] = issuer.answers["/well"] = tell(issuer)
        async with open_keyring(find_by_metadata(issuer), clock=clock) as keyring:
            await load(keyring)
            assert list_kids(keyring) == {"a"}
            issuer.answers["/metadata"] = issuer.answers["/well"] = answer
            await clock.run(700)
            assert list_kids(keyring) == {"a"}
            error = keyring.status()[0].last_error or ""
            assert error.startswith("discovery: ")
            assert reason in error


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        pytest.param({"issuer": "https://evil.example"}, "another issuer", id="other-issuer"),
        pytest.param({"issuer": None}, "another issuer", id="no-issuer"),
        pytest.param({"jwks_uri": "file:///etc/passwd"}, "not an http or https URL", id="file"),
        pytest.param({"jwks_uri": "http://169.254.169.254/latest/"}, "a link-local address", id="metadata-service"),
        pytest.param({"jwks_uri": "http://127.0.0.1:1/"}, "cannot connect", id="nobody-there"),
    ],
)
@in_loop
async def test_metadata_that_leads_astray_keeps_the_keys(members: dict[str, object], reason: str) -> None:
    """Metadata that was good once and now speaks for another, or names no place of keys, changes nothing."""
    clock = SteppedClock()
    async with Issuer({"/jwks": publish([make_key("a")])}) as issuer:
        issuer.answers["/metadata"] = tell(issuer)
        async with open_keyring(find_by_metadata(issuer), clock=clock) as keyring:
            await load(keyring)
            issuer.answers["/metadata"] = tell(issuer, **members)
            await clock.run(700)
            assert list_kids(keyring) == {"a"}
            assert issuer.count() == 1
            assert reason in (keyring.status()[0].last_error or "")


@in_loop
async def test_metadata_moves_the_keys() -> None:
    """An issuer that names another place for its keys is followed at the next refresh."""
    clock = SteppedClock()
    async with Issuer({"/jwks": publish([make_key("a")]), "/new": publish([make_key("b")])}) as issuer:
        issuer.answers["/metadata"] = tell(issuer)
        async with open_keyring(find_by_metadata(issuer), clock=clock) as keyring:
            await load(keyring)
            issuer.answers["/metadata"] = tell(issuer, jwks_uri=issuer.locate("/new"))
            await clock.run(600)
            assert list_kids(keyring) == {"b"}


@in_loop
async def test_flapping_issuer_loses_no_key(caplog: pytest.LogCaptureFixture) -> None:
    """One that fails every other time is never without keys, is asked no more than twice as often, and fills no log."""
    caplog.set_level(logging.INFO, "gateway.providers")
    clock = SteppedClock()
    good = publish([make_key("a")])

    async def flap(writer: asyncio.StreamWriter) -> None:
        writer.write(DOWN if issuer.count() % 2 else good)

    async with Issuer({"/jwks": good}) as issuer, open_keyring(describe(issuer), clock=clock) as keyring:
        await load(keyring)
        before = keyring.sets["logto"]
        issuer.answers["/jwks"] = flap
        for _ in range(24):
            await clock.run(HOUR)
            assert keyring.sets["logto"] is before
            assert keyring.status()[0].age_seconds <= 601
        assert issuer.count() <= 2 * 24 * 6 + 2
    assert len(caplog.records) <= issuer.count() + 1


@in_loop
async def test_issuer_that_flaps_between_two_sets() -> None:
    """Two servers behind one name, one late with a rotation: the last word holds, and tokens add few fetches."""
    clock = SteppedClock()
    answers = [publish([make_key("old")]), publish([make_key("old"), make_key("new")])]

    async def flap(writer: asyncio.StreamWriter) -> None:
        writer.write(answers[issuer.count() % 2])

    async with Issuer({"/jwks": flap}) as issuer, open_keyring(describe(issuer), clock=clock) as keyring:
        await load(keyring)
        for _ in range(120):
            await asyncio.gather(*(keyring.supply(NeedKeys("logto", kid)) for kid in ("old", "new") * 5))
            assert "old" in list_kids(keyring)
            await clock.run(30)
        assert 7 <= issuer.count() <= 2 + HOUR / 30
        assert issuer.count() <= 14


@in_loop
async def test_rotation_with_an_overlap() -> None:
    """The new key is there before the first token with it, and the old one until the issuer takes it away."""
    clock = SteppedClock()
    old, new = make_key("old"), make_key("new")
    async with (
        Issuer({"/jwks": publish([old], cache_control="max-age=300")}) as issuer,
        open_keyring(describe(issuer), clock=clock) as keyring,
    ):
        await load(keyring)
        for keys, kids in [([old, new], {"old", "new"}), ([new], {"new"})]:
            issuer.answers["/jwks"] = publish(keys, cache_control="max-age=300")
            await clock.run(300)
            assert list_kids(keyring) == kids
        assert issuer.count() == 3


@in_loop
async def test_reissued_kid_is_the_new_key() -> None:
    """A key that was replaced under its old name is replaced here, and the generation with it."""
    clock = SteppedClock()
    async with Issuer({"/jwks": publish([make_key("a")])}) as issuer:
        async with open_keyring(describe(issuer), clock=clock) as keyring:
            await load(keyring)
            before = keyring.sets["logto"]
            issuer.answers["/jwks"] = publish([make_key("a")])
            await clock.run(600)
            assert list_kids(keyring) == {"a"}
            assert keyring.sets["logto"].generation != before.generation
