"""The process that ``compiler`` starts: a request on its input, an answer on its output, and its end."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Mapping

from gateway.config.load import load_config
from gateway.config.problems import ConfigError, Problem
from gateway.config.served import Served


def main() -> None:
    """Run the process."""
    request = json.load(sys.stdin.buffer)
    sys.stdout.buffer.write(pickle.dumps(compile_apart(request["path"], request["environ"])))


def compile_apart(path: str, environ: Mapping[str, str]) -> tuple[tuple[Problem, ...], bytes]:
    """Return what is wrong with a file, and if nothing is, its settings."""
    try:
        loaded = load_config(path, environ)
    except ConfigError as error:
        return error.problems, b""
    return (), Served.pack(path, loaded.settings).octets


if __name__ == "__main__":
    main()
