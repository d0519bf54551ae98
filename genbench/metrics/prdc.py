"""Precision and recall, density and coverage: fidelity and diversity of samples by k-nearest-neighbour balls.

References: T. Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models" (2019); M.
Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models" (2020), for density and coverage, which
are sturdier against outliers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from genbench.contracts import Column, Evidence, Reads, Score
from genbench.metrics.manifolds import ManifoldMetrics, RealManifold, manifold_metrics
from genbench.metrics.scores import FALLS_SHORT, as_score
from genbench.numerics.estimate import Estimate
from genbench.numerics.linalg import Array

K, DENSITY_K = 3, 5  # those of the papers


@dataclass(frozen=True, slots=True)
class PrecisionRecallResult:
    """`precision` and `recall`, each within 0..1 with its standard error over the draw of the fake samples."""

    precision: Estimate
    recall: Estimate


def precision_recall(real: Array, fake: Array, k: int = K) -> PrecisionRecallResult:
    """Precision: the share of fake features (m, D) that lie within the k-NN manifold of the real ones (n, D).
    Recall: the share of real ones within the manifold of the fake.

    A manifold is the union of closed Euclidean balls around its points, each reaching to the k-th nearest other point.
    The standard errors hold the real samples fixed: precision is then a mean of independent indicators; recall's comes
    from random halves of the fake samples (None for fewer than 4 (k + 1) of them). Raises InputError for different
    dimensions, k < 1, or no more samples than k on either side.
    """
    measures = manifold_metrics(real, fake, k, None)
    assert measures.precision is not None
    assert measures.recall is not None
    return PrecisionRecallResult(measures.precision, measures.recall)


@dataclass(frozen=True, slots=True)
class DensityCoverageResult:
    """`density`, from 0 on, and `coverage`, within 0..1, with standard errors over the draw of the fake samples."""

    density: Estimate
    coverage: Estimate


def density_coverage(real: Array, fake: Array, k: int = DENSITY_K) -> DensityCoverageResult:
    """Density: how many balls around real features (n, D) hold a fake one (m, D), on average, in units of k.
    Coverage: the share of the balls that hold at least one fake feature.

    Balls are open and reach to the k-th nearest other real point. Density is near 1 for samples from the real
    distribution, and above it for samples that crowd where the real ones do. The standard errors hold the real samples
    fixed: density is then a mean of independent counts; coverage's error comes from random halves of the fake samples
    in wider balls (None for fewer than 4 (k + 1) samples; within a third in simulations). Raises InputError for
    different dimensions, k < 1, or no more samples than k on either side.
    """
    measures = manifold_metrics(real, fake, None, k)
    assert measures.density is not None
    assert measures.coverage is not None
    return DensityCoverageResult(measures.density, measures.coverage)


def measured_once(evidence: Evidence, k: int, density_k: int) -> ManifoldMetrics:
    """All four measures of samples, found in one pass for both metrics, beside what the real items keep."""
    real, fake = evidence.real, evidence.fake
    fewest = min(len(real.embeddings), len(fake.embeddings))
    # The metric that was not asked for may need more samples than there are.
    first, second = (number if number < fewest else None for number in (k, density_k))
    known = real.once(("manifold", first, second), lambda: RealManifold.of(real.embeddings, first, second))
    return evidence.once(
        ("manifolds", first, second),
        lambda: manifold_metrics(real.embeddings, fake.embeddings, first, second, known),
    )


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """The columns `precision` and `recall`, between the held-out split's features and the samples'."""

    k: int = K
    name = "precision-recall"
    columns = (Column("precision", "precision", "higher"), Column("recall", "recall", "higher", note=FALLS_SHORT))
    reads: ClassVar[tuple[Reads, ...]] = ("samples", "real")

    @property
    def min_samples(self) -> int:
        return self.k + 1

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        measures = measured_once(evidence, self.k, DENSITY_K)
        assert measures.precision is not None
        assert measures.recall is not None
        return {"precision": as_score(measures.precision), "recall": as_score(measures.recall)}


@dataclass(frozen=True, slots=True)
class DensityCoverage:
    """The columns `density` and `coverage`, between the held-out split's features and the samples'."""

    k: int = DENSITY_K
    name = "density-coverage"
    columns = (Column("density", "density", "higher"), Column("coverage", "coverage", "higher"))
    reads: ClassVar[tuple[Reads, ...]] = ("samples", "real")

    @property
    def min_samples(self) -> int:
        return self.k + 1

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        measures = measured_once(evidence, K, self.k)
        assert measures.density is not None
        assert measures.coverage is not None
        return {"density": as_score(measures.density), "coverage": as_score(measures.coverage)}
