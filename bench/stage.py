"""Where the cells are measured: the upstream, the tokens, and one peer at a time on the core that is its own."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError
from bench.load import Load, run_load, run_module
from bench.machine import Cores
from bench.peers.site import Peer, Site
from bench.process import Process, find_port, running
from bench.tokens import make_token, name_issuer, write_tokens
from bench.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Running:
    """A peer that is up."""

    process: Process
    port: int
    # On the monotonic clock, when its command was given.
    began: float


class Stage:
    """What all cells share."""

    def __init__(self, folder: Path, cores: Cores, upstream: Upstream, seconds: int) -> None:
        self.folder = folder
        self.cores = cores
        self.upstream = upstream
        self.seconds = seconds
        self._sites = itertools.count()
        self._tokens: dict[tuple[str, int, str, int], Path] = {}

    def tokens(self, algorithm: str, count: int, prefix: str, issuers: int = 1) -> Path:
        """Return a file of tokens, signed when they are first asked for."""
        key = (algorithm, count, prefix, issuers)
        if key not in self._tokens:
            path = self.folder / f"tokens-{algorithm}-{prefix}-{count}-{issuers}.txt"
            self._tokens[key] = write_tokens(path, algorithm, count, prefix=prefix, issuers=issuers)
        return self._tokens[key]

    def token(self) -> str:
        """Return one token that is good for all peers."""
        return make_token("ES256", "one", name_issuer(0))

    @contextmanager
    def serve(
        self, peer: Peer, upstream_port: int | None = None, cores: tuple[int, ...] | None = None
    ) -> Iterator[Running]:
        """Run a peer; each time a new process that knows nothing yet."""
        folder = self.folder / f"{peer.name}-{next(self._sites)}"
        folder.mkdir()
        site = Site(folder, find_port(), find_port(), upstream_port or self.upstream.answers_port)
        start = peer.prepare(site)
        began = time.monotonic()
        with ExitStack() as stack:
            process = stack.enter_context(
                running(start.argv, cores or (self.cores.measured,), folder / "output.log", start.environ)
            )
            process.wait_for_port(site.port)
            try:
                yield Running(process, site.port, began)
            except BenchError as error:
                raise type(error)(f"{error}\n{process.read_log()}".strip()) from error

    def load(
        self,
        port: int,
        tokens: Path,
        *,
        seconds: int | None = None,
        connections: int = 16,
        is_once: bool = False,
        is_traced: bool = False,
    ) -> Load:
        """Send requests from the cores that are not measured."""
        return run_load(
            port,
            tokens,
            seconds=seconds or self.seconds,
            connections=connections,
            is_once=is_once,
            is_traced=is_traced,
            cores=self.cores.others,
        )

    def ask(self, module: str, *arguments: object) -> dict[str, float]:
        """
        Run one of our own load generators on the cores that are not measured, and return what it prints.

        Raises:
            BenchError: It failed.
        """
        return run_module(module, arguments, self.cores.others)
