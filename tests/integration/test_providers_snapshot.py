"""Keys that were kept on disk: a gateway that starts while its issuer is away, on a disk that is well or not."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config.settings import KeySourceSettings
from gateway.core.verification import NeedKeys
from gateway.providers.keyring import Keyring
from tests.integration.issuer import Answer, Issuer, drip, hang, make_key, publish, respond
from tests.integration.key_sources import describe, list_kids, load, open_keyring
from tests.integration.loop import in_loop, wait_until
from tests.integration.stepped_clock import EPOCH_SECONDS, SteppedClock

HOUR = 3600.0
DOWN = respond(status="500 Internal Server Error")


def keep(issuer: Issuer, folder: Path, provider: str = "logto", **fields: object) -> KeySourceSettings:
    return describe(issuer, provider, snapshot_path=str(folder / f"{provider}.json"), **fields)


async def run_once(settings: KeySourceSettings, clock: SteppedClock) -> None:
    """Be a gateway that starts, has its keys, and stops."""
    async with open_keyring(settings, clock=clock) as keyring:
        await load(keyring)
        assert list_kids(keyring)
        assert not keyring.status()[0].is_from_snapshot


def read_kids(path: Path) -> list[str]:
    return [key["kid"] for key in json.loads(path.read_text())["keys"]] if path.exists() else []


def list_events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.__dict__["event"] for record in caplog.records if record.name == "gateway.providers"]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(DOWN, id="500"),
        pytest.param(respond(status="204 No Content"), id="204"),
        pytest.param(respond(status="302 Found", location="http://127.0.0.1:1/jwks"), id="redirect-elsewhere"),
        pytest.param(respond(b"<html>", content_type="text/html"), id="html"),
        pytest.param(respond(b" " * (512 * 1024 + 1)), id="huge"),
        pytest.param(publish([]), id="empty-set"),
        pytest.param(publish([make_key("b", use="enc")]), id="no-usable-key"),
        pytest.param(publish([make_key("b")])[:-3], id="cut"),
        pytest.param(b"", id="closed"),
        pytest.param(hang, id="hang"),
        pytest.param(drip, id="drip"),
    ],
)
@in_loop
async def test_start_while_the_issuer_fails(tmp_path: Path, answer: Answer) -> None:
    """However an issuer fails, the gateway starts with the keys that it last had, as old as they are, and says so."""
    clock = SteppedClock()
    async with Issuer({"/jwks": publish([make_key("a")])}) as issuer:
        settings = keep(issuer, tmp_path, timeout_seconds=0.2)
        await run_once(settings, clock)
        clock._now += HOUR
        issuer.answers["/jwks"] = answer
        async with open_keyring(settings, clock=clock) as keyring:
            await clock.settle()
            assert list_kids(keyring) == {"a"}
            assert (keyring.is_ready, keyring.waiting) == (True, ())
            (status,) = keyring.status()
            assert (status.is_from_snapshot, status.age_seconds) == (True, HOUR)
            assert status.last_success_at == EPOCH_SECONDS + 1000
            assert status.last_error is not None


@in_loop
async def test_issuer_that_nobody_listens_for(tmp_path: Path) -> None:
    """Nor does it take an issuer to be there at all; when it comes, its word is what counts again."""
    clock = SteppedClock()
    async with Issuer({"/jwks": publish([make_key("a")])}) as issuer:
        settings = keep(issuer, tmp_path)
        await run_once(settings, clock)
    async with open_keyring(settings, clock=clock) as keyring:
        await load(keyring)
        assert list_kids(keyring) == {"a"}
        async with Issuer({"/jwks": publish([make_key("b")])}, port=issuer.port):
            await clock.run(30)
            assert list_kids(keyring) == {"b"}
            (status,) = keyring.status()
            assert (status.is_from_snapshot, status.last_error) == (False, None)


@in_loop
async def test_first_request_of_an_outage_is_served(tmp_path: Path) -> None:
    """A request that waits for the first fetch has the kept keys when that has failed, and need not come again."""
    clock = SteppedClock()
    async with Issuer({"/jwks": publish([make_key("a")])}) as issuer:
        settings = keep(issuer, tmp_path)
        await run_once(settings, clock)
        issuer.answers["/jwks"] = DOWN
        async with open_keyring(settings, clock=clock) as keyring:
            assert not await keyring.supply(NeedKeys("logto", "a"))
            assert list_kids(keyring) == {"a"}


@in_loop
async def test_issuer_that_answers_is_believed_alone(tmp_path: Path) -> None:
    """A key that the issuer took away while the gateway was stopped is not brought back, not for a moment."""
    clock = SteppedClock()
    async with Issuer({"/jwks": publish([make_key("a")])}) as issuer:
        settings = keep(issuer, tmp_path)
        await run_once(settings, clock)
        issuer.answers["/jwks"] = publish([make_key("b")])
        async with open_keyring(settings, clock=clock) as keyring:
            assert list_kids(keyring) == set()
            await load(keyring)
            assert list_kids(keyring) == {"b"}
        assert read_kids(tmp_path / "logto.json") == ["b"]


@in_loop
async def test_unknown_kid_is_an_outage(tmp_path: Path) -> None:
    """A token with a key that came after the snapshot is not refused for good: the issuer has yet to speak."""
    clock = SteppedClock()
    async with Issuer({"/jwks": publish([make_key("a")])}) as issuer:
        settings = keep(issuer, tmp_path)
        await run_once(settings, clock)
        issuer.answers["/jwks"] = DOWN
        async with open_keyring(settings, clock=clock) as keyring:
            await load(keyring)
            assert not await keyring.supply(NeedKeys("logto", "new"))
            issuer.answers["/jwks"] = publish([make_key("a"), make_key("new")])
            await clock.run(30)
            assert await keyring.supply(NeedKeys("logto", "new"))
            assert list_kids(keyring) == {"a", "new"}


@in_loop
async def test_restarts_make_no_key_younger(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """``max_stale`` counts from the issuer's last word, over any number of starts, to the second."""
    clock = SteppedClock()
    async with Issuer({"/jwks": publish([make_key("a")])}) as issuer:
        settings = keep(issuer, tmp_path, max_stale_seconds=2 * HOUR)
        await run_once(settings, clock)
        issuer.answers["/jwks"] = DOWN
        for _ in range(3):
            clock._now += HOUR / 2
            async with open_keyring(settings, clock=clock) as keyring:
                await clock.settle()
                assert list_kids(keyring) == {"a"}
        async with open_keyring(settings, clock=clock) as keyring:
            await clock.run(HOUR / 2 - 1)
            assert list_kids(keyring) == {"a"}
            await clock.run(1)
            assert list_kids(keyring) == set()
            assert not keyring.status()[0].is_from_snapshot
        caplog.clear()
        async with open_keyring(settings, clock=clock) as keyring:
            await clock.run(HOUR)
            assert (list_kids(keyring), keyring.is_ready) == (set(), False)
        assert list_events(caplog).count("snapshot_refused") == 1


@in_loop
async def test_refresh_renews_the_snapshot(tmp_path: Path) -> None:
    """Each answer of the issuer counts, also one that brings nothing new; a failure changes nothing."""
    clock = SteppedClock()
    path = tmp_path / "logto.json"

    def read_age() -> float:
        return clock.calendar_now() - json.loads(path.read_text())["fetched_at"] if path.exists() else -1

    async with (
        Issuer({"/jwks": publish([make_key("a")])}) as issuer,
        open_keyring(keep(issuer, tmp_path), clock=clock) as keyring,
    ):
        await load(keyring)
        await wait_until(lambda: read_age() == 0)
        await clock.run(600)
        await wait_until(lambda: read_age() == 0)
        issuer.answers["/jwks"] = publish([make_key("b")])
        await clock.run(600)
        await wait_until(lambda: (read_kids(path), read_age()) == (["b"], 0))
        issuer.answers["/jwks"] = publish([])
        await clock.run(HOUR)
        assert (read_kids(path), read_age()) == (["b"], HOUR)
        assert not keyring.status()[0].is_from_snapshot


@in_loop
async def test_each_provider_has_its_own(tmp_path: Path) -> None:
    """One file that is broken is one provider without keys; the others start."""
    clock = SteppedClock()
    async with Issuer({"/jwks": publish([make_key("a")]), "/2": publish([make_key("b")])}) as issuer:
        both = [keep(issuer, tmp_path), keep(issuer, tmp_path, "second", target="/2")]
        async with open_keyring(*both, clock=clock) as keyring:
            await asyncio.gather(load(keyring), load(keyring, "second"))
        issuer.answers.clear()
        (tmp_path / "logto.json").write_bytes(b"{")
        async with open_keyring(*both, clock=clock) as keyring:
            await clock.settle(2)
            assert (list_kids(keyring), list_kids(keyring, "second")) == (set(), {"b"})
            assert keyring.waiting == ("logto",)
            assert [status.is_from_snapshot for status in keyring.status()] == [False, True]


@in_loop
async def test_keys_of_another_place_are_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file of the gateway that was changed meanwhile does not start with the keys of the source before."""
    clock = SteppedClock()
    async with Issuer({"/jwks": publish([make_key("a")])}) as issuer:
        await run_once(keep(issuer, tmp_path), clock)
        async with open_keyring(keep(issuer, tmp_path, target="/other"), clock=clock) as keyring:
            await clock.settle()
            assert list_kids(keyring) == set()
    [record] = [each for each in caplog.records if each.__dict__.get("event") == "snapshot_refused"]
    assert record.__dict__["fields"] == {
        "provider": "logto",
        "file": str(tmp_path / "logto.json"),
        "why": "it holds the keys of another source",
    }


@in_loop
async def test_discovered_keys_need_no_discovery(tmp_path: Path) -> None:
    """What was found by metadata is kept as well, and neither document has to be there at the start."""
    clock = SteppedClock()
    async with Issuer({"/keys": publish([make_key("a")])}) as issuer:
        metadata = {"issuer": issuer.locate(""), "jwks_uri": issuer.locate("/keys")}
        issuer.answers["/d"] = respond(json.dumps(metadata).encode())
        settings = KeySourceSettings(
            "logto",
            (issuer.locate("/"),),
            discovery_url=issuer.locate("/d"),
            snapshot_path=str(tmp_path / "logto.json"),
        )
        await run_once(settings, clock)
        issuer.answers.clear()
        async with open_keyring(settings, clock=clock) as keyring:
            await load(keyring)
            assert list_kids(keyring) == {"a"}


@pytest.mark.parametrize(
    ("place", "why"),
    [
        pytest.param("absent/logto.json", "No such file or directory", id="no-folder"),
        pytest.param("file/logto.json", "Not a directory", id="file-for-a-folder"),
        pytest.param("folder", "Is a directory", id="folder-for-the-file"),
        pytest.param("/proc/logto.json", None, id="read-only"),
    ],
)
@in_loop
async def test_disk_that_takes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str, why: str | None
) -> None:
    """It is said once, with the file and the reason, and the gateway serves on as if there were no snapshots."""
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    clock = SteppedClock()
    async with Issuer({"/jwks": publish([make_key("a")])}) as issuer:
        settings = describe(issuer, snapshot_path=str(tmp_path / place))
        async with open_keyring(settings, clock=clock) as keyring:
            await load(keyring)
            await wait_until(lambda: "snapshot_failed" in list_events(caplog))
            await clock.run(HOUR)
            assert list_kids(keyring) == {"a"}
    [record] = [each for each in caplog.records if each.__dict__.get("event") == "snapshot_failed"]
    fields = record.__dict__["fields"]
    assert (fields["provider"], fields["file"]) == ("logto", str(tmp_path / place))
    assert why is None or fields["why"] == why


@in_loop
async def test_no_snapshot_yet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The very first start during an outage is as without snapshots, and says once what is missing."""
    clock = SteppedClock()
    async with Issuer({"/jwks": DOWN}) as issuer, open_keyring(keep(issuer, tmp_path), clock=clock) as keyring:
        await clock.run(HOUR)
        assert (list_kids(keyring), keyring.is_ready) == (set(), False)
    assert list_events(caplog).count("snapshot_refused") == 1


@in_loop
async def test_disk_that_hangs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A disk that does not answer keeps neither the start waiting for ever, nor a fetch, nor the end."""
    released = threading.Event()
    try:
        async with Issuer({"/jwks": DOWN}) as issuer:
            keyring = open_keyring(keep(issuer, tmp_path, timeout_seconds=0.1))
            keyring._disk.submit(released.wait)
            async with keyring:
                await load(keyring)
                await wait_until(lambda: "snapshot_refused" in list_events(caplog))
                issuer.answers["/jwks"] = publish([make_key("a")])
                await keyring._clock.run(1)  # type: ignore[attr-defined]
                assert list_kids(keyring) == {"a"}
                began = asyncio.get_running_loop().time()
            assert asyncio.get_running_loop().time() - began < 5
    finally:
        released.set()
    assert "the disk does not answer" in str([record.__dict__.get("fields") for record in caplog.records])


@in_loop
async def test_mistake_of_ours_is_no_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A bug in reading is logged with its traceback, and the issuer is asked again all the same."""
    clock = SteppedClock()
    async with Issuer({"/jwks": DOWN}) as issuer:
        settings = describe(issuer, snapshot_path="\0")
        async with open_keyring(settings, clock=clock) as keyring:
            await clock.settle()
            assert "ValueError" in caplog.text
            assert list_kids(keyring) == set()
            await clock.run(15)
            assert issuer.count() == 5


@in_loop
async def test_many_write_and_read_at_once(tmp_path: Path) -> None:
    """Workers share the folder without asking each other: whoever reads meets a whole snapshot, at any moment."""
    path = tmp_path / "logto.json"
    keys = [make_key(str(number)) for number in range(50)]
    async with Issuer({"/jwks": publish(keys, cache_control="max-age=0")}) as issuer:
        settings = keep(issuer, tmp_path)
        rings = [Keyring([settings], jitter=lambda: 0.0, clock=SteppedClock()) for _ in range(4)]
        for ring in rings:
            await ring.__aenter__()
        await wait_until(path.exists)
        seen = 0
        for _ in range(15):
            rounds = asyncio.gather(*(ring._clock.run(60) for ring in rings))  # type: ignore[attr-defined]
            while not rounds.done():
                assert len(read_kids(path)) == 50
                seen += 1
                await asyncio.sleep(0)
            await rounds
        for ring in rings:
            await ring.__aexit__(None, None, None)
    assert seen > 50
    await wait_until(lambda: not any(thread.name.startswith("snapshots") for thread in threading.enumerate()))
    assert await asyncio.to_thread(os.listdir, tmp_path) == ["logto.json"]


@in_loop
async def test_reload_during_an_outage(tmp_path: Path) -> None:
    """A provider that a changed file adds starts with its snapshot too; one that changes its folder loses no key."""
    clock = SteppedClock()
    (tmp_path / "new").mkdir()
    async with Issuer({"/jwks": publish([make_key("a")])}) as issuer:
        settings = keep(issuer, tmp_path)
        await run_once(settings, clock)
        issuer.answers.clear()
        async with open_keyring(clock=clock) as keyring:
            await keyring.reload([settings])
            assert list_kids(keyring) == {"a"}
            moved = replace(settings, snapshot_path=str(tmp_path / "new" / "logto.json"))
            await keyring.reload([moved])
            assert list_kids(keyring) == {"a"}
            assert keyring.status()[0].is_from_snapshot
            issuer.answers["/jwks"] = publish([make_key("b")])
            await clock.run(30)
            await wait_until(lambda: read_kids(tmp_path / "new" / "logto.json") == ["b"])
        assert read_kids(tmp_path / "logto.json") == ["a"]


@in_loop
async def test_lines_of_a_start_in_an_outage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where the keys are from, how many and how old they are, why, and when that is over."""
    caplog.set_level(logging.INFO, "gateway.providers")
    clock = SteppedClock()
    async with Issuer({"/jwks": publish([make_key("a")])}) as issuer:
        settings = keep(issuer, tmp_path)
        await run_once(settings, clock)
        clock._now += HOUR
        issuer.answers["/jwks"] = DOWN
        caplog.clear()
        async with open_keyring(settings, clock=clock) as keyring:
            await load(keyring)
            issuer.answers["/jwks"] = publish([make_key("b")])
            await clock.run(30)
    assert list_events(caplog) == ["keys_restored", "keys_failed", "keys_recovered", "keys_loaded"]
    [restored] = [each for each in caplog.records if each.__dict__.get("event") == "keys_restored"]
    assert restored.__dict__["fields"] == {"provider": "logto", "keys": 1, "age_seconds": 3600}
    assert restored.levelname == "WARNING"
