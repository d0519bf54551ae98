"""What changed between two sets of rows: significantly, within the noise, or not at all; for nightly runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from genbench.leaderboard import pairs, ranks
from genbench.storage import results
from genbench.storage.items import Lookup
from genbench.storage.results import Result

Verdict = Literal["same", "noise", "better", "worse", "missing", "new", "failed", "another protocol"]
Place = tuple[str, str, str, int]  # benchmark, model, column and seed
EQUAL = 1e-6  # relative; smaller differences are those of processors and libraries
ROUNDING = 1e-12  # absolute, for numbers around 0


@dataclass(frozen=True, slots=True)
class Change:
    """One number before and after; `error` is the standard error of their difference (after - before)."""

    benchmark: str
    model: str
    column: str
    seed: int
    before: float | None
    after: float | None
    difference: float | None
    error: float | None
    verdict: Verdict


def compare(
    before: Iterable[Result],
    after: Iterable[Result],
    items_before: Lookup | None = None,
    items_after: Lookup | None = None,
) -> list[Change]:
    """Every number of either side, those of the side before first.

    Of each side the rows count that newer ones do not replace, and rows of equal protocol are compared, the newest
    where there are several. Numbers that differ by less than 1e-6 of their size are the same. Others are noise unless a
    z-test tells them apart, all tests of the comparison together at 5 % (Holm): of a thousand numbers drawn anew, fifty
    would else cry loss. Both sides' errors count as independent, although equal seeds make them less so, and an unknown
    one as 0; but likelihoods are compared in pairs, item by item, where both sides' items are at hand.
    """
    lookups = items_before or Lookup(), items_after or Lookup()
    old, new = _by_place(before), _by_place(after)
    numbers = {place: _pair(old.get(place, []), new.get(place, [])) for place in dict.fromkeys([*old, *new])}
    changes = [_change(place, *pair, lookups) for place, pair in numbers.items()]
    undecided = [number for number, change in enumerate(changes) if change.verdict == "noise"]
    gains = {number: _gain(*numbers[_place(changes[number])]) for number in undecided}
    chances = [ranks.p_value(gains[number], changes[number].error or 0.0) for number in undecided]
    for number, significant in zip(undecided, ranks.holm(chances), strict=True):
        if significant:
            changes[number] = replace(changes[number], verdict="better" if gains[number] > 0 else "worse")
    return changes


def _by_place(rows: Iterable[Result]) -> dict[Place, list[Result]]:
    """The current rows of each model, column and seed that have a number or failed, one a protocol, the newest last."""
    history = list(rows)
    written = {row.key: number for number, row in enumerate(history)}
    places: dict[Place, list[Result]] = {}
    for row in sorted(results.current(history), key=lambda row: written[row.key]):
        if row.status != "unsupported":
            places.setdefault((row.benchmark, row.model, row.column, row.seed), []).append(row)
    return places


def _pair(old: Sequence[Result], new: Sequence[Result]) -> tuple[Result | None, Result | None]:
    """The rows to compare: the newest of equal protocol, else the newest of each side."""
    for after in reversed(new):
        for before in reversed(old):
            if before.protocol == after.protocol:
                return before, after
    return (old[-1] if old else None), (new[-1] if new else None)


def _place(change: Change) -> Place:
    return change.benchmark, change.model, change.column, change.seed


def _change(place: Place, old: Result | None, new: Result | None, lookups: tuple[Lookup, Lookup]) -> Change:
    """What became of a number; "noise" stands for every difference that is still to be tested."""
    before, after = (None if row is None else row.value for row in (old, new))
    if old is None or new is None or before is None or after is None:
        return Change(*place, before, after, None, None, _without_number(old, new))
    if old.protocol != new.protocol:
        return Change(*place, before, after, None, None, "another protocol")
    equal = math.isclose(before, after, rel_tol=EQUAL, abs_tol=ROUNDING)
    error = pairs.error_of(old, new, *lookups)
    if error is None:
        error = math.hypot(old.stderr or 0.0, new.stderr or 0.0)
    return Change(*place, before, after, after - before, error, "same" if equal else "noise")


def _without_number(old: Result | None, new: Result | None) -> Verdict:
    if new is None:
        return "same" if old is not None and old.value is None else "missing"  # a failure that is gone is no loss
    if new.value is None:
        return "same" if old is not None and old.value is None else "failed"
    return "new"


def _gain(old: Result | None, new: Result | None) -> float:
    """By how much a number became better."""
    assert old is not None
    assert new is not None
    assert old.value is not None
    assert new.value is not None
    return ranks.cost(old.value, new.better) - ranks.cost(new.value, new.better)
