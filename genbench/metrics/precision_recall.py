"""Precision and recall of samples by k-nearest-neighbour manifolds.

References: T. Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models" (2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from genbench import neighbours, seeding
from genbench.contracts import Column, Evidence, Score
from genbench.errors import InputError
from genbench.estimate import Estimate
from genbench.linalg import Array, as_float64

HALF_SAMPLES = 32
NEIGHBOURS_PER_K = 12  # of 12 k neighbours, fewer than k fall into a random half once in 10^6 or less


@dataclass(frozen=True, slots=True)
class PrecisionRecallResult:
    """`precision` and `recall`, each within 0..1 with its standard error over the draw of the fake samples."""

    precision: Estimate
    recall: Estimate


def precision_recall(real: Array, fake: Array, k: int = 3) -> PrecisionRecallResult:
    """Precision: the share of fake features (m, D) that lie within the k-NN manifold of the real ones (n, D).
    Recall: the share of real ones within the manifold of the fake.

    A manifold is the union of closed Euclidean balls around its points, each reaching to the k-th nearest other point.
    The standard errors hold the real samples fixed: precision is then a mean of independent indicators; recall's comes
    from random halves of the fake samples (None for fewer than 4 (k + 1) of them). Raises InputError for different
    dimensions, k < 1, or no more samples than k on either side.
    """
    r, f = as_float64("real", real), as_float64("fake", fake)
    if r.shape[1] != f.shape[1]:
        raise InputError(f"real has {r.shape[1]} features and fake {f.shape[1]}; they must be the same")
    if k < 1 or min(len(r), len(f)) <= k:
        raise InputError(f"k-NN needs more than k = {k} samples on each side, got {len(r)} real and {len(f)} fake")
    precise = neighbours.covered(f, r, neighbours.radii(r, k)).double()
    recalled = neighbours.covered(r, f, neighbours.radii(f, k)).double()
    return PrecisionRecallResult(
        precision=Estimate(float(precise.mean()), float(precise.std(correction=1) / len(f) ** 0.5)),
        recall=Estimate(float(recalled.mean()), _recall_error(r, f, k)),
    )


def _recall_error(real: Tensor, fake: Tensor, k: int) -> float | None:
    """The standard error of recall over the draw of the fake samples: the deviation between random halves of them.

    A linear statistic varies between halves of a sample, given the sample, as much as it does between samples. Unlike
    leaving out few, which overstates the error of recall by half, that also holds for unions of balls.
    """
    reach = min(NEIGHBOURS_PER_K * k, len(fake) - 1)
    if len(fake) < 4 * (k + 1):
        return None
    distances, indices = neighbours.nearest(fake, reach)
    rng = seeding.generator("half-samples", len(fake))
    radii = fake.new_full((HALF_SAMPLES, len(fake)), -1.0)
    for radius in radii:
        # Drawn on the CPU, whose generator gives the same halves on every machine.
        half = (torch.randperm(len(fake), generator=rng) < len(fake) // 2).to(fake.device)
        rank = half[indices].cumsum(1)
        kth = (rank < k).sum(1).clamp(max=reach - 1)
        radius[half] = distances.gather(1, kth[:, None])[half, 0]
    return float(neighbours.covered(real, fake, radii).double().mean(1).std(correction=1))


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """The columns `precision` and `recall`, between the held-out split's features and the samples'."""

    k: int = 3
    name = "precision-recall"
    columns = (Column("precision", "precision", "higher"), Column("recall", "recall", "higher"))
    reads: ClassVar[Literal["samples"]] = "samples"

    @property
    def min_samples(self) -> int:
        return self.k + 1

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        result = precision_recall(evidence.real.embeddings, evidence.fake.embeddings, self.k)
        return {
            "precision": Score(result.precision.value, result.precision.stderr),
            "recall": Score(result.recall.value, result.recall.stderr),
        }
