"""Intervals that hold near the ends of a range, where a value plus and minus two standard errors leaves it.

References: E. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference" (1927); J. Hanley and A.
Lippman-Hand, "If Nothing Goes Wrong, Is Everything All Right? Interpreting Zero Numerators" (1983), for the 3 / n.
"""

from __future__ import annotations

import math

from torch import Tensor

from genbench.numerics.estimate import Estimate

Z = 1.959964  # standard deviations on either side that hold 95 percent of a normal distribution


def wilson(share: float, n: float) -> tuple[float, float]:
    """The ends, within 0..1, of the 95 percent interval of a share of n independent items; n may be no integer."""
    squared = Z**2 / n
    centre = (share + squared / 2) / (1 + squared)
    half = Z / (1 + squared) * math.sqrt(share * (1 - share) / n + squared / (4 * n))
    # At the ends rounding would leave the share itself outside.
    return 0.0 if share == 0 else max(0.0, centre - half), 1.0 if share == 1 else min(1.0, centre + half)


def share_of(right: Tensor) -> Estimate:
    """The share of a bool tensor (n,) that is true, with its binomial standard error and Wilson's interval."""
    value = float(right.double().mean())
    low, high = wilson(value, len(right))
    return Estimate(value, math.sqrt(value * (1 - value) / len(right)), low=low, high=high)


def share_with_error(value: float, stderr: float, n: int, total_stderr: float | None = None) -> Estimate:
    """A share whose standard error is not the binomial one, with Wilson's interval for as many items as it amounts to.

    At 0 and 1, and where an error estimated from a sample vanishes, they are n.
    """
    effective = value * (1 - value) / stderr**2 if stderr > 0 else 0.0
    low, high = wilson(value, effective or float(n))
    return Estimate(value, stderr, low=low, high=high, total_stderr=total_stderr)


def logit_interval(value: float, stderr: float, n: int) -> tuple[float, float]:
    """The 95 percent interval of a value within 0..1 that is normal on the logit scale.

    Within 3 / n of an end of the range it reaches at least so far from it, which is the most that n items are likely to
    have missed: there the error that they show is none, or that of the few which count against the end.
    """
    low = high = value
    if 0 < value < 1 and stderr > 0:
        logit, half = math.log(value / (1 - value)), Z * stderr / (value * (1 - value))
        low, high = _logistic(logit - half), _logistic(logit + half)
    if value > 1 - 3 / n:
        low = min(low, 1 - 3 / n)
    if value < 3 / n:
        high = max(high, 3 / n)
    return max(0.0, low), min(1.0, high)


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0
