"""``python -m bench``."""

from __future__ import annotations

import resource
import signal
import sys
import tempfile
from pathlib import Path

import click

from bench.cells import Result, measure_cells
from bench.errors import Missing
from bench.install import BUILD
from bench.machine import describe_machine, is_supported, split_cores
from bench.peers.site import Peer
from bench.report import write_report
from bench.roster import PEERS
from bench.stage import Stage
from bench.suites import SUITES, list_cells
from bench.upstream import serving

_RESULTS = Path(__file__).parent / "results"


@click.command()
@click.option("--rounds", default=3, show_default=True, help="How often each cell is measured; the median counts.")
@click.option("--seconds", default=4, show_default=True, help="How long each cell is under load.")
@click.option(
    "--only", multiple=True, metavar="SUITE|PEER", help=f"Only these suites or peers; of {', '.join(SUITES)}."
)
@click.option("--output", default=_RESULTS, show_default=True, type=click.Path(path_type=Path), help="Where to write.")
def main(rounds: int, seconds: int, only: tuple[str, ...], output: Path) -> None:
    """Measure the gateway and its peers, and write a table, a picture and the raw figures."""
    if not is_supported():
        raise click.ClickException("only Linux tells what a process spends as finely as this needs")
    _raise_file_limit()
    # As Ctrl-C does: every program that was started is ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    peers, versions, missing = _install(only)
    cores = split_cores()
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as name, serving(Path(name), cores.others) as upstream:
        stage = Stage(Path(name), cores, upstream, seconds)
        results = measure_cells(stage, list_cells(peers, only), rounds)
    write_report(output, describe_machine(versions), [*results, *missing], rounds=rounds, seconds=seconds)
    click.echo((output / "results.md").read_text(encoding="utf-8"))


def _install(only: tuple[str, ...]) -> tuple[list[Peer], dict[str, str], list[Result]]:
    chosen = [peer for peer in PEERS if peer.name in only] or list(PEERS)
    peers, versions, missing = [], {}, []
    for peer in chosen:
        try:
            versions[peer.title] = peer.install()
        except Missing as error:
            print(f"missing: {peer.title}: {error}", file=sys.stderr)
            missing.append(Result("small", peer.title, "", missing=str(error)))
        else:
            peers.append(peer)
    return peers, versions, missing


def _raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
