"""`genbench tradeoff`: truncation curves."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli import options
from genbench.cli.run import HOME, cards_on
from genbench.errors import InputError


@click.command(epilog="Example: genbench tradeoff stylegan biggan dcgan real --psi 0.2:1.0:0.1")
@click.argument("models", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every model that stands on the benchmark.")
@click.option("--benchmark", default="digits", show_default=True, help="Name, folder of images, or .npz.")
@click.option("--psi", help="first:last:step or a,b,c; no truncation is always added.  [default: 0.2 to 2]")
@options.metrics
@click.option("-n", type=click.IntRange(min=1), help="Samples to draw at each psi. Default: the benchmark's.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for results.  [default: leaderboards/BENCHMARK]")
@options.computing
def tradeoff(
    models: tuple[str, ...],
    everything: bool,
    benchmark: str,
    psi: str | None,
    metrics: tuple[str, ...],
    n: int | None,
    out: Path | None,
    seed: int,
    device: str,
    data_root: Path | None,
) -> None:
    """Sweep the truncation of MODELS: their curves in one table and one picture, tradeoff-MODEL-MODEL.csv and .png.

    A model without truncation is a point of the picture. Of many models, the picture has a column for each family and
    one for the points. With --all the files are called tradeoff.csv and tradeoff.png.
    """
    from genbench.cli.console import Shown
    from genbench.evaluation import benchmarks, devices, generators, truncation
    from genbench.leaderboard import pictures
    from genbench.plugins.extractors import Computing
    from genbench.storage import atomic
    from genbench.storage.names import file_name

    if everything == bool(models):
        raise InputError("name models to truncate, or give --all")
    psis = None if psi is None else truncation.parse_psis(psi)
    devices.check(device)
    task = benchmarks.load(benchmark, metrics=metrics or None, n=n, data_root=data_root, computing=Computing(device))
    cards = [generators.resolve(name) for name in models] or cards_on(task.benchmark.name)
    folder = out if out is not None else HOME / file_name(task.benchmark.name)
    built = {card.name: generators.build(card, task.setting_of(card.name, device)) for card in cards}
    truncation.require_curves(built, task, psis)
    curves = {}
    with Shown() as progress:
        progress.start(list(built))
        for name, model in built.items():
            # Each model is asked for the psis that its kind of truncation knows.
            curves[name] = truncation.curve(model, task, psis, seed, progress.tell(name))
            progress.finish(name, f"{len(curves[name])} points", failed=False)
            click.echo(f"{name}\n{curves[name].round(3).to_string(index=False)}\n")
    stem = "tradeoff" if everything else "-".join(["tradeoff", *(file_name(name) for name in curves)])
    atomic.write_text(folder / f"{stem}.csv", truncation.joined(curves).to_csv(index=False))
    families = {card.name: card.family for card in cards}
    pictures.save_tradeoff(truncation.grouped(curves, families), folder / f"{stem}.png")
    click.echo(f"{folder}/: {stem}.csv, {stem}.png", err=True)
