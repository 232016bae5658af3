"""The files that a configuration names, and those of them that cannot be used."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from gateway.config.problems import Finding, Path, Problem, Severity, format_path
from gateway.config.settings import Settings

if TYPE_CHECKING:
    from gateway.config.load import Loaded

_REMEDY = "correct the path, or put the file there"
_FOLDER_REMEDY = "make the folder, and let the user that the gateway runs as write there"


def list_start_files(settings: Settings) -> Iterator[tuple[Path, str]]:
    """Yield the place in the file and the name of each file without which the gateway cannot start."""
    tls, upstream = settings.tls, settings.upstream
    named: dict[Path, str | None] = {}
    if tls is not None:
        named |= {("tls", "certificate"): tls.certificate, ("tls", "key"): tls.key, ("tls", "client_ca"): tls.client_ca}
    named |= {("upstream", name): getattr(upstream, name) for name in ("ca_file", "certificate", "key")}
    yield from ((path, file) for path, file in named.items() if file is not None)


def _list_key_files(settings: Settings) -> Iterator[tuple[Path, str]]:
    """Yield those that are read again and again: they may come later."""
    for index, source in enumerate(settings.key_sources):
        if source.path is not None:
            yield ("providers", index, "jwks"), source.path
        if source.ca_file is not None:
            yield ("providers", index, "jwks_options", "ca_file"), source.ca_file


def find_unusable(loaded: Loaded) -> tuple[Problem, ...]:
    """Return a warning for each file or folder that cannot be used here, which need not be where it is served."""
    files = (*list_start_files(loaded.settings), *_list_key_files(loaded.settings))
    faults = [(path, file, find_fault(file), _REMEDY) for path, file in files]
    if loaded.config.keys_snapshot is not None:
        folder = str(FilePath(loaded.path).parent / loaded.config.keys_snapshot)
        faults.append((("keys_snapshot",), folder, _find_folder_fault(folder), _FOLDER_REMEDY))
    return tuple(
        loaded.document.build_problem(Finding(path, f"{describe_fault(path, file, why)}: {remedy}", Severity.WARNING))
        for path, file, why, remedy in faults
        if why is not None
    )


def describe_fault(path: Path, file: str, why: str) -> str:
    """Return what is wrong with a file, and which key names it: ``tls.certificate: server.pem: no such file``."""
    return f"{format_path(path)}: {file}: {why}"


def find_fault(file: str) -> str | None:
    """Return why a file cannot be read now, or None if it can; nothing is opened, for a pipe would wait."""
    try:
        mode = FilePath(file).stat().st_mode
    except FileNotFoundError:
        return "no such file"
    except OSError as error:
        return (error.strerror or "cannot be read").lower()
    if not stat.S_ISREG(mode):
        return "not a regular file"
    return None if os.access(file, os.R_OK) else "permission denied"


def _find_folder_fault(folder: str) -> str | None:
    """Return why nothing can be written into a folder now, or None if it can."""
    if not FilePath(folder).is_dir():
        return "no such folder"
    return None if os.access(folder, os.W_OK | os.X_OK) else "permission denied"
