"""`genbench show`: everything that is known of a name, in a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from genbench.cli.console import printable
from genbench.cli.leaderboard import homes
from genbench.errors import GenbenchError, RegistryError
from genbench.plugins import registry
from genbench.plugins.cards import FEW, Benchmark, Card, ModelCard

if TYPE_CHECKING:
    from genbench.leaderboard.boards import Board

GROUPS: tuple[registry.Group, ...] = ("models", "benchmarks", "datasets", "metrics", "features")
HEIGHTS = "▁▂▃▄▅▆▇█"
BEST = 5  # models of a benchmark's board
WIDTH, INDENT = 100, 14


@click.command(epilog="Example: genbench show vae")
@click.argument("name")
def show(name: str) -> None:
    """Show what is known of NAME: a model, benchmark, data set, metric or feature extractor.

    Of a model: its card with its deviations from the paper, how it was trained with its loss curve where one was kept,
    the pictures of its samples, and where it stands on the boards in leaderboards/. Of a benchmark: its data, features
    and metrics, the models that stand on it, and the best of its board.
    """
    groups = [group for group in GROUPS if registry.is_named(group, name)]
    if not groups:
        known = {each for group in GROUPS for each in registry.cards(group)}
        raise RegistryError(registry.unknown("models", name, known).replace("no model is", "nothing is"))
    parts = {"models": _of_model, "benchmarks": _of_benchmark, "datasets": _of_dataset}
    for number, group in enumerate(groups):
        if number:
            click.echo()
        for line in parts.get(group, _of_reader)(registry.find(group, name)):  # type: ignore[operator]
            click.echo(line)


def _of_model(card: ModelCard) -> Iterator[str]:
    yield f"{card.name} ({card.family})" if card.family else card.name
    yield from _fact("what it is", card.summary)
    yield from _fact("defined by", card.reference + (f" ({card.year})" if card.year else ""))
    yield from _fact("offers", ", ".join(card.capabilities))
    for number, deviation in enumerate(card.deviations or ("none",)):
        yield from _fact("" if number else "deviations", deviation)
    try:
        for benchmark, record in registry.records(card).items():
            yield from _training(benchmark, record)
    except GenbenchError as error:
        yield from _fact("training", str(error))
    from genbench.storage.names import file_name

    for folder, board in _boards():
        keys = [key for key in board.cells if key[0] == card.name]
        if keys:
            yield from _fact(f"on {folder.name}", _standing(board, keys))
            yield from _fact("", _numbers(board, keys[0]))
        picture = folder / "samples" / f"{file_name(card.name)}.png"
        if keys and picture.is_file():
            yield from _fact("", str(picture))


def _of_benchmark(card: Benchmark) -> Iterator[str]:
    datasets, metrics = registry.cards("datasets"), registry.cards("metrics")
    yield f"{card.name} (benchmark)"
    yield from _fact("what it is", card.summary)
    yield from _fact("data", _with_summary(card.dataset, datasets))
    yield from _fact("features", _with_summary(card.features, registry.cards("features")))
    few = [model.name for model in registry.models().values() if model.stands_on(card.name) and card.few_of(model)]
    yield from _fact("samples", f"{card.n:,} of each model" + (f", {FEW:,} of {', '.join(few)}" if few else ""))
    for number, metric in enumerate(card.metrics):
        yield from _fact("" if number else "metrics", _with_summary(metric, metrics))
    models = [model.name for model in registry.models().values() if card.name in model.benchmarks]
    yield from _fact("models", ", ".join(models) or "none by itself")
    for folder, board in _boards():
        if board.benchmark == card.name and board.sorted_by:
            best = [key for key in board.cells if key in board.ranks][:BEST]
            title = board.heading(board.sorted_by).title
            shown = "; ".join(f"{board.rank_text(key)} {key[0]}" for key in best)
            yield from _fact("best", f"by {title}, {folder}: {shown}")
    yield from _fact("run it", f"genbench run {card.name}" + ("" if card.bundled else " --data-root DIR"))


def _of_dataset(card: Card) -> Iterator[str]:
    yield f"{card.name} (data set)"
    yield from _fact("what it is", card.summary)
    boards = [board.name for board in registry.cards("benchmarks").values() if board.dataset == card.name]
    yield from _fact("benchmarks", ", ".join(boards) or "none")


def _of_reader(card: Card) -> Iterator[str]:
    """Of a metric or an extractor."""
    boards = registry.cards("benchmarks").values()
    of_metric = [board.name for board in boards if card.name in board.metrics]
    of_features = [board.name for board in boards if board.features == card.name]
    kind = "metric" if card.name in registry.cards("metrics") else "features"
    yield f"{card.name} ({kind})"
    yield from _fact("what it is", card.summary)
    yield from _fact("benchmarks", ", ".join(of_metric or of_features) or "none by itself")


def _training(benchmark: str, record: Mapping[str, Any]) -> Iterator[str]:
    figures = record.get("figures")
    numbers = [f"{k} {v:.4g}" for k, v in figures.items()] if isinstance(figures, Mapping) else []
    seconds = record.get("seconds")
    took = [f"{seconds:,.0f} s"] if isinstance(seconds, int | float) else []
    yield from _fact("trained", ": ".join(part for part in (benchmark, ", ".join([*took, *numbers])) if part))
    yield from _fact("", str(record.get("command", "")))
    for phase in record.get("curve", []):
        for name, values in phase.items():
            if name != "step":
                yield from _fact("", f"{name} {sparkline(values)}")


def sparkline(values: Sequence[float | None]) -> str:
    """Numbers as a line of blocks, with the first and the last of them; a space where there is none."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, span = min(known), (max(known) - min(known)) or 1.0
    places = [" " if v is None else HEIGHTS[round((len(HEIGHTS) - 1) * (v - low) / span)] for v in values]
    return f"{known[0]:.4g} {''.join(places)} {known[-1]:.4g}"


def _standing(board: Board, keys: Iterable[tuple[str, int]]) -> str:
    ranks = [text for key in keys if (text := board.rank_text(key))]
    ranked = len(board.ranks)
    title = board.heading(board.sorted_by).title if board.sorted_by else ""
    return f"rank {', '.join(ranks)} of {ranked} by {title}" if ranks else "shown, not ranked"


def _numbers(board: Board, key: tuple[str, int]) -> str:
    from genbench.leaderboard.rendering import MAIN
    from genbench.storage.formatting import cell_text

    cells = board.cells[key]
    rows = [(column, cells[column.name]) for column in board.columns if column.name in MAIN and column.name in cells]
    return ", ".join(f"{column.title} {cell_text(row)}" for column, row in rows if row.value is not None)


def _boards() -> Iterator[tuple[Any, Board]]:
    from genbench.leaderboard import boards

    for folder in boards.readable(homes()):
        for board in boards.boards([folder]):
            yield folder, board


def _with_summary(name: str, cards: Mapping[str, Card]) -> str:
    return f"{name}: {cards[name].summary}" if name in cards and cards[name].summary else name


def _fact(name: str, text: str) -> list[str]:
    """A name and what is said of it, in lines that fit a terminal; nothing where nothing is said."""
    lines = textwrap.wrap(printable(text), WIDTH - INDENT, break_long_words=False, break_on_hyphens=False)
    labels = [name.ljust(INDENT)] + [" " * INDENT] * len(lines)
    if len(name) >= INDENT and lines:
        return [name, *(f"{' ' * INDENT}{line}" for line in lines)]
    return [f"{label}{line}".rstrip() for label, line in zip(labels, lines, strict=False)]
