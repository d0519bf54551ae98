"""Results: one flat, frozen row per number, kept as lines of JSON that are only ever appended.

All rows of one append are written by a single locked write, so several processes can share a file and a kill leaves at
most one torn last line, which readers ignore and the next append replaces.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from genbench.errors import ResultsError
from genbench.storage import atomic

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 2
Status = Literal["ok", "unsupported", "failed"]
Better = Literal["higher", "lower", "zero"]
Key = tuple[str, str, str, int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One number, or the reason why there is none.

    What: the `model`, `benchmark` and `column`, with the column's `title`, `unit`, `digits`, the direction that is
    `better`, its `note` for boards, and its `place` on the board from left to right.

    The number: `value`, its standard error `stderr` with the real items fixed and `total_stderr` with their draw too,
    and the ends `low` and `high` of an interval, each where it is known; `value` is None unless `status` is "ok".
    `biased` says that the number is known to be off; `detail` carries a remark, or the reason why there is no number.
    `kind` is "exact", "lower_bound" or "estimate" for likelihoods and empty elsewhere.

    How: `n` samples (or held-out items of a likelihood) against `reference` real items, the `seed`, the extractor of
    the `features` (empty where none are read), the `device`, and `protocol`, the fingerprint of all that can change the
    number but the model; `model_version` is the model's own fingerprint, `software` the versions behind it all.

    When: `time` in ISO 8601, UTC. `seconds` is what the metric took, `model_seconds` what the model took to make what
    the metric reads, `features_seconds` their features.
    """

    model: str
    benchmark: str
    column: str
    title: str
    unit: str
    digits: int
    better: Better
    note: str
    place: int
    value: float | None
    stderr: float | None
    total_stderr: float | None
    low: float | None
    high: float | None
    biased: bool
    status: Status
    detail: str
    kind: str
    n: int
    reference: int
    seed: int
    features: str
    device: str
    protocol: str
    model_version: str
    software: str
    time: str
    seconds: float
    model_seconds: float
    features_seconds: float
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if (self.status == "ok") != (self.value is not None):
            raise ValueError("a result has a value exactly when its status is ok")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError("a result's value must be finite")

    @property
    def key(self) -> Key:
        """What a newer row replaces: same model, benchmark, column, seed and protocol."""
        return self.model, self.benchmark, self.column, self.seed, self.protocol


def fingerprint(protocol: Mapping[str, object]) -> str:
    """A short hash of a protocol: any change of any field changes it, the order of fields does not."""
    return hashlib.sha256(json.dumps(protocol, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _parse(line: bytes, path: Path, number: int) -> Result:
    try:
        record = json.loads(line)
        if record.get("schema") != SCHEMA:
            raise ValueError(f"its schema is {record.get('schema')!r}, this genbench reads {SCHEMA}")
        return Result(**{field.name: record[field.name] for field in fields(Result)})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"has no {error}" if isinstance(error, KeyError) else str(error)
        raise ResultsError(f"{path}, line {number} is not a result row ({reason}); remove that line") from error


def read(path: Path | str) -> list[Result]:
    """Every row of a results file in the order written; a torn last line is ignored with a warning.

    Raises ResultsError where the file cannot be read or a complete line is no result.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ResultsError(f"cannot read {path}: {error.strerror}") from error
    *lines, tail = content.split(b"\n")
    rows = [_parse(line, path, number) for number, line in enumerate(lines, 1) if line.strip()]
    if tail.strip():
        try:
            rows.append(_parse(tail, path, len(lines) + 1))
        except ResultsError:
            warnings.warn(f"{path}: the last line is torn and ignored; its row is computed again", stacklevel=2)
    return rows


def newest(rows: Iterable[Result]) -> list[Result]:
    """The last row of each key, in the order of the keys' first appearance."""
    return list({row.key: row for row in rows}.values())


def append(path: Path | str, rows: Iterable[Result]) -> None:
    """Append rows in one locked write and flush them to disk. Raises ResultsError where that is impossible."""
    data = b"".join(json.dumps(asdict(row), allow_nan=False).encode() + b"\n" for row in rows)
    with _locked(Path(path)) as file:
        file_size = os.fstat(file).st_size
        os.ftruncate(file, file_size - _torn_bytes(file, file_size))
        size = os.lseek(file, 0, os.SEEK_END)
        if size and os.pread(file, 1, size - 1) != b"\n":
            data = b"\n" + data
        try:
            while data:
                data = data[os.write(file, data) :]
            os.fsync(file)
        except OSError as error:
            os.ftruncate(file, size)
            raise ResultsError(f"cannot write {path}: {error.strerror}; no row was added") from error


def require_writable(path: Path | str) -> None:
    """Raises ResultsError where rows could not be appended: better known before the first model than after it."""
    with _locked(Path(path)):
        pass


def compact(path: Path | str, columns: Sequence[str] = ()) -> None:
    """Drop the rows that newer ones replace, and put each model's into the order of `columns`, others last.

    A board's columns stand in the order of the rows, whenever each of them was first computed. The file is exchanged
    atomically, and left alone if nothing changes.
    """
    path = Path(path)
    with _locked(path):
        rows = read(path)
        kept = newest(rows)
        models = {row.model: place for place, row in reversed(list(enumerate(kept)))}
        places = {name: place for place, name in enumerate(columns)}
        kept.sort(key=lambda row: (models[row.model], places.get(row.column, len(places))))
        if kept != rows:
            atomic.write_text(path, "".join(json.dumps(asdict(row), allow_nan=False) + "\n" for row in kept))


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(file, fcntl.LOCK_EX)
            # A compaction may have exchanged the file between opening and locking it.
            if os.fstat(file).st_ino == os.stat(path).st_ino:
                break
            os.close(file)
    except OSError as error:
        raise ResultsError(f"cannot write {path}: {error.strerror}; choose another folder with --out") from error
    try:
        yield file
    finally:
        os.close(file)


def _torn_bytes(file: int, size: int) -> int:
    """The length of an unfinished last line that is no valid row."""
    content = os.pread(file, size, 0)
    tail = content.rpartition(b"\n")[2]
    if not tail.strip():
        return 0
    try:
        _parse(tail, Path("results"), 0)
    except ResultsError:
        return len(tail)
    return 0


def as_table(rows: Iterable[Result]) -> pd.DataFrame:
    """Rows of one model as a table, one line per column: value, stderr, kind, status, detail, n, protocol."""
    import pandas as pd

    names = ("column", "value", "stderr", "kind", "status", "detail", "n", "protocol")
    records = [{name: getattr(row, name) for name in names} for row in rows]
    return pd.DataFrame(records, columns=list(names)).set_index("column")
