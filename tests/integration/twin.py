"""The same octets sent twice: straight to a recording upstream, and to it through the gateway."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace

from .gateway_harness import RawClient, bearer, open_gateway
from .upstream import OK, Peer, Upstream
from .wire import ADDED_TO_REQUESTS, Message, normalise_answer, normalise_request, read_answer, read_head, read_request

AFTER = b"GET /after HTTP/1.1\r\nHost: gateway.example\r\n%b\r\n"


@dataclass(frozen=True)
class Case:
    """
    Requests that are sent in one write, and what the upstream says to each; ``{token}`` marks where the token goes.

    With ``closes`` the upstream ends its connection after an answer. With ``may_continue`` the bodies wait for a 100.
    """

    requests: tuple[bytes, ...]
    answers: tuple[bytes, ...] = (OK,)
    closes: bool = False
    may_continue: bool = False


@dataclass
class Seen:
    """What came to the upstream, and what came back to the client; ``is_kept`` is whether a next request was served."""

    requests: list[Message] = field(default_factory=list)
    answers: list[Message] = field(default_factory=list)
    is_kept: bool = False


class Recorder:
    """An upstream that keeps each request whole, and answers them in turn; what comes after them is 200."""

    def __init__(self, case: Case) -> None:
        self.requests: list[Message] = []
        self._case = case
        self._answers = list(case.answers)

    async def __call__(self, peer: Peer) -> None:
        while True:
            head = await read_head(peer.reader)
            if head.values(b"expect"):
                await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            if head.start.split(b" ")[1] == WARM:
                await peer.send(OK)
                continue
            self.requests.append(await read_request(peer.reader, head))
            if self._answers:
                await peer.send(self._answers.pop(0))
                if self._case.closes:
                    return
            else:
                await peer.send(OK)


WARM = b"/warm"


async def see_both(case: Case, **changed: object) -> tuple[Seen, Seen]:
    """
    Return what was seen without and with the gateway.

    With it twice, once with no connection to the upstream and once with one that lies idle, as a request is then served
    in another way; and it must not show.
    """
    token = bearer()
    recorder = Recorder(case)
    async with Upstream(recorder) as upstream:
        direct = await _visit(upstream.port, case, token)
        direct.requests = recorder.requests
    cold, warm = [await _see_relayed(case, token, is_warm=is_warm, **changed) for is_warm in (False, True)]
    assert list(map(normalise_request, warm.requests)) == list(map(normalise_request, cold.requests))
    assert list(map(_without_own, warm.answers)) == list(map(_without_own, cold.answers))
    assert warm.is_kept == cold.is_kept
    return direct, cold


def _without_own(answer: Message) -> object:
    """Return an answer without the number that each request has of its own, in a refusal's body too, and the time."""
    [request_id] = answer.values(b"x-request-id") or [b"none"]
    whole = normalise_answer(answer)
    fields = tuple((name, b"(now)" if name.lower() == b"date" else value) for name, value in whole.fields)
    return replace(whole, fields=fields, body=whole.body.replace(request_id, b""))


async def _see_relayed(case: Case, token: bytes, *, is_warm: bool, **changed: object) -> Seen:
    recorder = Recorder(case)
    async with Upstream(recorder) as upstream, open_gateway(upstream.port, **changed) as application:
        if is_warm:
            async with RawClient(application) as client:
                assert (await client.get(WARM, bearer())).status == 200
        relayed = await _visit(application.listen.port, case, token)
    relayed.requests = recorder.requests
    return relayed


async def _visit(port: int, case: Case, token: bytes) -> Seen:
    seen = Seen()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    try:
        octets = [request.replace(b"{token}\r\n", token) for request in case.requests]
        if not case.may_continue:
            writer.write(b"".join(octets))
        for request in octets:
            head, _, body = request.partition(b"\r\n\r\n")
            if case.may_continue:
                writer.write(head + b"\r\n\r\n")
                seen.answers.append(await read_answer(reader))
                writer.write(body)
            while True:
                answer = await read_answer(reader, is_head=request.startswith(b"HEAD "))
                seen.answers.append(answer)
                if answer.status >= 200:
                    break
        seen.is_kept = await _is_kept(reader, writer, token)
    finally:
        writer.close()
        try:
            await writer.wait_closed()
        except ConnectionError:
            pass
    return seen


async def _is_kept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: bytes) -> bool:
    """Ask for one thing more: its answer stands right behind those before it, or the connection is over."""
    try:
        writer.write(AFTER % token)
        answer = await read_answer(reader)
    except ConnectionError:
        return False
    except asyncio.IncompleteReadError as end:
        if end.partial:
            raise
        return False
    assert (answer.status, answer.body) == (200, b"ok")
    return True


def check_same_requests(direct: Seen, relayed: Seen) -> None:
    """Check that the upstream got the same, but for what the gateway may say; ``/after`` is no part of it."""
    ours, theirs = (
        [request for request in seen.requests if b"/after" not in request.start] for seen in (direct, relayed)
    )
    assert list(map(normalise_request, theirs)) == list(map(normalise_request, ours))
    for without, with_gateway in zip(ours, theirs, strict=True):
        added = _count_names(with_gateway) - _count_names(without)
        own = ADDED_TO_REQUESTS if without.values(b"host") else ADDED_TO_REQUESTS - {b"x-forwarded-host"} | {b"host"}
        assert set(added) <= own | {b"connection"}, added
        assert own <= set(_count_names(with_gateway))
        assert all(count == 1 for name, count in _count_names(with_gateway).items() if name in own)
        assert with_gateway.start.endswith(b" HTTP/1.1")


def _count_names(message: Message) -> Counter[bytes]:
    return Counter(name.lower() for name, _ in message.fields)


def check_same_answers(direct: Seen, relayed: Seen, *, is_http_1_0: bool = False) -> None:
    """Check that the client got the same, but for what the gateway may say; a 100 is said by each hop for itself."""
    ours, theirs = (
        [normalise_answer(answer, is_http_1_0=is_http_1_0) for answer in seen.answers if answer.status != 100]
        for seen in (direct, relayed)
    )
    if is_http_1_0:
        ours = [answer for answer in ours if not answer.start.startswith(b"1")]
    assert theirs == ours
    for answer in relayed.answers:
        assert len(answer.values(b"x-request-id")) == (answer.status >= 200)
        assert answer.start.startswith(b"HTTP/1.1 ")
