"""Results: one flat, frozen row per number, kept as lines of JSON that are only ever appended.

History stays: a row that a newer one replaces is still in the file, and `current` says which rows count. What the rows'
fingerprints stand for lies beside them in ``protocols.jsonl``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from genbench.errors import ResultsError
from genbench.storage import lines, rows
from genbench.storage.rows import NAMES, SCHEMA, Better, Key, Result, Status

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "NAMES",
    "PROTOCOLS",
    "SCHEMA",
    "Better",
    "Key",
    "Result",
    "Status",
    "append",
    "as_of",
    "as_table",
    "current",
    "fingerprint",
    "note_protocols",
    "protocols",
    "read",
    "require_writable",
]

PROTOCOLS = "protocols.jsonl"


def fingerprint(protocol: Mapping[str, object]) -> str:
    """A short hash of a protocol: any change of any field changes it, the order of fields does not."""
    return hashlib.sha256(json.dumps(protocol, sort_keys=True, default=str).encode()).hexdigest()[:12]


def read(path: Path | str) -> list[Result]:
    """Every row of a results file in the order written; a torn last line is ignored with a warning.

    Raises ResultsError where the file cannot be read, or a line is no row or was changed after it was written.
    """
    path = Path(path)
    return [_row(line, path, number) for number, line in lines.read(path)]


def append(path: Path | str, new: Iterable[Result]) -> None:
    """Append rows in one locked write and flush them to disk.

    Raises ResultsError where that is impossible; the file is as before then, and the message says where the rows are.
    """
    lines.append(Path(path), [rows.to_line(row) for row in new])


def require_writable(path: Path | str) -> None:
    """Raises ResultsError where rows could not be appended: better known before the first model than after it."""
    lines.require_writable(Path(path))


def current(history: Iterable[Result]) -> list[Result]:
    """The row of each key that counts, in the order of the keys' first appearance.

    It is the newest, but a failure never replaces a row of the same model version that has not failed, and one of a
    model that could not even be imported (whose version is empty) none that has not failed.
    """
    counting: dict[Key, Result] = {}
    sound: dict[tuple[Key, str], Result] = {}
    for row in history:
        before = counting.get(row.key)
        if row.status != "failed":
            sound[row.key, row.model_version] = row
        elif not row.model_version and before is not None and before.status != "failed":
            continue
        counting[row.key] = sound.get((row.key, row.model_version), row)
    return list(counting.values())


def as_of(history: Iterable[Result], time: str | date) -> list[Result]:
    """The rows made at `time` or before; a date without a time of day means all of that day (UTC).

    Raises ValueError for text that is no time in ISO 8601.
    """
    if isinstance(time, str):
        time = date.fromisoformat(time) if len(time) <= len("2026-11-01") else rows.moment(time)
    if isinstance(time, datetime):
        last = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    else:
        last = datetime(time.year, time.month, time.day, tzinfo=UTC) + timedelta(days=1, microseconds=-1)
    return [row for row in history if row.moment <= last]


def note_protocols(path: Path | str, readable: Mapping[str, Mapping[str, object]]) -> None:
    """Keep protocols, by their fingerprints, beside the results file at `path`; those that are there stay.

    Raises ResultsError where they cannot be written, ValueError for one whose fingerprint is another.
    """
    path = Path(path)
    known = protocols(path)
    new = []
    for key, protocol in readable.items():
        plain = json.loads(json.dumps(protocol, sort_keys=True, default=str))
        if fingerprint(plain) != key:
            raise ValueError(f"the fingerprint of the protocol called {key} is {fingerprint(plain)}")
        if key not in known:
            new.append(json.dumps({"fingerprint": key, "protocol": plain}))
    lines.append(path.with_name(PROTOCOLS), new)


def protocols(path: Path | str) -> dict[str, dict[str, object]]:
    """The readable protocols by fingerprint that lie beside the results file at `path`.

    Raises ResultsError for a line that holds none, or one that has another fingerprint than it says.
    """
    path = Path(path).with_name(PROTOCOLS)
    return dict(_protocol(line, path, number) for number, line in lines.read(path))


def as_table(chosen: Iterable[Result]) -> pd.DataFrame:
    """Rows of one model as a table, one line per column of a board.

    Its columns: value, stderr, total_stderr, low, high, kind, status, detail, n, protocol.
    """
    import pandas as pd

    numbers = ("value", "stderr", "total_stderr", "low", "high")
    names = ("column", *numbers, "kind", "status", "detail", "n", "protocol")
    records = [{name: getattr(row, name) for name in names} for row in chosen]
    table = pd.DataFrame(records, columns=list(names)).set_index("column")
    return table.astype(dict.fromkeys(numbers, "float64"))


def _row(line: bytes, path: Path, number: int) -> Result:
    where = f"{path}, line {number}"
    try:
        record = rows.parse_json(line)
        written_by = record.get("schema") if isinstance(record, dict) else SCHEMA
        if isinstance(written_by, int) and not isinstance(written_by, bool) and 0 < written_by < SCHEMA:
            raise ResultsError(
                f"{where} was written by an earlier genbench, whose rows this one does not read; move the file away "
                f"and compute its rows again: genbench run BENCHMARK --out {path.parent}"
            )
        return rows.from_record(record)
    except ValueError as error:
        raise ResultsError(f"{where} is not a result row ({error}); remove that line") from error


def _protocol(line: bytes, path: Path, number: int) -> tuple[str, dict[str, object]]:
    try:
        record = rows.parse_json(line, constants=True)
        if not isinstance(record, dict) or not isinstance(record.get("protocol"), dict):
            raise ValueError("it has no protocol")
        if record.get("fingerprint") != fingerprint(record["protocol"]):
            raise ValueError("its fingerprint does not fit: something in it was changed")
    except ValueError as error:
        raise ResultsError(f"{path}, line {number} is not a protocol ({error}); remove that line") from error
    return record["fingerprint"], record["protocol"]
