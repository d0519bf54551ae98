"""Clipped density and clipped coverage: fidelity and diversity that read as shares of good samples.

References: N. Salvy, H. Talbot and B. Thirion, "Enhanced Generative Model Evaluation with Clipped Density and Coverage"
(ICLR 2026).
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
from genbench.numerics import nearest
from genbench.numerics.estimate import Estimate
from genbench.numerics.linalg import Array, as_matrix
from genbench.numerics.membership import Balls, Reached, memberships

ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class ClippedResult:
    """`density` and `coverage`, each within 0..1 with its standard error over the draw of the fake samples."""

    density: Estimate
    coverage: Estimate


def clipped_density_coverage(real: Array, fake: Array, k: int = 5) -> ClippedResult:
    """Clipped density and clipped coverage of features (n, D) and (m, D), each about the share of good samples.

    Density: around every real point is a closed ball that reaches to its k-th nearest other, but no farther than the
    median of these radii. A fake sample counts by the number of balls that hold it, in units of k and at most 1; the
    mean is divided by that of the real points themselves, and is at most 1.

    Coverage: within the open balls of the unclipped radii, fake samples up to k count, in units of k. The mean over the
    balls is translated to the share of good samples among m that it is expected of, all others being nowhere near.

    The standard errors hold the real samples fixed: density is then a mean of independent counts (its error is that of
    the ratio before it is capped at 1); coverage's is the jackknife's, at most a fifth too large in simulations. Raises
    InputError for different dimensions, values that are not finite, k < 1, or no more samples than k on either side.
    """
    r, f = as_matrix("real", real), as_matrix("fake", fake)
    if k < 1 or min(len(r), len(f)) <= k:
        raise InputError(
            f"k-NN needs more than k = {k} samples on each side and k of at least 1, "
            f"got {len(r)} real and {len(f)} fake"
        )
    reals, fakes = nearest.prepared(r, f, k)
    around = nearest.kth_distances(reals, reals, [k], torch.arange(len(r), device=r.device))[0][0]
    middle = around.sort().values[[(len(r) - 1) // 2, len(r) // 2]].mean()
    clipped = around.clamp(max=float(middle))
    dense, itself = Balls(clipped, counted=True), Balls(clipped, counted=True)
    limit = nearest.scaled(around, reals.frame, up=False)
    covering = Reached(limit, limit, "centres")
    memberships(reals, fakes, [dense, covering], [])
    memberships(reals, reals, [itself], [])
    # Every real point lies in its own ball too, of which nobody speaks.
    usual = float(((itself.counts - 1).double() / k).clamp(max=1).mean())
    shares = (dense.counts.double() / k).clamp(max=1)
    density = Estimate(
        min(1.0, float(shares.mean()) / usual) if usual else 0.0,
        float(shares.std()) / len(f) ** 0.5 / usual if usual else None,
    )
    held = (nearest.kth_distances(reals, fakes, list(range(1, k + 1)))[0] < around).sum(0)
    return ClippedResult(density, _coverage(held, covering.pairs(), (len(r), len(f)), k))


def _coverage(held: Tensor, pairs: tuple[Tensor, Tensor, Tensor], sizes: tuple[int, int], k: int) -> Estimate:
    """`held` (n,) counts the fake samples in each ball, up to k; `pairs` are those of balls and samples within them."""
    n, m = sizes
    raw = float(held.double().mean()) / k
    expected = expected_coverage(n, m, k)
    # Fewer than k good samples are not told apart, as in the authors' code: they are expected to cover nothing.
    expected[:k] = 0
    # A mean that is expected of just so many samples may differ from the expectation by rounding.
    share = float(torch.searchsorted(expected, torch.tensor(raw - ROUNDING, dtype=torch.float64))) / (m + 1)
    centre, query, _ = pairs
    counts = torch.bincount(centre, minlength=n)
    missed = query[counts[centre] <= k]  # balls that would hold less without the sample
    without = torch.bincount(missed, minlength=m).double() / (n * k)
    error = float(without.std()) * math.sqrt(m)
    place = min(max(round(share * (m + 1)), k + 1), m)
    slope = float(expected[place] - expected[place - 1]) * (m + 1)
    return Estimate(share, error / slope if slope > 0 else None)


def expected_coverage(n: int, m: int, k: int) -> Tensor:
    """The share (m + 1,) of places that 0..m samples of the real distribution are expected to fill, k in each ball.

    Of j samples the number within a ball to the k-th nearest of n - 1 others is beta-binomial: the ball's mass follows
    a Beta(k, n - k).
    """
    j = torch.arange(m + 1, dtype=torch.float64)[:, None]
    hits = torch.arange(k, dtype=torch.float64)
    a, b = float(k), float(n - k)
    choose = torch.lgamma(j + 1) - torch.lgamma(hits + 1) - torch.lgamma((j - hits).clamp(min=0) + 1)
    log_beta = torch.lgamma(a + hits) + torch.lgamma((b + j - hits).clamp(min=1e-9)) - torch.lgamma(a + b + j)
    normal = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    probability = torch.where(hits <= j, (choose + log_beta - normal).exp(), 0.0)
    return 1 - (probability * (k - hits)).sum(1) / k


@dataclass(frozen=True, slots=True)
class Clipped:
    """The columns `clipped_density` and `clipped_coverage`, between the real items' features and the samples'."""

    k: int = 5
    name = "clipped"
    columns = (
        Column("clipped_density", "clipped density", "higher"),
        Column("clipped_coverage", "clipped coverage", "higher"),
    )
    reads: ClassVar[Literal["samples"]] = "samples"

    @property
    def min_samples(self) -> int:
        return self.k + 1

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        result = clipped_density_coverage(evidence.real.embeddings, evidence.fake.embeddings, self.k)
        return {
            "clipped_density": Score(result.density.value, result.density.stderr),
            "clipped_coverage": Score(result.coverage.value, result.coverage.stderr),
        }
