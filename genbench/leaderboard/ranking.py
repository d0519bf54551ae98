"""Rows in their ranks: only rows of equal protocol meet in a column, and those left out are named.

All that a board shows travels with the rows: no metric, no model and no torch is imported.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any, Self

from genbench.errors import RegistryError
from genbench.leaderboard import choosing, pairs, ranks
from genbench.leaderboard.choosing import ANCHORS as ANCHORS
from genbench.leaderboard.choosing import Key, Records
from genbench.leaderboard.means import Mean, seeds_text
from genbench.storage.formatting import ARROWS
from genbench.storage.items import Lookup
from genbench.storage.results import Better, Result

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Heading:
    """A column as its rows describe it; those of its `protocol` are ranked in it."""

    name: str
    title: str
    unit: str
    digits: int
    better: Better
    note: str
    place: int
    protocol: str

    @classmethod
    def of(cls, row: Result, protocol: str) -> Heading:
        return cls(row.column, row.title, row.unit, row.digits, row.better, row.note, row.place, protocol)

    def __str__(self) -> str:
        return f"{self.title} {ARROWS[self.better]}" + (f" ({self.unit})" if self.unit else "")


@dataclass(frozen=True, eq=False)
class Ranking:
    """One benchmark's current rows: `cells` by (model, least seed) and column, a sentence per group of rows left out.

    `means` are the cells that stand for several seeds or trainings. `items` finds what each held-out item adds to
    rows, by which they are compared in pairs.
    """

    benchmark: str
    columns: tuple[Heading, ...]
    cells: Mapping[Key, Mapping[str, Result]]
    left_out: tuple[str, ...] = ()
    sorted_by: str = ""
    items: Lookup = dataclasses.field(default_factory=Lookup)
    means: Mapping[Key, Mapping[str, Mean]] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(
        cls,
        rows: Iterable[Result],
        protocols: Mapping[str, str] | None = None,
        sort: str | None = None,
        items: Lookup | None = None,
        records: Records | None = None,
    ) -> Self:
        """The board of one benchmark's rows.

        In each column rows of one protocol are ranked: that which `protocols` names for the column, else the one that
        most models share, that of the largest n, then the newest where that is undecided. Rows that differ from it in
        n alone, as the `records` of both say, are shown and not ranked. Models are ranked by `sort`, else by the first
        column that any of them defines.
        """
        rows = list(rows)
        chosen = choosing.chosen(rows, protocols or {}, records or {})
        headings = [Heading.of(row, chosen.protocols[name]) for name, row in chosen.headings.items()]
        columns = tuple(sorted(headings, key=lambda heading: heading.place))
        board = cls(rows[0].benchmark if rows else "", columns, chosen.cells, chosen.left_out)
        board = replace(board, items=items or Lookup(), means=chosen.means)
        first = next((column.name for column in columns if board.defined(column)), "")
        return board.sorted(sort or first)

    def sorted(self, column: str) -> Self:
        """The same board ranked by a column, in the direction that is better. Raises RegistryError for no such one.

        Models of another n come after those that are ranked, anchors at their value.
        """
        if column and column not in [heading.name for heading in self.columns]:
            raise RegistryError(unknown_column(column, self.columns))
        better = self.heading(column).better if column else "lower"

        def order(key: Key) -> tuple[int, float, Key]:
            row = self.cells[key].get(column)
            if row is None or row.value is None:
                return 2, 0.0, key
            apart = self.is_aside(row) and key[0] not in ANCHORS
            return int(apart), ranks.span(_known(row), better)[1], key

        cells = {key: self.cells[key] for key in sorted(self.cells, key=order)}
        return replace(self, cells=cells, sorted_by=column)

    def heading(self, column: str) -> Heading:
        return next(heading for heading in self.columns if heading.name == column)

    def is_aside(self, row: Result) -> bool:
        """Whether a row is of another n than those that its column ranks."""
        return row.value is not None and row.protocol != self.heading(row.column).protocol

    @cached_property
    def ranks(self) -> Mapping[Key, tuple[int, int]]:
        """Between which ranks each model stands in the column that the board is sorted by; anchors have none.

        An estimate is only known to lie within its interval; numbers whose items are kept are compared in pairs.
        """
        ranked = self._ranked
        if not ranked:
            return {}
        errors = [row.stderr for row in ranked.values()]
        better = self.heading(self.sorted_by).better
        intervals = ranks.ranks([_known(row) for row in ranked.values()], errors, better, self._paired)
        return dict(zip(ranked, intervals, strict=True))

    @property
    def _ranked(self) -> dict[Key, Result]:
        """The rows of the column that the board is sorted by, of all but the anchors."""
        rows = {key: cells[self.sorted_by] for key, cells in self.cells.items() if self.sorted_by in cells}
        return {
            key: row
            for key, row in rows.items()
            if row.value is not None and key[0] not in ANCHORS and not self.is_aside(row)
        }

    @cached_property
    def _paired(self) -> dict[tuple[int, int], float]:
        """The standard error of the difference of each pair of ranked rows, by their places, that can be paired."""
        known = {}
        column = self.sorted_by
        sides = {key: self.means.get(key, {}).get(column) or row for key, row in self._ranked.items()}
        for (a, first), (b, second) in combinations(enumerate(sides.values()), 2):
            error = pairs.error_of(first, second, self.items, self.items)
            if error is not None:
                known[a, b] = error
        return known

    def rank_text(self, key: Key) -> str:
        """``3``, ``2-5``, or nothing for what is not ranked."""
        if key not in self.ranks:
            return ""
        low, high = self.ranks[key]
        return str(low) if low == high else f"{low}-{high}"

    @property
    def about(self) -> Mapping[str, Any]:
        """What the numbers are: the benchmark, its extractor, how many samples stand against how many real items.

        `n` and `reference` are lists where rows differ.
        """
        rows = [row for cells in self.cells.values() for row in cells.values() if row.features]
        some = lambda values: values[0] if len(values) == 1 else values  # noqa: E731
        return {
            "benchmark": self.benchmark,
            "features": some(sorted({row.features for row in rows}) or [""]),
            "n": some(sorted({row.n for row in rows}) or [0]),
            "reference": some(sorted({row.reference for row in rows if row.reference}) or [0]),
        }

    def n_of(self, key: Key) -> int:
        """The samples behind a row of the board: those of the column that ranks it, if it reads any."""
        sizes = {name: row.n for name, row in self.cells[key].items() if row.features}
        return sizes.get(self.sorted_by, max(sizes.values(), default=0))

    @property
    def title(self) -> str:
        """One line that says what the numbers are."""
        about = self.about
        if not about["features"]:
            return self.benchmark

        def counted(value: int | list[int]) -> str:
            return f"{value:,}" if isinstance(value, int) else " or ".join(f"{each:,}" for each in value)

        usual = Counter(self.n_of(key) for key in self.cells).most_common(1)[0][0]
        others = [n for n in (about["n"] if isinstance(about["n"], list) else []) if n != usual]
        marked = f" ({counted(others)} where n says so)" if others else ""
        features = about["features"] if isinstance(about["features"], str) else " and ".join(about["features"])
        return (
            f"{self.benchmark}: {usual:,} samples{marked} against {counted(about['reference'])} real items, "
            f"features {features}{self._on_means()}"
        )

    def _on_means(self) -> str:
        """Over what the means of the board are taken; empty where there are none."""
        counts = [len(self.seeds_of(key)) for key in self.means]
        trainings = [len(self.trainings_of(key)) for key in self.means]
        parts = []
        if max(counts, default=1) > 1:
            each = {self.seeds_of(key) for key in self.cells}
            parts = [f"seeds {seeds_text(each.pop())}" if len(each) == 1 else f"up to {max(counts)} seeds"]
        if max(trainings, default=1) > 1:
            parts.append(f"up to {max(trainings)} trainings")
        return f"; means over {' and '.join(parts)}" if parts else ""

    def seeds_of(self, key: Key) -> tuple[int, ...]:
        """The seeds of sampling behind a row of the board."""
        means = self.means.get(key, {}).values()
        return tuple(sorted({key[1], *(seed for each in means for seed in each.seeds)}))

    def trainings_of(self, key: Key) -> tuple[str, ...]:
        """The names of the trainings behind a row of the board."""
        means = self.means.get(key, {}).values()
        return tuple(dict.fromkeys(name for each in means for name in each.trainings)) or key[:1]

    @property
    def table(self) -> pd.DataFrame:
        """Numbers to compute with, best first, by `rank` in the order of the values.

        `rank_low` and `rank_high` (empty for what is not ranked), `model`, `seed`, `n` where it differs by row, each
        column with its ``_stderr``, and the `kind`. Columns that have them anywhere also have ``_total_stderr``,
        ``_low`` and ``_high``. Where rows are means, `seed` is the least, `seeds` and `trainings` count what they are
        over, and ``_within`` and ``_between`` are the error that the numbers' own errors give the mean, and their
        standard deviation.
        """
        import pandas as pd

        rows = [row for cells in self.cells.values() for row in cells.values()]
        names: list[str] = []
        fields: list[tuple[str, str, str]] = []
        for column in self.columns:
            own = [row for row in rows if row.column == column.name]
            for field in ("value", "stderr", "total_stderr", "low", "high"):
                if field in ("value", "stderr") or any(getattr(row, field) is not None for row in own):
                    name = column.name if field == "value" else f"{column.name}_{field}"
                    names.append(name)
                    fields.append((name, column.name, field))
            if any(column.name in means for means in self.means.values()):
                extra = [f"{column.name}_{field}" for field in ("within", "between")]
                names += extra
                fields += zip(extra, [column.name] * 2, ("within", "between"), strict=True)
        counts = ["seeds", "trainings"] if self.means else []
        sizes = [*counts, *(["n"] if isinstance(self.about["n"], list) else [])]
        records = []
        for (model, seed), cells in self.cells.items():
            key = model, seed
            low, high = self.ranks.get(key, (None, None))
            record: dict[str, Any] = {"rank_low": low, "rank_high": high, "model": model, "seed": seed}
            record |= {"seeds": len(self.seeds_of(key)), "trainings": len(self.trainings_of(key)), "n": self.n_of(key)}
            for name, column_name, field in fields:
                source = self.means.get(key, {}) if field in ("within", "between") else cells
                record[name] = getattr(source[column_name], field) if column_name in source else None
            records.append(record | {"kind": kind_of(cells)})
        frame = pd.DataFrame(records, columns=["rank_low", "rank_high", "model", "seed", *sizes, *names, "kind"])
        frame[names] = frame[names].astype("float64")
        frame[["rank_low", "rank_high"]] = frame[["rank_low", "rank_high"]].astype("Int64")
        frame.index = pd.RangeIndex(1, len(frame) + 1, name="rank")
        return frame

    def defined(self, column: Heading) -> bool:
        """Whether any model defines the column, or failed at it."""
        rows = (cells.get(column.name) for cells in self.cells.values())
        return any(row is not None and row.status != "unsupported" for row in rows)

    @property
    def notes(self) -> list[str]:
        """What the table cannot show: why numbers are missing, remarks on others, rows of other protocols."""
        return self.notes_on(self.cells, {column.name for column in self.columns}) + list(self.left_out)

    def notes_on(self, keys: Collection[Key], columns: Collection[str]) -> list[str]:
        """The notes that concern these rows of the board and these columns."""
        reasons: dict[str, list[str]] = {}
        for row in (row for key in keys for row in self.cells[key].values() if row.column in columns):
            if row.status == "failed":
                reasons.setdefault(f"{row.model} failed: {row.detail}", []).append(row.column)
            elif row.biased:
                reasons.setdefault(f"{row.model}: {row.detail or 'biased'}", []).append(row.column)
        notes = [f"{reason} ({', '.join(dict.fromkeys(names))})" for reason, names in reasons.items()]
        remarks: dict[str, list[str]] = {}
        for column in self.columns:
            if column.note and column.name in columns and self.defined(column):
                remarks.setdefault(column.note, []).append(column.title)
        notes += [f"{', '.join(titles)}: {remark}" for remark, titles in remarks.items()]
        if self.sorted_by in columns:
            notes += self._on_ranks()
        return [*self._on_sizes(keys, columns), *self._on_errors(keys), *notes]

    def _on_sizes(self, keys: Collection[Key], columns: Collection[str]) -> list[str]:
        """Whose numbers are of another n than those beside them."""
        sizes: dict[int, list[str]] = {}
        for key in keys:
            for row in self.cells[key].values():
                if row.column in columns and self.is_aside(row):
                    sizes.setdefault(row.n, []).append(key[0])
        return [
            f"n: {n:,} samples of {', '.join(dict.fromkeys(models))}, whose numbers are shown, and not ranked where "
            f"others are of another n"
            for n, models in sizes.items()
        ]

    def _on_errors(self, keys: Collection[Key]) -> list[str]:
        """What the errors of means are, and which trainings they are over."""
        if not any(key in self.means for key in keys):
            return []
        note = (
            "±: of a mean over seeds or trainings, the larger of what the errors of its numbers and what the spread "
            "between them give it; of numbers over held-out items both together"
        )
        several = [(key[0], self.trainings_of(key)) for key in keys if len(self.trainings_of(key)) > 1]
        return [note, *(f"{model}: trainings {', '.join(names)}" for model, names in several)]

    def _on_ranks(self) -> list[str]:
        """What a reader must know of the ranks."""
        notes = []
        exact = [key[0] for key in self.ranks if self.cells[key][self.sorted_by].stderr is None]
        title = self.heading(self.sorted_by).title if self.sorted_by else ""
        if exact:
            notes.append(f"{title}: ranked as if exact, for want of an error: {', '.join(dict.fromkeys(exact))}")
        known = {key: _known(self.cells[key][self.sorted_by]) for key in self.ranks}
        between = [key[0] for key, value in known.items() if isinstance(value, tuple)]
        if between:
            note = f"{title}: estimates stand by the unfavourable end of their interval, and count as apart from others"
            notes.append(f"{note} by the whole of it alone: {', '.join(dict.fromkeys(between))}")
        if self._paired:
            paired = {place for pair in self._paired for place in pair}
            others = [key[0] for place, key in enumerate(self._ranked) if place not in paired]
            note = f"{title}: ranks compare models in pairs over the same held-out items, which tells apart more"
            unpaired = f"; without kept items, and compared by their ± alone: {', '.join(dict.fromkeys(others))}"
            notes.append(note + unpaired * bool(others))
        return notes


def _known(row: Result) -> float | tuple[float, float]:
    """The number of a row, or between which numbers an estimate lies."""
    assert row.value is not None
    if row.kind == "estimate" and row.low is not None and row.high is not None:
        return min(row.low, row.value), max(row.high, row.value)
    return row.value


def kind_of(cells: Mapping[str, Result]) -> str:
    """What kind of likelihood a model's cells hold, or nothing."""
    return next((row.kind for row in cells.values() if row.kind), "")


def unknown_column(name: str, columns: Sequence[Heading]) -> str:
    """One sentence that says that a board has no such column, and what it has."""
    return f"the board has no column called {name!r}; it has {', '.join(column.name for column in columns)}"
