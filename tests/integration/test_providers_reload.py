"""What a changed file does to the keys: nothing to those it leaves alone, and all at once to the others."""

from __future__ import annotations

import asyncio

import pytest

from gateway.config.settings import KeySourceSettings
from gateway.providers.keyring import Keyring
from tests.integration.issuer import Issuer, hang, make_key, publish
from tests.integration.key_sources import describe, list_kids, load, open_keyring
from tests.integration.loop import in_loop, wait_until
from tests.integration.stepped_clock import SteppedClock


@in_loop
async def test_reload_keeps_what_did_not_change() -> None:
    """A source that stands in the new file as it stood in the old is neither fetched again nor closed."""
    clock = SteppedClock()
    async with (
        Issuer({"/jwks": publish([make_key("a")]), "/2": publish([make_key("b")])}) as issuer,
        open_keyring(describe(issuer), clock=clock) as keyring,
    ):
        await load(keyring)
        before = keyring.sets["logto"]
        await keyring.reload([describe(issuer, "second", "/2"), describe(issuer)])
        assert [status.provider for status in keyring.status()] == ["second", "logto"]
        assert keyring.sets["logto"] is before
        assert list_kids(keyring, "second") == {"b"}
        assert issuer.count() == 1
        await clock.run(601, sleepers=2)
        assert issuer.count() == 2


@in_loop
async def test_reload_swaps_whole() -> None:
    """A provider that changed has its new keys with the swap, while a request under way keeps the old mapping."""
    answers = {"/jwks": publish([make_key("a")]), "/2": publish([make_key("b")])}
    async with Issuer(dict(answers)) as issuer, open_keyring(describe(issuer)) as keyring:
        await load(keyring)
        before = keyring.sets
        await keyring.reload([describe(issuer, target="/2")])
        assert list_kids(keyring) == {"b"}
        assert [key.kid for key in before["logto"].keys] == ["a"]
        await keyring.reload([])
        assert dict(keyring.sets) == {}


@in_loop
async def test_reload_does_not_wait_for_an_outage() -> None:
    """A new provider whose issuer hangs holds the reload for one timeout, and does not make the gateway unready."""
    async with (
        Issuer({"/jwks": publish([make_key("a")]), "/2": hang}) as issuer,
        open_keyring(describe(issuer)) as keyring,
    ):
        await load(keyring)
        await keyring.reload([describe(issuer), describe(issuer, "new", "/2", timeout_seconds=0.1)])
        assert set(keyring.sets) == {"logto"}
        assert (keyring.is_ready, keyring.waiting) == (True, ("new",))


@in_loop
async def test_cancelled_reload_changes_nothing() -> None:
    """A reload that is given up leaves the old sources as they were and none of the new."""
    async with (
        Issuer({"/jwks": publish([make_key("a")]), "/2": hang}) as issuer,
        open_keyring(describe(issuer)) as keyring,
    ):
        await load(keyring)
        reload = asyncio.create_task(keyring.reload([describe(issuer, "new", "/2")]))
        await wait_until(lambda: issuer.count("/2") == 1)
        reload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reload
        assert list_kids(keyring) == {"a"}
        assert [status.provider for status in keyring.status()] == ["logto"]


@in_loop
async def test_reload_in_an_outage_keeps_the_set_of_the_same_place() -> None:
    """Whoever raises ``max_stale`` while the issuer is down keeps its keys, with their age; another URL does not."""
    clock = SteppedClock()
    answers = {"/jwks": publish([make_key("a")])}
    async with Issuer(dict(answers)) as issuer, open_keyring(describe(issuer), clock=clock) as keyring:
        await load(keyring)
        issuer.answers.clear()
        await clock.run(1000)
        await keyring.reload([describe(issuer, max_stale_seconds=100_000.0)])
        assert list_kids(keyring) == {"a"}
        assert keyring.status()[0].age_seconds == 1000
        await keyring.reload([describe(issuer, target="/2", max_stale_seconds=100_000.0)])
        assert list_kids(keyring) == set()


@in_loop
async def test_keyring_that_was_not_opened() -> None:
    """Sources belong to an open keyring."""
    with pytest.raises(RuntimeError, match="not open"):
        await Keyring([]).reload([KeySourceSettings("logto", (), url="http://127.0.0.1:1/")])
