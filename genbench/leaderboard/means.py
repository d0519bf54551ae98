"""Several seeds of sampling, and several trainings, of one model as one number: their mean, with what is known of it.

A training is named after its model, as ``dcgan@1`` after ``dcgan``. Errors follow the analysis of variance of one
random effect, its variance cut at 0: W. G. Cochran, "The Combination of Estimates from Different Experiments" (1954).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from genbench.storage.results import Result


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of numbers of one column and protocol: the `row` that shows it, and the `rows` behind it.

    Trainings count alike, however many seeds each of them has: `weights` are those of the rows. `within` is the error
    that the rows' own errors give the mean, `between` the standard deviation of trainings (of their means, where there
    are several, else of seeds), and `spread` the error that this gives it.
    """

    row: Result
    rows: tuple[Result, ...]
    weights: tuple[float, ...]
    within: float | None
    between: float
    spread: float

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(sorted({row.seed for row in self.rows}))

    @property
    def trainings(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.model for row in self.rows))


def mean(rows: Sequence[Result], name: str, shared: bool) -> Mean:
    """The mean of at least two rows that have a number, by name; `shared` says whether all seeds see the same draw.

    Where every seed draws anew, the spread between seeds holds the draw's error already, so that the larger of `within`
    and `spread` is the error of the mean. Where the rows' errors are those of one draw that all of them share, as of
    likelihoods on the held-out items, no number of seeds makes them smaller, and `spread` comes on top of them.
    Intervals are kept of estimates alone, and of numbers without an error.
    """
    names = list(dict.fromkeys(row.model for row in rows))
    groups = [[row for row in rows if row.model == training] for training in names]
    ordered = tuple(row for group in groups for row in group)
    weights = tuple(1 / (len(groups) * len(group)) for group in groups for _ in group)
    values = [fmean(_value(row) for row in group) for group in groups]
    apart = values if len(groups) > 1 else [_value(row) for row in ordered]
    between = stdev(apart)
    spread = between / math.sqrt(len(apart))
    errors = [row.stderr for row in ordered if row.stderr is not None]
    within = None
    error = spread
    if len(errors) == len(ordered):
        own = math.sqrt(fmean(each**2 for each in errors))
        within = own if shared else math.hypot(*(w * each for w, each in zip(weights, errors, strict=True)))
        error = math.hypot(within, spread) if shared else max(within, spread)
    newest = max(ordered, key=lambda row: row.moment)
    said = f"mean of {_counted(ordered)}: between them {between:.3g}" + (
        "" if within is None else f", within {within:.3g}"
    )
    remark = next((row.detail for row in ordered if row.biased), "")
    ends = newest.kind == "estimate" or not error
    row = replace(
        newest,
        model=name,
        seed=min(row.seed for row in ordered),
        value=fmean(values),
        stderr=error,
        total_stderr=_total(ordered, error),
        low=_weighted([row.low for row in ordered], weights) if ends else None,
        high=_weighted([row.high for row in ordered], weights) if ends else None,
        biased=any(row.biased for row in ordered),
        detail="; ".join(part for part in (remark, said) if part),
    )
    return Mean(row, ordered, weights, within, between, spread)


def _value(row: Result) -> float:
    assert row.value is not None
    return row.value


def _total(rows: Sequence[Result], error: float) -> float | None:
    """The error over the draw of the real items too, which all rows share."""
    beyond = [
        row.total_stderr**2 - row.stderr**2 for row in rows if row.total_stderr is not None and row.stderr is not None
    ]
    return math.sqrt(error**2 + max(0.0, fmean(beyond))) if len(beyond) == len(rows) else None


def _weighted(ends: Sequence[float | None], weights: Sequence[float]) -> float | None:
    known = [end for end in ends if end is not None]
    return sum(w * end for w, end in zip(weights, known, strict=True)) if len(known) == len(ends) else None


def _counted(rows: Sequence[Result]) -> str:
    trainings, seeds = len({row.model for row in rows}), {row.seed for row in rows}
    parts = [f"{trainings} trainings"] if trainings > 1 else []
    return " and ".join([*parts, *([f"seeds {seeds_text(seeds)}"] if len(seeds) > 1 or not parts else [])])


def seeds_text(seeds: Sequence[int] | set[int]) -> str:
    """Whole numbers in rising order, runs of three or more as first-last.

    >>> seeds_text({0, 1, 2, 7})
    '0-2, 7'
    """
    runs: list[list[int]] = []
    for seed in sorted(seeds):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)
