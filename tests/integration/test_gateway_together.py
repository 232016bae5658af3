"""Requests that come in one turn of the loop and are decided together: each is served as if it were alone."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from gateway.core import verification
from gateway.proxy.fast_path import FastPath
from gateway.proxy.preparation import Preparation

from .faults import Observed
from .gateway_harness import Answer, RawClient, bearer, make_token, open_gateway
from .loop import in_loop, wait_until
from .upstream import Peer, Upstream

MANY = 40


def get(number: int, fields: bytes | None = None) -> bytes:
    """Return a request of a caller of its own, or with these fields in place of its token."""
    own = bearer(sub=f"user-{number}") if fields is None else fields
    return b"GET /%d HTTP/1.1\r\nHost: gateway.example\r\n" % number + own + b"\r\n"


async def echo(peer: Peer) -> None:
    """Answer each request with its path and the identity that came with it."""
    while True:
        head = await peer.read_head()
        [identity] = [line for line in head.split(b"\r\n") if line.startswith(b"X-Identity: ")]
        body = head.split(b" ", 2)[1] + b" " + identity.removeprefix(b"X-Identity: ")
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


class Crowd:
    """Clients with a connection each, and how many of their requests were decided together, each time."""

    def __init__(self, gateway: Observed, clients: list[RawClient], turns: list[int]) -> None:
        self.gateway = gateway
        self.clients = clients
        self.turns = turns

    @property
    def connections(self) -> list[Any]:
        """The gateway's side of them, in no order."""
        server = self.gateway.application._server
        return list(server.plain or server.connections)

    def send(self, requests: list[bytes]) -> None:
        """Send a request from each client, so that the gateway finds them all at once."""
        for client, request in zip(self.clients, requests, strict=False):
            client.writer.write(request)

    async def ask(self, requests: list[bytes]) -> list[Answer]:
        """Send a request from each client at once; return the answers in the order of the clients."""
        self.send(requests)
        return [await client.read_answer() for client in self.clients[: len(requests)]]


Gather = Callable[..., AbstractAsyncContextManager[Crowd]]


@pytest.fixture(params=["plain", "aiohttp"])
def gather(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gather:
    """Return what opens a gateway with clients, whose connections are plain ones or aiohttp's."""
    return functools.partial(_gather, tmp_path, monkeypatch, is_plain=request.param == "plain")


@asynccontextmanager
async def _gather(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, is_plain: bool, count: int = MANY
) -> AsyncIterator[Crowd]:
    """Open a gateway with that many clients, and upstream connections that lie idle, so that the fast path serves."""
    turns: list[int] = []
    go_on = FastPath._go_on

    def note(self: FastPath) -> None:
        turns.append(len(self._waiting) + len(self._unproven) + len(self._twins))
        go_on(self)

    monkeypatch.setattr(FastPath, "_go_on", note)
    log = folder / "access.log"
    async with (
        Upstream(echo) as upstream,
        open_gateway(upstream.port, output_path=str(log)) as application,
        AsyncExitStack() as stack,
    ):
        gateway = Observed(application, upstream, log)
        clients = [await stack.enter_async_context(RawClient(application)) for _ in range(count)]
        crowd = Crowd(gateway, clients, turns)
        warm = b"GET /warm HTTP/1.1\r\nHost: gateway.example\r\n" + bearer() + b"\r\n"
        # Nothing lay idle, so that all of these connections are aiohttp's now.
        assert {answer.status for answer in await crowd.ask([warm] * count)} == {200}
        if is_plain:
            crowd.clients = [await stack.enter_async_context(RawClient(application)) for _ in range(count)]
            await wait_until(lambda: len(application._server.plain) == count)
        turns.clear()
        yield crowd


def note_proofs(monkeypatch: pytest.MonkeyPatch, events: list[str]) -> None:
    """From now on, have an event for each signature that is checked."""
    check = verification.verify_signature

    def note(*arguments: Any) -> Any:
        events.append("proof")
        return check(*arguments)

    monkeypatch.setattr(verification, "verify_signature", note)


def note_beginnings(monkeypatch: pytest.MonkeyPatch, events: list[str]) -> None:
    """From now on, have the path of each request that is begun with as an event."""
    begin = Preparation.begin

    def note(self: Preparation, visit: Any, *arguments: Any) -> Any:
        events.append(visit.target)
        return begin(self, visit, *arguments)

    monkeypatch.setattr(Preparation, "begin", note)


@in_loop
async def test_each_has_its_own_identity(gather: Gather) -> None:
    """With tokens that are new and with tokens that are known."""
    async with gather() as crowd:
        for _ in range(2):
            answers = await crowd.ask([get(number) for number in range(MANY)])
            for number, answer in enumerate(answers):
                path, _, identity = answer.body.partition(b" ")
                assert (answer.status, path) == (200, b"/%d" % number)
                assert json.loads(identity)["subject"] == f"user-{number}"
        # More than one at a time, or this holds nothing; and no number of them keeps the first waiting.
        assert 1 < max(crowd.turns) <= 32
        await crowd.gateway.check_at_rest()


@in_loop
async def test_a_refusal_is_nobody_else_s(gather: Gather) -> None:
    """One is refused before its token is proven, one while, one after; the others do not notice."""
    forged = b"Authorization: Bearer %b\r\n" % make_token(key=ECKey.generate_key("P-256")).encode()
    wrong = {1: b"", 4: bearer(exp=1), 7: bearer(audience="another"), 8: b"Authorization: Bearer e\r\n", 9: forged}
    async with gather(count=10) as crowd:
        answers = await crowd.ask([get(number, wrong.get(number)) for number in range(10)])
        assert [answer.status for answer in answers] == [401 if number in wrong else 200 for number in range(10)]
        assert max(crowd.turns) > 1
        reasons = {record["path"]: record["reason"] for record in await crowd.gateway.wait_for_records(10)}
        assert [reasons[f"/{number}"] for number in sorted(wrong)] == [
            *("missing_token", "expired", "audience_mismatch", "not_a_jwt", "bad_signature"),
        ]
        # And their connections are as good as before.
        assert {answer.status for answer in await crowd.ask([get(number) for number in range(10)])} == {200}
        await crowd.gateway.check_at_rest()


@in_loop
async def test_who_is_known_waits_for_no_proof(gather: Gather, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many new tokens come with a known one, it goes on before they are looked at."""
    events: list[str] = []
    async with gather(count=6) as crowd:
        known = [get(number) for number in range(3)]
        await crowd.ask(known)
        note_proofs(monkeypatch, events)
        send = FastPath._send

        def note_sent(self: FastPath, visit: Any) -> None:
            events.append(visit.target)
            send(self, visit)

        monkeypatch.setattr(FastPath, "_send", note_sent)
        crowd.turns.clear()
        await crowd.ask([get(3), get(4), get(5), *known])
        assert crowd.turns == [6, 3]
        assert sorted(events[:3]) == ["/0", "/1", "/2"]
        # All proofs, one after the other; then what is to be sent.
        assert events[3:6] == ["proof"] * 3
        assert sorted(events[6:]) == ["/3", "/4", "/5"]


@in_loop
async def test_signatures_wait_for_more_of_them(gather: Gather, monkeypatch: pytest.MonkeyPatch) -> None:
    """While each turn brings another new token, none is proven; once one brings none, all are, one after the other."""
    events: list[str] = []
    begin = Preparation.begin

    async with gather(count=5) as crowd:
        first, *others = crowd.connections
        late = iter(others)

        def bring_another(self: Preparation, visit: Any, *arguments: Any) -> Any:
            protocol = next(late, None)
            if protocol is not None:
                # It comes once this turn is over.
                asyncio.get_running_loop().call_soon(protocol.data_received, get(len(events)))
            return begin(self, visit, *arguments)

        monkeypatch.setattr(Preparation, "begin", bring_another)
        note_beginnings(monkeypatch, events)
        note_proofs(monkeypatch, events)
        first.data_received(get(0))
        answers = await asyncio.gather(*(client.read_answer() for client in crowd.clients))
        assert {answer.status for answer in answers} == {200}
        assert events == ["/0", "/1", "/2", "/3", "/4", *["proof"] * 5]
        await crowd.gateway.check_at_rest()


@pytest.mark.parametrize("is_good", [True, False])
@in_loop
async def test_a_token_that_many_bring_is_proven_once(
    gather: Gather, monkeypatch: pytest.MonkeyPatch, *, is_good: bool
) -> None:
    """As a page does that asks for many things at once, with a token that it just got; a bad one is not remembered."""
    proofs: list[str] = []
    async with gather(count=12) as crowd:
        token = make_token(key=None if is_good else ECKey.generate_key("P-256"), sub="a page").encode()
        note_proofs(monkeypatch, proofs)
        answers = await crowd.ask([get(number, b"Authorization: Bearer %b\r\n" % token) for number in range(12)])
        assert [answer.status for answer in answers] == [200 if is_good else 401] * 12
        assert max(crowd.turns) > 1
        assert len(proofs) == (1 if is_good else 12)
        await crowd.gateway.check_at_rest()


@in_loop
async def test_a_bad_token_that_very_many_bring(gather: Gather, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool whose token has expired: it costs each of them two beginnings, however many they are."""
    begun: list[str] = []
    async with gather(count=200) as crowd:
        expired = bearer(sub="a service", exp=1)
        note_beginnings(monkeypatch, begun)
        answers = await crowd.ask([get(number, expired) for number in range(200)])
        assert {answer.status for answer in answers} == {401}
        assert max(map(begun.count, set(begun))) == 2
        assert 1 < max(crowd.turns) <= 32
        # In two turns, with room for the first of them.
        protocols = crowd.connections
        crowd.turns.clear()

        def receive(numbers: range) -> None:
            for number in numbers:
                protocols[number].data_received(get(number, expired))

        receive(range(20))
        asyncio.get_running_loop().call_soon(receive, range(20, 50))
        await crowd.gateway.wait_for_records(250)
        assert crowd.turns[:2] == [20, 32]
        await crowd.gateway.check_at_rest()


@in_loop
async def test_at_most_one_turn_is_due(gather: Gather, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many requests were read at once: a second one would find nothing new, and wait for nothing."""
    due: set[asyncio.Handle] = set()
    most = 0
    go_on_soon = FastPath._go_on_soon

    def note(self: FastPath) -> None:
        nonlocal most
        go_on_soon(self)
        assert self._due is not None
        due.add(self._due)
        most = max(most, sum(not handle.cancelled() for handle in due))

    async with gather(count=100) as crowd:
        monkeypatch.setattr(FastPath, "_go_on_soon", note)
        answers = await crowd.ask([get(number) for number in range(100)])
        assert {answer.status for answer in answers} == {200}
        assert most == 1
        await crowd.gateway.check_at_rest()


@pytest.mark.parametrize("step", ["begin", "go_on"])
@in_loop
async def test_a_defect_is_nobody_else_s(gather: Gather, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Whatever one of them meets: it is told, that client learns that there is no answer, and all others get theirs."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    taken = getattr(Preparation, step)

    def fail(self: Preparation, visit: Any, *arguments: Any) -> Any:
        if visit.target == "/2":
            raise ZeroDivisionError("a defect")
        return taken(self, visit, *arguments)

    async with gather(count=5) as crowd:
        monkeypatch.setattr(Preparation, step, fail)
        crowd.send([get(number) for number in range(5)])
        for number, client in enumerate(crowd.clients):
            if number == 2:
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await client.read_answer()
            else:
                assert (await client.read_answer()).status == 200
        assert [type(context["exception"]) for context in told] == [ZeroDivisionError]
        assert max(crowd.turns) > 1
        records = await crowd.gateway.wait_for_records(5)
        assert sorted(record["status"] for record in records) == [200] * 4 + [499]
        await crowd.gateway.check_at_rest()


def go(protocol: Any) -> None:
    transport = protocol.transport
    protocol.connection_lost(None)
    transport.abort()


def send_more(protocol: Any) -> None:
    protocol.data_received(get(7))


def interfere_when_read(monkeypatch: pytest.MonkeyPatch, interfere: Callable[[Any], None]) -> None:
    take = FastPath.take

    def note(self: FastPath, protocol: Any, data: bytes) -> bool:
        was_taken = take(self, protocol, data)
        if was_taken and b"/1 " in data:
            interfere(protocol)
        return was_taken

    monkeypatch.setattr(FastPath, "take", note)


def interfere_when_begun(monkeypatch: pytest.MonkeyPatch, interfere: Callable[[Any], None]) -> None:
    """Interfere once the turn that began with a request is over, before its signature is checked."""
    begin = Preparation.begin
    interferences = iter([interfere])

    def note(self: Preparation, visit: Any, *arguments: Any) -> Any:
        rest = begin(self, visit, *arguments)
        if rest is not None and visit.target == "/1" and (now := next(interferences, None)):
            asyncio.get_running_loop().call_soon(now, visit.protocol)
        return rest

    monkeypatch.setattr(Preparation, "begin", note)


@pytest.mark.parametrize("arrange", [interfere_when_read, interfere_when_begun])
@pytest.mark.parametrize(
    ("interfere", "answered", "statuses"),
    [(go, (), [200, 200, 499]), (send_more, (b"/1 ", b"/7 "), [200] * 4)],
    ids=["gone", "more"],
)
@in_loop
async def test_what_happens_before_the_decision(
    gather: Gather,
    monkeypatch: pytest.MonkeyPatch,
    arrange: Callable[[pytest.MonkeyPatch, Callable[[Any], None]], None],
    interfere: Callable[[Any], None],
    answered: tuple[bytes, ...],
    statuses: list[int],
) -> None:
    """Who goes before is written down as gone; who sends another request behind has both answered, in order."""
    async with gather(count=3) as crowd:
        application = crowd.gateway.application
        arrange(monkeypatch, interfere)
        crowd.send([get(number) for number in range(3)])
        for number in (0, 2):
            assert (await crowd.clients[number].read_answer()).body.startswith(b"/%d " % number)
        for path in answered:
            assert (await crowd.clients[1].read_answer()).body.startswith(path)
        records = await crowd.gateway.wait_for_records(len(statuses))
        assert sorted(record["status"] for record in records) == statuses
        await wait_until(lambda: application._metrics.requests_in_flight == 0)
        await crowd.gateway.check_at_rest()
