"""Files that a configuration names: warnings for those that cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.config.files import find_fault, find_unusable
from gateway.config.load import load_config
from gateway.config.problems import Severity

TEXT = """\
version: 1
keys_snapshot: state
upstream: {url: https://b, ca_file: tls/ca.pem, certificate: tls/own.pem, key: tls/own.key}
tls: {certificate: tls/server.pem, key: tls/server.key, client_ca: tls/clients.pem}
providers:
  - type: customJwt
    issuer: https://issuer.example
    jwks: file:keys.json
    applicationID: my-api
  - domain: https://tenant.example
    applicationID: my-client
    jwks_options: {ca_file: tls/issuer.pem}
"""
FILES = {
    "upstream.ca_file": "tls/ca.pem",
    "upstream.certificate": "tls/own.pem",
    "upstream.key": "tls/own.key",
    "tls.certificate": "tls/server.pem",
    "tls.key": "tls/server.key",
    "tls.client_ca": "tls/clients.pem",
    "providers[0].jwks": "keys.json",
    "providers[1].jwks_options.ca_file": "tls/issuer.pem",
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A file that names others in every place there is; all of them are there."""
    (tmp_path / "tls").mkdir()
    (tmp_path / "state").mkdir()
    for name in FILES.values():
        (tmp_path / name).write_text("")
    (tmp_path / "gateway.yaml").write_text(TEXT)
    return tmp_path / "gateway.yaml"


def test_files_that_are_there_are_no_matter(config: Path) -> None:
    """What is in them is not looked at."""
    assert find_unusable(load_config(config, {})) == ()


@pytest.mark.parametrize("key", FILES)
def test_file_that_is_not_there_is_named(config: Path, key: str) -> None:
    """The warning has the key, the path as it is looked for, and stands where the file says it."""
    path = config.parent / FILES[key]
    path.unlink()
    [problem] = find_unusable(load_config(config, {}))
    assert problem.message == f"{key}: {path}: no such file: correct the path, or put the file there"
    assert problem.severity is Severity.WARNING
    assert FILES[key] in problem.source[problem.column - 1 :]


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        pytest.param(None, "no such folder", id="missing"),
        pytest.param(
            0o555,
            "permission denied",
            id="read-only",
            marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere"),
        ),
    ],
)
def test_folder_that_cannot_be_written_is_named(config: Path, mode: int | None, why: str) -> None:
    """Keys that are not kept are missed at the worst moment, so it is said before."""
    folder = config.parent / "state"
    folder.rmdir()
    if mode is not None:
        folder.mkdir(mode)
    [problem] = find_unusable(load_config(config, {}))
    remedy = "make the folder, and let the user that the gateway runs as write there"
    assert problem.message == f"keys_snapshot: {folder}: {why}: {remedy}"
    assert problem.severity is Severity.WARNING


def test_what_is_no_file_cannot_be_read(tmp_path: Path) -> None:
    """A folder is none, and a pipe would hold whoever opens it."""
    os.mkfifo(tmp_path / "pipe")
    assert find_fault(str(tmp_path)) == "not a regular file"
    assert find_fault(str(tmp_path / "pipe")) == "not a regular file"
    assert find_fault(str(tmp_path / "pipe" / "inside")) == "not a directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_of_somebody_else_cannot_be_read(tmp_path: Path) -> None:
    """A key that only root may read is a usual mistake."""
    (tmp_path / "key").write_text("")
    (tmp_path / "key").chmod(0)
    assert find_fault(str(tmp_path / "key")) == "permission denied"
