"""Density and coverage: fidelity and diversity by k-NN balls around the real samples, sturdier against outliers.

References: M. Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models" (2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from genbench.contracts import Column, Evidence, Score
from genbench.metrics.manifolds import manifold_metrics
from genbench.numerics.estimate import Estimate
from genbench.numerics.linalg import Array


@dataclass(frozen=True, slots=True)
class DensityCoverageResult:
    """`density`, from 0 on, and `coverage`, within 0..1, with standard errors over the draw of the fake samples."""

    density: Estimate
    coverage: Estimate


def density_coverage(real: Array, fake: Array, k: int = 5) -> DensityCoverageResult:
    """Density: how many balls around real features (n, D) hold a fake one (m, D), on average, in units of k.
    Coverage: the share of the balls that hold at least one fake feature.

    Balls are open and reach to the k-th nearest other real point. Density is near 1 for samples from the real
    distribution, and above it for samples that crowd where the real ones do. The standard errors hold the real samples
    fixed: density is then a mean of independent counts; coverage's error comes from random halves of the fake samples
    in wider balls (None for fewer than 4 (k + 1) samples; within a third in simulations). Raises InputError for
    different dimensions, k < 1, or no more samples than k on either side.
    """
    found = manifold_metrics(real, fake, None, k)
    assert found.density is not None
    assert found.coverage is not None
    return DensityCoverageResult(found.density, found.coverage)


@dataclass(frozen=True, slots=True)
class DensityCoverage:
    """The columns `density` and `coverage`, between the held-out split's features and the samples'."""

    k: int = 5
    name = "density-coverage"
    columns = (Column("density", "density", "higher"), Column("coverage", "coverage", "higher"))
    reads: ClassVar[Literal["samples"]] = "samples"

    @property
    def min_samples(self) -> int:
        return self.k + 1

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        result = density_coverage(evidence.real.embeddings, evidence.fake.embeddings, self.k)
        return {
            "density": Score(result.density.value, result.density.stderr),
            "coverage": Score(result.coverage.value, result.coverage.stderr),
        }
