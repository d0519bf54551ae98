"""`genbench tradeoff`: truncation curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from genbench.cli import options
from genbench.cli.run import HOME, cards_on
from genbench.errors import InputError
from genbench.plugins.cards import FEW

if TYPE_CHECKING:
    from genbench.contracts import Generator
    from genbench.plugins.cards import ModelCard


@click.command(epilog="Example: genbench tradeoff stylegan biggan dcgan real --psi 0.2:1.0:0.1")
@click.argument("models", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every model that stands on the benchmark.")
@click.option("--benchmark", default="digits", show_default=True, help="Name, folder of images, or .npz.")
@click.option("--psi", help="first:last:step or a,b,c; no truncation is always added.  [default: 0.2 to 2]")
@options.metrics
@click.option("-n", type=click.IntRange(min=1), default=FEW, show_default=True, help="Samples to draw at each psi.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for results.  [default: leaderboards/BENCHMARK]")
@options.batch_size
@options.computing
def tradeoff(
    models: tuple[str, ...],
    everything: bool,
    benchmark: str,
    psi: str | None,
    metrics: tuple[str, ...],
    n: int,
    out: Path | None,
    batch_size: int | None,
    seed: int,
    device: str,
    data_root: Path | None,
) -> None:
    """Sweep the truncation of MODELS: their curves in a table, tradeoff-MODEL-MODEL.csv, and in figures beside it.

    The figures, SVG and PNG, show precision against recall, FID against the Inception Score and FID-infinity against
    psi, as far as the metrics are measured; real images are a star in each. More than six models have a panel each.
    With --all the files begin with tradeoff only.
    """
    from genbench.cli.console import Shown
    from genbench.evaluation import benchmarks, devices, generators, truncation
    from genbench.evaluation.drawing import batched
    from genbench.leaderboard import tradeoff as figures
    from genbench.plugins.extractors import Computing
    from genbench.plugins.guard import attribute
    from genbench.storage import atomic
    from genbench.storage.formatting import counted
    from genbench.storage.names import file_name

    if everything == bool(models):
        raise InputError("name models to truncate, or give --all")
    psis = None if psi is None else truncation.parse_psis(psi)
    devices.check(device)
    task = benchmarks.load(benchmark, metrics=metrics or None, n=n, data_root=data_root, computing=Computing(device))
    cards = [generators.resolve(name) for name in models] or cards_on(task.benchmark.name)
    stem = "tradeoff" if everything else "-".join(["tradeoff", *(file_name(card.name) for card in cards)])
    folder = out if out is not None else HOME / file_name(task.benchmark.name)

    def build(card: ModelCard) -> Generator:
        return batched(generators.build(card, task.setting_of(card.name, device)), batch_size)

    built = {card.name: build(card) for card in cards}
    truncation.require_curves(built, task, psis)
    if figures.REFERENCE not in built:
        reference = generators.resolve(figures.REFERENCE)
        built[reference.name] = build(reference)
    curves = {}
    with Shown() as progress:
        progress.start(list(built))
        for name, model in built.items():
            # Real images that come twice would have balls of radius 0, and spoil recall.
            own = task.at_most(len(task.dataset.train)) if name == figures.REFERENCE else task
            # Each model is asked for the psis that its kind of truncation knows.
            curves[name] = truncation.curve(model, own, psis, seed, progress.tell(name))
            progress.finish(name, counted(len(curves[name]), "point"), failed=False)
            click.echo(f"{name}\n{curves[name].round(3).to_string(index=False)}\n")
    atomic.write_text(folder / f"{stem}.csv", truncation.joined(curves).to_csv(index=False))
    kinds = {name: str(attribute(built[name], "truncation")) for name in curves if len(curves[name]) > 1}
    lines = {name: figures.Curve(table, kinds.get(name, "")) for name, table in curves.items()}
    paths = figures.save(lines, folder / stem, task.extractor.name)
    click.echo(f"{folder}/: {', '.join([f'{stem}.csv', *(path.name for path in paths)])}", err=True)
