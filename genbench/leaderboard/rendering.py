"""Boards as tables of text, and which part of one a terminal shows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from genbench.errors import RegistryError
from genbench.leaderboard import tables
from genbench.leaderboard.choosing import Key
from genbench.leaderboard.means import seeds_text
from genbench.leaderboard.ranking import Heading, Ranking, kind_of, unknown_column
from genbench.storage.formatting import cell_text

if TYPE_CHECKING:
    from rich.console import Console

TOP = 20  # models that a terminal shows
MOST_NOTES = 8  # that a terminal shows below a part of a board
# What a newcomer looks for first, on whichever board.
MAIN = ("fid", "paired_error", "is", "precision", "recall", "nll", "gap", "accuracy", "kept_class", "auroc")


def sheet(board: Ranking, columns: Sequence[Heading] | None = None, keys: Sequence[Key] | None = None) -> tables.Sheet:
    """Headings with arrows, and rows of text: rank, model, (seeds, trainings, n,) one cell per column.

    All columns that any model defines, and all rows, where they are not named. The kind of the likelihoods follows the
    last of their columns; seeds, trainings and n follow the model where they differ by row.
    """
    columns = [column for column in board.columns if board.defined(column)] if columns is None else columns
    keys = list(board.cells) if keys is None else keys
    seeds = {key: seeds_text(board.seeds_of(key)) for key in board.cells}
    trainings = {key: str(len(board.trainings_of(key))) for key in board.cells}
    sizes = isinstance(board.about["n"], list)
    means = any(len(board.seeds_of(key)) > 1 for key in board.cells)
    marks = [("seeds" if means else "seed", seeds)] if len(set(seeds.values())) > 1 else []
    marks += [("trainings", trainings)] if len(set(trainings.values())) > 1 else []
    marks += [("n", {key: f"{board.n_of(key):,}" for key in board.cells})] if sizes else []
    heads = ["#", "model", *(head for head, _ in marks)]
    fixed, named = len(heads), {1}
    titles = [str(column) for column in columns]
    kinds = _with_kind(board)
    place = max((number for number, column in enumerate(columns, 1) if column.name in kinds), default=0)
    heads += [*titles[:place], *(["likelihood"] if place else []), *titles[place:]]
    named |= {fixed + place} if place else set()
    lines = []
    for key in keys:
        cells = board.cells[key]
        line = [board.rank_text(key), key[0], *(texts[key] for _, texts in marks)]
        texts = [cell_text(cells.get(column.name)) for column in columns]
        kind = [kind_of(cells).replace("lower_bound", "bound")] if place else []
        lines.append([*line, *texts[:place], *kind, *texts[place:]])
    return tables.Sheet(board.title, heads, lines, board.notes, frozenset(named), fixed)


def show(
    board: Ranking, console: Console, names: Sequence[str] | None, top: int | None, always: Collection[str]
) -> None:
    """Print the best models and those in `always`, in the columns chosen, and how to see the rest."""
    everything = [column for column in board.columns if board.defined(column)]
    whole = names is not None and list(names) == ["all"]
    order = list(board.cells)
    places = [place for place, key in enumerate(order) if place < (top or TOP) or key[0] in always]
    keys = [order[place] for place in places]
    if names is None:
        columns = _fitting(board, everything, keys, console.width)
    else:
        columns = everything if whole else _chosen(board, names)
    shown = sheet(board, columns, keys)
    notes = board.notes_on(keys, {column.name for column in columns})
    said = [*notes, *board.left_out] if whole else [*_few(notes), *_few(board.left_out)]
    hidden = [] if names is not None else [column.name for column in everything if column not in columns]
    said += _rest(len(order) - len(keys), hidden, len(order))
    gaps = [line for line, (place, after) in enumerate(pairwise(places)) if after > place + 1]
    tables.show(replace(shown, notes=said), console, gaps)


def _few(notes: Sequence[str]) -> list[str]:
    """The first notes, and how many there are beyond."""
    rest = len(notes) - MOST_NOTES
    return [*notes[:MOST_NOTES], *([f"and {rest} more notes (--columns all)"] if rest > 0 else [])]


def _rest(models: int, columns: Sequence[str], of_models: int) -> list[str]:
    """How to see what is not shown; nothing where all is."""
    hidden = []
    if models:
        hidden.append(f"{models} more model{'s' * (models > 1)} (--top {of_models})")
    if columns:
        named = ",".join(columns)
        hidden.append(f"{len(columns)} more column{'s' * (len(columns) > 1)} (--columns all or NAMES: {named})")
    return [f"not shown: {' and '.join(hidden)}"] if hidden else []


def _chosen(board: Ranking, names: Sequence[str]) -> list[Heading]:
    known = {column.name: column for column in board.columns}
    for name in names:
        if name.strip() not in known:
            raise RegistryError(unknown_column(name, board.columns))
    return [known[name.strip()] for name in names]


def _fitting(board: Ranking, everything: Sequence[Heading], keys: Sequence[Key], width: int) -> list[Heading]:
    """The column that ranks, the main ones, and others by their place, as many as fit, in the board's order."""
    whole = sheet(board, everything, keys)
    widths = tables.text_widths(whole, width)
    kind = sum(widths[i] + tables.GAP for i in whole.named - {1})  # what the column of kinds takes, if there is one
    numbers = [i for i in range(whole.fixed, len(widths)) if i not in whole.named]
    order = {name: place for place, name in enumerate((board.sorted_by, *MAIN))}
    kinds = _with_kind(board)
    columns: list[Heading] = []
    chosen = list(range(whole.fixed))
    for column, number in sorted(
        zip(everything, numbers, strict=True), key=lambda pair: order.get(pair[0].name, len(order))
    ):
        has_kind = any(each.name in kinds for each in (*columns, column))
        if not columns or tables.fits(widths, [*chosen, number], width - has_kind * kind):
            columns.append(column)
            chosen.append(number)
    return sorted(columns, key=everything.index)


def _with_kind(board: Ranking) -> set[str]:
    """The columns whose numbers are of some kind."""
    return {row.column for cells in board.cells.values() for row in cells.values() if row.kind}
