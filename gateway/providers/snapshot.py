"""
The last good keys of one provider in a file, so that a gateway can start while the issuer is away.

A snapshot is a JWK Set of the public members of the keys that were in use, with members of ours beside ``keys``. Each
provider has a file of its own, which appears whole by a rename: processes and replicas that share a folder write the
same without asking each other, and one file that is broken harms no other provider.

Whoever can write a snapshot can say whose tokens are good. So it is written for its owner alone, and one that somebody
else could have written is not read.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.config.settings import KeySourceSettings
from gateway.core.jwks import KeySet, KeySetError, export_key_set
from gateway.providers.freshness import is_stale
from gateway.providers.usable import parse_usable

# Twice the largest document of an issuer: what is written may need escapes, but never so many.
MAX_SNAPSHOT_BYTES = 1024 * 1024


class SnapshotError(Exception):
    """A snapshot that is not used; the text is a short reason of ours."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Keys, and when the issuer last said that they are its own (seconds since the epoch)."""

    key_set: KeySet
    fetched_at: float


def identify_source(settings: KeySourceSettings) -> str:
    """
    Return a hexadecimal hash of whose keys these are and where they come from.

    Times are not a part of it; the authorities are: what came under others was believed for another reason.
    """
    place = [settings.provider, settings.issuers, settings.url, settings.discovery_url, settings.ca_file]
    return hashlib.sha256(json.dumps(place).encode("ascii")).hexdigest()


def write_snapshot(path: str, settings: KeySourceSettings, snapshot: Snapshot) -> None:
    """
    Put a snapshot in the place of the one before, whole or not at all, also if the machine stops meanwhile.

    Raises:
        OSError: It cannot be written; the one before is still there.
    """
    members = {
        "provider": settings.provider,
        "source": identify_source(settings),
        "fetched_at": snapshot.fetched_at,
        **export_key_set(snapshot.key_set),
    }
    folder = Path(path).parent
    # A name that nobody else has, and mode 0600.
    descriptor, name = tempfile.mkstemp(prefix=f".{Path(path).name}.", dir=folder)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor
            file.write(json.dumps(members).encode("ascii"))
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    """Have the rename outlast a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_snapshot(path: str, settings: KeySourceSettings, calendar_now: float) -> Snapshot:
    """
    Return the snapshot of this provider's keys.

    Raises:
        SnapshotError: There is none, or none that may be used: of another source, too old, or of no form of ours.
    """
    try:
        octets = _read_file(path)
    except OSError as error:
        raise SnapshotError(f"cannot read the file: {error.strerror or type(error).__name__}") from error
    members = _parse_object(octets)
    if members.get("source") != identify_source(settings):
        raise SnapshotError("it holds the keys of another source")
    fetched_at = _check_time(members.get("fetched_at"), calendar_now)
    if is_stale(fetched_at, settings.max_stale_seconds, calendar_now):
        # The moment and not the age, so that each attempt has the same to say.
        moment = datetime.fromtimestamp(fetched_at, UTC).isoformat(timespec="seconds")
        raise SnapshotError(f"its keys were fetched at {moment}, longer ago than max_stale")
    try:
        # The octets once more: what holds for a document of the issuer holds here, a member that stands twice included.
        return Snapshot(parse_usable(octets), fetched_at)
    except KeySetError as error:
        raise SnapshotError(str(error)) from error


def _read_file(path: str) -> bytes:
    # No link leads elsewhere, and no pipe makes us wait.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check_owner(os.fstat(descriptor))
        with open(descriptor, "rb", closefd=False) as file:
            octets = file.read(MAX_SNAPSHOT_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(octets) > MAX_SNAPSHOT_BYTES:
        raise SnapshotError(f"more than {MAX_SNAPSHOT_BYTES // 1024} KiB")
    return octets


def _check_owner(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SnapshotError("not a regular file")
    # The group may write: Kubernetes gives a volume to fsGroup so.
    if status.st_uid not in (os.geteuid(), 0) or status.st_mode & stat.S_IWOTH:
        raise SnapshotError("another user can write it")


def _parse_object(octets: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(octets)
    except (ValueError, RecursionError) as error:
        raise SnapshotError("not JSON") from error
    if not isinstance(parsed, dict):
        raise SnapshotError("not a JSON object")
    return parsed


def _check_time(value: object, calendar_now: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SnapshotError("it does not say when its keys were fetched")
    # Compared before it is made a float, which not every integer can be; NaN is on neither side.
    if not 0 <= value <= calendar_now:
        raise SnapshotError("its keys were fetched in the future: look at the clock of this machine")
    return float(value)
