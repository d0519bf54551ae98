"""A board as what a page shows of it: columns in groups, cells with the places of their error bars, protocols."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from genbench.leaderboard.choosing import ANCHORS, Key
from genbench.leaderboard.means import seeds_text
from genbench.leaderboard.ranking import Heading, Ranking
from genbench.leaderboard.rendering import MAIN
from genbench.storage.formatting import ARROWS, cell_text
from genbench.storage.results import Result

# Columns that ask the same of a model; those of plug-ins, which nobody here knows, are the last group.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "distance": (
        *("fid", "fid_infinity", "fid_class", "sfid", "fd_dinov2", "fdr", "kid", "kid_subsets", "cmmd", "cmmd_biased"),
        "mind",
    ),
    "translation": ("paired_error", "cycle_error", "kept_class"),
    "quality and variety": (
        *("is", "is_unsplit", "precision", "recall", "density", "coverage", "clipped_density", "clipped_coverage"),
        *("vendi", "rke", "classes", "class_entropy"),
    ),
    "likelihood": ("nll", "bpd", "gap", "parzen"),
    "copies": ("memorization", "authenticity", "fls"),
    "tasks": ("accuracy", "auroc", "reconstruction", "denoising"),
}
OTHERS = "others"
STEEP = 10  # largest over smallest value, from which on error bars stand on a logarithmic scale
WIDTH = 2  # standard errors to either side of a drawn value, where a row has no interval of its own
Bar = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Head:
    """A column's heading; `main` ones stay where their group is folded."""

    name: str
    title: str
    arrow: str
    unit: str
    better: str
    note: str
    group: int
    main: bool


@dataclass(frozen=True, slots=True)
class Cell:
    """A number as text and as it is, its error bar and its rank in its column, and what is to be said of it."""

    text: str
    value: float | None
    stderr: float | None
    bar: Bar | None
    ranks: tuple[int, int] | None
    remark: str
    status: str


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the board; `ranks` and their bar are those of the column that the board is sorted by."""

    model: str
    seed: int
    seeds: str
    n: int
    anchor: bool
    ranks: tuple[int, int] | None
    rank_bar: Bar | None
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Protocol:
    """Which columns of how many rows were computed by a protocol, and what it says."""

    fingerprint: str
    columns: str
    rows: int
    facts: tuple[tuple[str, str], ...]


def grouped(board: Ranking) -> list[tuple[str, list[Heading]]]:
    """The columns that any model defines, in groups; groups and columns in the board's order."""
    home = {name: group for group, names in GROUPS.items() for name in names}
    groups: dict[str, list[Heading]] = {}
    for column in board.columns:
        if board.defined(column):
            groups.setdefault(home.get(column.name, OTHERS), []).append(column)
    return list(groups.items())


def heads(groups: Sequence[tuple[str, Sequence[Heading]]]) -> list[Head]:
    """The headings of all groups; of a group without a main column, its first one stands for it."""
    shown = []
    for number, (_, columns) in enumerate(groups):
        main = [column.name for column in columns if column.name in MAIN] or [columns[0].name]
        for column in columns:
            facts = column.name, column.title, ARROWS[column.better], column.unit, column.better, column.note
            shown.append(Head(*facts, group=number, main=column.name in main))
    return shown


def lines(board: Ranking, columns: Sequence[Head]) -> list[Line]:
    """The board's rows in its order, with a cell for each of the columns."""
    ranks = {column.name: board.sorted(column.name).ranks for column in columns}
    scales = {column.name: _Scale.of(board, column.name) for column in columns}
    last = max((high for _, high in board.ranks.values()), default=1)
    shown = []
    for key, rows in board.cells.items():
        seeds = seeds_text(board.seeds_of(key))
        cells = [_cell(rows.get(c.name), ranks[c.name].get(key), scales[c.name], seeds) for c in columns]
        own = board.ranks.get(key)
        bar = None if own is None else rank_bar(own, last)
        shown.append(Line(*key, seeds, board.n_of(key), key[0] in ANCHORS, own, bar, tuple(cells)))
    return shown


def rank_bar(ranks: tuple[int, int], last: int) -> Bar:
    """Where a rank's interval begins and ends, and its middle, in percent of all ranks."""
    low, high = (100 * (rank - 1) / max(1, last - 1) for rank in ranks)
    return round(low, 1), round((low + high) / 2, 1), round(high, 1)


def _cell(row: Result | None, ranks: tuple[int, int] | None, scale: _Scale, seeds: str) -> Cell:
    if row is None:
        return Cell("", None, None, None, None, "", "missing")
    facts = [f"n = {row.n:,}, seed {seeds}, protocol {row.protocol}"] if row.value is not None else []
    facts += [row.detail] if row.detail else []
    bar = None if row.value is None else scale.bar(row)
    return Cell(cell_text(row), row.value, row.stderr, bar, ranks, "; ".join(facts), row.status)


@dataclass(frozen=True, slots=True)
class _Scale:
    """From a column's values to percent; what lies beyond the ranked models stands at the edge."""

    low: float
    high: float
    logarithmic: bool

    @classmethod
    def of(cls, board: Ranking, column: str) -> _Scale:
        rows = [cells[column] for key, cells in board.cells.items() if column in cells and key[0] not in ANCHORS]
        ends = [end for row in rows if row.value is not None for end in ends_of(row)]
        values = [row.value for row in rows if row.value is not None]
        if not ends:
            return cls(0.0, 0.0, False)
        steep = min(values) > 0 and max(values) > STEEP * min(values)
        return cls(max(min(ends), min(values) / 2) if steep else min(ends), max(ends), steep)

    def bar(self, row: Result) -> Bar:
        """Where the interval begins, the value is, and the interval ends."""
        assert row.value is not None
        low, high = ends_of(row)
        return self._place(low), self._place(row.value), self._place(high)

    def _place(self, value: float) -> float:
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = math.log(max(value, low)), math.log(low), math.log(high)
        share = 0.5 if high == low else (value - low) / (high - low)
        return round(100 * min(max(share, 0.0), 1.0), 1)


def ends_of(row: Result) -> tuple[float, float]:
    """The interval around a value: the row's own, else two standard errors to either side."""
    assert row.value is not None
    width = WIDTH * (row.stderr or 0.0)
    low = row.value - width if row.low is None else row.low
    return low, row.value + width if row.high is None else row.high


def protocols(board: Ranking, readable: Mapping[str, Mapping[str, object]]) -> list[Protocol]:
    """The protocols behind the board's numbers, in the order of its columns."""
    used: dict[str, list[Result]] = {}
    for column in board.columns:
        for cells in board.cells.values():
            if column.name in cells and cells[column.name].status != "unsupported":
                used.setdefault(cells[column.name].protocol, []).append(cells[column.name])
    shown = []
    for fingerprint, rows in used.items():
        facts = [(name, _plain(value)) for name, value in readable.get(fingerprint, {}).items()]
        columns = ", ".join(dict.fromkeys(row.title for row in rows))
        shown.append(Protocol(fingerprint, columns, len(rows), tuple(facts)))
    return shown


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(each)}" for name, each in value.items()) or "none"
    return ", ".join(map(_plain, value)) if isinstance(value, list | tuple) else str(value)


def versions(board: Ranking) -> list[tuple[str, str]]:
    """What the rows were made with and when: software, devices, the first and the last time."""
    rows = [row for cells in board.cells.values() for row in cells.values()]
    times = sorted(rows, key=lambda row: row.moment)
    span = [times[0].time, times[-1].time] if times else []
    return [
        ("software", _several(row.software for row in rows)),
        ("device", _several(row.device for row in rows)),
        ("features", _several(row.features for row in rows)),
        ("seeds", seeds_text({seed for key in board.cells for seed in board.seeds_of(key)})),
        ("computed", " to ".join(dict.fromkeys(span))),
    ]


def _several(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(text for text in texts if text))


def standing(board: Ranking, keys: Iterable[Key]) -> list[str]:
    """The ranks of a model's rows on a board, as text."""
    return [text for key in keys if (text := board.rank_text(key))]
