"""Octets that the kernel moves: all of them and no more, and what becomes of it when one side ends."""

from __future__ import annotations

import asyncio
import errno
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway.proxy.splice import Splice, SpliceEnded

from .loop import in_each_loop, wait_until

SIZE = 3 * 1024 * 1024 + 17


class Line:
    """A writer, the two sockets that a splice is between, and a reader."""

    def __init__(self, family: int) -> None:
        self.writer, self.source = connect(family)
        self.target, self.reader = connect(family)
        self.progress = 0

    def open(self, count: int = SIZE, *, is_upload: bool = True, idle_seconds: float = 5.0) -> Splice:
        def go_on() -> None:
            self.progress += 1

        return Splice(
            self.source.fileno(),
            self.target.fileno(),
            count,
            is_upload=is_upload,
            idle_seconds=idle_seconds,
            on_progress=go_on,
        )

    def close(self) -> None:
        for each in (self.writer, self.source, self.target, self.reader):
            each.close()


def connect(family: int) -> tuple[socket.socket, socket.socket]:
    if family == socket.AF_UNIX:
        pair = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as server:
            pair = (socket.create_connection(server.getsockname()), server.accept()[0])
    for each in pair:
        each.setblocking(False)
    return pair


@contextmanager
def open_line(family: int = socket.AF_INET) -> Iterator[Line]:
    line = Line(family)
    try:
        yield line
    finally:
        line.close()


async def read(reader: socket.socket, count: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < count and (piece := await loop.sock_recv(reader, 65536)):
        data += piece
    return data


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX], ids=["tcp", "unix"])
@in_each_loop
async def test_so_many_octets_pass_and_no_more(family: int) -> None:
    """What stands behind them stays where it is."""
    octets = random.Random(1).randbytes(SIZE + 1000)  # noqa: S311 - a body, not a secret
    with open_line(family) as line:
        loop = asyncio.get_running_loop()
        writing = asyncio.create_task(loop.sock_sendall(line.writer, octets))
        splice = line.open()
        running = asyncio.create_task(splice.run())
        assert await read(line.reader, SIZE) == octets[:SIZE]
        await running
        splice.close()
        await writing
        assert await read(line.source, 1000) == octets[SIZE:]
        assert splice.moved == SIZE
        assert line.progress > 1


@in_each_loop
async def test_others_have_their_turn() -> None:
    """However fast both sides are."""
    with open_line() as line:
        loop = asyncio.get_running_loop()
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        counting = asyncio.create_task(count_turns())
        writing = asyncio.create_task(loop.sock_sendall(line.writer, bytes(SIZE * 8)))
        reading = asyncio.create_task(read(line.reader, SIZE * 8))
        splice = line.open(SIZE * 8)
        await splice.run()
        splice.close()
        await asyncio.gather(writing, reading)
        counting.cancel()
        await asyncio.wait([counting])
        assert turns > 8


@pytest.mark.parametrize("is_source", [True, False], ids=["source", "target"])
@in_each_loop
async def test_the_side_that_ends_is_named(is_source: bool) -> None:
    """A source that ends before its last octet, or a target that takes no more."""
    with open_line() as line:
        splice = line.open()
        line.writer.send(b"begun")
        running = asyncio.create_task(splice.run())
        assert await read(line.reader, 5) == b"begun"
        if is_source:
            line.writer.close()
        else:
            line.reader.close()
            for _ in range(3):
                await asyncio.sleep(0.01)
                line.writer.send(b"more")
        with pytest.raises(SpliceEnded) as caught:
            await running
        splice.close()
    assert (caught.value.is_source, caught.value.is_stalled) == (is_source, False)


@pytest.mark.parametrize("is_upload", [True, False], ids=["an upload", "a download"])
@pytest.mark.parametrize("is_source", [True, False], ids=["source", "target"])
@in_each_loop
async def test_only_the_client_has_its_time_here(is_upload: bool, is_source: bool) -> None:
    """It has that long, again after each octet that passed; the upstream's time is counted elsewhere."""
    with open_line() as line:
        loop = asyncio.get_running_loop()
        splice = line.open(SIZE * 8, is_upload=is_upload, idle_seconds=0.2)
        began = loop.time()
        running = asyncio.create_task(splice.run())
        writing = asyncio.create_task(loop.sock_sendall(line.writer, b"x" if is_source else bytes(SIZE * 8)))
        await asyncio.sleep(0.1)
        if is_source:
            line.writer.send(b"x")
        if is_source is is_upload:
            with pytest.raises(SpliceEnded) as caught:
                await running
            assert loop.time() - began >= (0.28 if is_source else 0.18)
            assert (caught.value.is_source, caught.value.is_stalled) == (is_source, True)
        else:
            await asyncio.wait([running], timeout=0.6)
            assert not running.done()
            assert splice.waits_for_upstream
        for task in (running, writing):
            task.cancel()
        await asyncio.wait([running, writing])
        splice.close()


@in_each_loop
async def test_an_urgent_octet_stops_it() -> None:
    """Linux never moves past one, and calls for it all the time (tcp(7))."""
    with open_line() as line:
        splice = line.open()
        running = asyncio.create_task(splice.run())
        line.writer.send(b"begun")
        assert await read(line.reader, 5) == b"begun"
        line.writer.send(b"!", socket.MSG_OOB)
        line.writer.send(b"more")
        with pytest.raises(SpliceEnded) as caught:
            await asyncio.wait_for(running, 2)
        splice.close()
    assert (caught.value.is_source, caught.value.is_stalled, splice.moved) == (True, False, 5)


@in_each_loop
async def test_there_are_so_many_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or they would take the files that connections need."""
    monkeypatch.setattr("gateway.proxy.splice._MAX_SPLICES", 2)
    with open_line() as line:
        for _ in range(2):
            splices = [line.open() for _ in range(2)]
            with pytest.raises(OSError, match="Too many open files"):
                line.open()
            for splice in splices:
                splice.close()


@pytest.mark.parametrize("before", [True, False], ids=["before it runs", "while it runs"])
@in_each_loop
async def test_a_stopped_one_moves_nothing_more(before: bool) -> None:
    """Whoever owns a socket says that it is gone."""
    with open_line() as line:
        splice = line.open()
        running = asyncio.create_task(splice.run()) if not before else None
        await asyncio.sleep(0)
        splice.lose_upstream()
        splice.lose_upstream()
        line.writer.send(b"late")
        with pytest.raises(SpliceEnded) as caught:
            await (running or splice.run())
        await asyncio.sleep(0.02)
        assert (splice.moved, caught.value.is_source) == (0, False)
        splice.close()


@in_each_loop
async def test_a_cancelled_one_leaves_no_file_open() -> None:
    """The sockets are as open as before."""
    with open_line() as line:
        splice = line.open()
        running = asyncio.create_task(splice.run())
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])
        splice.close()
        line.writer.send(b"still here")
        await wait_until(lambda: line.source.recv(4, socket.MSG_PEEK) == b"stil")


@in_each_loop
async def test_too_many_open_files_leave_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of the four is the one too many."""
    with open_line() as line:

        def refuse(*_: object) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        for module, name in (("os", "dup"), ("os", "pipe2"), ("fcntl", "fcntl")):
            with monkeypatch.context() as patch:
                patch.setattr(f"gateway.proxy.splice.{module}.{name}", refuse)
                with pytest.raises(OSError, match="Too many open files"):
                    line.open()
