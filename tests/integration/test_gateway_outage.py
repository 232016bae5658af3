"""What callers see while an issuer is down or lies: through the whole gateway, with its keys on simulated time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from joserfc.jwk import ECKey

from gateway.admin.metrics import Snapshot
from gateway.app.application import Application
from gateway.config.settings import KeySourceSettings

from .gateway_harness import ISSUER, Answer, ask_once, make_token, open_gateway, signing_key
from .issuer import Answer as Document
from .issuer import Issuer, make_key, publish, respond
from .loop import in_loop
from .stepped_clock import SteppedClock
from .upstream import OK, Upstream, play

HOUR = 3600.0
DOWN = respond(status="500 Internal Server Error")
PUBLIC_KEY = signing_key().as_dict(private=False)


@dataclass
class Scene:
    """A gateway that has the keys of its issuer, and the clock that they age by."""

    gateway: Application
    issuer: Issuer
    clock: SteppedClock
    tokens: int = 0

    async def ask(self, token: str) -> Answer:
        return await ask_once(
            self.gateway, f"GET / HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        )

    async def ask_with_new_token(self, **options: Any) -> Answer:
        """Ask with a token that was never proven before."""
        self.tokens += 1
        return await self.ask(make_token(jti=str(self.tokens), **options))

    async def read_key_metrics(self) -> Snapshot:
        return {name: rows for name, rows in (await self.gateway.collect()).items() if name.startswith("jwks_")}


@asynccontextmanager
async def open_scene(**fields: Any) -> AsyncIterator[Scene]:
    clock = SteppedClock()
    async with Issuer({"/jwks": publish([PUBLIC_KEY])}) as issuer, Upstream(play(*[OK] * 20)) as upstream:
        source = KeySourceSettings("logto", (ISSUER,), url=issuer.locate(), **fields)
        async with open_gateway(upstream.port, key_sources=(source,), clock=clock) as gateway:
            await clock.settle()
            yield Scene(gateway, issuer, clock)


def read_reason(answer: Answer) -> tuple[int, str]:
    return answer.status, str(json.loads(answer.body)["reason"])


@in_loop
async def test_an_issuer_that_is_down_for_an_hour_is_not_missed() -> None:
    """Tokens old and new pass, the gateway stays ready, and the time of the last good fetch stands still."""
    async with open_scene() as scene:
        token = make_token()
        assert (await scene.ask(token)).status == 200
        before = await scene.read_key_metrics()
        scene.issuer.answers["/jwks"] = DOWN
        for _ in range(4):
            await scene.clock.run(HOUR / 4)
            assert (await scene.ask(token)).status == 200
            assert (await scene.ask_with_new_token()).status == 200
        assert await scene.gateway.readiness() == (True, "")
        after = await scene.read_key_metrics()
        name = "jwks_last_success_timestamp_seconds"
        assert after[name] == before[name] == [(("logto",), (scene.clock.calendar_now() - HOUR,))]


@in_loop
async def test_keys_beyond_max_stale_are_an_outage_and_nobody_is_refused_for_it() -> None:
    """503 with Retry-After and without a challenge, whatever the token; once the issuer is back, all is as before."""
    async with open_scene(max_stale_seconds=2 * HOUR) as scene:
        proven = make_token()
        assert (await scene.ask(proven)).status == 200
        scene.issuer.answers["/jwks"] = DOWN
        await scene.clock.run(2 * HOUR - 1)
        assert (await scene.ask(proven)).status == 200
        await scene.clock.run(1)
        stranger = ECKey.generate_key("P-256", {"kid": "k1"})
        tokens = [proven, make_token(jti="new"), make_token(exp=1), make_token("other"), make_token(key=stranger)]
        for token in tokens:
            answer = await scene.ask(token)
            assert read_reason(answer) == (503, "keys_unavailable")
            assert int(answer.fields(b"retry-after")[0]) > 0
            assert answer.fields(b"www-authenticate") == []
        scene.issuer.answers["/jwks"] = publish([PUBLIC_KEY])
        await scene.clock.run(30)
        assert (await scene.ask(proven)).status == 200
        reasons = [read_reason(await scene.ask(token)) for token in tokens[2:]]
        assert reasons == [(401, "expired"), (401, "audience_mismatch"), (401, "bad_signature")]


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(publish([]), id="empty"),
        pytest.param(respond(b'{"keys": {}}'), id="no-array"),
        pytest.param(respond(b"<html>sign in</html>", content_type="text/html"), id="html"),
        pytest.param(publish([PUBLIC_KEY])[:-3], id="cut"),
        pytest.param(publish([{"kty": "oct", "kid": "k1", "k": "c2VjcmV0"}]), id="symmetric"),
        pytest.param(publish([make_key("k1", use="enc")]), id="for-encryption"),
        pytest.param(publish([make_key("k1", d="AQAB")]), id="private"),
        pytest.param(publish([make_key("k1", crv="P-384")]), id="on-another-curve"),
    ],
)
@in_loop
async def test_a_poisoned_key_set_changes_nothing_but_the_count_of_fetches(document: Document) -> None:
    """A set without a usable key is no set: tokens pass and fail as before, and of all gauges none moves."""
    async with open_scene() as scene:
        assert (await scene.ask_with_new_token()).status == 200
        before = await scene.read_key_metrics()
        scene.issuer.answers["/jwks"] = document
        await scene.clock.run(HOUR)
        assert (await scene.ask_with_new_token()).status == 200
        stranger = ECKey.generate_key("P-256", {"kid": "k1"})
        assert read_reason(await scene.ask_with_new_token(key=stranger)) == (401, "bad_signature")
        assert await scene.gateway.readiness() == (True, "")
        after = await scene.read_key_metrics()
        assert {name for name in after if after[name] != before[name]} == {"jwks_fetch_total"}
        (provider,) = (await scene.gateway.status())["providers"]
        assert provider["last_error"]


@in_loop
async def test_a_poisoned_key_beside_good_ones_changes_nothing_but_a_gauge() -> None:
    """The good key of the new set works on, the bad ones are skipped and counted."""
    async with open_scene() as scene:
        bad = [{"kty": "oct", "kid": "k1", "k": "c2VjcmV0"}, make_key("k1", use="enc"), make_key("k1", crv="P-384")]
        scene.issuer.answers["/jwks"] = publish([*bad, PUBLIC_KEY])
        await scene.clock.run(HOUR)
        assert (await scene.ask_with_new_token()).status == 200
        metrics = await scene.read_key_metrics()
        assert metrics["jwks_keys"] == [(("logto",), (1,))]
        assert metrics["jwks_skipped_keys"] == [(("logto",), (3,))]
