"""FID at infinitely many samples: what remains of the distance when the bias of its finite samples is taken away.

References: M. Chong and D. Forsyth, "Effectively Unbiased FID and Inception Score and Where to Find Them" (2020).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from genbench.contracts import Column, Evidence, Holds, Reads, Score
from genbench.errors import InputError, Unsupported
from genbench.metrics.frechet import SAMPLES_PER_DIMENSION, Compared, compared_once, comparison_of, size_of
from genbench.metrics.scores import as_score
from genbench.numerics.blocks import as_features
from genbench.numerics.estimate import Estimate
from genbench.numerics.linalg import Array
from genbench.numerics.moments import Moments


def fid_infinity(real: Array | Moments, fake: Array) -> Estimate:
    """The Fréchet distance of fake features (n, D) at n = infinity; below 0 only by its error.

    The bias of finite samples is taken away in closed form, to second order, with the samples' own fourth moments: that
    is what the paper extrapolates from random subsets, without their noise. The standard error is that of
    `frechet_distance`. The real side is held fixed, as in the paper, and the bias of its own finite size stays; where
    both sides are features, `total_stderr` covers its draw too, and from `low` to `high` lies the distance of endless
    samples and items (95 percent). Raises InputError for fewer than 4 D samples, and as `frechet_distance` does.
    """
    y = as_features("fake", fake)
    if _too_few(*y.shape):
        raise InputError(_too_few(*y.shape))
    return _without_bias(comparison_of(real, y))


def _too_few(n: int, dim: int) -> str:
    if n >= SAMPLES_PER_DIMENSION * dim:
        return ""
    return f"{n} samples of {dim} features are too few to know the bias of, {SAMPLES_PER_DIMENSION * dim} are needed"


def _without_bias(comparison: Compared) -> Estimate:
    assert comparison.fake_effect is not None
    whole = comparison.estimate
    value = comparison.distance - comparison.fake_effect.bias
    return Estimate(value, whole.stderr, low=whole.low, high=whole.high, total_stderr=whole.total_stderr)


@dataclass(frozen=True, slots=True)
class FidInfinity:
    """The column `fid_infinity`, between the held-out split's features and the samples', at infinitely many samples.

    The remark says what is left when the bias of the held-out split's own size is taken away too.
    """

    name = "fid-infinity"
    version: ClassVar[int] = 2
    columns = (Column("fid_infinity", "FID∞", "lower", digits=2, general="Fréchet distance∞"),)
    reads: ClassVar[tuple[Reads, ...]] = ("samples", "real")
    holds: ClassVar[Holds] = "moments"
    min_samples = 4

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        few = _too_few(*size_of(evidence.fake))
        if few:
            raise Unsupported(few)
        comparison = compared_once(evidence)
        estimate, detail = _without_bias(comparison), ""
        if comparison.real_effect is not None and estimate.total_stderr is not None and comparison.enough:
            truth, error = estimate - comparison.real_effect.bias, estimate.total_stderr
            decimals = max(0, 1 - math.floor(math.log10(error))) if error > 0 else 2
            detail = f"against endless real items {truth:.{decimals}f} ± {error:.{decimals}f}"
        return {"fid_infinity": as_score(estimate, detail)}
