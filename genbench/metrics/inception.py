"""The Inception Score: confident and varied class probabilities.

References: T. Salimans et al., "Improved Techniques for Training GANs" (2016).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genbench.contracts import Column, Evidence, Reads, Score
from genbench.errors import InputError, Unsupported
from genbench.metrics.scores import as_score
from genbench.numerics.estimate import Estimate
from genbench.numerics.linalg import Array, as_float64


@dataclass(frozen=True, slots=True)
class InceptionScoreResult:
    """`mean` over the splits with its standard error, their population `std`, and the `unsplit` value."""

    mean: Estimate
    std: float
    unsplit: Estimate


def inception_score(probs: Array, splits: int = 10) -> InceptionScoreResult:
    """exp E KL(p(y|x) || p(y)) over class probabilities `probs` (n, K) whose rows sum to 1; within 1..K.

    The samples are cut in order into `splits` parts, as in the paper. The standard error is the delta method's: the
    influence of a sample on the log of the score is its KL divergence from the marginal. Raises InputError for values
    that are no probabilities and for fewer samples than splits.
    """
    p = as_float64("probs", probs)
    if not 1 <= splits <= len(p):
        raise InputError(f"the Inception Score needs at least as many samples as splits, got {len(p)} for {splits}")
    if (p < 0).any() or ((p.sum(1) - 1).abs() > 1e-3).any():
        raise InputError("probs must be class probabilities: at least 0, each row summing to 1")
    negative_entropy = torch.xlogy(p, p).sum(1)
    parts = zip(p.tensor_split(splits), negative_entropy.tensor_split(splits), strict=True)
    scores = torch.stack([_divergences(*part).mean().exp() for part in parts])
    divergences = _divergences(p, negative_entropy)
    whole = float(divergences.mean().exp())
    relative_error = float(divergences.std(correction=1) / len(p) ** 0.5) if len(p) > 1 else None
    mean, std = float(scores.mean()), float(scores.std(correction=0))
    if relative_error is None:
        return InceptionScoreResult(Estimate(mean), std, Estimate(whole))
    return InceptionScoreResult(Estimate(mean, mean * relative_error), std, Estimate(whole, whole * relative_error))


def _divergences(p: Tensor, negative_entropy: Tensor) -> Tensor:
    """KL(p(y|x) || p(y)) of each row, in nats; `negative_entropy` is the sum of p log p of each row."""
    marginal = p.mean(0)
    # A class that no row gives any probability adds nothing, whatever its logarithm.
    return negative_entropy - p @ torch.where(marginal > 0, marginal, 1.0).log()


@dataclass(frozen=True, slots=True)
class InceptionScore:
    """The column `is` of class probabilities that the benchmark's extractor gives."""

    splits: int = 10
    name = "is"
    columns = (Column("is", "IS", "higher", digits=2),)
    reads: ClassVar[tuple[Reads, ...]] = ("samples",)

    @property
    def min_samples(self) -> int:
        return max(2, self.splits)

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        probabilities = evidence.fake.probabilities
        if probabilities is None:
            raise Unsupported("the feature extractor gives no class probabilities")
        result = inception_score(probabilities, self.splits)
        detail = f"std of {self.splits} splits {result.std:.3f}, unsplit {result.unsplit:.3f}"
        return {"is": as_score(result.mean, detail)}
