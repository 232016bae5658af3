"""Snapshots of keys: what is written, and what of a file is believed."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config.settings import KeySourceSettings
from gateway.core.jwks import build_key_set
from gateway.providers.snapshot import (
    MAX_SNAPSHOT_BYTES,
    Snapshot,
    SnapshotError,
    identify_source,
    read_snapshot,
    write_snapshot,
)
from tests.signing import make_key

NOW = 1_780_000_000.0
HOUR = 3600.0
SETTINGS = KeySourceSettings(
    "logto", ("https://a.example/",), url="https://a.example/jwks", ca_file="ca.pem", max_stale_seconds=24 * HOUR
)
KEY = make_key("ES256", "a").public


def write(path: Path, *keys: object, fetched_at: float = NOW) -> Path:
    """Write a snapshot of these keys as the gateway does."""
    write_snapshot(str(path), SETTINGS, Snapshot(build_key_set({"keys": list(keys or [KEY])}), fetched_at))
    return path


def read(path: Path, now: float = NOW, **changed: object) -> Snapshot:
    return read_snapshot(str(path), replace(SETTINGS, **changed), now)  # type: ignore[arg-type]


def refuse(path: Path, now: float = NOW, **changed: object) -> str:
    with pytest.raises(SnapshotError) as caught:
        read(path, now, **changed)
    return str(caught.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logto.json"


def test_what_is_written_is_read(path: Path) -> None:
    """The same keys, and when they were fetched."""
    snapshot = read(write(path), NOW + HOUR)
    assert snapshot.fetched_at == NOW
    assert snapshot.key_set.generation == build_key_set({"keys": [KEY]}).generation


def test_file_is_for_its_owner_and_alone(path: Path) -> None:
    """Whoever could write it would say whose tokens are good; what a rename left behind would pile up."""
    for _ in range(2):
        write(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert list(path.parent.iterdir()) == [path]


def test_file_holds_no_secret_of_the_issuer(path: Path) -> None:
    """A private or a symmetric key in the document of an issuer is not spread further."""
    secret = {**make_key("EdDSA", "b").key.as_dict(private=True), "kid": "private"}
    text = write(path, KEY, secret, {"kty": "oct", "k": "S3CR3T", "kid": "symmetric"}).read_text()
    assert [key["kid"] for key in json.loads(text)["keys"]] == ["a"]
    assert not {secret["d"], "S3CR3T"} & set(text.split('"'))


def test_failed_write_leaves_the_one_before(path: Path) -> None:
    """Nothing is there by half, and no piece of the attempt stays."""
    folder = path / "x"
    folder.mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        write(path)
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(OSError, match="No such file"):
        write(path.parent / "absent" / "logto.json")


@pytest.mark.parametrize(
    "changed",
    [
        {"provider": "other"},
        {"issuers": ("https://b.example/",)},
        {"issuers": ("https://a.example/", "https://b.example/")},
        {"url": "https://a.example/other"},
        {"url": None, "discovery_url": "https://a.example/jwks"},
        {"ca_file": None},
    ],
    ids="-".join,
)
def test_keys_of_another_source_are_not_read(path: Path, changed: dict[str, object]) -> None:
    """Whatever of the file says whose keys they are, or whom to believe, makes it another source."""
    assert refuse(write(path), **changed) == "it holds the keys of another source"


@pytest.mark.parametrize(
    "changed",
    [{"refresh_seconds": 1.0}, {"cooldown_seconds": 1.0}, {"timeout_seconds": 1.0}, {"snapshot_path": "elsewhere"}],
    ids="-".join,
)
def test_times_make_no_other_source(path: Path, changed: dict[str, object]) -> None:
    """Another timing in the file is no reason to be without keys."""
    assert read(write(path), **changed).key_set.has_kid("a")


@pytest.mark.parametrize(
    ("age_seconds", "max_stale_seconds", "reason"),
    [
        (0.0, HOUR, None),
        (HOUR - 1, HOUR, None),
        (HOUR, HOUR, "longer ago than max_stale"),
        (0.0, 0.0, "longer ago than max_stale"),
        (-0.001, HOUR, "in the future"),
        (-HOUR, HOUR, "in the future"),
    ],
)
def test_age_counts(path: Path, age_seconds: float, max_stale_seconds: float, reason: str | None) -> None:
    """A snapshot is as old as its keys; one that is not of the past has no age at all."""
    write(path)
    if reason is None:
        assert read(path, NOW + age_seconds, max_stale_seconds=max_stale_seconds).fetched_at == NOW
    else:
        assert reason in refuse(path, NOW + age_seconds, max_stale_seconds=max_stale_seconds)


def test_reason_of_age_stays_the_same(path: Path) -> None:
    """It is said once, not at every attempt."""
    write(path)
    assert refuse(path, NOW + 25 * HOUR) == refuse(path, NOW + 26 * HOUR)


def describe(**members: object) -> bytes:
    """Return a snapshot with some members as given; those that are Ellipsis are left out."""
    whole = {"provider": "logto", "source": identify_source(SETTINGS), "fetched_at": NOW, "keys": [KEY], **members}
    return json.dumps({name: value for name, value in whole.items() if value is not ...}).encode()


def test_described_snapshot_is_read(path: Path) -> None:
    """What the cases below change is good by itself."""
    path.write_bytes(describe())
    assert read(path).key_set.has_kid("a")


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        pytest.param(b"", "not JSON", id="empty"),
        pytest.param(describe()[:-1], "not JSON", id="cut"),
        pytest.param(describe() + b"}", "not JSON", id="trailing"),
        pytest.param(b"\xff\x00\xfe", "not JSON", id="octets"),
        pytest.param(bytes(1000), "not JSON", id="zeros"),
        pytest.param(b"[" * 100_000, "not JSON", id="deep"),
        pytest.param(b'{"a": ' + b"1" * 5000 + b"}", "not JSON", id="giant-number"),
        pytest.param(b"[]", "not a JSON object", id="list"),
        pytest.param(b"null", "not a JSON object", id="null"),
        pytest.param(b"{}", "another source", id="nothing"),
        pytest.param(json.dumps({"keys": [KEY]}).encode(), "another source", id="mere-jwk-set"),
        pytest.param(describe(source=...), "another source", id="no-source"),
        pytest.param(describe(source=None), "another source", id="null-source"),
        pytest.param(describe(source=[identify_source(SETTINGS)]), "another source", id="source-in-a-list"),
        pytest.param(describe(fetched_at=...), "does not say when", id="no-time"),
        pytest.param(describe(fetched_at=None), "does not say when", id="null-time"),
        pytest.param(describe(fetched_at=True), "does not say when", id="flag-for-time"),
        pytest.param(describe(fetched_at=str(NOW)), "does not say when", id="text-for-time"),
        pytest.param(describe(fetched_at=float("nan")), "in the future", id="nan"),
        pytest.param(describe(fetched_at=float("inf")), "in the future", id="infinity"),
        pytest.param(describe(fetched_at=float("-inf")), "in the future", id="minus-infinity"),
        pytest.param(describe(fetched_at=10**400), "in the future", id="beyond-floats"),
        pytest.param(describe(fetched_at=-1), "in the future", id="negative"),
        pytest.param(describe(fetched_at=0), "longer ago than max_stale", id="epoch"),
        pytest.param(describe(keys=...), "not a JWK Set", id="no-keys"),
        pytest.param(describe(keys={}), "not a JWK Set", id="keys-is-an-object"),
        pytest.param(describe(keys=[]), "the JWK Set is empty", id="no-key"),
        pytest.param(describe(keys=[KEY] * 65), "65 keys, at most 64", id="65-keys"),
        pytest.param(describe(keys=[{**KEY, "x": "AAAA"}]), "no usable key among 1", id="off-the-curve"),
        pytest.param(describe(keys=[{"kty": "oct", "k": "AAAA"}]), "no usable key among 1", id="symmetric"),
        pytest.param(describe()[:-1] + b', "keys": []}', "not a JWK Set", id="keys-twice"),
        pytest.param(describe()[:-1] + b', "fetched_at": 1779999999}', "not a JWK Set", id="time-twice"),
        pytest.param(b" " * MAX_SNAPSHOT_BYTES + describe(), "more than 1024 KiB", id="huge"),
    ],
)
def test_odd_file_is_not_read(path: Path, octets: bytes, reason: str) -> None:
    """Whatever became of the file: a reason of ours, and no key of it."""
    path.write_bytes(octets)
    assert reason in refuse(path)


def test_bad_key_of_a_snapshot_is_skipped(path: Path) -> None:
    """A snapshot is read as a document of the issuer: what is skipped there is skipped here."""
    private = {**make_key("EdDSA", "b").key.as_dict(private=True), "kid": "b"}
    path.write_bytes(describe(keys=[KEY, private, {**KEY, "kid": "enc", "use": "enc"}]))
    key_set = read(path).key_set
    assert [key.kid for key in key_set.keys] == ["a"]
    assert [key.kid for key in key_set.skipped] == ["b", "enc"]


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    """A pipe would hold us, a link may lead anywhere, a folder has no keys, and no descriptor is left open."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(write(tmp_path / "good"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert refuse(tmp_path / "pipe") == "not a regular file"
    assert refuse(tmp_path) == "not a regular file"
    assert refuse(tmp_path / "link").startswith("cannot read the file: ")
    assert refuse(tmp_path / "none") == "cannot read the file: No such file or directory"
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(("mode", "is_read"), [(0o600, True), (0o660, True), (0o644, True), (0o602, False)])
def test_file_that_anyone_may_write_is_not_read(path: Path, mode: int, is_read: bool) -> None:
    """Its group may: a Kubernetes volume has it so. The rest of the machine may not."""
    write(path).chmod(mode)
    if is_read:
        assert read(path).key_set.has_kid("a")
    else:
        assert refuse(path) == "another user can write it"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_file_of_somebody_else_is_not_read(path: Path) -> None:
    """In a folder where others may write, such as /tmp, they could have put it there."""
    os.chown(write(path), 12345, -1)
    assert refuse(path) == "another user can write it"
