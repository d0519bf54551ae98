"""Outlier detection: how well a model tells held-out items from items that are nothing like the data.

References: D. Hendrycks and K. Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples"
(2017), for the AUROC; E. DeLong et al., "Comparing the Areas under Two or More Correlated Receiver Operating
Characteristic Curves" (1988), for its standard error; E. Nalisnick et al., "Do Deep Generative Models Know What They
Don't Know?" (2019), for what to expect of likelihoods.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from genbench.contracts import Column, Evidence, Reads, Score
from genbench.errors import InputError, Unsupported
from genbench.metrics.scores import as_score
from genbench.numerics.estimate import Estimate
from genbench.numerics.intervals import logit_interval
from genbench.numerics.linalg import Array, as_float64
from genbench.numerics.ranks import share_below


def auroc(normal: Array, outliers: Array) -> Estimate:
    """The probability that an outlier scores above a normal item, ties counting half, within 0..1.

    Takes the scores (n,) and (m,) of both; 0.5 is chance. The standard error is DeLong's, over the draws of both; from
    `low` to `high` reaches the 95 percent interval on the logit scale, and at least to 1 - 3 / min(n, m) where the
    value is nearer to 1. Where separation is perfect, the error of a sample vanishes and is not known (None). Raises
    InputError for fewer than two scores on either side, and for values that are not finite.
    """
    inside, outside = as_float64("normal", normal, ndim=1), as_float64("outliers", outliers, ndim=1)
    if min(len(inside), len(outside)) < 2:
        raise InputError(f"auroc needs at least 2 scores on both sides, got {len(inside)} and {len(outside)}")
    above, below = share_below(inside, outside), 1 - share_below(outside, inside)
    variance = float(above.var(correction=1)) / len(above) + float(below.var(correction=1)) / len(below)
    value, stderr = float(above.mean()), math.sqrt(variance)
    low, high = logit_interval(value, stderr, min(len(above), len(below)))
    return Estimate(value, stderr or None, low=low, high=high)


def squared_errors(x: Tensor, y: Tensor, levels: int | None) -> Tensor:
    """The mean squared error of each item (n, *shape), float64 (n,), the range of levels counting as 1."""
    scale = 1 if levels is None else levels - 1
    return ((x.double() - y.double()) / scale).square().flatten(1).mean(1)


@dataclass(frozen=True, slots=True)
class OutlierDetection:
    """The column `auroc`: by log-probability where the model has one, else by its error of reconstruction."""

    name = "outliers"
    version: ClassVar[int] = 2
    columns = (Column("auroc", "outlier AUROC", "higher"),)
    reads: ClassVar[tuple[Reads, ...]] = ("outliers", "log_prob", "reconstruction")
    min_samples = 1

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        try:
            scores, detail = (-evidence.log_prob.values, -evidence.outlier_log_prob.values), "by log_prob"
        except Unsupported:
            scores, detail = self._errors(evidence), "by the error of reconstruction"
        return {"auroc": as_score(auroc(*scores), detail)}

    def _errors(self, evidence: Evidence) -> tuple[Tensor, Tensor]:
        levels, normal, odd = evidence.dataset.spec.levels, evidence.dataset.heldout, evidence.outliers
        try:
            return (
                squared_errors(evidence.reconstruct(normal, "heldout"), normal, levels),
                squared_errors(evidence.reconstruct(odd, "outliers"), odd, levels),
            )
        except Unsupported as error:
            raise Unsupported("the model defines neither log_prob nor reconstruct") from error
