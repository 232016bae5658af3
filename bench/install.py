"""Installs what is compared and what compares: Python packages into a venv of their own, others from Debian."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from bench.errors import Missing

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build/bench"
VENV = BUILD / "venv"


def install_python(peer: str) -> None:
    """
    Install the hashed requirements of a peer, once.

    Raises:
        Missing: They cannot be had here.
    """
    requirements = ROOT / "bench/peers" / peer / "requirements.txt"
    stamp = VENV / f".{peer}-installed"
    if stamp.exists() and stamp.stat().st_mtime >= requirements.stat().st_mtime:
        return
    if not (VENV / "bin/python").exists():
        venv.create(VENV, with_pip=True)
    pip = [str(VENV / "bin/python"), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    run_installer([*pip, "--require-hashes", "--requirement", str(requirements)])
    stamp.touch()


def install_debian(program: str, package: str) -> None:
    """
    Install a Debian package unless its program is there.

    Raises:
        Missing: We are not root, this is not Debian, or apt fails.
    """
    if shutil.which(program) is not None:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Missing(f"{program} is not installed, and installing {package} needs root on Debian")
    _refresh_package_lists()
    run_installer(["apt-get", "install", "-qq", "--no-install-recommends", package])


@functools.cache
def _refresh_package_lists() -> None:
    run_installer(["apt-get", "update", "-qq"])


def run_installer(argv: Sequence[str]) -> None:
    """
    Run it, quietly unless it fails.

    Raises:
        Missing: It failed.
    """
    print(f"installing: {' '.join(argv[-3:])}", file=sys.stderr)
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    )
    if done.returncode:
        raise Missing(f"{argv[0]} failed: {(done.stderr or done.stdout).strip()[-300:]}")
