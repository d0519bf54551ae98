"""The kernel distance: the squared maximum mean discrepancy under a cubic kernel; KID, for features of Inception.

References: M. Bińkowski et al., "Demystifying MMD GANs" (2018), for the kernel and the subsets; A. Gretton et al., "A
Kernel Two-Sample Test" (2012), for the unbiased statistic; D. Sutherland et al., "Generative Models and Model Criticism
via Optimized Maximum Mean Discrepancy" (2017), for its variance; B. Griffing, "Concept of General and Specific
Combining Ability in Relation to Diallel Crossing Systems" (1956), for the analysis of variance of a table of pairs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genbench import seeding
from genbench.contracts import Column, Evidence, Reads, Score
from genbench.errors import InputError
from genbench.metrics.cubic_kernel import CubicKernel, KernelPoints, KernelTable
from genbench.metrics.scores import FALLS_SHORT, as_score
from genbench.numerics.blocks import as_features, paired_features
from genbench.numerics.estimate import Estimate
from genbench.numerics.linalg import Array

NOTE = "below 0 for about half of all samples of the real distribution, and skewed upwards there"


@dataclass(frozen=True, slots=True)
class KernelStatistics:
    """`distance` with its standard errors over the draw of the fake samples and of both, whose `variance` stands apart.

    `variance` is None for fewer than 4 samples on either side.
    """

    distance: Estimate
    variance: float | None


@dataclass(frozen=True, slots=True)
class KernelDistanceSubsets:
    """The `mean` over subsets, with its standard error over the draws of fake samples and subsets; population `std`."""

    mean: Estimate
    std: float


@dataclass(frozen=True, eq=False, slots=True)
class _Comparison:
    """The kernel tables of real against real, fake against fake and real against fake, and what follows from them.

    A table is its mean, an effect of each point and a remainder. The distance is a mean of the effects of independent
    points, with variances over the draw of one point `real_effect` and `fake_effect`, and of remainders that are
    uncorrelated. All are estimated without bias, which leaving out the remainders' share in the effects would not be.
    """

    real: KernelTable
    fake: KernelTable
    cross: KernelTable

    @classmethod
    def of(
        cls, kernel: CubicKernel, real: KernelPoints, fake: KernelPoints, known: RealKernel | None = None
    ) -> _Comparison:
        reusable = known is not None and known.kernel.centre.dtype == kernel.centre.dtype
        within = known.sums if known is not None and reusable else kernel.within(real)
        return cls(within, kernel.within(fake), kernel.between(real, fake))

    @property
    def n(self) -> int:
        return len(self.real.rows)

    @property
    def m(self) -> int:
        return len(self.fake.rows)

    def distance(self) -> float:
        n, m = self.n, self.m
        return self.real.all / (n * (n - 1)) + self.fake.all / (m * (m - 1)) - 2 * self.cross.all / (n * m)

    def subset_distances(self, size: int) -> Tensor:
        """(S,), of subsets of `size` points of either side."""
        return (self.real.subsets + self.fake.subsets) / (size * (size - 1)) - 2 * self.cross.subsets / size**2

    def remainder(self) -> float:
        """The variance of the remainders between real and fake, by a two-way analysis of variance."""
        rows, columns = self.cross.rows - self.cross.rows.mean(), self.cross.columns - self.cross.columns.mean()
        n, m = self.n, self.m
        total = float(self.cross.squares) - self.cross.all**2 / (n * m)
        rest = total - float(rows.square().sum()) / m - float(columns.square().sum()) / n
        return max(0.0, rest) / ((n - 1) * (m - 1))

    def real_effect(self) -> float:
        return _effect(self.real, self.cross.rows / self.m) - self.remainder() / self.m

    def fake_effect(self) -> float:
        return _effect(self.fake, self.cross.columns / self.n) - self.remainder() / self.n

    def variance_over_fake(self) -> float | None:
        """Of the distance over the draw of the fake samples, the real ones held fixed."""
        if self.m < 4:
            return None
        # Estimated without bias, the effects' share comes out below zero for about half of all equal distributions.
        effect = _effect(self.fake, self.cross.columns / self.n)
        return max(0.0, 4 * effect / self.m) + _remainder_share(self.fake)

    def variance(self) -> float | None:
        """Of the distance over the draws of both."""
        n, m = self.n, self.m
        if min(n, m) < 4:
            return None
        effects = 4 * self.real_effect() / n + 4 * self.fake_effect() / m
        remainders = _remainder_share(self.real) + _remainder_share(self.fake) + 4 * self.remainder() / (n * m)
        return max(0.0, effects) + remainders


def _remainder(table: KernelTable) -> float:
    """The variance of what the effects of two points leave of their kernel (Griffing, 1956, method 4)."""
    n, effects = len(table.rows), table.rows - table.rows.mean()
    total = float(table.squares) / 2 - table.all**2 / (2 * n * (n - 1))
    return max(0.0, total - float(effects.square().sum()) / (n - 2)) / (n * (n - 3) / 2)


def _effect(table: KernelTable, cross: Tensor) -> float:
    """The variance of the effect of one point on half the distance, `cross` holding its means beside the other set."""
    n = len(table.rows)
    return float((table.rows / (n - 2) - cross).var()) - _remainder(table) / (n - 2)


def _remainder_share(table: KernelTable) -> float:
    """What the remainders of one set's table add to the variance of the distance."""
    n = len(table.rows)
    return 2 * _remainder(table) / (n * (n - 1))


def kernel_statistics(real: Array, fake: Array) -> KernelStatistics:
    """The unbiased squared maximum mean discrepancy of features (n, D) and (m, D), over all pairs, and its variances.

    The kernel is (x.y/D + 1)^3 with D the number of features; the value estimates a squared distance without bias and
    is below 0 for about half of all samples of one distribution. float32 features are multiplied in float32, after the
    mean of both sets has been taken from them, and summed in float64, which moves the value by less than a thousandth
    of its standard error; all is float64 where either side is, or where x.y/D passes 100. Tiles of the kernel matrix
    bound the memory to 100 MB.

    The variances are those of a U-statistic, remainders of second order included, so that they hold for equal
    distributions too. Raises InputError for fewer than 2 samples, unequal dimensions and values that are not finite.
    """
    return _statistics(*paired_features(real, fake, 2))


def _statistics(real: Tensor, fake: Tensor, known: RealKernel | None = None) -> KernelStatistics:
    kernel, (x, y) = CubicKernel.around(real, fake)
    comparison = _Comparison.of(kernel, x, y, known)
    spread, variance = comparison.variance_over_fake(), comparison.variance()
    errors = [None if part is None else math.sqrt(part) for part in (spread, variance)]
    return KernelStatistics(Estimate(comparison.distance(), errors[0], total_stderr=errors[1]), variance)


@dataclass(frozen=True, eq=False, slots=True)
class RealKernel:
    """The table of real against real features, which every comparison with them in the same precision shares."""

    kernel: CubicKernel
    sums: KernelTable

    @classmethod
    def of(cls, real: Array) -> RealKernel:
        kernel, (points,) = CubicKernel.around(as_features("real", real))
        return cls(kernel, kernel.within(points))


def kernel_distance(real: Array, fake: Array) -> Estimate:
    """The distance of `kernel_statistics`, with its standard errors over the draw of the fake samples and of both."""
    return kernel_statistics(real, fake).distance


def kernel_distance_subsets(
    real: Array, fake: Array, subsets: int = 100, size: int = 1000, rows: tuple[Tensor, Tensor] | None = None
) -> KernelDistanceSubsets:
    """The kernel distance as the mean over random subsets of `size` samples of either side (Bińkowski et al., 2018).

    Subsets are drawn without replacement within each, always the same ones for the same sizes; `rows` takes their
    place: the indices (S, size) into the real and into the fake samples. The standard error is that over the draws of
    the fake samples and of the subsets; `kernel_distance` has a smaller one. Raises InputError as `kernel_statistics`
    does, and for sizes that are not within 2..min(n, m).
    """
    x, y = paired_features(real, fake, 2)
    if rows is None:
        rows = _draw("real", len(x), subsets, size), _draw("fake", len(y), subsets, size)
    count, size = rows[0].shape
    if rows[0].shape != rows[1].shape or count < 1 or size < 2:
        raise InputError(
            f"subsets need one shape (S, size >= 2), got {tuple(rows[0].shape)} and {tuple(rows[1].shape)}"
        )
    kernel, (first, second) = CubicKernel.around(x, y)
    if len(x) * len(y) + (len(x) ** 2 + len(y) ** 2) / 2 <= 2 * count * size**2:
        # All pairs that there are cost less than the pairs of every subset.
        whole = _Comparison.of(kernel, kernel.marked(first, rows[0]), kernel.marked(second, rows[1]))
        distances, spread = whole.subset_distances(size), whole.variance_over_fake()
    else:
        parts = [_Comparison.of(kernel, first.of(r), second.of(f)) for r, f in zip(*rows, strict=True)]
        distances = torch.tensor([part.distance() for part in parts], dtype=torch.float64)
        spread = _pooled(parts, len(x), len(y))
    std = float(distances.std(correction=0))
    error = None if spread is None else math.sqrt(spread + std**2 / count)
    return KernelDistanceSubsets(Estimate(float(distances.mean()), error), std)


def _pooled(parts: Sequence[_Comparison], n: int, m: int) -> float | None:
    """The variance over the draw of m fake samples beside n real ones, from what the subsets say on average."""
    if parts[0].m < 4:
        return None
    effect = sum(part.fake_effect() + part.remainder() / n for part in parts) / len(parts)
    remainder = sum(_remainder(part.fake) for part in parts) / len(parts)
    return max(0.0, 4 * effect / m) + 2 * remainder / (m * (m - 1))


def _draw(side: str, n: int, subsets: int, size: int) -> Tensor:
    if subsets < 1 or not 2 <= size <= n:
        raise InputError(f"{subsets} subsets of {size} cannot be drawn from {n} {side} samples; lower size")
    rng = seeding.generator("kernel distance subsets", side, n, subsets, size)
    return torch.stack([torch.randperm(n, generator=rng)[:size] for _ in range(subsets)])


@dataclass(frozen=True, slots=True)
class KernelDistance:
    """The column `kid`, between the held-out split's features and the samples', and, for `subsets` > 0, `kid_subsets`,
    its mean over so many subsets of `size` as other tools report it."""

    subsets: int = 0
    size: int = 1000
    name = "kid"
    reads: ClassVar[tuple[Reads, ...]] = ("samples", "real")

    @property
    def columns(self) -> tuple[Column, ...]:
        whole = Column("kid", "KID", "lower", digits=5, note=f"{NOTE}; {FALLS_SHORT}", general="kernel distance")
        parts = Column("kid_subsets", "KID (subsets)", "lower", digits=5, general="kernel distance (subsets)")
        return (whole, parts) if self.subsets else (whole,)

    @property
    def min_samples(self) -> int:
        return self.size if self.subsets else 2

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        real, fake = evidence.real.embeddings, evidence.fake.embeddings
        x, y = paired_features(real, fake, 2)
        statistics = _statistics(x, y, evidence.real.once("kernel", lambda: RealKernel.of(x)))
        scores = {"kid": as_score(statistics.distance)}
        if self.subsets:
            parts = kernel_distance_subsets(real, fake, self.subsets, self.size)
            detail = f"std of {self.subsets} subsets of {self.size}: {parts.std:.5f}"
            scores["kid_subsets"] = as_score(parts.mean, detail)
        return scores
