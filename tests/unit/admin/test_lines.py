"""The writer of lines: order, and what becomes of a reader that stalls, is gone, or does not block."""

from __future__ import annotations

import fcntl
import os
import select
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

from gateway.admin.lines import LineWriter, split_lines

LINE = "x" * 1023 + "\n"


@contextmanager
def open_pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    try:
        yield reader, writer
    finally:
        for descriptor in (reader, writer):
            try:
                os.close(descriptor)
            except OSError:
                pass


def read_lines(descriptor: int, count: int) -> bytes:
    data = b""
    while data.count(b"\n") < count:
        data += os.read(descriptor, 65536)
    return data


def test_lines_arrive_in_order() -> None:
    """What was written first is read first, whole."""
    with open_pipe() as (reader, descriptor), closing(LineWriter(descriptor)) as writer:
        for number in range(1000):
            writer.write(f"{number}\n")
        assert writer.flush()
        assert read_lines(reader, 1000).split() == [str(number).encode() for number in range(1000)]
        assert writer.lost_lines == 0


def test_lines_arrive_without_a_flush() -> None:
    """A line is written soon by itself, again and again."""
    with open_pipe() as (reader, descriptor), closing(LineWriter(descriptor)) as writer:
        for text in (b"first\n", b"second\n", b"third\n"):
            writer.write(text.decode())
            assert read_lines(reader, 1) == text


def test_stalled_reader_costs_lines_and_no_time() -> None:
    """A full pipe never blocks ``write``; what the queue cannot hold is counted, the rest arrives when it is read."""
    with open_pipe() as (reader, descriptor):
        capacity = fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, 4096)
        writer = LineWriter(descriptor, max_lines=10)
        # Enough to fill the pipe and the thread's hands: the flush says that it could not be done.
        for _ in range(10):
            writer.write(LINE)
        assert not writer.flush(timeout_seconds=0.2)
        for _ in range(30):
            writer.write(LINE)
        assert writer.lost_lines == 20
        assert capacity < 10 * len(LINE)
        assert len(read_lines(reader, 20)) == 20 * len(LINE)
        assert writer.flush()
        writer.close()
        assert writer.lost_lines == 20


def test_close_leaves_a_stalled_reader_behind() -> None:
    """The end of the gateway does not wait for a reader that does not read."""
    with open_pipe() as (reader, descriptor):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, 4096)
        writer = LineWriter(descriptor)
        for _ in range(10):
            writer.write(LINE)
        writer.close(timeout_seconds=0.1)
        writer.write("late\n")
        assert writer.lost_lines == 1
        # Let the thread end before its pipe does.
        read_lines(reader, 10)


def test_reader_that_is_gone_costs_its_lines() -> None:
    """A broken pipe is counted line by line, and later lines are tried again."""
    with open_pipe() as (reader, descriptor), closing(LineWriter(descriptor)) as writer:
        os.close(reader)
        writer.write("one\n")
        writer.write("two\n")
        assert writer.flush()
        writer.write("three\n")
        assert writer.flush()
        assert writer.lost_lines == 3


def test_disk_that_is_full_costs_its_lines() -> None:
    """Any other error of the output is no one else's either."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    with closing(LineWriter(descriptor)) as writer:
        writer.write("one\n")
        assert writer.flush()
        assert writer.lost_lines == 1
    os.close(descriptor)


def test_non_blocking_output_loses_nothing() -> None:
    """A pipe that its owner made non-blocking is waited for."""
    with open_pipe() as (reader, descriptor), closing(LineWriter(descriptor)) as writer:
        os.set_blocking(descriptor, False)
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, 4096)
        for _ in range(100):
            writer.write(LINE)
        assert len(read_lines(reader, 100)) == 100 * len(LINE)
        assert writer.lost_lines == 0


def test_several_threads_may_write() -> None:
    """Lines of different threads come whole."""
    with open_pipe() as (reader, descriptor), closing(LineWriter(descriptor)) as writer:

        def write() -> None:
            for _ in range(50):
                writer.write(LINE)

        threads = [threading.Thread(target=write, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert read_lines(reader, 200) == LINE.encode() * 200
        for thread in threads:
            thread.join()


def test_flush_after_close_returns_at_once() -> None:
    """``logging`` flushes once more at exit; nobody is there to answer."""
    with open_pipe() as (_, descriptor):
        writer = LineWriter(descriptor)
        writer.close()
        assert not writer.flush(timeout_seconds=30)
        writer.close()


def test_batches_of_lines_fit_a_pipe() -> None:
    """Several processes write to one pipe; only so much is never torn by another's lines."""
    lines = [f"{number}" * 100 + "\n" for number in range(200)]
    batches = list(split_lines([*lines, "x" * 9000 + "\n", "end\n"]))
    assert [line for batch in batches for line in batch] == [*lines, "x" * 9000 + "\n", "end\n"]
    assert [len("".join(batch)) > select.PIPE_BUF for batch in batches].count(True) == 1
    assert list(split_lines([])) == []
    assert len(batches) < 25
