"""`genbench run`: models on a benchmark, and their board."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genbench.cli import options
from genbench.cli.shared_work import shared_work
from genbench.errors import InputError
from genbench.plugins import registry
from genbench.plugins.cards import ModelCard

if TYPE_CHECKING:
    from genbench.evaluation.benchmarks import Task
    from genbench.evaluation.evidence import Evidence
    from genbench.evaluation.run import Outcome

HOME = Path("leaderboards")


@click.command(epilog="Example: genbench run digits --model vae --model my_package.my_file:make -n 1000")
@click.argument("benchmark", required=False)
@click.option("--all", "everything", is_flag=True, help="Every benchmark whose data is bundled, one after the other.")
@click.option(
    "--model",
    "-m",
    "models",
    multiple=True,
    help="NAME, NAME@SEED (see train), module:factory, samples (.npz, .npy, a folder), TorchScript (.pt) or "
    "torch.export (.pt2); repeatable.  [default: the board's]",
)
@options.metrics
@click.option(
    "-n",
    type=click.IntRange(min=1),
    help="Samples to draw from every model.  [default: the benchmark's, or 1,000 where a model's card says so]",
)
@click.option("--features", help="Extractor in place of the benchmark's own: NAME or module:factory.")
@options.weights
@options.precision
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for results, with --all for a folder of each benchmark.  [default: leaderboards/BENCHMARK, or one of "
    "its own where -n, --features, --weights or --precision make the numbers another protocol's]",
)
@click.option("--fresh", is_flag=True, help="Compute everything again, even what is up to date.")
@click.option("--isolate", is_flag=True, help="Each model in a process of its own, which may crash.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds after which a model that does not answer is ended; implies --isolate.",
)
@click.option(
    "--save-samples",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for each model's samples, MODEL.npz.",
)
@click.option("--columns", help="Columns to print: all, or names separated by commas.  [default: the main ones]")
@click.option("--top", type=click.IntRange(min=1), help="Print so many of the best models.  [default: 20]")
@options.batch_size
@click.option(
    "--jobs",
    "-j",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Models to run at the same time, each in a process of its own.",
)
@options.as_json
@options.computing
@click.option(
    "--seeds", help="Several seeds of sampling, as 0,1,2, of which the board shows the means.  [default: --seed]"
)
@shared_work
def run(
    benchmark: str | None,
    everything: bool,
    models: tuple[str, ...],
    metrics: tuple[str, ...],
    n: int | None,
    features: str | None,
    weights: Path | None,
    precision: str,
    out: Path | None,
    fresh: bool,
    isolate: bool,
    timeout: float | None,
    save_samples: Path | None,
    columns: str | None,
    top: int | None,
    batch_size: int | None,
    jobs: int,
    as_json: bool,
    seed: int,
    device: str,
    data_root: Path | None,
    seeds: str | None,
) -> None:
    """Evaluate models on BENCHMARK (a name, a folder of images or WAV files, or an .npz) and print its board.

    Appends to results.jsonl in the results folder and writes leaderboard.csv, leaderboard.md and samples/MODEL.png.
    What is there already and has not changed is not computed again; an interrupted run goes on where it stopped.
    BENCHMARK is digits where neither it nor --all is given.

    \b
    Several processes share the work, with the same numbers:
    torchrun --nproc-per-node 4 -m genbench run digits
    """
    from genbench.cli.console import Shown
    from genbench.evaluation import benchmarks, devices, generators, processes, side_by_side
    from genbench.evaluation import run as running
    from genbench.plugins.extractors import Computing

    if everything and benchmark:
        raise InputError(f"--all runs every benchmark; leave {benchmark} or --all out")
    if jobs > 1 and processes.size() > 1:
        raise InputError("--jobs starts processes of its own; leave it or torchrun out")
    all_seeds = [seed] if seeds is None else _parsed(seeds)
    devices.check(device)
    computing = Computing(device, precision, weights)
    failed = False
    chosen = None if columns is None else columns.split(",")
    for name in benchmarks.bundled() if everything else [benchmark or "digits"]:
        board = benchmarks.find(name).name
        cards = [generators.resolve(model) for model in models] or cards_on(board)
        loading = side_by_side.Loading(name, metrics or None, n, data_root, features, computing)
        task = processes.after_first(loading.load)
        for warning in task.warnings():
            click.echo(f"warning: {warning}", err=True)
        folder = _folder(task, out, everything)
        outcome = running.Outcome()
        for number, each in enumerate(all_seeds):
            # What is drawn and saved of samples are those of the first seed.
            saved, drawn = (None, None) if number else (save_samples, Draw(folder / "samples"))
            plan = running.Options(each, device, folder, fresh, saved, isolate, timeout, drawn, batch_size)
            with Shown() as progress:
                if jobs > 1 and len(cards) > 1:
                    done = side_by_side.run(loading, cards, plan, jobs, progress)
                else:
                    done = running.run(task, cards, plan, progress)
            outcome.rows += done.rows
            outcome.computed += done.computed
        processes.from_first(lambda: _show(outcome, task, folder, as_json, (chosen, top)))  # noqa: B023
        failed |= bool(outcome.failures)
    if failed:
        sys.exit(1)


def _parsed(seeds: str) -> list[int]:
    """Seeds separated by commas. Raises InputError for anything else."""
    try:
        return list(dict.fromkeys(int(seed) for seed in seeds.split(",")))
    except ValueError as error:
        raise InputError(f"--seeds must read 0,1,2, not {seeds!r}") from error


def cards_on(benchmark: str) -> list[ModelCard]:
    """The models that stand on a benchmark by themselves. Raises InputError where there are none."""
    cards = [card for card in registry.models().values() if card.stands_on(benchmark)]
    if not any(benchmark in card.benchmarks for card in cards):
        raise InputError(f"no model stands on {benchmark} by itself; name yours with --model module:factory")
    return cards


def _folder(task: Task, out: Path | None, everything: bool) -> Path:
    """Where rows go: rows of another protocol than the benchmark's own must not deface its board."""
    from genbench.storage.names import file_name

    name = file_name(task.benchmark.name) + (f"-{file_name(task.variant)}" if task.variant else "")
    if out is not None:
        return out / name if everything else out
    return HOME / name


@dataclass(frozen=True, slots=True)
class Draw:
    """Draws the samples of each model that is finished into a folder, translations beside their sources."""

    folder: Path

    def __call__(self, model: str, evidence: Evidence, task: Task) -> None:
        from genbench.errors import GenbenchError
        from genbench.leaderboard import pictures
        from genbench.storage.names import file_name

        try:
            samples = evidence.samples
        except GenbenchError:  # its rows say why
            return
        data, path = task.dataset, self.folder / f"{file_name(model)}.png"
        if data.source is not None and evidence.offers("translation"):
            pictures.save_beside(pictures.translations(data, samples), path)
        else:
            pictures.save_grid(samples[: pictures.GRID_ITEMS], data.spec, path, task.benchmark.picture)


def _show(outcome: Outcome, task: Task, folder: Path, as_json: bool, part: tuple[list[str] | None, int | None]) -> None:
    """Save and print the board of everything in the folder; the run's own protocol decides where there are several."""
    from genbench.cli.console import output
    from genbench.leaderboard import boards
    from genbench.storage.names import training

    if as_json:
        for row in outcome.rows:
            click.echo(json.dumps(asdict(row)))
    rows = boards.read(folder, task.benchmark.name)
    items, records = boards.items(folder), boards.records(folder)
    boards.Board.of(rows, items=items, records=records).save(folder)
    if as_json:
        return
    protocols = {column.name: task.protocol.fingerprint(m) for m in task.metrics for column in m.columns}
    named = sorted({name for row in outcome.rows for name in (row.model, training(row.model)[0])})
    columns, top = part
    board = boards.Board.of(rows, protocols, items=items, records=records)
    board.show(output(), columns=columns, top=top, always=named)
    where = f" (its own protocol: {task.variant})" if task.variant else ""
    click.echo(f"{folder}/{where}: results.jsonl, leaderboard.csv, leaderboard.md, samples/*.png", err=True)
