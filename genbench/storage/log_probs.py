"""Log-probabilities item by item, kept beside the rows that are their means, so that models are compared in pairs.

``log_probs/MODEL.npz`` in a results folder holds those of the newest rows of a model: float32, compressed.
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

FOLDER = "log_probs"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Column:
    """The row that a column's number stood in: its protocol and value, and how many nats one unit of it is."""

    protocol: str
    value: float
    nats: float


@dataclass(frozen=True, eq=False)
class Items:
    """The log-probabilities (n,) in nats that one model, by its version and seed, gives the items of a benchmark.

    `error` is a standard error in nats that all of them share, as that of a log Z; `columns` the rows that are means of
    them, up to a constant that is the same for all models.
    """

    benchmark: str
    model: str
    version: str
    seed: int
    error: float
    columns: Mapping[str, Column]
    values: np.ndarray = field(repr=False)

    def belong_to(self, row: Result) -> bool:
        """Whether a row is the mean of these very items."""
        own = self.benchmark, self.model, self.version, self.seed
        if own != (row.benchmark, row.model, row.model_version, row.seed):
            return False
        column = self.columns.get(row.column)
        return column is not None and (column.protocol, column.value) == (row.protocol, row.value)


def save(folder: Path, items: Items) -> None:
    """Write the items of a model below a results folder, in place of those of the same model and seed before.

    Columns that an earlier file has of the very same items stay. Raises ResultsError where that is impossible.
    """
    import numpy as np

    path = folder / FOLDER / _name(items.model, items.seed)
    columns = dict(items.columns)
    before = _read(path) if path.is_file() else None
    values = items.values.astype(np.float32)
    if before is not None and _same(before, items) and np.array_equal(before.values, values):
        columns = dict(before.columns) | columns
    about = {name: getattr(items, name) for name in ("benchmark", "model", "version", "seed", "error")}
    about |= {"format": FORMAT, "columns": {name: asdict(column) for name, column in columns.items()}}

    def into(part: Path) -> None:
        with part.open("wb") as file:
            np.savez_compressed(file, log_prob=values, about=np.array(json.dumps(about, sort_keys=True)))

    atomic.write(path, into)


class Lookup:
    """Finds the items behind a row: among those given, or in the folders beside their rows, on first use."""

    def __init__(self, items: Iterable[Items] = (), folders: Iterable[Path] = ()) -> None:
        self._given, self._folders = tuple(items), tuple(folders)
        self._files: dict[Path, Items | None] = {}

    def of(self, row: Result) -> Items | None:
        """The items whose mean a row is; None where they are not kept, or their file is damaged."""
        if not row.kind:
            return None
        return next((items for items in self._candidates(row) if items is not None and items.belong_to(row)), None)

    def _candidates(self, row: Result) -> Iterator[Items | None]:
        yield from self._given
        for folder in self._folders:
            path = folder / FOLDER / _name(row.model, row.seed)
            if path not in self._files:
                self._files[path] = _read(path) if path.is_file() else None
            yield self._files[path]


def _name(model: str, seed: int) -> str:
    return file_name(model) + (f"@{seed}" if seed else "") + ".npz"


def _same(first: Items, second: Items) -> bool:
    own = ("benchmark", "model", "version", "seed", "error")
    return all(getattr(first, name) == getattr(second, name) for name in own)


def _read(path: Path) -> Items | None:
    import numpy as np

    from genbench.storage import npz

    try:
        arrays = npz.read(path, ("log_prob", "about"), mmap=False)
        about: dict[str, Any] = json.loads(str(arrays["about"]))
        columns = {str(name): Column(**column) for name, column in about.pop("columns").items()}
        values = arrays["log_prob"].astype(np.float64)
        if about.pop("format") != FORMAT or values.ndim != 1 or not np.isfinite(values).all():
            return None
        return Items(columns=columns, values=values, **about)
    except (DataError, ValueError, TypeError, KeyError, AttributeError, OSError, zipfile.BadZipFile):
        return None
