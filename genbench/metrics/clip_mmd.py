"""CMMD: the squared maximum mean discrepancy of CLIP embeddings under a Gaussian kernel, times 1,000.

References: S. Jayasumana et al., "Rethinking FID: Towards a Better Evaluation Metric for Image Generation" (2024); A.
Gretton et al., "A Kernel Two-Sample Test" (2012), for both statistics; B. Griffing, "Concept of General and Specific
Combining Ability in Relation to Diallel Crossing Systems" (1956), for the variances.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from genbench.contracts import Column, Evidence, Score
from genbench.errors import InputError
from genbench.numerics.blocks import mean_of, paired_features
from genbench.numerics.estimate import Estimate
from genbench.numerics.linalg import Array

TILE = 1024  # rows and columns of the kernel matrix held at once
SCALE = 1000.0


@dataclass(frozen=True, eq=False, slots=True)
class _Table:
    """Of a table of kernel values less 1: the sums of its rows (n,) and columns (m,), and of its squared entries."""

    rows: Tensor
    columns: Tensor
    squares: float


def _table(x: Tensor, y: Tensor, sigma: float) -> _Table:
    """Gaussian kernels less 1 between rows of x (n, D) and y (m, D); the subtraction cancels in every distance.

    Embeddings of length 1 are so near to each other, at the bandwidth of CMMD, that kernels lie above 0.98: what tells
    them apart would be lost in the digits of a 1.
    """
    rows, columns = (torch.zeros(len(z), dtype=torch.float64, device=x.device) for z in (x, y))
    squares = 0.0
    for i in range(0, len(x), TILE):
        left = x[i : i + TILE]
        for j in range(0, len(y), TILE):
            right = y[j : j + TILE]
            apart = left.square().sum(1)[:, None] + right.square().sum(1) - 2 * left @ right.T
            if x is y and i == j:
                apart.fill_diagonal_(0)
            kernel = torch.expm1(apart.clamp_(min=0) * (-0.5 / sigma**2)).double()
            rows[i : i + TILE] += kernel.sum(1)
            columns[j : j + TILE] += kernel.sum(0)
            squares += float(kernel.square().sum())
    return _Table(rows, columns, squares)


def cmmd(real: Array, fake: Array, sigma: float = 10.0, *, biased: bool = False) -> Estimate:
    """1,000 times the squared maximum mean discrepancy of embeddings (n, D) and (m, D).

    The kernel is exp(-|x - y|^2 / (2 sigma^2)). The unbiased statistic may come out below 0; the `biased` one, which
    counts every point beside itself and never does, is that of the authors' code. The standard error is that over the
    draw of the fake samples, the real ones held fixed (None for fewer than 4). Raises InputError for fewer than 2
    samples, unequal dimensions, values that are not finite and sigma that is not above 0.
    """
    x, y = paired_features(real, fake, 2)
    if not sigma > 0:
        raise InputError(f"sigma must be above 0, got {sigma}")
    dtype = torch.promote_types(x.dtype, y.dtype)
    centre = ((mean_of(x) + mean_of(y)) / 2).to(dtype)
    x, y = x.to(dtype) - centre, y.to(dtype) - centre
    n, m = len(x), len(y)
    first, second, between = _table(x, x, sigma), _table(y, y, sigma), _table(x, y, sigma)
    # A point beside itself has a kernel of 1, of which nothing is left: only the number of pairs differs.
    within = [float(t.rows.sum()) / (k * (k if biased else k - 1)) for t, k in ((first, n), (second, m))]
    distance = sum(within) - 2 * float(between.rows.sum()) / (n * m)
    error = None if m < 4 else SCALE * math.sqrt(_variance(second, between.columns / n))
    return Estimate(SCALE * distance, error)


def _variance(fake: _Table, towards_real: Tensor) -> float:
    """Over the draw of the fake samples: four times that of a point's effect and what pairs add beyond it.

    Both are estimated without bias from the table of fake against fake; `towards_real` (m,) are the mean kernels.
    """
    m, effects = len(fake.rows), fake.rows - fake.rows.mean()
    total = fake.squares / 2 - float(fake.rows.sum()) ** 2 / (2 * m * (m - 1))
    remainder = max(0.0, total - float(effects.square().sum()) / (m - 2)) / (m * (m - 3) / 2)
    effect = float((fake.rows / (m - 2) - towards_real).var()) - remainder / (m - 2)
    return max(0.0, 4 * effect / m) + 2 * remainder / (m * (m - 1))


@dataclass(frozen=True, slots=True)
class Cmmd:
    """The column `cmmd`, between the CLIP embeddings of the real items and of the samples.

    `biased` gives the number that the authors' own code prints, in a column of its own, `cmmd_biased`.
    """

    sigma: float = 10.0
    biased: bool = False
    name = "cmmd"
    features: ClassVar[tuple[str, ...]] = ("clip",)
    reads: ClassVar[Literal["samples"]] = "samples"
    min_samples = 2

    @property
    def columns(self) -> tuple[Column, ...]:
        if self.biased:
            return (Column("cmmd_biased", "CMMD (biased)", "lower"),)
        return (Column("cmmd", "CMMD", "lower"),)

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        embedded = evidence.through(self.features[0])
        estimate = cmmd(embedded.real.embeddings, embedded.fake.embeddings, self.sigma, biased=self.biased)
        return {self.columns[0].name: Score(estimate.value, estimate.stderr)}
