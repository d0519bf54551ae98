"""The Vendi score: the effective number of different samples, without a reference.

References: D. Friedman and A. Dieng, "The Vendi Score: A Diversity Evaluation Metric for Machine Learning" (2023); A.
Pasarkar and A. Dieng, "Cousins of the Vendi Score" (2024), for orders other than 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genbench.contracts import Column, Evidence, Reads, Score
from genbench.errors import InputError
from genbench.metrics.scores import as_score
from genbench.numerics.blocks import as_features, parts_of
from genbench.numerics.estimate import Estimate
from genbench.numerics.intervals import Z
from genbench.numerics.linalg import Array

NOTE = "grows with n; from `low` to `high` lies the value of endless samples (95 %)"
SAMPLES_PER_DIMENSION = 3  # from here on, simulated errors are those claimed or up to a half smaller


def vendi_score(fake: Array, order: float = 1.0) -> Estimate:
    """exp of the entropy of the eigenvalues of K / n, K being the cosine similarities of features (n, D); within 1..n.

    1 where all samples are alike, n where each is orthogonal to the others. `order` is that of the Rényi entropy: 1 is
    Shannon's, smaller ones count rare kinds of samples more, inf counts the commonest alone. The value grows with n;
    compare sets of one size. Vectors of zeros have no direction: they count as alike, and as unlike anything else.

    The standard error is that over the draw of the samples, by the delta method; it is None for n < 3 D, where every
    sample adds to the dimensions in use and the first order understates the error by up to a half. For order 1, `low`
    and `high` are where the value of endless samples lies (95 percent): the entropy of n falls short of theirs by a
    bias that is known to second order. Raises InputError for values that are not finite, and for an order that is not
    above 0.
    """
    x = as_features("fake", fake, largest=math.inf)  # lengths do not count
    if not order > 0:
        raise InputError(f"order must be above 0, got {order}")
    extra = bool(((x.amax(1) == 0) & (x.amin(1) == 0)).any())
    width = x.shape[1] + extra
    if len(x) > width:
        product = torch.zeros(width, width, dtype=torch.float64, device=x.device)
        for part in parts_of(x):
            rows = _unit_rows(x[part], extra)
            product.addmm_(rows.T, rows)
    else:
        # Of both products of the unit vectors, whose eigenvalues are the same but for zeros, this is the smaller.
        rows = _unit_rows(x, extra)
        product = rows @ rows.T
    values, vectors = _eigh(product / len(x))
    logarithm, slopes = _entropy(values, order)
    score = min(max(1.0, math.exp(logarithm)), float(len(x)))
    if len(x) < SAMPLES_PER_DIMENSION * width:
        return Estimate(score)
    influence = torch.empty(len(x), dtype=torch.float64, device=x.device)
    products = torch.zeros_like(vectors)
    for part in parts_of(x):
        squares = (_unit_rows(x[part], extra) @ vectors).square()
        influence[part] = squares @ slopes
        products.addmm_(squares.T, squares)
    stderr = float(influence.std()) / len(x) ** 0.5
    if order != 1:
        return Estimate(score, score * stderr)
    truth = logarithm - _bias(values, products / len(x), len(x))
    low, high = math.exp(truth - Z * stderr), math.exp(truth + Z * stderr)
    return Estimate(score, score * stderr, low=low, high=high)


def _bias(values: Tensor, products: Tensor, n: int) -> float:
    """By how much the entropy of n samples is too large on average, which is below 0, to second order.

    f being the divided differences of -(ln l + 1), it is 1/2n sum_ij f_ij (E z_i^2 z_j^2 - l_i^2 d_ij) for unit vectors
    z in the basis of the eigenvectors; `products` are the means of z_i^2 z_j^2.
    """
    positive = values > 0
    eigenvalues, moments = values[positive], products[positive][:, positive]
    gaps = eigenvalues[:, None] - eigenvalues
    near = gaps.abs() <= 1e-6 * eigenvalues[:, None]
    steps = (eigenvalues.log()[:, None] - eigenvalues.log()) / torch.where(near, 1.0, gaps)
    differences = -torch.where(near, 2 / (eigenvalues[:, None] + eigenvalues), steps)
    return float((differences * (moments - eigenvalues.square().diag())).sum()) / (2 * n)


def _unit_rows(x: Tensor, extra: bool) -> Tensor:
    """Rows (b, D) brought to length 1, float64; with an extra dimension, which rows of zeros point along."""
    # Scaled to at most 1 first, so that no square overflows or vanishes.
    largest = x.double().abs().amax(1, keepdim=True)
    rows = x.double() / largest.clamp(min=torch.finfo(torch.float64).tiny)
    unit = rows / rows.norm(dim=1, keepdim=True).clamp(min=1)
    return torch.cat([unit, (largest == 0).double()], 1) if extra else unit


def _eigh(matrix: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(matrix)
    floor = values[-1] * len(values) * torch.finfo(torch.float64).eps
    return torch.where(values > floor, values, 0.0), vectors


def _entropy(values: Tensor, order: float) -> tuple[float, Tensor]:
    """Rényi's entropy of eigenvalues (r,) that sum to 1, and its derivative by each; 0 where the eigenvalue is 0."""
    positive = torch.where(values > 0, values, 1.0)
    if order == 1:
        slopes = -torch.where(values > 0, positive.log() + 1, 0.0)
        return -float(torch.xlogy(values, values).sum()), slopes
    if order == math.inf:
        slopes = -torch.nn.functional.one_hot(values.argmax(), len(values)).double() / values.max()
        return -math.log(float(values.max())), slopes
    powers = torch.where(values > 0, positive**order, 0.0)
    return math.log(float(powers.sum())) / (1 - order), order / (1 - order) * powers / positive / powers.sum()


@dataclass(frozen=True, slots=True)
class VendiScore:
    """The column `vendi`, of the samples' features alone."""

    order: float = 1.0
    name = "vendi"
    version: ClassVar[int] = 2
    columns = (Column("vendi", "Vendi", "higher", digits=2, note=NOTE),)
    reads: ClassVar[tuple[Reads, ...]] = ("samples",)
    min_samples = 2

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        return {"vendi": as_score(vendi_score(evidence.fake.embeddings, self.order))}
