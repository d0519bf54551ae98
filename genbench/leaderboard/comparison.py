"""Two sets of results side by side: what changed significantly, what is only noise, what is missing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from genbench.leaderboard.ranks import cost
from genbench.storage import results
from genbench.storage.results import Result

Verdict = Literal["same", "noise", "better", "worse", "missing", "new", "failed", "another protocol"]
EQUAL = 1e-6  # relative; smaller differences are those of processors and libraries
SIGNIFICANT = 1.96  # standard errors of the difference, one comparison at a time


@dataclass(frozen=True, slots=True)
class Change:
    """One number before and after; `error` is the standard error of their difference."""

    benchmark: str
    model: str
    column: str
    seed: int
    before: float | None
    after: float | None
    difference: float | None
    error: float | None
    verdict: Verdict


def compare(before: Iterable[Result], after: Iterable[Result]) -> list[Change]:
    """Every number of either side, those of the side before first.

    Numbers that differ by less than 1e-6 of their size are the same. Others are noise within 1.96 standard errors of
    their difference, which counts both sides' errors as independent although equal seeds make them less so.
    """
    old, new = _by_place(before), _by_place(after)
    return [_change(place, old.get(place), new.get(place)) for place in dict.fromkeys([*old, *new])]


Place = tuple[str, str, str, int]


def _by_place(rows: Iterable[Result]) -> dict[Place, Result]:
    """The newest current row of each model, column and seed that has a number or failed."""
    counting = [row for row in results.current(rows) if row.status != "unsupported"]
    return {(row.benchmark, row.model, row.column, row.seed): row for row in counting}


def _change(place: Place, old: Result | None, new: Result | None) -> Change:
    before, after = (None if row is None else row.value for row in (old, new))
    if old is None or new is None or before is None or after is None:
        return Change(*place, before, after, None, None, _without_number(old, new))
    difference = after - before
    error = math.hypot(old.stderr or 0.0, new.stderr or 0.0)
    return Change(*place, before, after, difference, error, _verdict(old, new, difference, error))


def _without_number(old: Result | None, new: Result | None) -> Verdict:
    if new is None:
        return "missing"
    if new.value is None:
        return "failed"
    return "new"


def _verdict(old: Result, new: Result, difference: float, error: float) -> Verdict:
    if old.protocol != new.protocol:
        return "another protocol"
    assert old.value is not None
    assert new.value is not None
    if abs(difference) <= EQUAL * max(abs(old.value), abs(new.value)):
        return "same"
    if abs(difference) <= SIGNIFICANT * error:
        return "noise"
    return "worse" if cost(new.value, new.better) > cost(old.value, new.better) else "better"
