"""Boards as text: on a terminal, as Markdown and as HTML, with every name and remark escaped for its place."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from genbench.errors import RegistryError
from genbench.leaderboard.ranking import Heading, Key, Ranking, kind_of, unknown_column
from genbench.storage.formatting import cell_text

if TYPE_CHECKING:
    from rich.console import Console

MARKDOWN_WIDTH = 200  # characters of a table's line, beyond which a board goes on in another table
TOP = 20  # models that a terminal shows
# What a newcomer looks for first, on whichever board.
MAIN = ("fid", "paired_error", "is", "precision", "recall", "nll", "gap", "accuracy", "kept_class", "auroc")
FIXED = 2  # columns that every part of a table begins with
LEFT = ("model", "likelihood")

Lines = tuple[list[str], list[list[str]]]


def lines_of(board: Ranking, columns: Sequence[Heading], keys: Sequence[Key]) -> Lines:
    """Headings with arrows, and rows of text: rank, model, (seed,) one cell per column.

    The kind of the likelihoods follows the last of their columns; n follows the model where it differs by row.
    """
    seeds = len({seed for _, seed in board.cells}) > 1
    sizes = isinstance(board.about["n"], list)
    heads = ["#", "model", *(["seed"] if seeds else []), *(["n"] if sizes else [])]
    titles = [str(column) for column in columns]
    kinds = {row.column for cells in board.cells.values() for row in cells.values() if row.kind}
    place = max((number for number, column in enumerate(columns, 1) if column.name in kinds), default=0)
    heads += [*titles[:place], *(["likelihood"] if place else []), *titles[place:]]
    lines = []
    for key in keys:
        cells = board.cells[key]
        line = [board.rank_text(key), key[0], *([str(key[1])] if seeds else [])]
        line += [str(next((row.n for row in cells.values() if row.features), ""))] if sizes else []
        texts = [cell_text(cells.get(column.name)) for column in columns]
        kind = [kind_of(cells).replace("lower_bound", "bound")] if place else []
        lines.append([*line, *texts[:place], *kind, *texts[place:]])
    return heads, lines


def markdown(board: Ranking) -> str:
    """The title, tables of all columns in as many parts as their width asks for, and the notes."""
    heads, lines = lines_of(board, [c for c in board.columns if board.defined(c)], list(board.cells))
    heads, lines = [markdown_text(head) for head in heads], [[markdown_text(cell) for cell in line] for line in lines]
    widths = _widths(heads, lines)
    left = [head in LEFT for head in heads]
    parts = []
    for block in _blocks(widths, MARKDOWN_WIDTH):
        rule = [("-" * (widths[i] + 1)) + ("-" if left[i] else ":") for i in block]
        rows = [[row[i].ljust(widths[i]) if left[i] else row[i].rjust(widths[i]) for i in block] for row in lines]
        head = [heads[i].ljust(widths[i]) if left[i] else heads[i].rjust(widths[i]) for i in block]
        text = [f"| {' | '.join(row)} |" for row in (head, *rows)]
        parts.append("\n".join([text[0], f"|{'|'.join(rule)}|", *text[1:]]) + "\n")
    notes = "".join(f"\n{markdown_text(note)}\n" for note in board.notes)
    return f"{markdown_text(board.title)}\n\n" + "\n".join(parts) + notes


def markdown_text(text: str) -> str:
    """Text that no Markdown reader takes for markup, in one line."""
    text = " ".join(_printable(text).split())
    return re.sub(r"([\\|\[\]`*_<>])(?!= )", lambda match: "\\" + match[1], text) if _suspicious(text) else text


def _suspicious(text: str) -> bool:
    """Whether text holds characters that mean something to Markdown, besides the marks of bounds and intervals."""
    return bool(re.search(r"[\\|`*_]|<(?!= )|\]\(|\[(?![-\d., ]+\])", text))


def html_fragment(board: Ranking) -> str:
    """A heading, one table of all columns, and the notes."""
    heads, lines = lines_of(board, [c for c in board.columns if board.defined(c)], list(board.cells))
    head = "".join(f"<th>{html.escape(text)}</th>" for text in heads)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(_printable(cell))}</td>" for cell in line) + "</tr>" for line in lines
    )
    notes = "".join(f"\n<p>{html.escape(_printable(note))}</p>" for note in board.notes)
    title = html.escape(_printable(board.title))
    return f"<h2>{title}</h2>\n<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>{notes}\n"


def show(board: Ranking, console: Console, names: Sequence[str] | None, top: int | None, always: Sequence[str]) -> None:
    """Print the best models and those in `always`, in the columns chosen, and how to see the rest."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    everything = [column for column in board.columns if board.defined(column)]
    best = list(board.cells)[: top or TOP]
    keys = [key for key in board.cells if key in best or key[0] in always]
    columns = _chosen(board, everything, names) if names else _fitting(board, everything, keys, console.width)
    heads, lines = lines_of(board, columns, keys)
    widths = _widths(heads, lines)
    for number, block in enumerate(_blocks(widths, console.width)):
        title = Text(_printable(board.title)) if number == 0 else None
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        for i in block:
            table.add_column(Text(heads[i]), justify="left" if heads[i] in LEFT else "right", no_wrap=True)
        for line in lines:
            table.add_row(*(Text(_printable(line[i])) for i in block))
        console.print(table)
    for note in board.notes:
        console.print(_printable(note), markup=False, highlight=False, soft_wrap=True)
    if rest := _rest(len(board.cells) - len(keys), len(everything) - len(columns)):
        console.print(rest, markup=False, highlight=False, soft_wrap=True)


def _rest(models: int, columns: int) -> str:
    """How to see what is not shown; nothing where all is."""
    hidden = []
    if models:
        hidden.append(f"{models} more model{'s' * (models > 1)} (--top N)")
    if columns:
        hidden.append(f"{columns} more column{'s' * (columns > 1)} (--columns all or NAMES)")
    return f"not shown: {' and '.join(hidden)}" if hidden else ""


def _chosen(board: Ranking, everything: Sequence[Heading], names: Sequence[str]) -> list[Heading]:
    if list(names) == ["all"]:
        return list(everything)
    known = {column.name: column for column in board.columns}
    for name in names:
        if name not in known:
            raise RegistryError(unknown_column(name, board.columns))
    return [known[name] for name in names]


def _fitting(board: Ranking, everything: Sequence[Heading], keys: Sequence[Key], width: int) -> list[Heading]:
    """The column that ranks, the main ones, and others by their place, as many as fit, in the board's order."""
    by_name = {column.name: column for column in everything}
    wanted = dict.fromkeys([board.sorted_by, *MAIN])
    columns: list[Heading] = []
    for name in wanted:
        if name not in by_name:
            continue
        more = sorted([*columns, by_name[name]], key=lambda column: column.place)
        heads, lines = lines_of(board, more, keys)
        if not columns or len(_blocks(_widths(heads, lines), width)) == 1:
            columns = more
    return columns


def _widths(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(row[i]) for row in [heads, *lines]) for i in range(len(heads))]


def _blocks(widths: Sequence[int], room: int) -> list[list[int]]:
    """The columns of each part of a table, such that a part fits; all parts begin with the first two columns."""
    gap, edges, fixed = 3, 2, list(range(FIXED))
    blocks: list[list[int]] = [list(fixed)]
    for i in range(FIXED, len(widths)):
        taken = sum(widths[j] + gap for j in blocks[-1])
        if taken + widths[i] + edges > room and len(blocks[-1]) > len(fixed):
            blocks.append(list(fixed))
        blocks[-1].append(i)
    return blocks


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
