"""RKE: the number of modes by the order-2 Rényi entropy of a Gaussian kernel, without a reference.

References: M. Jalali, C. Li and F. Farnia, "An Information-Theoretic Evaluation of Generative Models in Learning
Multi-modal Distributions" (2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from genbench import seeding
from genbench.contracts import Column, Evidence, Score
from genbench.errors import InputError, Unsupported
from genbench.numerics.blocks import as_features, mean_of
from genbench.numerics.estimate import Estimate
from genbench.numerics.linalg import Array

TILE = 1024
SINGLE_PRECISION_LIMIT = 1000.0  # of squared lengths in bandwidths, whose rounding in float32 shows in the exponent
MOST_MEASURED = 2000  # real items between which the median distance is taken


def rke(fake: Array, bandwidth: float) -> Estimate:
    """1 / |K / n|^2 (Frobenius) for K = exp(-|x - y|^2 / (2 bandwidth^2)) of features (n, D): within 1..n.

    It is exp of the order-2 Rényi entropy of the eigenvalues of K / n: about the number of clusters that are farther
    apart than the bandwidth. The standard error is that over the draw of the samples, by the delta method. Raises
    InputError for fewer than 2 samples, values that are not finite, and a bandwidth that is not above 0.
    """
    x = as_features("fake", fake)
    if len(x) < 2:
        raise InputError(f"rke needs at least 2 samples, got {len(x)}")
    if not bandwidth > 0:
        raise InputError(f"the bandwidth must be above 0, got {bandwidth}")
    x = (x - mean_of(x).to(x.dtype)) / bandwidth
    if float(x.square().sum(1).max()) > SINGLE_PRECISION_LIMIT:
        x = x.double()
    sums = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for i in range(0, len(x), TILE):
        left = x[i : i + TILE]
        for j in range(0, len(x), TILE):
            right = x[j : j + TILE]
            apart = left.square().sum(1)[:, None] + right.square().sum(1) - 2 * left @ right.T
            if i == j:
                apart.fill_diagonal_(0)
            sums[i : i + TILE] += torch.exp(-apart.clamp_(min=0)).double().sum(1)  # of the squared kernel
    share = float(sums.mean()) / len(x)
    spread = 2 * float((sums / len(x)).std()) / len(x) ** 0.5
    return Estimate(min(max(1.0, 1 / share), float(len(x))), spread / share**2)


def median_distance(real: Array) -> float:
    """The median distance between different items of (at most 2,000 of) features (n, D); always of the same ones."""
    x = as_features("real", real)
    some = torch.randperm(len(x), generator=seeding.generator("median distance", len(x)))[:MOST_MEASURED]
    return float(torch.pdist(x[some.to(x.device)].double()).median()) if len(x) > 1 else 0.0


@dataclass(frozen=True, slots=True)
class Rke:
    """The column `rke`, of the samples' features alone; the real items' own value is in the remark.

    The paper leaves the bandwidth to the user: here it is `fraction` of the median distance between the real items, so
    that all rows of a board have the same one.
    """

    fraction: float = 0.5
    name = "rke"
    columns = (Column("rke", "RKE", "higher", digits=2),)
    reads: ClassVar[tuple[Literal["samples", "real"], ...]] = ("samples", "real")
    min_samples = 2

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        real = evidence.real.embeddings
        bandwidth = self.fraction * evidence.real.once("median distance", lambda: median_distance(real))
        if not bandwidth > 0:
            raise Unsupported("most real items are the same, which leaves no scale to compare samples by")
        estimate, usual = rke(evidence.fake.embeddings, bandwidth), rke(real, bandwidth)
        detail = f"bandwidth {bandwidth:.4g}; the {len(real)} real items: {usual:.2f}"
        return {"rke": Score(estimate.value, estimate.stderr, detail=detail)}
