"""Ranks that respect errors: an interval for each model, and the groups that the error cannot tell apart.

References: S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure" (1979), for all pairs at one level; M.
Mogstad et al., "Inference for Ranks with Applications to Mobility across Neighborhoods and Academic Achievement across
Countries" (2024), for intervals of ranks from such pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from genbench.storage.results import Better

LEVEL = 0.05  # of falsely telling any pair of a column apart


def cost(value: float, better: Better) -> float:
    """A value as what should be small."""
    return -value if better == "higher" else abs(value) if better == "zero" else value


def ranks(values: Sequence[float], errors: Sequence[float | None], better: Better) -> list[tuple[int, int]]:
    """For each model the best and the worst rank that its value may have: 1 + how many are significantly better, and
    how many there are less those that are significantly worse.

    Pairs are told apart by the difference of their values in units of its standard error, normal and independent, all
    pairs together at 5 % by Holm's procedure. An unknown error (None) counts as 0: the value is taken as it stands.
    """
    costs = [cost(value, better) for value in values]
    count = len(costs)
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    chances = {pair: _chance(costs[pair[0]] - costs[pair[1]], *(errors[i] or 0.0 for i in pair)) for pair in pairs}
    better_than, worse_than = [0] * count, [0] * count
    for tested, (i, j) in enumerate(sorted(pairs, key=chances.__getitem__)):
        if chances[i, j] > LEVEL / (len(pairs) - tested):
            break
        first, second = (i, j) if costs[i] < costs[j] else (j, i)
        better_than[second] += 1
        worse_than[first] += 1
    return [(1 + better_than[i], count - worse_than[i]) for i in range(count)]


def _chance(difference: float, first: float, second: float) -> float:
    """How often a difference of at least this size comes about between equal models, two-sided."""
    error = math.hypot(first, second)
    if not error:
        return 0.0 if difference else 1.0
    return math.erfc(abs(difference) / error / math.sqrt(2))
