"""What becomes of keys while their issuer is down, lies, or comes back; hours pass in simulated time."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from gateway.config.settings import KeySourceSettings
from gateway.core.verification import NeedKeys
from gateway.providers.keyring import Keyring
from tests.integration.issuer import Answer, Issuer, make_key, publish, respond
from tests.integration.loop import in_loop
from tests.integration.stepped_clock import SteppedClock

HOUR = 3600.0
DOWN = respond(status="500 Internal Server Error")


def open_keyring(issuer: Issuer, clock: SteppedClock, **fields: object) -> Keyring:
    settings = KeySourceSettings("logto", (), url=issuer.locate(), **fields)  # type: ignore[arg-type]
    return Keyring([settings], clock=clock, jitter=lambda: 0.0)


def list_kids(keyring: Keyring) -> list[str | None]:
    return [key.kid for key in keyring.sets["logto"].keys] if keyring.sets else []


@pytest.fixture
def lines() -> Iterator[list[logging.LogRecord]]:
    """What the module logged."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger = logging.getLogger("gateway.providers")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    yield records
    logger.removeHandler(handler)
    logger.setLevel(level)


def list_events(records: list[logging.LogRecord]) -> list[str]:
    return [record.__dict__["event"] for record in records]


@in_loop
async def test_refresh_comes_when_the_file_says() -> None:
    """Without a word of the issuer, keys are refreshed every ten minutes."""
    clock = SteppedClock()
    async with Issuer({"/jwks": publish([make_key("a")])}) as issuer, open_keyring(issuer, clock):
        await clock.run(HOUR)
        assert issuer.count() == 7


@pytest.mark.parametrize(
    ("cache_control", "refresh_seconds", "fetches"),
    [
        pytest.param("max-age=300", 600.0, 13, id="sooner-as-the-issuer-says"),
        pytest.param("max-age=1", 600.0, 61, id="not-below-a-minute"),
        pytest.param("max-age=86400", None, 2, id="not-above-an-hour"),
    ],
)
@in_loop
async def test_refresh_comes_before_the_keys_age(
    cache_control: str, refresh_seconds: float | None, fetches: int
) -> None:
    """Cache-Control moves the refresh, between a minute and an hour."""
    clock = SteppedClock()
    answer = publish([make_key("a")], cache_control=cache_control)
    async with (
        Issuer({"/jwks": answer}) as issuer,
        open_keyring(issuer, clock, refresh_seconds=refresh_seconds),
    ):
        await clock.run(HOUR)
        assert issuer.count() == fetches


@in_loop
async def test_hour_of_outage_serves_on() -> None:
    """While the issuer is down the last good set serves, its age grows, and the reason is shown."""
    clock = SteppedClock()
    async with Issuer({"/jwks": publish([make_key("a")])}) as issuer, open_keyring(issuer, clock) as keyring:
        await clock.settle()
        issuer.answers["/jwks"] = DOWN
        await clock.run(HOUR)
        assert list_kids(keyring) == ["a"]
        assert keyring.is_ready
        (status,) = keyring.status()
        assert (status.age_seconds, status.last_error) == (HOUR, "keys: status 500")


@in_loop
async def test_retries_are_bounded_both_ways() -> None:
    """An issuer that is down is asked soon at first, and then twice a minute."""
    clock = SteppedClock()
    async with Issuer({"/jwks": DOWN}) as issuer, open_keyring(issuer, clock):
        await clock.run(15)
        assert issuer.count() == 5  # after 0, 1, 3, 7 and 15 seconds
        await clock.run(HOUR)
        assert issuer.count() <= 5 + HOUR / 30 + 1


@in_loop
async def test_set_beyond_max_stale_is_gone() -> None:
    """Keys that could not be confirmed for ``max_stale`` are no longer believed; not a moment before, nor after."""
    clock = SteppedClock()
    async with (
        Issuer({"/jwks": publish([make_key("a")])}) as issuer,
        open_keyring(issuer, clock, max_stale_seconds=2 * HOUR) as keyring,
    ):
        await clock.settle()
        issuer.answers["/jwks"] = DOWN
        await clock.run(2 * HOUR - 1)
        assert list_kids(keyring) == ["a"]
        await clock.run(1)
        assert dict(keyring.sets) == {}
        assert keyring.is_ready
        (status,) = keyring.status()
        assert (status.key_set, status.age_seconds) == (None, 2 * HOUR)


@pytest.mark.parametrize("max_stale_seconds", [0.0, 100.0])
@in_loop
async def test_max_stale_below_the_refresh(max_stale_seconds: float) -> None:
    """It is about outages: a healthy issuer's keys serve until their refresh, and are gone with its first failure."""
    clock = SteppedClock()
    async with (
        Issuer({"/jwks": publish([make_key("a")])}) as issuer,
        open_keyring(issuer, clock, max_stale_seconds=max_stale_seconds) as keyring,
    ):
        await clock.run(HOUR)
        assert (list_kids(keyring), issuer.count()) == (["a"], 7)
        issuer.answers["/jwks"] = DOWN
        await clock.run(599)
        assert list_kids(keyring) == ["a"]
        await clock.run(1)
        assert dict(keyring.sets) == {}


@in_loop
async def test_recovery_after_the_set_was_dropped() -> None:
    """An issuer that comes back after a day is believed again within half a minute, by itself."""
    clock = SteppedClock()
    key = make_key("a")
    async with (
        Issuer({"/jwks": publish([key])}) as issuer,
        open_keyring(issuer, clock, max_stale_seconds=HOUR) as keyring,
    ):
        await clock.settle()
        issuer.answers["/jwks"] = DOWN
        await clock.run(2 * HOUR)
        assert dict(keyring.sets) == {}
        issuer.answers["/jwks"] = publish([key])
        await clock.run(30)
        assert list_kids(keyring) == ["a"]
        assert keyring.status()[0].last_error is None


@in_loop
async def test_issuer_that_is_down_at_the_start() -> None:
    """The gateway starts without its issuer, is not ready, and recovers when the issuer appears."""
    clock = SteppedClock()
    async with Issuer() as issuer:
        port = issuer.port
    async with open_keyring(issuer, clock) as keyring:
        await clock.run(60)
        assert (keyring.is_ready, keyring.waiting, dict(keyring.sets)) == (False, ("logto",), {})
        assert "cannot connect" in (keyring.status()[0].last_error or "")
        async with Issuer({"/jwks": publish([make_key("a")])}, port=port):
            await clock.run(30)
            assert (keyring.is_ready, list_kids(keyring)) == (True, ["a"])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(respond(b'{"keys": {}}'), "not a JWK Set", id="keys-is-an-object"),
        pytest.param(respond(b"[]"), "not a JWK Set", id="list"),
        pytest.param(respond(b"{}"), "not a JWK Set", id="no-keys"),
        pytest.param(respond(b'{"keys": []}'), "the JWK Set is empty", id="empty"),
        pytest.param(respond(b"<html>sign in</html>", content_type="text/html"), "not JSON", id="html"),
        pytest.param(respond(b""), "not JSON", id="no-body"),
        pytest.param(publish([make_key("b")])[:-3], "ended early", id="truncated"),
        pytest.param(respond(json.dumps({"keys": [make_key("b")]}).encode() + b"}"), "not JSON", id="trailing-garbage"),
        pytest.param(respond(b'{"keys": [{},]}'), "not JSON", id="trailing-comma"),
        pytest.param(publish([make_key("b", use="enc"), 5]), "no usable key among 2: key 0 ('b')", id="none-usable"),
        pytest.param(publish([{"kty": "oct", "k": "AAAA"}]), "no usable key among 1: key 0: a symm", id="symmetric"),
        pytest.param(publish([make_key(str(n)) for n in range(65)]), "65 keys, at most 64", id="65-keys"),
        pytest.param(respond(status="204 No Content"), "status 204", id="204"),
        pytest.param(respond(b"[" * 100_000), "not JSON", id="deep"),
    ],
)
@in_loop
async def test_poisoned_answer_changes_nothing(answer: Answer, reason: str) -> None:
    """An answer without a usable key is an outage: the last good set serves on, and the reason is recorded."""
    clock = SteppedClock()
    async with Issuer({"/jwks": publish([make_key("a")])}) as issuer, open_keyring(issuer, clock) as keyring:
        await clock.settle()
        before = keyring.sets["logto"]
        issuer.answers["/jwks"] = answer
        await clock.run(HOUR)
        assert keyring.sets["logto"] is before
        assert reason in (keyring.status()[0].last_error or "")


@pytest.mark.norm("7517-1")
@in_loop
async def test_one_bad_key_does_not_harm_the_others() -> None:
    """A key that cannot be used is skipped and named; the good ones beside it work."""
    clock = SteppedClock()
    keys = [make_key("a"), make_key("x", crv="P-999"), make_key("y") | {"x": "!!"}, None, make_key("b")]
    async with Issuer({"/jwks": publish(keys)}) as issuer, open_keyring(issuer, clock) as keyring:
        await clock.settle()
        assert list_kids(keyring) == ["a", "b"]
        assert [key.kid for key in keyring.sets["logto"].skipped] == ["x", "y", None]


@in_loop
async def test_unknown_kid_in_an_outage_asks_no_more_than_usual() -> None:
    """While the issuer is down an unknown kid costs one fetch per cooldown, and is not held to be missing."""
    clock = SteppedClock()
    async with Issuer({"/jwks": publish([make_key("a")])}) as issuer, open_keyring(issuer, clock) as keyring:
        await clock.settle()
        issuer.answers["/jwks"] = DOWN
        for _ in range(10):
            await keyring.supply(NeedKeys("logto", "new"))
        assert issuer.count() == 2
        issuer.answers["/jwks"] = publish([make_key("new")])
        await clock.run(30)
        await keyring.supply(NeedKeys("logto", "new"))
        assert list_kids(keyring) == ["new"]


@in_loop
async def test_failed_early_fetch_is_retried_by_itself() -> None:
    """A fetch for an unknown kid that failed is tried again a second later, though no refresh is due for minutes."""
    clock = SteppedClock()
    async with Issuer({"/jwks": publish([make_key("a")])}) as issuer, open_keyring(issuer, clock) as keyring:
        await clock.settle()
        issuer.answers["/jwks"] = DOWN
        await keyring.supply(NeedKeys("logto", "new"))
        issuer.answers["/jwks"] = publish([make_key("new")])
        await clock.run(1)
        assert list_kids(keyring) == ["new"]


@in_loop
async def test_a_line_for_each_change(lines: list[logging.LogRecord]) -> None:
    """Loading, skipping, failing and recovering are one line each, with the provider and the reason as fields."""
    clock = SteppedClock()
    async with (
        Issuer({"/jwks": publish([make_key("a"), make_key("no\n", use="enc")])}) as issuer,
        open_keyring(issuer, clock),
    ):
        await clock.settle()
        good = issuer.answers["/jwks"]
        issuer.answers["/jwks"] = DOWN
        await clock.run(600)
        issuer.answers["/jwks"] = good
        await clock.run(60)
    assert list_events(lines) == ["keys_loaded", "keys_skipped", "keys_failed", "keys_recovered"]
    assert [record.levelname for record in lines] == ["INFO", "WARNING", "WARNING", "INFO"]
    assert [record.__dict__["fields"] for record in lines] == [
        {"provider": "logto", "keys": 1},
        {"provider": "logto", "skipped": [r"key 1 ('no\n'): use is not sig"]},
        {"provider": "logto", "why": "keys: status 500"},
        {"provider": "logto"},
    ]


@pytest.mark.norm("7517-5")
@pytest.mark.parametrize(
    "members", [{"d": "AQ"}, {"kty": "oct", "k": "c2VjcmV0"}, {"k": "AQ"}], ids=["private", "symmetric", "both"]
)
@in_loop
async def test_a_published_secret_is_an_error(lines: list[logging.LogRecord], members: dict[str, str]) -> None:
    """RFC 7517, section 9.2: whoever reads the set can sign with it, so it is not used and somebody should know."""
    keys = [make_key("a"), make_key("b", **members)]
    clock = SteppedClock()
    async with Issuer({"/jwks": publish(keys)}) as issuer, open_keyring(issuer, clock) as keyring:
        await clock.settle()
        assert list_kids(keyring) == ["a"]
    [record] = [record for record in lines if record.__dict__["event"] == "keys_skipped"]
    assert record.levelname == "ERROR"
    assert "whoever can read it can sign" in record.__dict__["fields"]["skipped"][0]


@in_loop
async def test_an_outage_is_one_line_a_minute(lines: list[logging.LogRecord]) -> None:
    """Hours of retries fill no disk."""
    clock = SteppedClock()
    async with Issuer({"/jwks": DOWN}) as issuer, open_keyring(issuer, clock):
        await clock.run(HOUR)
    assert set(list_events(lines)) == {"keys_failed"}
    assert 55 <= len(lines) <= 61


@in_loop
async def test_dropping_a_set_is_said_aloud(lines: list[logging.LogRecord]) -> None:
    """The moment from which tokens are refused is an error in the log."""
    clock = SteppedClock()
    async with (
        Issuer({"/jwks": publish([make_key("a")])}) as issuer,
        open_keyring(issuer, clock, max_stale_seconds=700.0),
    ):
        await clock.settle()
        issuer.answers["/jwks"] = DOWN
        await clock.run(HOUR)
    assert [record.levelname for record in lines if record.__dict__["event"] == "keys_dropped"] == ["ERROR"]
