"""Results as ranked tables: only rows of equal protocol meet in a column, and the board names those it leaves out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from genbench.contracts import Column
from genbench.errors import RegistryError, ResultsError
from genbench.plugins import registry
from genbench.storage import atomic, results
from genbench.storage.results import Result

if TYPE_CHECKING:
    from rich.console import Console

MARKS: Mapping[str, str] = {"lower_bound": "<= ", "estimate": "~ "}
MARKDOWN_WIDTH = 200  # characters of a table's line, beyond which a board goes on in another table
ARROWS: Mapping[str, str] = {"lower": "↓", "higher": "↑"}


@cache
def known_columns() -> Mapping[str, Column]:
    """Every column of every registered metric, by name."""
    metrics = (registry.load(card.target)() for card in registry.cards("metrics").values())
    return {column.name: column for metric in metrics for column in metric.columns}


def describe(name: str) -> Column:
    """The column of that name; one whose metric is not installed is shown plainly."""
    return known_columns().get(name) or Column(name, name, "higher")


@dataclass(frozen=True, eq=False)
class Board:
    """One benchmark's current rows: `cells` by (model, seed) and column, and a sentence per group of rows left out."""

    benchmark: str
    columns: tuple[Column, ...]
    cells: Mapping[tuple[str, int], Mapping[str, Result]]
    left_out: tuple[str, ...] = ()
    sorted_by: str = ""

    @classmethod
    def of(cls, rows: Iterable[Result], protocols: Mapping[str, str] | None = None, sort: str | None = None) -> Board:
        """The board of one benchmark's rows.

        In each column only rows of one protocol stand: that which `protocols` names for the column, else the one that
        most models share, the newest where that is undecided. Models are ranked by `sort`, else by the first column.
        """
        newest = results.newest(rows)
        names = list(dict.fromkeys(row.column for row in newest))
        chosen = {name: _shared_protocol([row for row in newest if row.column == name]) for name in names}
        chosen |= {name: protocol for name, protocol in (protocols or {}).items() if name in chosen}
        cells: dict[tuple[str, int], dict[str, Result]] = {}
        outside: list[Result] = []
        for row in newest:
            if row.protocol == chosen[row.column]:
                cells.setdefault((row.model, row.seed), {})[row.column] = row
            else:
                outside.append(row)
        columns = tuple(describe(name) for name in names)
        left_out = [row for row in outside if row.column not in cells.get((row.model, row.seed), {})]
        board = cls(newest[0].benchmark if newest else "", columns, cells, _sentences(left_out))
        return board.sorted(sort or (columns[0].name if columns else ""))

    def sorted(self, column: str) -> Board:
        """The same board ranked by a column, in the direction that is better. Raises RegistryError for no such one."""
        names = [c.name for c in self.columns]
        if column and column not in names:
            raise RegistryError(registry.unknown("columns", column, names))
        sign = -1 if column and describe(column).better == "higher" else 1

        def rank(key: tuple[str, int]) -> tuple[bool, float, tuple[str, int]]:
            row = self.cells[key].get(column)
            value = None if row is None else row.value
            return value is None, 0.0 if value is None else sign * value, key

        cells = {key: self.cells[key] for key in sorted(self.cells, key=rank)}
        return Board(self.benchmark, self.columns, cells, self.left_out, column)

    @property
    def table(self) -> pd.DataFrame:
        """Numbers to compute with, best first: `model`, `seed`, each column and its ``_stderr``, and the `kind`.

        Columns in which an estimate has an interval also have ``_low`` and ``_high``.
        """
        records = []
        intervals = {row.column for cells in self.cells.values() for row in cells.values() if row.low is not None}
        for (model, seed), cells in self.cells.items():
            record: dict[str, Any] = {"model": model, "seed": seed}
            for column in self.columns:
                row = cells.get(column.name)
                record[column.name] = None if row is None else row.value
                record[f"{column.name}_stderr"] = None if row is None else row.stderr
                if column.name in intervals:
                    record[f"{column.name}_low"] = None if row is None else row.low
                    record[f"{column.name}_high"] = None if row is None else row.high
            record["kind"] = _kind(cells)
            records.append(record)
        numbers = []
        for column in self.columns:
            ends = ("_low", "_high") if column.name in intervals else ()
            numbers += [column.name + ending for ending in ("", "_stderr", *ends)]
        frame = pd.DataFrame(records, columns=["model", "seed", *numbers, "kind"])
        frame[numbers] = frame[numbers].astype("float64")
        frame.index = pd.RangeIndex(1, len(frame) + 1, name="rank")
        return frame

    def _defined(self, column: Column) -> bool:
        """Whether any model defines the column, or failed at it."""
        rows = (cells.get(column.name) for cells in self.cells.values())
        return any(row is not None and row.status != "unsupported" for row in rows)

    def formatted(self) -> tuple[list[str], list[list[str]]]:
        """Headings with arrows, and rows of text: rank, model, (seed,) one cell per column.

        Columns that no model defines are left out; the kind of the likelihoods follows the last of their columns.
        """
        seeds = len({seed for _, seed in self.cells}) > 1
        heads = ["#", "model", *(["seed"] if seeds else [])]
        columns = [c for c in self.columns if self._defined(c)]
        titles = [heading(column) for column in columns]
        kinds = {row.column for cells in self.cells.values() for row in cells.values() if row.kind}
        place = max((number for number, column in enumerate(columns, 1) if column.name in kinds), default=0)
        heads += [*titles[:place], *(["likelihood"] if place else []), *titles[place:]]
        lines = []
        for number, ((model, seed), cells) in enumerate(self.cells.items(), 1):
            ranked = self.sorted_by in cells and cells[self.sorted_by].value is not None
            line = [str(number) if ranked else "", model, *([str(seed)] if seeds else [])]
            texts = [cell_text(column, cells.get(column.name)) for column in columns]
            kind = [_kind(cells).replace("lower_bound", "bound")] if place else []
            lines.append([*line, *texts[:place], *kind, *texts[place:]])
        return heads, lines

    @property
    def notes(self) -> list[str]:
        """What the table cannot show: why numbers are missing, remarks on others, rows of other protocols."""
        reasons: dict[str, list[str]] = {}
        for (model, _), cells in self.cells.items():
            for row in cells.values():
                if row.status == "failed":
                    reasons.setdefault(f"{model} failed: {row.detail}", []).append(row.column)
                elif row.status == "ok" and "biased" in row.detail:
                    reasons.setdefault(f"{model}: {row.detail}", []).append(row.column)
        notes = [f"{reason} ({', '.join(dict.fromkeys(names))})" for reason, names in reasons.items()]
        notes += [f"{column.title}: {column.note}" for column in self.columns if column.note and self._defined(column)]
        return notes + list(self.left_out)

    def to_markdown(self) -> str:
        """Tables for a README, wide boards in several parts, with the notes below them."""
        heads, lines = self.formatted()
        lines = [[cell.replace("|", "\\|") for cell in line] for line in lines]
        widths = [max(len(row[i]) for row in [heads, *lines]) for i in range(len(heads))]
        left = [head in ("model", "likelihood") for head in heads]
        parts = []
        for block in _blocks(widths, MARKDOWN_WIDTH):
            rule = [("-" * (widths[i] + 1)) + ("-" if left[i] else ":") for i in block]
            rows = [[row[i].ljust(widths[i]) if left[i] else row[i].rjust(widths[i]) for i in block] for row in lines]
            head = [heads[i].ljust(widths[i]) if left[i] else heads[i].rjust(widths[i]) for i in block]
            text = [f"| {' | '.join(row)} |" for row in (head, *rows)]
            parts.append("\n".join([text[0], f"|{'|'.join(rule)}|", *text[1:]]) + "\n")
        return "\n".join(parts) + "".join(f"\n{note}\n" for note in self.notes)

    def to_text(self) -> str:
        """The table as aligned plain text."""
        import io

        from rich.console import Console

        text = io.StringIO()
        self.show(Console(file=text, width=1000))
        return text.getvalue()

    def show(self, console: Console) -> None:
        """Print the table, in several parts where it is wider than the console, and the notes below it."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        heads, lines = self.formatted()
        widths = [max(len(row[i]) for row in [heads, *lines]) for i in range(len(heads))]
        for number, block in enumerate(_blocks(widths, console.width)):
            title = self.benchmark if number == 0 else None
            table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
            for i in block:
                left = heads[i] in ("model", "likelihood")
                table.add_column(heads[i], justify="left" if left else "right", no_wrap=True)
            for line in lines:
                table.add_row(*(line[i] for i in block))
            console.print(table)
        for note in self.notes:
            console.print(note, markup=False, highlight=False, soft_wrap=True)

    def to_html(self) -> str:
        """The table as a fragment of HTML, notes as paragraphs."""
        import html

        heads, lines = self.formatted()
        table = pd.DataFrame(lines, columns=heads).to_html(index=False, border=0)
        return str(table) + "".join(f"\n<p>{html.escape(note)}</p>" for note in self.notes) + "\n"

    def save(self, folder: Path) -> None:
        """Write ``leaderboard.csv`` and ``leaderboard.md``, each exchanged atomically."""
        atomic.write_text(folder / "leaderboard.csv", self.table.to_csv())
        atomic.write_text(folder / "leaderboard.md", self.to_markdown())


def _blocks(widths: Sequence[int], room: int) -> list[list[int]]:
    """The columns of each part of a table, such that a part fits; all parts begin with the first two columns."""
    gap, edges, fixed = 3, 2, [0, 1]
    blocks: list[list[int]] = [list(fixed)]
    for i in range(2, len(widths)):
        taken = sum(widths[j] + gap for j in blocks[-1])
        if taken + widths[i] + edges > room and len(blocks[-1]) > len(fixed):
            blocks.append(list(fixed))
        blocks[-1].append(i)
    return blocks


def _kind(cells: Mapping[str, Result]) -> str:
    """What kind of likelihood a model's cells hold, or nothing."""
    return next((row.kind for row in cells.values() if row.kind), "")


def heading(column: Column) -> str:
    """A column's title, the direction that is better, and its unit."""
    return f"{column.title} {ARROWS[column.better]}" + (f" ({column.unit})" if column.unit else "")


def cell_text(column: Column, row: Result | None) -> str:
    """``<= 12.34 ± 0.56``, or ``~ 12.34 [12.20, 12.41] ± 0.56`` for an estimate that lies between two values.

    A dash stands where a model does not define the number, the word where it failed.
    """
    if row is None:
        return ""
    if row.value is None:
        return "failed" if row.status == "failed" else "—"
    error = "" if row.stderr is None else f" ± {row.stderr:.{column.digits}f}"
    ends = "" if row.low is None else f" [{row.low:.{column.digits}f}, {row.high:.{column.digits}f}]"
    return f"{MARKS.get(row.kind, '')}{row.value:.{column.digits}f}{ends}{error}"


def _shared_protocol(rows: Sequence[Result]) -> str:
    """The protocol of most of a column's rows, the newest among equals."""
    votes = Counter(row.protocol for row in rows)
    newest_first = [row.protocol for row in reversed(rows)]
    return max(votes, key=lambda protocol: (votes[protocol], -newest_first.index(protocol)))


def _sentences(rows: Iterable[Result]) -> tuple[str, ...]:
    groups: dict[tuple[str, int, str, int], list[str]] = {}
    for row in rows:
        groups.setdefault((row.model, row.seed, row.protocol, row.n), []).append(row.column)
    return tuple(
        f"left out, another protocol ({protocol}, n = {n}): {model}, seed {seed}: {', '.join(names)}"
        for (model, seed, protocol, n), names in groups.items()
    )


def read(folder: Path | str, benchmark: str | None = None) -> list[Result]:
    """The rows of a results folder (or of its ``results.jsonl``). Raises ResultsError where there are none."""
    path = Path(folder)
    path = path / "results.jsonl" if path.suffix != ".jsonl" else path
    rows = [row for row in results.read(path) if benchmark is None or row.benchmark == benchmark]
    if not rows:
        raise ResultsError(f"{path} holds no results; make some with: genbench run --out {path.parent}")
    return rows


def boards(folders: Iterable[Path | str], sort: str | None = None) -> list[Board]:
    """One board per benchmark over the rows of all folders together."""
    rows = [row for folder in folders for row in read(folder)]
    names = dict.fromkeys(row.benchmark for row in rows)
    return [Board.of([row for row in rows if row.benchmark == name], sort=sort) for name in names]


def leaderboard(folder: Path | str, sort: str | None = None) -> pd.DataFrame:
    """The ranked table of a results folder, best first: `model`, `seed`, each column and its ``_stderr``, `kind`.

    Rows of another protocol than most are left out. Raises ResultsError for a folder without results, and for one that
    holds several benchmarks.
    """
    found = boards([folder], sort)
    if len(found) > 1:
        raise ResultsError(f"{folder} holds several benchmarks: {', '.join(board.benchmark for board in found)}")
    return found[0].table
