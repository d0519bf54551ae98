"""One result row: what it must be to be kept, and how it is written as a line that shows every later change."""

from __future__ import annotations

import hashlib
import json
import math
import numbers
import operator
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Literal, NoReturn, get_args

SCHEMA = 2
Status = Literal["ok", "unsupported", "failed"]
Better = Literal["higher", "lower", "zero"]
Key = tuple[str, str, str, int, str]

KINDS = ("", "exact", "lower_bound", "estimate")
LONGEST_TEXT = 10_000  # characters of one field
LARGEST_COUNT = 2**53  # of integers: what JSON readers in other languages keep exactly
MOST_DIGITS = 20


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

    A row can always be written and read again: text is shortened to 10,000 characters, and lone surrogates in it become
    escapes. Raises ValueError for a value that does not go with the status, numbers that are not finite, negative
    errors and counts, an interval that ends before it begins, and fields of another type.
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
        for name in TEXTS:
            object.__setattr__(self, name, _storable(name, getattr(self, name)))
        for name in COUNTS:
            object.__setattr__(self, name, _count(name, getattr(self, name)))
        for name in NUMBERS:
            if getattr(self, name) is not None or name in SECONDS:
                object.__setattr__(self, name, _finite(name, getattr(self, name)))
        object.__setattr__(self, "biased", bool(self.biased))
        _check(self)

    @property
    def key(self) -> Key:
        """What a newer row replaces: same model, benchmark, column, seed and protocol."""
        return self.model, self.benchmark, self.column, self.seed, self.protocol

    @property
    def moment(self) -> datetime:
        """When the row was made; a time without a zone is taken for UTC."""
        return moment(self.time)


NAMES = tuple(field.name for field in fields(Result))
COUNTS = ("digits", "place", "n", "reference", "seed", "schema")
SECONDS = ("seconds", "model_seconds", "features_seconds")
NUMBERS = ("value", "stderr", "total_stderr", "low", "high", *SECONDS)
TEXTS = tuple(name for name in NAMES if name not in (*COUNTS, *NUMBERS, "biased"))


def moment(time: str) -> datetime:
    """A time in ISO 8601; UTC where it names no zone. Raises ValueError."""
    parsed = datetime.fromisoformat(time)
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def to_line(row: Result) -> str:
    """A row as one line of JSON with a checksum of all its fields, without the line's end."""
    record = asdict(row)
    return json.dumps({**record, "check": checksum(record)}, allow_nan=False)


def checksum(record: Mapping[str, object]) -> str:
    """A short hash of the canonical JSON of a record."""
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def parse_json(line: bytes, constants: bool = False) -> object:
    """The JSON value of a line. Raises ValueError for anything else; NaN and Infinity only pass as `constants`."""
    try:
        return json.loads(line.decode("utf-8"), parse_constant=float if constants else _refuse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error.msg} at character {error.pos + 1}") from error
    except UnicodeDecodeError as error:
        raise ValueError("it is no UTF-8 text") from error
    except RecursionError as error:
        raise ValueError("its JSON is nested too deeply") from error


def from_record(record: object) -> Result:
    """The row that a line's JSON holds. Raises ValueError, whose message says what is wrong with it."""
    if not isinstance(record, dict):
        raise ValueError("it is no JSON object")
    if record.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {shortened(record.get('schema'))}, this genbench reads {SCHEMA}")
    for name in (*NAMES, "check"):
        if name not in record:
            raise ValueError(f"it has no {name}")
    for name in record:
        if name not in NAMES and name != "check":
            raise ValueError(f"it has a field {shortened(name)} that rows do not have")
    # JSON's own types first: a row made in Python may be given numpy's numbers and text that cannot be written.
    for name in TEXTS:
        text = record[name]
        if not isinstance(text, str) or _storable(name, text) != text:
            raise ValueError(f"its {name} is no text of at most {LONGEST_TEXT:,} characters")
    for name in (*COUNTS, *NUMBERS):
        if isinstance(record[name], bool):
            raise ValueError(f"its {name} is {record[name]}, not a number")
    if not isinstance(record["biased"], bool):
        raise ValueError(f"its biased is {shortened(record['biased'])}, not true or false")
    row = Result(**{name: record[name] for name in NAMES})
    if record["check"] != checksum({name: record[name] for name in NAMES}):
        raise ValueError("its checksum does not fit: something in it was changed")
    return row


def shortened(value: object) -> str:
    """A value as it may stand in a message: in one line and short."""
    try:
        text = ascii(value)
    except (RecursionError, ValueError):
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 40 else f"{text[:37]}..."


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _storable(name: str, text: object) -> str:
    if not isinstance(text, str):
        raise ValueError(f"{name} is {shortened(text)}, not text")
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def _count(name: str, value: object) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise ValueError(f"{name} is {shortened(value)}, not an integer") from None
    if abs(count) > LARGEST_COUNT:
        raise ValueError(f"{name} is beyond 2^53")
    return count


def _finite(name: str, value: object) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError
        number = float(value)
    except (TypeError, OverflowError):
        raise ValueError(f"{name} is {shortened(value)}, not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"a result's {name} must be finite, got {number}")
    return number


def _check(row: Result) -> None:
    """Raises ValueError where a row's fields, each of the right type, say something impossible."""
    for name, choices in (("status", get_args(Status)), ("better", get_args(Better)), ("kind", KINDS)):
        if getattr(row, name) not in choices:
            raise ValueError(f"{name} is {shortened(getattr(row, name))}, not one of {', '.join(map(repr, choices))}")
    if (row.status == "ok") != (row.value is not None):
        raise ValueError("a result has a value exactly when its status is ok")
    for name in ("stderr", "total_stderr", *SECONDS, "digits", "place", "n", "reference"):
        if (getattr(row, name) or 0) < 0:
            raise ValueError(f"{name} is negative: {getattr(row, name)}")
    if row.digits > MOST_DIGITS:
        raise ValueError(f"digits is {row.digits}, more than {MOST_DIGITS}")
    if row.low is not None and row.high is not None and row.low > row.high:
        raise ValueError(f"the interval ends at {row.high}, below its beginning {row.low}")
    try:
        moment(row.time)
    except ValueError:
        raise ValueError(f"time is {shortened(row.time)}, not an ISO 8601 time") from None
