"""Which rows stand on a board: in each column those of one protocol, and beside them those that differ in n alone.

Rows of several seeds and trainings of a model become one by their mean. What is left out is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from genbench.leaderboard.means import Mean, mean
from genbench.storage import results
from genbench.storage.names import training
from genbench.storage.results import Result

Key = tuple[str, int]  # a model and the least of its seeds
Records = Mapping[str, Mapping[str, object]]  # what fingerprints of protocols stand for

ANCHORS = ("real", "noise", "copy")  # shown for comparison, and not ranked
# Its error is that over the held-out items, although it reads samples.
OF_HELD_OUT = ("parzen",)


@dataclass(frozen=True, eq=False)
class Chosen:
    """The rows of a board: `protocols` by column, `headings` (a row that describes each column), `cells` by model and
    column, the `means` among them, and a sentence per group of rows left out."""

    protocols: Mapping[str, str]
    headings: Mapping[str, Result]
    cells: Mapping[Key, Mapping[str, Result]]
    means: Mapping[Key, Mapping[str, Mean]]
    left_out: tuple[str, ...]


def chosen(rows: Iterable[Result], protocols: Mapping[str, str], records: Records) -> Chosen:
    """The rows that stand on one benchmark's board.

    The protocol of a column is that of `protocols`, else the one of most models' newest rows, that of the largest n,
    then the newest where that is undecided. A model without a row of it stands with that of another n, the largest, if
    the `records` of both protocols are equal in all else.
    """
    history = list(rows)
    written = {row.key: place for place, row in enumerate(history)}
    counting = sorted(results.current(history), key=lambda row: written[row.key])
    by_column: dict[str, list[Result]] = {}
    for row in results.current(history):
        by_column.setdefault(row.column, [])
    for row in counting:
        by_column[row.column].append(row)
    used = {name: _shared_protocol(column_rows) for name, column_rows in by_column.items()}
    used |= {name: protocol for name, protocol in protocols.items() if name in used}
    headings = {
        name: next((row for row in reversed(column_rows) if row.protocol == used[name]), column_rows[-1])
        for name, column_rows in by_column.items()
    }
    fitting = [row for row in counting if _differs_in_n_alone(row.protocol, used[row.column], records)]
    cells: dict[Key, dict[str, Result]] = {}
    means: dict[Key, dict[str, Mean]] = {}
    places: set[tuple[str, int, str]] = set()
    told: list[str] = []
    for key, own in _by_model(fitting).items():
        for column, candidates in own.items():
            alike = _of_one_protocol(candidates, used[column])
            counted = _sound(alike)
            places |= {(row.model, row.seed, column) for row in alike}
            if counted[0].value is not None:
                told += [_absent(row) for row in alike if row.status != "unsupported" and row not in counted]
            if len(counted) == 1:
                cells.setdefault(key, {})[column] = counted[0]
                continue
            means.setdefault(key, {})[column] = mean(counted, key[0], _is_shared(counted[0], records))
            cells.setdefault(key, {})[column] = means[key][column].row
    left_out = [row for row in counting if (row.model, row.seed, row.column) not in places]
    return Chosen(used, headings, cells, means, (*_sentences(left_out), *dict.fromkeys(told)))


def _by_model(rows: Iterable[Result]) -> dict[Key, dict[str, list[Result]]]:
    """Rows by model and column, those of all its trainings and seeds together; a training alone keeps its name."""
    groups: dict[str, list[Result]] = {}
    for row in rows:
        groups.setdefault(training(row.model)[0], []).append(row)
    by_model: dict[Key, dict[str, list[Result]]] = {}
    for model, own in groups.items():
        names = {row.model for row in own}
        columns = by_model.setdefault((model if len(names) > 1 else names.pop(), min(row.seed for row in own)), {})
        for row in own:
            columns.setdefault(row.column, []).append(row)
    return by_model


def _of_one_protocol(rows: Sequence[Result], wanted: str) -> list[Result]:
    """The rows of the protocol that is wanted, else those of the largest n, as the model's last version has them."""
    last = _of_last_version(rows) or rows
    protocol = wanted if any(row.protocol == wanted for row in last) else max(last, key=lambda row: row.n).protocol
    return [row for row in rows if row.protocol == protocol]


def _sound(rows: Sequence[Result]) -> list[Result]:
    """The rows with a number whose mean is one model's, else the newest row."""
    return _of_last_version(rows) or [rows[-1]]


def _of_last_version(rows: Sequence[Result]) -> list[Result]:
    """The rows with a number, of each training those of the version that was evaluated last."""
    numbers = [row for row in rows if row.value is not None]
    newest = {row.model: row.model_version for row in numbers}
    return [row for row in numbers if row.model_version == newest[row.model]]


def _is_shared(row: Result, records: Records) -> bool:
    """Whether the error of a row is that of a draw which is the same for every seed."""
    translated = "samples" in records.get(row.protocol, {})
    return not row.features or row.column in OF_HELD_OUT or translated


def _differs_in_n_alone(protocol: str, wanted: str, records: Records) -> bool:
    if protocol == wanted:
        return True
    own, other = ({k: v for k, v in records.get(each, {}).items() if k != "n"} for each in (protocol, wanted))
    return bool(own) and own == other


def _shared_protocol(rows: Sequence[Result]) -> str:
    """The protocol that most models' newest rows have, among equals that of the largest n, then the newest.

    Rows come in the order written. Anchors, which may have no more than a few samples, do not count beside models.
    """
    newest = {(row.model, row.seed): row for row in [r for r in rows if r.model not in ANCHORS] or rows}
    votes = Counter(row.protocol for row in newest.values())
    written = {row.protocol: (row.n, place) for place, row in enumerate(rows)}
    return max(votes, key=lambda protocol: (votes[protocol], *written[protocol]))


def _absent(row: Result) -> str:
    """Why a row is not in the mean of its model's others."""
    if row.status == "failed":
        return f"left out of a mean: {row.model}, seed {row.seed} failed: {row.detail}"
    return f"left out of a mean: {row.model}, seed {row.seed}: another version of the model"


def _sentences(rows: Iterable[Result]) -> tuple[str, ...]:
    groups: dict[tuple[str, int, str, int], list[str]] = {}
    for row in rows:
        groups.setdefault((row.model, row.seed, row.protocol, row.n), []).append(row.column)
    return tuple(
        f"left out, another protocol ({protocol}, n = {n}): {model}, seed {seed}: {', '.join(names)}"
        for (model, seed, protocol, n), names in groups.items()
    )
