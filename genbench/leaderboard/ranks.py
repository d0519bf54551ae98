"""Ranks as far as the errors allow: an interval for each model, from all pairs compared at once.

References: S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure" (1979), for the pairs; M. Mogstad,
J. P. Romano, A. M. Shaikh and D. Wilhelm, "Inference for Ranks with Applications to Mobility across Neighbourhoods and
Academic Achievement across Countries" (2024), for the ranks that follow from them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Literal

LEVEL = 0.05  # the chance that any one of all the comparisons finds a difference where there is none


def ranks(
    values: Sequence[float], errors: Sequence[float | None], better: Literal["higher", "lower", "zero"]
) -> list[tuple[int, int]]:
    """The best and the worst rank that each of p values may have: 1 + how many are significantly better, p - how many
    are significantly worse.

    All pairs are compared by two-sided z-tests of independent estimates, at 5 % together (Holm). An unknown error
    (None) counts as 0: nothing but the value is known of such a number. Where `better` is "zero", absolute values are
    compared, with the errors of the values.
    """
    merits = [cost(value, better) for value in values]
    pairs = list(combinations(range(len(merits)), 2))
    chances = [p_value(merits[a] - merits[b], errors[a], errors[b]) for a, b in pairs]
    ahead = [0] * len(merits)  # how many are significantly better
    behind = [0] * len(merits)
    for (a, b), differs in zip(pairs, holm(chances), strict=True):
        if differs:
            first, second = (a, b) if merits[a] < merits[b] else (b, a)
            ahead[second] += 1
            behind[first] += 1
    return [(1 + above, len(merits) - below) for above, below in zip(ahead, behind, strict=True)]


def cost(value: float, better: Literal["higher", "lower", "zero"]) -> float:
    """A value as what should be small."""
    return -value if better == "higher" else abs(value) if better == "zero" else value


def p_value(difference: float, error: float | None, other: float | None) -> float:
    """How likely a difference at least as large is, in either direction, between two estimates of one number."""
    scale = math.hypot(error or 0.0, other or 0.0)
    if scale == 0:
        return 1.0 if difference == 0 else 0.0
    return math.erfc(abs(difference) / scale / math.sqrt(2))


def holm(chances: Sequence[float], level: float = LEVEL) -> list[bool]:
    """Which of several tests reject, at `level` together, by Holm's step-down procedure."""
    rejected = [False] * len(chances)
    for place, test in enumerate(sorted(range(len(chances)), key=chances.__getitem__)):
        if chances[test] > level / (len(chances) - place):
            break
        rejected[test] = True
    return rejected
