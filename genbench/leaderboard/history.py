"""Every row that there ever was of a model."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict

from genbench.errors import RegistryError
from genbench.leaderboard.tables import Sheet, csv_text
from genbench.plugins import registry
from genbench.storage.formatting import cell_text, printable
from genbench.storage.results import NAMES, Result

HEADS = ("time", "benchmark", "column", "number", "n", "seed", "protocol", "model version", "remark")


def of_model(rows: Iterable[Result], model: str) -> list[Result]:
    """The rows of a model, oldest first. Raises RegistryError with the closest names where there are none."""
    history = list(rows)
    own = sorted((row for row in history if row.model == model), key=lambda row: row.moment)
    if not own:
        raise RegistryError(registry.unknown("models", model, {row.model for row in history}))
    return own


def sheet(rows: Iterable[Result], model: str) -> Sheet:
    """A line of text for each row: its number, when and how it was made, and a remark."""
    lines = []
    for row in rows:
        remark = row.detail if row.status == "ok" else f"{row.status}: {row.detail}"
        made = row.moment.isoformat(timespec="seconds")
        how = [f"{row.n:,}", str(row.seed), row.protocol, row.model_version]
        lines.append([made, row.benchmark, row.column, cell_text(row), *how, remark])
    return Sheet(f"every row of {model}", HEADS, lines, (), frozenset({0, 1, 2, 6, 7, 8}), fixed=4)


def to_text(rows: Iterable[Result]) -> str:
    """The lines, aligned."""
    cells = [[printable(cell) for cell in line] for line in (HEADS, *sheet(rows, "").lines)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(HEADS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def to_csv(rows: Iterable[Result]) -> str:
    """Every field of every row; a spreadsheet takes no text in it for a formula."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(NAMES)
    for row in rows:
        table.writerow(csv_text(value) if isinstance(value, str) else value for value in asdict(row).values())
    return text.getvalue()
