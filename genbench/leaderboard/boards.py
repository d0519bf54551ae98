"""Results as ranked tables in every format, read from results folders.

All that a board shows travels with the rows: no metric, no model and no torch is imported.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genbench.errors import GenbenchWarning, ResultsError
from genbench.leaderboard import published, rendering, tables
from genbench.leaderboard.ranking import Ranking
from genbench.plugins import registry
from genbench.storage import atomic, results
from genbench.storage.items import Lookup
from genbench.storage.results import Result

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console


class Board(Ranking):
    """A ranking that can be printed and saved."""

    def to_markdown(self) -> str:
        """Tables for a README, wide boards in several parts, with the notes below them, and published numbers."""
        return "\n".join(tables.markdown(sheet) for sheet in self._sheets())

    def to_html(self) -> str:
        """The table of the page of `genbench report` as a fragment, with title, notes and published numbers."""
        from genbench.leaderboard import page  # pictures and templates, which text needs none of

        claims = published.sheet(self, registry.models())
        return page.fragment(self) + ("" if claims is None else tables.to_html(claims))

    def _sheets(self) -> list[tables.Sheet]:
        """The board, and what papers report on its data."""
        claims = published.sheet(self, registry.models())
        return [rendering.sheet(self)] if claims is None else [rendering.sheet(self), claims]

    def to_csv(self) -> str:
        """`table` as CSV; a spreadsheet takes no name in it for a formula."""
        frame = self.table
        frame["model"] = [tables.csv_text(name) for name in frame["model"]]
        return str(frame.to_csv(lineterminator="\n"))

    def show(
        self,
        console: Console,
        columns: Sequence[str] | None = None,
        top: int | None = None,
        always: Sequence[str] = (),
    ) -> None:
        """Print the main columns that fit, or those named (``["all"]``: every one), of the best models.

        `top` is how many, 20 where it is None; the models in `always` are shown with them. Raises RegistryError for a
        column that there is not.
        """
        rendering.show(self, console, columns, top, always)
        if (claims := published.sheet(self, registry.models())) is not None:
            tables.show(claims, console)

    def save(self, folder: Path) -> None:
        """Write ``leaderboard.csv`` and ``.md``, and what the numbers are as ``leaderboard.json``, each atomically."""
        atomic.write_text(folder / "leaderboard.csv", self.to_csv())
        atomic.write_text(folder / "leaderboard.json", json.dumps(dict(self.about), indent=2) + "\n")
        atomic.write_text(folder / "leaderboard.md", self.to_markdown())


def read(folder: Path | str, benchmark: str | None = None) -> list[Result]:
    """The rows of a results folder (or of its ``results.jsonl``). Raises ResultsError where there are none."""
    path = Path(folder)
    path = path / "results.jsonl" if path.suffix != ".jsonl" else path
    rows = [row for row in results.read(path) if benchmark is None or row.benchmark == benchmark]
    if not rows:
        raise ResultsError(f"{path} holds no results yet; make some with: genbench run --out {path.parent}")
    return rows


def items(*folders: Path | str) -> Lookup:
    """What held-out items add to numbers, from beside the rows of results folders (or of ``results.jsonl``)."""
    paths = [Path(folder) for folder in folders]
    return Lookup(folders=[path.parent if path.suffix == ".jsonl" else path for path in paths])


def records(*folders: Path | str) -> dict[str, dict[str, object]]:
    """What the fingerprints of protocols stand for that lie beside the rows of results folders.

    Raises ResultsError for a file of them that is damaged.
    """
    known: dict[str, dict[str, object]] = {}
    for path in map(Path, folders):
        known |= results.protocols(path if path.suffix == ".jsonl" else path / "results.jsonl")
    return known


def boards(folders: Iterable[Path | str], sort: str | None = None, as_of: str | None = None) -> list[Board]:
    """One board per benchmark over the rows of all folders together, of rows until a time where one is given.

    Of several folders the rows that were made last count. Raises ResultsError where there are none.
    """
    chosen = list(folders)
    rows = [row for folder in chosen for row in read(folder)]
    if as_of is not None:
        rows = results.as_of(rows, as_of)
        if not rows:
            raise ResultsError(f"{', '.join(map(str, chosen))}: no results from {as_of} or before")
    if len(chosen) > 1:  # of one folder, the order of its lines is the better witness
        rows.sort(key=lambda row: row.moment)
    names = dict.fromkeys(row.benchmark for row in rows)
    chosen_items = items(*chosen)
    known = records(*chosen)
    return [
        Board.of([row for row in rows if row.benchmark == name], sort=sort, items=chosen_items, records=known)
        for name in names
    ]


def readable(folders: Iterable[Path]) -> list[Path]:
    """The folders whose results can be read; of the others a warning tells why not."""
    good = []
    for folder in folders:
        try:
            read(folder)
            records(folder)
            good.append(folder)
        except ResultsError as error:
            warnings.warn(str(error), GenbenchWarning, stacklevel=2)
    return good


def leaderboard(folder: Path | str, sort: str | None = None) -> pd.DataFrame:
    """The ranked table of a results folder, best first: `model`, `seed`, each column and its ``_stderr``, `kind`.

    Rows of another protocol than most are left out. Raises ResultsError for a folder without results, and for one that
    holds several benchmarks.
    """
    tables = boards([folder], sort)
    if len(tables) > 1:
        raise ResultsError(f"{folder} holds several benchmarks: {', '.join(board.benchmark for board in tables)}")
    return tables[0].table
