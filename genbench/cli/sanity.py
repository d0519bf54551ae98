"""`genbench sanity`: what the metrics of a benchmark can see."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli import options
from genbench.cli.run import HOME


@click.command(epilog="Example: genbench sanity digits --metric fid --metric precision-recall -n 500")
@click.argument("benchmark", default="digits")
@options.metrics
@click.option("-n", type=click.IntRange(min=1), help="Samples to draw. Default: the benchmark's, if there are as many.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for results.  [default: leaderboards/BENCHMARK]")
@options.computing
def sanity(
    benchmark: str,
    metrics: tuple[str, ...],
    n: int | None,
    out: Path | None,
    seed: int,
    device: str,
    data_root: Path | None,
) -> None:
    """Show what the metrics of BENCHMARK make of known faults: copies, missing classes, blur, noise and others.

    Each fault, at several strengths, is a generator that spoils real items of a half of the train split. Prints from
    which strength on each column is worse than for real items, and writes sanity.csv, sanity.md and sanity.png.
    """
    from genbench.cli.console import Shown, output
    from genbench.evaluation import benchmarks, devices
    from genbench.evaluation import sanity as running
    from genbench.leaderboard import sanity as shown
    from genbench.leaderboard import tables
    from genbench.plugins.extractors import Computing
    from genbench.storage.names import file_name

    devices.check(device)
    task = benchmarks.load(benchmark, metrics=metrics or None, n=n, data_root=data_root, computing=Computing(device))
    with Shown() as progress:
        real, *faulty = running.trials(task, seed, progress=progress)
    read = shown.readings(real.rows, [(trial.fault, trial.unit, trial.strength, trial.rows) for trial in faulty])
    folder = out if out is not None else HOME / file_name(task.benchmark.name)
    absent = [row for row in real.rows if row.value is None]
    shown.save(read, folder, absent)
    tables.show(shown.sheet(read, absent), output())
    click.echo(f"{folder}/: sanity.csv, sanity.md, sanity.png", err=True)
