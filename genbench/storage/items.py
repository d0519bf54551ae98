"""What held-out items add to a number, one by one, kept beside the rows, so that models are compared in pairs.

``log_probs/MODEL.npz`` in a results folder holds the log-probabilities behind the newest rows of a model, and
``parts/MODEL.COLUMN.npz`` the parts of another number of the same items, as errors of reconstruction: float32,
compressed.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.errors import DataError
from genbench.storage import atomic
from genbench.storage.names import file_name
from genbench.storage.results import Result

if TYPE_CHECKING:
    import numpy as np

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Column:
    """The row that a column's number stood in: its protocol and value, and how many nats one unit of it is.

    Parts are in the column's own unit: `nats` is 1 then.
    """

    protocol: str
    value: float
    nats: float


@dataclass(frozen=True, eq=False)
class Items:
    """The values (n,) of one model, by its version and seed, for the items of a benchmark.

    They are log-probabilities in nats, `log_probs`, or else the parts of the one number that `columns` names. `error`
    is a standard error that all of them share, as that of a log Z; `columns` are the rows that are means of them, up to
    a constant that is the same for all models.
    """

    benchmark: str
    model: str
    version: str
    seed: int
    error: float
    columns: Mapping[str, Column]
    values: np.ndarray = field(repr=False)
    log_probs: bool = True

    @property
    def path(self) -> str:
        """Where they lie in a results folder."""
        return _path(self.model, self.seed, None if self.log_probs else next(iter(self.columns)))

    def belong_to(self, row: Result) -> bool:
        """Whether a row is the mean of these very items."""
        own = self.benchmark, self.model, self.version, self.seed
        if own != (row.benchmark, row.model, row.model_version, row.seed):
            return False
        column = self.columns.get(row.column)
        return column is not None and (column.protocol, column.value) == (row.protocol, row.value)


def behind(rows: Mapping[Result, float], values: np.ndarray, error: float = 0.0, log_probs: bool = True) -> Items:
    """The items behind one model's rows, each of which has a unit of so many nats (1 for parts)."""
    first = next(iter(rows))
    columns = {row.column: Column(row.protocol, row.value, nats) for row, nats in rows.items() if row.value is not None}
    about = first.benchmark, first.model, first.model_version, first.seed
    return Items(*about, error, columns, values, log_probs)


def save(folder: Path, items: Items) -> None:
    """Write the items of a model below a results folder, in place of those of the same model and seed before.

    Columns that an earlier file has of the very same items stay. Raises ResultsError where that is impossible.
    """
    import numpy as np

    path = folder / items.path
    columns = dict(items.columns)
    before = _read(path, items.log_probs) if path.is_file() else None
    values = items.values.astype(np.float32)
    if before is not None and _same(before, items) and np.array_equal(before.values, values):
        columns = dict(before.columns) | columns
    about = {name: getattr(items, name) for name in ("benchmark", "model", "version", "seed", "error")}
    about |= {"format": FORMAT, "columns": {name: asdict(column) for name, column in columns.items()}}

    def into(part: Path) -> None:
        with part.open("wb") as file:
            arrays: dict[str, Any] = {
                _array(items.log_probs): values,
                "about": np.array(json.dumps(about, sort_keys=True)),
            }
            np.savez_compressed(file, **arrays)

    atomic.write(path, into)


class Lookup:
    """Finds the items behind a row: among those given, or in the folders beside their rows, on first use."""

    def __init__(self, items: Iterable[Items] = (), folders: Iterable[Path] = ()) -> None:
        self._given, self._folders = tuple(items), tuple(folders)
        self._files: dict[Path, Items | None] = {}

    def of(self, row: Result) -> Items | None:
        """The items whose mean a row is; None where they are not kept, or their file is damaged."""
        return next((items for items in self._candidates(row) if items is not None and items.belong_to(row)), None)

    def _candidates(self, row: Result) -> Iterator[Items | None]:
        yield from self._given
        for folder in self._folders:
            path = folder / _path(row.model, row.seed, None if row.kind else row.column)
            if path not in self._files:
                self._files[path] = _read(path, bool(row.kind)) if path.is_file() else None
            yield self._files[path]


def _path(model: str, seed: int, column: str | None) -> str:
    """Where a model's log-probabilities, or the parts of a column, lie in a results folder."""
    name = file_name(model) + (f"@{seed}" if seed else "")
    return f"log_probs/{name}.npz" if column is None else f"parts/{name}.{file_name(column)}.npz"


def _array(log_probs: bool) -> str:
    """The name of the values in a file."""
    return "log_prob" if log_probs else "parts"


def _same(first: Items, second: Items) -> bool:
    own = ("benchmark", "model", "version", "seed", "error")
    return all(getattr(first, name) == getattr(second, name) for name in own)


def _read(path: Path, log_probs: bool) -> Items | None:
    import numpy as np

    from genbench.storage import npz

    try:
        array = _array(log_probs)
        arrays = npz.read(path, (array, "about"), mmap=False)
        about: dict[str, Any] = json.loads(str(arrays["about"]))
        columns = {str(name): Column(**column) for name, column in about.pop("columns").items()}
        values = arrays[array].astype(np.float64)
        if about.pop("format") != FORMAT or values.ndim != 1 or not np.isfinite(values).all():
            return None
        return Items(columns=columns, values=values, log_probs=log_probs, **about)
    except (DataError, ValueError, TypeError, KeyError, AttributeError, OSError, zipfile.BadZipFile):
        return None
