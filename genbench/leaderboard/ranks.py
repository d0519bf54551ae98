"""Ranks as far as the errors allow: an interval for each model, from all pairs compared at once.

References: S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure" (1979), for the pairs; M. Mogstad,
J. P. Romano, A. M. Shaikh and D. Wilhelm, "Inference for Ranks with Applications to Mobility across Neighbourhoods and
Academic Achievement across Countries" (2024), for the ranks that follow from them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

from genbench.storage.results import Better

LEVEL = 0.05  # the chance that any one of all the comparisons finds a difference where there is none


def ranks(
    values: Sequence[float | tuple[float, float]],
    errors: Sequence[float | None],
    better: Better,
    paired: Mapping[tuple[int, int], float] | None = None,
) -> list[tuple[int, int]]:
    """The best and the worst rank that each of p values may have: 1 + how many are significantly better, p - how many
    are significantly worse.

    A value may be an interval (low, high) within which it is only known to lie: then it is the gap between intervals
    that is tested. All pairs (a, b), a < b, are compared by two-sided z-tests at 5 % together (Holm): with the standard
    error of the difference where `paired` has it, else as independent estimates. An unknown error (None) counts as 0:
    nothing but the value is known of such a number. Where `better` is "zero", absolute values are compared, with the
    errors of the values.
    """
    costs = [span(value, better) for value in values]
    pairs = list(combinations(range(len(costs)), 2))
    gaps = [gap(costs[a], costs[b]) for a, b in pairs]
    known = paired or {}
    scales = [known[a, b] if (a, b) in known else math.hypot(errors[a] or 0.0, errors[b] or 0.0) for a, b in pairs]
    differ = holm([p_value(*test) for test in zip(gaps, scales, strict=True)])
    ahead = [0] * len(costs)  # how many are significantly better
    behind = [0] * len(costs)
    for (a, b), distance, differs in zip(pairs, gaps, differ, strict=True):
        if differs:
            first, second = (a, b) if distance > 0 else (b, a)
            ahead[second] += 1
            behind[first] += 1
    return [(1 + above, len(costs) - below) for above, below in zip(ahead, behind, strict=True)]


def cost(value: float, better: Better) -> float:
    """A value as what should be small."""
    return -value if better == "higher" else abs(value) if better == "zero" else value


def span(value: float | tuple[float, float], better: Better) -> tuple[float, float]:
    """Between which costs a value lies, the favourable end first."""
    low, high = value if isinstance(value, tuple) else (value, value)
    ends = sorted((cost(low, better), cost(high, better)))
    return (0.0 if better == "zero" and low < 0 < high else ends[0]), ends[1]


def gap(first: tuple[float, float], second: tuple[float, float]) -> float:
    """How far a second span lies above a first one, negative below it; 0 where they meet."""
    return max(second[0] - first[1], 0.0) - max(first[0] - second[1], 0.0)


def p_value(difference: float, error: float) -> float:
    """How likely a difference at least as large is, in either direction, between two estimates of one number."""
    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return math.erfc(abs(difference) / error / math.sqrt(2))


def holm(chances: Sequence[float], level: float = LEVEL) -> list[bool]:
    """Which of several tests reject, at `level` together, by Holm's step-down procedure."""
    rejected = [False] * len(chances)
    for place, test in enumerate(sorted(range(len(chances)), key=chances.__getitem__)):
        if chances[test] > level / (len(chances) - place):
            break
        rejected[test] = True
    return rejected
