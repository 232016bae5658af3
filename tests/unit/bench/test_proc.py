"""Who belongs to a process that is measured."""

from __future__ import annotations

import subprocess
import sys

from bench.proc import find_tree, kill, read_cpu_nanoseconds, read_resident_bytes

# A child in a session of its own, as a supervisor starts its workers.
_PARENT = (
    "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE,"
    " start_new_session=True); print(child.pid, flush=True); input(); child.communicate()"
)


def test_a_child_in_another_session_belongs_to_it() -> None:
    """What a worker spends and holds is the program's, wherever the worker's session is."""
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        try:
            tree = find_tree(parent.pid)

            assert {parent.pid, child} == {each.pid for each in tree}
            assert read_cpu_nanoseconds(parent.pid) > 0
            assert read_resident_bytes(parent.pid) > 0
        finally:
            for each in tree:
                kill(each)
    assert find_tree(parent.pid) == []
    assert read_cpu_nanoseconds(parent.pid) == read_resident_bytes(parent.pid) == 0
