"""The Inception Score: confident and varied class probabilities.

References: T. Salimans et al., "Improved Techniques for Training GANs" (2016).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from genbench.contracts import Column, Evidence, Reads, Score
from genbench.errors import InputError, Unsupported
from genbench.metrics.scores import FALLS_SHORT, as_score
from genbench.numerics.estimate import Estimate
from genbench.numerics.linalg import Array, as_float64

SHUFFLE = 2020  # the seed by which torch-fidelity shuffles, so that both cut the same splits


@dataclass(frozen=True, slots=True)
class InceptionScoreResult:
    """`mean` over the splits with its standard error, their population `std`, and the value `unsplit`.

    `corrected` is the unsplit value less its bias of finite samples, an estimate of the score of endless ones.
    """

    mean: Estimate
    std: float
    unsplit: Estimate
    corrected: Estimate


def inception_score(probs: Array, splits: int = 10, shuffle: bool = True) -> InceptionScoreResult:
    """exp E KL(p(y|x) || p(y)) over class probabilities `probs` (n, K) whose rows sum to 1; within 1..K.

    The samples are cut into `splits` parts as in the paper, in a fixed random order: samples that come class by class
    would have parts of one class each. With `shuffle` off they are cut as they come.

    The log of the score is a mean of the samples' divergences from the marginal, of variance V1, and a second-order
    term of variance V2, which comes of estimating the marginal: C being the covariance of p(y|x) and D the diagonal of
    its mean, V2 = tr (D^-1 C)^2 / 2n^2. V1 as it is estimated holds 2 V2, and K splits have K V2. To the same order the
    unsplit log falls short by tr D^-1 C / 2n, which `corrected` adds. Raises InputError for values that are no
    probabilities and for fewer samples than splits.
    """
    p = as_float64("probs", probs)
    n = len(p)
    if not 1 <= splits <= n:
        raise InputError(f"the Inception Score needs at least as many samples as splits, got {n} for {splits}")
    if (p < 0).any() or ((p.sum(1) - 1).abs() > 1e-3).any():
        raise InputError("probs must be class probabilities: at least 0, each row summing to 1")
    if shuffle:
        p = p[torch.from_numpy(np.random.RandomState(SHUFFLE).permutation(n)).to(p.device)]
    negative_entropy = torch.xlogy(p, p).sum(1)
    ends = [part * n // splits for part in range(splits + 1)]
    parts = [slice(start, stop) for start, stop in zip(ends[:-1], ends[1:], strict=True)]
    scores = torch.stack([_divergences(p[part], negative_entropy[part]).mean().exp() for part in parts])
    mean, std = float(scores.mean()), float(scores.std(correction=0))
    divergences = _divergences(p, negative_entropy)
    log_score = float(divergences.mean())
    whole = math.exp(log_score)
    if n == 1:
        return InceptionScoreResult(Estimate(mean), std, Estimate(whole), Estimate(whole))
    first = float(divergences.var(correction=1)) / n
    bias, second = _second_order(p)
    linear = max(first - 2 * second, 0.0)
    split_error, whole_error = math.sqrt(linear + splits * second), math.sqrt(linear + second)
    corrected = math.exp(log_score + bias)
    return InceptionScoreResult(
        Estimate(mean, mean * split_error),
        std,
        Estimate(whole, whole * whole_error),
        Estimate(corrected, corrected * whole_error),
    )


def _divergences(p: Tensor, negative_entropy: Tensor) -> Tensor:
    """KL(p(y|x) || p(y)) of each row, in nats; `negative_entropy` is the sum of p log p of each row."""
    marginal = p.mean(0)
    # A class that no row gives any probability adds nothing, whatever its logarithm.
    return negative_entropy - p @ torch.where(marginal > 0, marginal, 1.0).log()


def _second_order(p: Tensor) -> tuple[float, float]:
    """By how much the log of the unsplit score falls short, and the variance of that term: tr M / 2n and tr M^2 / 2n^2.

    M = D^-1/2 C D^-1/2 is that of rows scaled by the roots of the marginal.
    """
    marginal = p.mean(0)
    scaled = (p - marginal) * torch.where(marginal > 0, marginal, 1.0).rsqrt()
    matrix = scaled.T @ scaled / (len(p) - 1)
    return float(matrix.trace()) / (2 * len(p)), float(matrix.square().sum()) / (2 * len(p) ** 2)


@dataclass(frozen=True, slots=True)
class InceptionScore:
    """The columns `is`, the mean over splits, and `is_unsplit`, that of endless samples, by the extractor's classes."""

    splits: int = 10
    name = "is"
    version: ClassVar[int] = 2
    columns = (
        Column("is", "IS", "higher", digits=2),
        Column("is_unsplit", "IS (unsplit)", "higher", digits=2, note=FALLS_SHORT),
    )
    reads: ClassVar[tuple[Reads, ...]] = ("samples",)

    @property
    def min_samples(self) -> int:
        return max(2, self.splits)

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        probabilities = evidence.fake.probabilities
        if probabilities is None:
            raise Unsupported("the feature extractor gives no class probabilities")
        score = inception_score(probabilities, self.splits)
        return {
            "is": as_score(score.mean, f"std of {self.splits} splits {score.std:.3f}"),
            "is_unsplit": as_score(score.corrected, f"before the correction of its bias {score.unsplit:.3f}"),
        }
