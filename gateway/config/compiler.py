"""
Compiles a file in a process of its own.

What it takes to find all mistakes of a file, and to say where they are, is more than a quarter of the memory of a
gateway, and a large file takes a third of a second: neither is to be had by the process that serves. The process ends
with its answer.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping

from gateway.config.problems import ConfigError, Problem, Severity
from gateway.config.served import Served

_MODULE = "gateway.config.compiling"


class Compiler:
    """Compiles one file, again and again."""

    def __init__(self, path: str, environ: Mapping[str, str]) -> None:
        self._path = path
        self._request = json.dumps({"path": path, "environ": dict(environ)}).encode("ascii")
        self._started: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """
        Begin what the next ``load`` returns, so that this process can do something else in the meantime.

        Raises:
            ConfigError: There is no process to be had.
        """
        self._started = self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes]:
        command, environment = describe_module(_MODULE)
        try:
            return subprocess.Popen(  # noqa: S603 - our own program
                command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise self._build_error(f"there is no process to compile it: {error.strerror}") from error

    def load(self) -> Served:
        """
        Return the file as it is now.

        Raises:
            ConfigError: The file cannot be read or used; with all of its problems.
        """
        process, self._started = self._started or self._spawn(), None
        with process:
            answer, _ = process.communicate(self._request)
        if process.returncode:
            raise self._build_error(f"the process that compiles it ended with {process.returncode}")
        problems, octets = pickle.loads(answer)  # noqa: S301 - from our own process, over a pipe of ours
        if problems:
            raise ConfigError(problems)
        return Served.unpack(self._path, octets)

    def _build_error(self, message: str) -> ConfigError:
        return ConfigError([Problem(self._path, 1, 1, Severity.ERROR, message)])


def describe_module(module: str, *arguments: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the command and the environment that run a module of this program in a process of its own."""
    # -P: a folder named gateway where we happen to run is not our code; what we were found by is.
    command = (sys.executable, "-P", "-m", module, *arguments)
    return command, {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
