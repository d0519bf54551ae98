"""The command line: parse, call one function, print. Results go to stdout, progress and warnings to stderr."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genbench.cli import score
from genbench.errors import ConformanceError, GenbenchError, InputError, RegistryError
from genbench.evaluation import devices
from genbench.plugins import registry

if TYPE_CHECKING:
    from genbench.evaluation.benchmarks import Task
    from genbench.evaluation.run import Outcome

F = Callable[..., Any]


class Commands(click.Group):
    """Turns genbench's errors into one line and an exit code: 2 for wrong usage, 1 for what failed."""

    def invoke(self, ctx: click.Context) -> Any:
        warnings.showwarning = lambda message, *_, **__: click.echo(f"warning: {message}", err=True)
        try:
            return super().invoke(ctx)
        except GenbenchError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(2 if isinstance(error, InputError | RegistryError) else 1)
        except KeyboardInterrupt:
            click.echo("interrupted; what was finished is kept, and the same command goes on from there", err=True)
            ctx.exit(130)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="genbench")
def main() -> None:
    """How good is a generative model? Sample quality and likelihood on one board, with error bars.

    \b
    genbench run digits                          rank the bundled models on real digits
    genbench run digits --model my_file:make     and a generator of your own
    genbench score real/ fake/                   compare two folders of images
    genbench tradeoff dcgan                      draw a truncation curve
    """


main.add_command(score.score)
main.add_command(score.stats)


def shared_options(function: F) -> F:
    """The options of every command that computes."""
    for option in reversed(
        (
            click.option("--seed", default=0, show_default=True, help="Same seed, same numbers."),
            click.option("--device", default="cpu", show_default=True, help="Where models run: cpu, cuda, cuda:1."),
            click.option(
                "--data-root",
                type=click.Path(exists=True, file_okay=False, path_type=Path),
                help="Folder that holds the benchmark's data already; without it, data is downloaded once.",
            ),
        )
    ):
        function = option(function)
    return function


@main.command(epilog="Example: genbench run digits --model vae --model my_package.my_file:make -n 1000")
@click.argument("benchmark", required=False)
@click.option("--all", "everything", is_flag=True, help="Every benchmark whose data is bundled, one after the other.")
@click.option(
    "--model", "-m", "models", multiple=True, help="NAME or module:factory; repeatable.  [default: the board's]"
)
@click.option("--metric", "metrics", multiple=True, help="Only these metrics; repeatable.")
@click.option("-n", type=click.IntRange(min=1), help="Samples to draw from each model. Default: the benchmark's.")
@click.option("--features", help="Feature extractor in place of the benchmark's own.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for results, with --all for a folder of each benchmark.  [default: leaderboards/BENCHMARK]",
)
@click.option("--fresh", is_flag=True, help="Compute everything again, even what is up to date.")
@click.option(
    "--save-samples",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for each model's samples, MODEL.npz.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result rows as JSON lines in place of the table.")
@shared_options
def run(
    benchmark: str | None,
    everything: bool,
    models: tuple[str, ...],
    metrics: tuple[str, ...],
    n: int | None,
    features: str | None,
    out: Path | None,
    fresh: bool,
    save_samples: Path | None,
    as_json: bool,
    seed: int,
    device: str,
    data_root: Path | None,
) -> None:
    """Evaluate models on BENCHMARK (a name, a folder of images or WAV files, or an .npz) and print its board.

    Appends to results.jsonl in the results folder and writes leaderboard.csv, leaderboard.md and samples/MODEL.png.
    What is there already and has not changed is not computed again; an interrupted run goes on where it stopped.
    BENCHMARK is digits where neither it nor --all is given.
    """
    from genbench.cli.console import RunProgress
    from genbench.evaluation import benchmarks, generators, run

    if everything and benchmark:
        raise InputError(f"--all runs every benchmark; leave {benchmark} or --all out")
    devices.check(device)
    failed = False
    for name in benchmarks.bundled() if everything else [benchmark or "digits"]:
        found = benchmarks.find(name)
        cards = [generators.resolve(model) for model in models] or _cards_on(found.name)
        task = benchmarks.load(name, metrics=metrics or None, n=n, data_root=data_root, features=features)
        for warning in task.warnings():
            click.echo(f"warning: {warning}", err=True)
        home = Path("leaderboards") if out is None else out
        folder = home / found.name if everything or out is None else out
        with RunProgress() as progress:
            outcome = run.run(task, cards, run.Options(seed, device, folder, fresh, save_samples), progress)
        _show_run(outcome, task, folder, as_json)
        failed |= bool(outcome.failures)
    if failed:
        sys.exit(1)


def _show_run(outcome: Outcome, task: Task, folder: Path, as_json: bool) -> None:
    """Save and print the board of everything in the folder; the run's own protocol decides where there are several."""
    from genbench.cli.console import output
    from genbench.leaderboard import boards

    protocols = {column.name: task.fingerprint(metric) for metric in task.metrics for column in metric.columns}
    rows = boards.read(folder, task.benchmark.name)
    board = boards.Board.of(rows, protocols)
    board.save(folder)
    if as_json:
        for row in outcome.rows:
            click.echo(json.dumps(asdict(row)))
    else:
        board.show(output())
        click.echo(f"{folder}/: results.jsonl, leaderboard.csv, leaderboard.md, samples/*.png", err=True)


def _cards_on(benchmark: str) -> list[registry.ModelCard]:
    cards = [card for card in registry.models().values() if card.stands_on(benchmark)]
    if not any(benchmark in card.benchmarks for card in cards):
        raise InputError(f"no model stands on {benchmark} by itself; name yours with --model module:factory")
    return cards


@main.command(epilog="Example: genbench train vae real-nvp --benchmark digits --budget 2000")
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
@shared_options
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

    With --all (and --benchmark to keep to one) an interrupted run goes on where it stopped, and a later one trains what
    has changed; --all --fresh trains everything again.
    """
    from genbench.cli.console import training_progress
    from genbench.evaluation import generators, train

    if everything == bool(models):
        raise InputError("name models to train, or give --all")
    devices.check(device)
    plan = train.Plan(budget, seed, device, data_root, resume)
    todo = train.Todo(log, plan, fresh) if everything else None
    cards = [generators.resolve(name) for name in models]
    pairs = [(card, benchmark or card.home) for card in cards]
    failed = False
    for card, board in pairs if todo is None else todo.pairs(benchmark):
        try:
            with training_progress(card.name) as progress:
                done = train.train(card, board, plan if todo is None else todo.plan_of(card, board), progress)
        except KeyboardInterrupt:
            click.echo(f"{card.name} interrupted; the same command with --resume goes on from there", err=True)
            sys.exit(130)
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


@main.command(epilog="Example: genbench tradeoff stylegan biggan dcgan real --psi 0.2:1.0:0.1")
@click.argument("models", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every model that stands on the benchmark.")
@click.option("--benchmark", default="digits", show_default=True, help="Name, folder of images, or .npz.")
@click.option("--psi", help="first:last:step or a,b,c; no truncation is always added.  [default: 0.2 to 2]")
@click.option("--metric", "metrics", multiple=True, help="Only these metrics; repeatable.")
@click.option("-n", type=click.IntRange(min=1), help="Samples to draw at each psi. Default: the benchmark's.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for results.  [default: leaderboards/BENCHMARK]")
@shared_options
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
    from genbench.cli.console import counting
    from genbench.evaluation import benchmarks, generators, truncation
    from genbench.leaderboard import pictures
    from genbench.storage import atomic

    if everything == bool(models):
        raise InputError("name models to truncate, or give --all")
    psis = None if psi is None else truncation.parse_psis(psi)
    devices.check(device)
    task = benchmarks.load(benchmark, metrics=metrics or None, n=n, data_root=data_root)
    cards = [generators.resolve(name) for name in models] or _cards_on(task.benchmark.name)
    folder = out if out is not None else Path("leaderboards") / task.benchmark.name
    built = {
        card.name: generators.build(card, task.benchmark.setting(card.name, task.dataset, device)) for card in cards
    }
    truncation.require_curves(built, task)
    curves = {}
    for name, model in built.items():
        with counting(name) as tell:
            curves[name] = truncation.curve(model, task, psis, seed, tell)
        click.echo(f"{name}\n{curves[name].round(3).to_string(index=False)}\n")
    stem = "tradeoff" if everything else "-".join(["tradeoff", *(pictures.file_name(name) for name in curves)])
    atomic.write_text(folder / f"{stem}.csv", truncation.joined(curves).to_csv(index=False))
    families = {card.name: card.family for card in cards}
    pictures.save_tradeoff(truncation.grouped(curves, families), folder / f"{stem}.png")
    click.echo(f"{folder}/: {stem}.csv, {stem}.png", err=True)


@main.command("leaderboard", epilog="Example: genbench leaderboard leaderboards/digits --sort nll --format md")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option("--sort", help="Column to rank by.  [default: the benchmark's first]")
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "md", "json", "html"]), default="table", show_default=True
)
def leaderboard_command(folders: tuple[Path, ...], sort: str | None, form: str) -> None:
    """Print the ranked boards of results FOLDERS (default: every one in leaderboards/).

    Rows computed by another protocol than the rest are left out of the ranking and named below it.
    """
    from genbench.cli.console import output
    from genbench.leaderboard import boards

    found = folders or tuple(sorted(path.parent for path in Path("leaderboards").glob("*/results.jsonl")))
    if not found:
        raise InputError("there is no results folder in leaderboards/; name one, or make one with: genbench run")
    tables = boards.boards(found, sort)
    if form == "json":
        records = {board.benchmark: json.loads(board.table.reset_index().to_json(orient="records")) for board in tables}
        click.echo(json.dumps(records, indent=2))
        return
    for board in tables:
        if form == "table":
            board.show(output())
        elif form == "csv":
            click.echo(board.table.to_csv(), nl=False)
        else:
            click.echo(board.to_markdown() if form == "md" else board.to_html(), nl=False)


@main.command("list", epilog="Example: genbench list models")
@click.argument("what", type=click.Choice(["models", "benchmarks", "metrics", "features"]))
@click.option("--format", "form", type=click.Choice(["table", "md"]), default="table", show_default=True)
def list_command(what: str, form: str) -> None:
    """List what can be named, with a line on each; Markdown also shows the models' papers and capabilities."""
    heads, rows = LISTS[what]()
    if what == "models" and form == "table":
        heads, rows = heads[:3] + heads[4:5] + heads[6:], [row[:3] + row[4:5] + row[6:] for row in rows]
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    if form == "md":
        rows = [tuple("-" * width for width in widths), *rows]
    for row in (heads, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo(f"| {' | '.join(cells)} |" if form == "md" else "  ".join(cells).rstrip())


Listing = tuple[tuple[str, ...], list[tuple[str, ...]]]


def _list_models() -> Listing:
    heads = ("model", "family", "year", "defined by", "what it is", "capabilities", "boards")
    return heads, [
        (
            card.name,
            card.family,
            str(card.year or ""),
            card.reference,
            card.summary,
            ", ".join(card.capabilities),
            "every board" if card.benchmarks == ("*",) else ", ".join(card.benchmarks),
        )
        for card in registry.models().values()
    ]


def _list_benchmarks() -> Listing:
    from genbench.evaluation.benchmarks import BENCHMARKS

    rows = [(b.name, ", ".join(b.metrics), b.features, str(b.n), b.summary) for b in BENCHMARKS.values()]
    return ("benchmark", "metrics", "features", "n", "what it is"), [tuple(row) for row in rows]


def _list_cards(group: registry.Group) -> Listing:
    return ("name", "what it is"), [(card.name, card.summary) for card in registry.cards(group).values()]


LISTS: dict[str, Callable[[], Listing]] = {
    "models": _list_models,
    "benchmarks": _list_benchmarks,
    "metrics": lambda: _list_cards("metrics"),
    "features": lambda: _list_cards("features"),
}


@main.command(epilog="Example: genbench check my_package.my_file:make --benchmark digits")
@click.argument("model")
@click.option("--benchmark", help="Whose data the factory is told about.  [default: the model's first board]")
@shared_options
def check(model: str, benchmark: str | None, seed: int, device: str, data_root: Path | None) -> None:
    """Hold MODEL (a name or module:factory) to the generator contract and print every fault at once."""
    from genbench.evaluation import benchmarks, check, generators

    card = generators.resolve(model)
    devices.check(device)
    found = benchmarks.find(benchmark or card.home)
    setting = found.setting(card.name, benchmarks.load_dataset(found, data_root), device)
    try:
        offered = check.check(generators.build(card, setting), setting.spec)
    except ConformanceError as error:
        for fault in error.faults:
            click.echo(f"fault: {fault}")
        click.echo(f"{model}: {len(error.faults)} faults", err=True)
        sys.exit(1)
    click.echo(f"{model}: ok; {', '.join(('sample', *offered))}")
