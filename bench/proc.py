"""What the kernel says about processes (proc(5))."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Identity:
    """A process; a number alone may be another one's by now."""

    pid: int
    parent: int
    session: int
    started: int


def find_tree(root: int) -> list[Identity]:
    """Return a process that leads a session, all in that session, and all that descend from them."""
    tree: dict[int, Identity] = {}
    # Parents come before children where numbers have not wrapped around; else a child's session still tells.
    for each in sorted(_list_all(), key=lambda identity: (identity.started, identity.pid)):
        if root in (each.pid, each.session) or each.parent in tree:
            tree[each.pid] = each
    return list(tree.values())


def _list_all() -> Iterator[Identity]:
    for entry in Path("/proc").glob("[0-9]*"):
        identity = _identify(int(entry.name))
        if identity is not None:
            yield identity


def _identify(pid: int) -> Identity | None:
    try:
        # After the name, which may have anything in it: state, parent, group, session ... and the start as the 20th.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return Identity(pid, int(fields[1]), int(fields[3]), int(fields[19]))


def kill(identity: Identity) -> None:
    """End a process for certain, if it is still the same one."""
    now = _identify(identity.pid)
    # Its parent may have changed: who has lost it is given another.
    if now is None or now.started != identity.started:
        return
    try:
        os.kill(identity.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def read_cpu_nanoseconds(pid: int) -> int:
    """Return what all threads of a process have spent, in user and in kernel mode; 0 when it is gone."""
    total = 0
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except OSError:
            continue
    return total


def read_resident_bytes(pid: int) -> int:
    """Return the resident set size of a process; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss:")), 0)
