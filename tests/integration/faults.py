"""A gateway whose state is looked at after a fault: its records, its gauge, its connections, and that it goes on."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.app.application import Application

from .gateway_harness import RawClient, bearer, open_gateway
from .loop import wait_until
from .upstream import OK, Peer, Script, Upstream

WARM = "/warm"
POST = b"POST / HTTP/1.1\r\nHost: gateway.example\r\n"


@dataclass(frozen=True)
class Observed:
    """A gateway in front of a scripted upstream."""

    application: Application
    upstream: Upstream
    log: Path

    def read_records(self) -> list[dict[str, Any]]:
        """Return the access records so far."""
        self.application._output.writer.flush()
        records = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [record for record in records if record["path"] != WARM]

    async def wait_for_records(self, count: int) -> list[dict[str, Any]]:
        """Return that many access records, once they are there; more are a failure."""
        await wait_until(lambda: len(self.read_records()) >= count)
        records = self.read_records()
        assert len(records) == count, records
        return records

    async def check_recovered(self, *outcomes: tuple[int, str | None]) -> None:
        """Check that these status and reasons were written down, once each, and that all goes on as if nothing was."""
        records = await self.wait_for_records(len(outcomes))
        assert [(record["status"], record["reason"]) for record in records] == list(outcomes)
        await self.check_at_rest()
        async with RawClient(self.application) as client:
            answer = await client.get(b"/after", bearer())
        assert (answer.status, answer.body) == (200, b"ok")
        records = await self.wait_for_records(len(outcomes) + 1)
        assert (records[-1]["path"], records[-1]["status"], records[-1]["reason"]) == ("/after", 200, None)
        await self.check_at_rest()

    async def check_at_rest(self) -> None:
        """Check that no request is in flight and that no upstream connection is held by anybody."""
        [pool] = self.application._pools
        metrics = self.application._metrics
        await wait_until(lambda: metrics.requests_in_flight == 0)
        await wait_until(lambda: set(pool._open) == set(pool._idle))
        assert not pool._line
        assert all(number == (0.0,) for _, number in metrics.snapshot()["streams_active"])


@asynccontextmanager
async def observe(script: Script, *, is_warm: bool = False, **changed: Any) -> AsyncIterator[Observed]:
    """
    Open a gateway in front of an upstream that plays the script on its first connection, and is sound on others.

    With ``is_warm`` that connection has carried an exchange before and lies idle, so that the next request may be
    served with no task.
    """

    async def first_then_sound(peer: Peer) -> None:
        if peer.number == 0:
            if is_warm:
                await peer.read_head()
                await peer.send(OK)
            await script(peer)
        else:
            await answer_all(peer)

    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        async with Upstream(first_then_sound) as upstream:
            async with open_gateway(upstream.port, output_path=log.name, **changed) as application:
                if is_warm:
                    async with RawClient(application) as client:
                        assert (await client.get(WARM.encode(), bearer())).status == 200
                yield Observed(application, upstream, Path(log.name))


async def answer_all(peer: Peer) -> None:
    """Answer each request without a body with 200."""
    while True:
        await peer.read_head()
        await peer.send(OK)


async def end(peer: Peer) -> None:
    """End the connection in order."""
    peer.writer.close()


async def reset(peer: Peer) -> None:
    """End it with RST."""
    peer.reset()


async def stall(peer: Peer) -> None:
    """Say no more."""
    await peer.wait_for_end()
