"""`genbench train`: checkpoints of the catalogue's models."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from genbench.cli import options
from genbench.errors import GenbenchError, InputError


@click.command(epilog="Example: genbench train vae real-nvp --benchmark digits --budget 2000")
@click.argument("models", nargs=-1)
@click.option(
    "--benchmark", help="Name, folder of images or WAV files, or .npz to train on.  [default: the model's first board]"
)
@click.option("--budget", type=click.IntRange(min=1), help="Training steps.  [default: the model's own recipe]")
@click.option("--all", "everything", is_flag=True, help="Every model on every bundled benchmark that it stands on.")
@click.option("--resume", is_flag=True, help="Go on from where an interrupted or diverged training stopped.")
@click.option("--fresh", is_flag=True, help="With --all: begin anew.")
@click.option(
    "--log",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("leaderboards/training.csv"),
    show_default=True,
    help="With --all: where it notes what is done, and how long it took.",
)
@options.computing
def train(
    models: tuple[str, ...],
    benchmark: str | None,
    budget: int | None,
    everything: bool,
    resume: bool,
    fresh: bool,
    log: Path,
    seed: int,
    device: str,
    data_root: Path | None,
) -> None:
    """Train MODELS on the train split of a benchmark and keep their checkpoints.

    The checkpoint and the record of how it was made replace the old ones once training has succeeded. They go to the
    zoo's own folder, or below the folder that the environment variable GENBENCH_CHECKPOINTS names.

    A training that is interrupted (Ctrl-C) or whose losses are no longer finite leaves its last good state behind, and
    the same command with --resume goes on from it; after a divergence with half the learning rate.

    MODEL@SEED is trained with that seed and has a checkpoint of its own beside the model's: boards show the mean of a
    model's trainings.

    With --all (and --benchmark to keep to one) an interrupted run goes on where it stopped, and a later one trains what
    has changed; --all --fresh trains everything again.
    """

    from genbench.cli.console import Shown
    from genbench.evaluation import devices, generators
    from genbench.evaluation import train as training

    if everything == bool(models):
        raise InputError("name models to train, or give --all")
    devices.check(device)
    plan = training.Plan(budget, seed, device, data_root, resume)
    todo = training.Todo(log, plan, fresh) if everything else None
    cards = [generators.resolve(name) for name in models]
    pairs = [(card, benchmark or card.home) for card in cards]
    failed = False
    for card, board in pairs if todo is None else todo.pairs(benchmark):
        try:
            with Shown() as progress:
                own_plan = plan if todo is None else todo.plan_of(card, board)
                done = training.train(card, board, own_plan, progress.steps(card.name))
        except KeyboardInterrupt:
            click.echo(f"{card.name} is kept as it is; the same command with --resume goes on from there", err=True)
            raise
        except GenbenchError as error:
            if todo is None:
                raise
            click.echo(f"{card.name} on {board} failed: {error}", err=True)
            failed = True
            continue
        if todo is not None:
            todo.note(card, board, done)
        figures = ", ".join(f"{name} {value:.4g}" for name, value in done.figures.items())
        click.echo(f"{card.name}: {figures}; {done.seconds} s; {done.path}")
    if todo is not None:
        click.echo(f"{todo.summary()}; {log}", err=True)
    if failed:
        sys.exit(1)
