"""The keys of providers as a request meets them: there, on their way, rotated, unknown, reloaded."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config.settings import KeySourceSettings
from gateway.core.jwks import build_key_set
from gateway.core.verification import NeedKeys
from gateway.providers.keyring import Keyring
from gateway.providers.source import FetchResult
from tests.integration.issuer import Gate, Issuer, hang, make_key, publish, respond
from tests.integration.key_sources import describe, list_kids, load, open_keyring
from tests.integration.loop import in_each_loop, in_loop, wait_until
from tests.integration.stepped_clock import EPOCH_SECONDS, SteppedClock

COOLDOWN = 30.0


@in_each_loop
async def test_first_request_waits_for_the_first_fetch() -> None:
    """Keys are fetched from the start; a request that comes before them waits for that fetch and makes no other."""
    gate = Gate(publish([make_key("a")]))
    async with Issuer({"/jwks": gate}) as issuer, open_keyring(describe(issuer)) as keyring:
        waiting = asyncio.create_task(load(keyring))
        await wait_until(lambda: issuer.count() == 1)
        assert not waiting.done()
        assert (keyring.is_ready, keyring.waiting, dict(keyring.sets)) == (False, ("logto",), {})
        gate.open()
        await waiting
        assert list_kids(keyring) == {"a"}
        assert (keyring.is_ready, keyring.waiting) == (True, ())
        assert issuer.count() == 1


@in_loop
async def test_status_of_loaded_keys() -> None:
    """What is known: whose, from where, which, how old by both clocks, and what was skipped."""
    clock = SteppedClock()
    keys = [make_key("a"), make_key("bad", use="enc")]
    async with Issuer({"/jwks": publish(keys)}) as issuer, open_keyring(describe(issuer), clock=clock) as keyring:
        await load(keyring)
        await clock.run(100)
        (status,) = keyring.status()
        assert (status.provider, status.location) == ("logto", issuer.locate())
        assert status.key_set is keyring.sets["logto"]
        assert status.age_seconds == 100
        assert status.last_success_at == EPOCH_SECONDS + 1000
        assert status.last_error is None
        assert [(key.index, key.kid, key.why) for key in status.key_set.skipped] == [(1, "bad", "use is not sig")]


@in_loop
async def test_location_shows_no_secret() -> None:
    """A password or a query in the URL is for the issuer, not for the status page."""
    async with Issuer({"/jwks?key=secret": publish([make_key("a")])}) as issuer:
        url = issuer.locate("/jwks?key=secret").replace("//", "//user:secret@")
        async with open_keyring(KeySourceSettings("logto", (), url=url)) as keyring:
            await load(keyring)
            assert list_kids(keyring) == {"a"}
            assert keyring.status()[0].location == issuer.locate("/jwks")


@in_loop
async def test_keys_in_the_file_are_there_at_once() -> None:
    """An inline set needs no fetch, no waiting and no refresh, and is never old."""
    key_set = build_key_set({"keys": [make_key("a")]})
    async with open_keyring(KeySourceSettings("inline", (), key_set=key_set)) as keyring:
        assert keyring.is_ready
        assert keyring.sets["inline"] is key_set
        await keyring.supply(NeedKeys("inline", "unknown"))
        (status,) = keyring.status()
        assert (status.location, status.age_seconds, status.last_success_at) == ("inline", None, None)


@in_loop
async def test_key_file_is_read_again(tmp_path: Path) -> None:
    """A file is a source like a URL: a key that was put into it is found by the first token that needs it."""
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [make_key("a")]}))
    async with open_keyring(KeySourceSettings("file", (), path=str(path))) as keyring:
        await load(keyring, "file")
        assert list_kids(keyring, "file") == {"a"}
        assert keyring.status()[0].location == f"file:{path}"
        path.write_text(json.dumps({"keys": [make_key("b")]}))
        await keyring.supply(NeedKeys("file", "b"))
        assert list_kids(keyring, "file") == {"b"}


@in_loop
async def test_key_file_is_not_watched(tmp_path: Path) -> None:
    """A key taken out of a file serves until the ten minutes of a source without a lifetime, and until no reload."""
    path, clock = tmp_path / "jwks.json", SteppedClock()
    path.write_text(json.dumps({"keys": [make_key("a"), make_key("b")]}))
    settings = KeySourceSettings("file", (), path=str(path))
    async with open_keyring(settings, clock=clock) as keyring:
        await load(keyring, "file")
        path.write_text(json.dumps({"keys": [make_key("b")]}))
        await keyring.reload([settings])
        await clock.run(599)
        assert list_kids(keyring, "file") == {"a", "b"}
        await clock.run(2)
        assert list_kids(keyring, "file") == {"b"}
        path.write_text(json.dumps({"keys": [make_key("c")]}))
        await keyring.reload([replace(settings, refresh_seconds=30)])
        assert list_kids(keyring, "file") == {"c"}


@pytest.mark.norm("8414-2")
@in_loop
async def test_discovery() -> None:
    """The issuer's metadata names where its keys are, which may be on another host."""
    async with Issuer({"/keys": publish([make_key("a")])}) as keys, Issuer() as issuer:
        metadata = {"issuer": issuer.locate(""), "jwks_uri": keys.locate("/keys")}
        issuer.answers["/.well-known/openid-configuration"] = respond(json.dumps(metadata).encode())
        discovery_url = issuer.locate("/.well-known/openid-configuration")
        settings = KeySourceSettings("oidc", (issuer.locate("/"),), discovery_url=discovery_url)
        async with open_keyring(settings) as keyring:
            await load(keyring, "oidc")
            assert list_kids(keyring, "oidc") == {"a"}
            assert keyring.status()[0].location == discovery_url


@pytest.mark.norm("8414-1")
@in_loop
async def test_discovery_of_another_issuer_fetches_no_keys() -> None:
    """Metadata of another issuer is not used: what it names is never asked."""
    async with Issuer({"/keys": publish([make_key("a")])}) as issuer:
        metadata = {"issuer": "https://other.example", "jwks_uri": issuer.locate("/keys")}
        issuer.answers["/d"] = respond(json.dumps(metadata).encode())
        settings = KeySourceSettings("oidc", (issuer.locate(),), discovery_url=issuer.locate("/d"))
        async with open_keyring(settings) as keyring:
            await load(keyring, "oidc")
            assert "oidc" not in keyring.sets
            assert "another issuer: https://other.example" in (keyring.status()[0].last_error or "")
            assert issuer.count("/keys") == 0


@in_loop
async def test_rotation_passes_within_one_request() -> None:
    """A token with a key that was published a moment ago finds it with one fetch, and the old key is gone."""
    async with Issuer({"/jwks": publish([make_key("old")])}) as issuer, open_keyring(describe(issuer)) as keyring:
        await load(keyring)
        issuer.answers["/jwks"] = publish([make_key("new")])
        await keyring.supply(NeedKeys("logto", "new"))
        assert list_kids(keyring) == {"new"}
        assert issuer.count() == 2


@in_loop
async def test_same_document_is_the_same_set() -> None:
    """A refresh that brings nothing new leaves the set as it is, and with it what was cached by its generation."""
    clock = SteppedClock()
    answers = {"/jwks": publish([make_key("a")])}
    async with Issuer(dict(answers)) as issuer, open_keyring(describe(issuer), clock=clock) as keyring:
        await load(keyring)
        before = keyring.sets["logto"]
        await clock.run(601)
        assert issuer.count() == 2
        assert keyring.sets["logto"] is before


@in_loop
async def test_flood_of_unknown_kids_costs_one_fetch_per_cooldown() -> None:
    """Threat: a thousand made-up kids in a burst are one fetch, and the next thousand none before the cooldown ends."""
    clock = SteppedClock()
    async with (
        Issuer({"/jwks": publish([make_key("a")])}) as issuer,
        open_keyring(describe(issuer, cooldown_seconds=COOLDOWN), clock=clock) as keyring,
    ):
        await load(keyring)
        for burst in range(3):
            await asyncio.gather(*(keyring.supply(NeedKeys("logto", f"{burst}-{n}")) for n in range(1000)))
        assert issuer.count() == 2
        await clock.run(COOLDOWN)
        await asyncio.gather(*(keyring.supply(NeedKeys("logto", f"later-{n}")) for n in range(1000)))
        assert issuer.count() == 3
        assert list_kids(keyring) == {"a"}


@in_loop
async def test_kid_that_the_issuer_does_not_have_is_remembered() -> None:
    """One client with a dead token costs one fetch in four cooldowns, not one in each; another kid may still ask."""
    clock = SteppedClock()
    async with (
        Issuer({"/jwks": publish([make_key("a")])}) as issuer,
        open_keyring(describe(issuer, cooldown_seconds=COOLDOWN), clock=clock) as keyring,
    ):
        await load(keyring)
        for _ in range(4):
            await keyring.supply(NeedKeys("logto", "dead"))
            await clock.run(COOLDOWN)
        assert issuer.count() == 2
        await keyring.supply(NeedKeys("logto", "dead"))
        assert issuer.count() == 3


@in_loop
async def test_late_published_key_is_found_after_the_cooldown() -> None:
    """A kid that came in a flood's cooldown was not asked for, so it is not held against it."""
    clock = SteppedClock()
    async with (
        Issuer({"/jwks": publish([make_key("a")])}) as issuer,
        open_keyring(describe(issuer, cooldown_seconds=COOLDOWN), clock=clock) as keyring,
    ):
        await load(keyring)
        await keyring.supply(NeedKeys("logto", "junk"))
        issuer.answers["/jwks"] = publish([make_key("a"), make_key("new")])
        await keyring.supply(NeedKeys("logto", "new"))
        assert list_kids(keyring) == {"a"}
        await clock.run(COOLDOWN)
        await keyring.supply(NeedKeys("logto", "new"))
        assert list_kids(keyring) == {"a", "new"}


@in_loop
async def test_fetch_that_began_before_the_rotation_is_not_the_last_word() -> None:
    """A token that joins a fetch in flight gets one of its own if that one did not bring its key."""
    clock = SteppedClock()
    async with (
        Issuer({"/jwks": publish([make_key("a")])}) as issuer,
        open_keyring(describe(issuer), clock=clock) as keyring,
    ):
        await load(keyring)
        gate = issuer.answers["/jwks"] = Gate(publish([make_key("a")]))
        due = asyncio.create_task(clock.run(600))
        await wait_until(lambda: issuer.count() == 2)
        issuer.answers["/jwks"] = publish([make_key("new")])
        request = asyncio.create_task(keyring.supply(NeedKeys("logto", "new")))
        await asyncio.sleep(0)
        gate.open()
        await asyncio.gather(request, due)
        assert list_kids(keyring) == {"new"}
        assert issuer.count() == 3


@in_loop
async def test_fifty_callers_share_one_fetch() -> None:
    """However many requests wait for keys, one fetch at a time."""
    gate = Gate(publish([make_key("a")]))
    async with Issuer({"/jwks": gate}) as issuer, open_keyring(describe(issuer)) as keyring:
        waiting = [asyncio.create_task(load(keyring)) for _ in range(50)]
        await wait_until(lambda: issuer.count() == 1)
        gate.open()
        await asyncio.gather(*waiting)
        assert issuer.count() == 1


@in_loop
async def test_cancelled_caller_leaves_alone() -> None:
    """A client that goes away while it waits takes neither the fetch nor the other callers along."""
    async with Issuer({"/jwks": publish([make_key("a")])}) as issuer, open_keyring(describe(issuer)) as keyring:
        await load(keyring)
        gate = issuer.answers["/jwks"] = Gate(publish([make_key("b")]))
        first, *others = [asyncio.create_task(keyring.supply(NeedKeys("logto", "b"))) for _ in range(10)]
        await wait_until(lambda: issuer.count() == 2)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        gate.open()
        await asyncio.gather(*others)
        assert list_kids(keyring) == {"b"}
        assert issuer.count() == 2


@in_loop
async def test_waiting_is_bounded() -> None:
    """An issuer that hangs holds a request no longer than the provider's timeout, and raises nothing."""
    async with Issuer({"/jwks": hang}) as issuer, open_keyring(describe(issuer, timeout_seconds=0.1)) as keyring:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await load(keyring)
        assert loop.time() - began < 2
        assert "logto" not in keyring.sets


@in_loop
async def test_no_waiting_while_backing_off() -> None:
    """After a failure the issuer is given time: requests without keys are answered at once and ask nothing."""
    async with Issuer({"/jwks": respond(status="500 X")}) as issuer, open_keyring(describe(issuer)) as keyring:
        await load(keyring)
        for _ in range(100):
            await load(keyring)
        assert issuer.count() == 1


@in_loop
async def test_unknown_provider_is_nothing_to_wait_for() -> None:
    """A wish for a provider that a reload took away ends at once."""
    async with open_keyring() as keyring:
        await load(keyring, "gone")
        assert keyring.is_ready


@in_loop
async def test_each_fetch_is_counted() -> None:
    """The metric learns of each fetch and how it ended: by us, by the issuer, or with nothing usable."""
    counted: list[tuple[str, FetchResult]] = []
    clock = SteppedClock()
    async with Issuer({"/jwks": publish([make_key("a")])}) as issuer:
        keyring = Keyring(
            [describe(issuer)],
            clock=clock,
            jitter=lambda: 0.0,
            on_fetch=lambda provider, result: counted.append((provider, result)),
        )
        async with keyring:
            await load(keyring)
            issuer.answers["/jwks"] = respond(status="500 X")
            await clock.run(600)
            issuer.answers["/jwks"] = publish([])
            await clock.run(1)
    assert counted == [("logto", "success"), ("logto", "failure"), ("logto", "unusable")]


@in_loop
async def test_providers_do_not_share_keys_or_fates() -> None:
    """One issuer's outage is its own: the other's keys are there, and only the first is waited for."""
    async with (
        Issuer({"/jwks": publish([make_key("a")])}) as good,
        Issuer({"/jwks": respond(status="500 X")}) as bad,
        open_keyring(describe(good, "good"), describe(bad, "bad")) as keyring,
    ):
        await asyncio.gather(load(keyring, "good"), load(keyring, "bad"))
        assert set(keyring.sets) == {"good"}
        assert (keyring.is_ready, keyring.waiting) == (False, ("bad",))
        assert [status.last_error for status in keyring.status()] == [None, "keys: status 500"]


@in_loop
async def test_closing_ends_a_fetch_in_flight() -> None:
    """The end of the gateway waits for no issuer, and whoever waited for keys goes on instead of being cancelled."""
    async with Issuer({"/jwks": hang}) as issuer:
        async with open_keyring(describe(issuer, timeout_seconds=30)) as keyring:
            waiting = asyncio.create_task(load(keyring))
            await wait_until(lambda: issuer.count() == 1)
        await waiting
        await load(keyring)


@in_loop
async def test_by_the_clock_of_the_machine() -> None:
    """Without simulated time too, keys are refreshed on time and an outage is got over."""
    async with Issuer() as issuer, Keyring([describe(issuer, refresh_seconds=0.05)], jitter=lambda: 1.0) as keyring:
        await load(keyring)
        assert dict(keyring.sets) == {}
        issuer.answers["/jwks"] = publish([make_key("a")])
        await wait_until(lambda: list_kids(keyring) == {"a"})
        issuer.answers["/jwks"] = publish([make_key("b")])
        await wait_until(lambda: list_kids(keyring) == {"b"})
        assert (keyring.status()[0].last_success_at or 0) > 1_700_000_000


@in_loop
async def test_mistake_of_ours_is_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    """A bug in one fetch is logged with its traceback, and the next fetch is made all the same."""
    numbers = iter([None, *[0.0] * 10])
    clock = SteppedClock()
    async with Issuer({"/jwks": publish([make_key("a")])}) as issuer:
        keyring = Keyring([describe(issuer)], clock=clock, jitter=lambda: next(numbers))  # type: ignore[return-value, arg-type]
        async with keyring:
            await load(keyring)
            assert keyring.status()[0].last_error == "internal error"
            await clock.run(1)
            assert list_kids(keyring) == {"a"}
    assert "TypeError" in caplog.text


@in_loop
async def test_source_without_a_place() -> None:
    """Settings that name no place are an outage with a reason."""
    async with open_keyring(KeySourceSettings("none", ())) as keyring:
        await load(keyring, "none")
        assert keyring.status()[0].last_error == "no place to fetch keys from"
