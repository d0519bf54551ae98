"""The Fréchet distance between Gaussians fitted to features: FID, when the features are an Inception network's.

References: M. Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium"
(2017); D. Dowson and B. Landau, "The Fréchet Distance between Multivariate Normal Distributions" (1982).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from genbench.contracts import Column, Evidence, Features, Holds, Reads, Score
from genbench.errors import InputError, Unsupported
from genbench.metrics.scores import as_score
from genbench.metrics.second_order import Alignment, DrawEffect
from genbench.numerics.blocks import as_features, parts_of
from genbench.numerics.estimate import Estimate
from genbench.numerics.intervals import Z
from genbench.numerics.linalg import Array, absolute, nuclear_norm, product_method, pull_back
from genbench.numerics.moments import Moments
from genbench.numerics.overlap import regular_overlap
from genbench.numerics.reduced_transport import DIRECTIONS, reduced_deviation, row_step

SAMPLES_PER_DIMENSION = 4  # from here on, second order is most of the bias
NOTE = (
    "errors hold the real items fixed; endless samples and real items would give a value from `low` to `high` (95 %), "
    "which is less, as FID is biased upwards"
)
BLOCK_ELEMENTS = 2**20  # values of samples in float64 at once: 8 MB
LARGE = 2 * DIRECTIONS  # features, above which the standard errors look at the leading directions first
PANEL = 512  # columns; half of a symmetric matrix is enough for a quadratic form
WITHIN_SPAN = 0.8  # samples of the smaller side per dimension, up to which their span is faster than their covariances


def frechet_distance(real: Array | Moments, fake: Array | Moments) -> Estimate:
    """||m1 - m2||^2 + tr S1 + tr S2 - 2 tr (S1^1/2 S2 S1^1/2)^1/2 of features (n, D) or their Moments; at least 0.

    Few features, no more than D on either side, are compared within their span, where no covariance is needed. The
    standard error is that over the draw of the fake samples, the real ones held fixed, by the delta method,
    to two digits at least; it is None where `fake` is given as Moments. Raises InputError for different dimensions, for
    fewer than 2 samples and for values that are not finite.
    """
    if isinstance(fake, Moments):
        first = real if isinstance(real, Moments) else Moments.of(real)
        return Estimate(Comparison(first, fake).distance())
    comparison = comparison_of(real, fake)
    return Estimate(comparison.distance, comparison.stderr)


def frechet_influence(real: Array | Moments, fake: Array | Moments, y: Array | None = None) -> Tensor:
    """What each fake sample adds to the distance, to first order: float64 (n,), up to a constant.

    2 (m_f - m_r).(y - m_f) + (y - m_f)'(I - T)(y - m_f), with T the optimal transport map from fake to real: the
    samples of the largest values cost most. Without sample i the distance of n would be smaller by about its value,
    less their mean, over n - 1. The samples are `fake` itself, or any others y (n, D). Raises InputError where `fake`
    is Moments and there is no y, and as `frechet_distance` does.
    """
    if y is None:
        if isinstance(fake, Moments):
            raise InputError("give the samples as y whose influence is asked for: fake holds their moments only")
        x, y = _features(real), as_features("fake", fake)
        few = None if isinstance(x, Moments) else _within_the_span(x, y)
        return few.influences[1] if few else Comparison(_moments(x), Moments.of(y)).influence(y)
    first = real if isinstance(real, Moments) else Moments.of(real)
    second = fake if isinstance(fake, Moments) else Moments.of(fake)
    return Comparison(first, second).influence(y)


Halves = Callable[[], Sequence[Moments]]


@dataclass(frozen=True, eq=False)
class Compared:
    """The distance of two sides, and what their draws do to it; `stderr` is over the draw of the fake samples.

    A side that is known by its moments alone has no `samples`, and of one that is too large some stand for all; sides
    of few samples are compared within their span and have no `moments`, but a known `real_stderr` over the draw of the
    real items. `halves` give the moments of either side's.
    """

    distance: float
    stderr: float | None
    moments: tuple[Moments, Moments] | None = None
    samples: tuple[Tensor | None, Tensor | None] = (None, None)
    halves: tuple[Halves, Halves] | None = None
    real_stderr: float | None = None

    @cached_property
    def real_effect(self) -> DrawEffect | None:
        """What the draw of the real items does to the distance, where it is known."""
        samples = self.samples[0]
        if samples is None or self._alignment is None:
            return None
        return self._alignment.effect_of_first(_some_of(samples))

    @cached_property
    def fake_effect(self) -> DrawEffect | None:
        """What the draw of the fake samples does to the distance, where it is known."""
        samples = self.samples[1]
        if samples is None or self._alignment is None:
            return None
        return self._alignment.effect_of_second(_some_of(samples))

    @cached_property
    def total_stderr(self) -> float | None:
        """Over the draws of the fake samples and of the real items, where it is known."""
        real = self.samples[0]
        if self.stderr is not None and self.real_stderr is not None:
            return math.hypot(self.stderr, self.real_stderr)
        if self.stderr is None or self.moments is None or real is None:
            return None
        # An error of many features needs no second order, which costs more than all the rest.
        error = leading_error(*self.moments, real)
        if error is None:
            assert self.real_effect is not None
            error = math.sqrt(self.real_effect.variance)
        return math.hypot(self.stderr, error)

    @property
    def enough(self) -> bool:
        """Whether both sides have so many samples that second order is most of their bias, in halves of them too."""
        if self.moments is None or None in self.samples:
            return False
        return all(side.n is not None and side.n >= SAMPLES_PER_DIMENSION * len(side.mean) for side in self.moments)

    @cached_property
    def estimate(self) -> Estimate:
        """The distance, between ends where the distance of endless samples and items lies."""
        total = self.total_stderr
        if total is None or not self.enough:
            return Estimate(self.distance, self.stderr, total_stderr=total)
        assert self.fake_effect is not None
        assert self.real_effect is not None
        truth = self.distance - self.fake_effect.bias - self.real_effect.bias
        # What second order leaves of the bias has the sign of its change from half as many, and is smaller than that.
        trend = truth - self._truth_of_halves()
        low, high = truth - Z * total + min(trend, 0.0), truth + Z * total + max(trend, 0.0)
        return Estimate(self.distance, self.stderr, low=max(0.0, low), high=max(0.0, high), total_stderr=total)

    def _truth_of_halves(self) -> float:
        """The distance without its bias between halves of both sides: the mean of two."""
        assert self.halves is not None
        x, y = (_some_of(samples) for samples in self.samples if samples is not None)
        truths = []
        for start, (real, fake) in enumerate(zip(*(halves() for halves in self.halves), strict=True)):
            alignment = Alignment(real, fake)
            bias = alignment.effect_of_first(x[start::2]).bias + alignment.effect_of_second(y[start::2]).bias
            truths.append(alignment.distance() - bias)
        return sum(truths) / len(truths)

    @cached_property
    def _alignment(self) -> Alignment | None:
        return None if self.moments is None else Alignment(*self.moments)


def comparison_of(real: Array | Moments, fake: Array) -> Compared:
    """The comparison of features with features or with moments."""
    x, y = _features(real), as_features("fake", fake)
    if isinstance(x, Moments):
        return _by_moments(x, Moments.of(y), None, y)
    few, halves = _of_few(x, y), (lambda: half_moments(x), lambda: half_moments(y))
    return few or replace(_by_moments(Moments.of(x), Moments.of(y), x, y), halves=halves)


def _features(real: Array | Moments) -> Tensor | Moments:
    return real if isinstance(real, Moments) else as_features("real", real)


def _moments(real: Tensor | Moments) -> Moments:
    return real if isinstance(real, Moments) else Moments.of(real)


def compared(real: Features, fake: Features) -> Compared:
    """The comparison of two sides, of which each keeps its own moments and their root for the next."""
    x, y = _rows(real), _rows(fake)
    few = None if x is None or y is None else _of_few(x, y)
    halves = (lambda: halves_of(real), lambda: halves_of(fake))
    return few or replace(_by_moments(moments_of(real), moments_of(fake), x, y), halves=halves)


def _rows(features: Features) -> Tensor | None:
    """The features (n, D), or some that stand for them; None for those that are known by their moments alone."""
    try:
        return features.once("rows", lambda: features.embeddings)
    except Unsupported:
        return None


def size_of(features: Features) -> tuple[int, int]:
    """Samples and features. Raises Unsupported where they are known by their moments alone."""
    n, dim = features.once("size", lambda: tuple(features.embeddings.shape))
    return n, dim


def moments_of(features: Features) -> Moments:
    """The moments of one side, found once."""
    return features.once("moments", lambda: Moments.of(features.embeddings))


def halves_of(features: Features) -> Sequence[Moments]:
    """The moments of both halves of one side, found once."""
    return features.once("moments of halves", lambda: half_moments(features.embeddings))


def half_moments(x: Tensor) -> tuple[Moments, Moments]:
    """The moments of two halves, every other sample each."""
    return Moments.of(x[0::2]), Moments.of(x[1::2])


def _by_moments(real: Moments, fake: Moments, x: Tensor | None, y: Tensor | None) -> Compared:
    comparison = Comparison(real, fake)
    # Where the error takes the whole transport map, it finds what the distance needs.
    error = None if y is None else comparison.error(y)
    return Compared(comparison.distance(), error, (real, fake), (x, y))


def _some_of(samples: Tensor) -> Tensor:
    """All of few features; of many some samples, which are enough to know their fourth moments of."""
    return samples if samples.shape[1] <= LARGE else samples[:: row_step(len(samples))]


def _of_few(x: Tensor, y: Tensor) -> Compared | None:
    few = _within_the_span(x, y)
    if few is None:
        return None
    real, fake = (_error(influence, len(influence)) for influence in few.influences)
    return Compared(few.distance, fake, samples=(x, y), real_stderr=real)


def _error(influence: Tensor, n: int) -> float:
    return float(influence.std() / n**0.5)


def _match(real: int, fake: int) -> None:
    if real != fake:
        raise InputError(f"real has {real} features and fake {fake}; they must be the same")


class WithinSpan(NamedTuple):
    """The distance, and the influence of the real items (n,) and of the fake samples (m,) on it."""

    distance: float
    influences: tuple[Tensor, Tensor]


def _within_the_span(x: Tensor, y: Tensor) -> WithinSpan | None:
    """The comparison of no more than D samples on either side; None for others.

    The distance and influence come from centred features X, Y over roots of n - 1: the trace is the nuclear norm of
    YX'. No matrix is larger than the features, nothing is squared, and no rank is to be found.
    """
    dim = x.shape[1]
    _match(dim, y.shape[1])
    smaller, larger = sorted((len(x), len(y)))
    if smaller < 2 or smaller > WITHIN_SPAN * dim or larger > dim:
        return None
    (mean, real), (other, fake) = _centred(x), _centred(y.to(x.device))
    shift = other - mean
    left, singular, right = torch.linalg.svd(fake @ real.T, full_matrices=False)
    sides = ((real, right.T, -shift), (fake, left, shift))
    distance = shift @ shift + real.square().sum() + fake.square().sum() - 2 * singular.sum()
    influences = [_influence_within(*side, singular) for side in sides]
    return WithinSpan(max(0.0, float(distance)), (influences[0], influences[1]))


def _influence_within(side: Tensor, vectors: Tensor, shift: Tensor, singular: Tensor) -> Tensor:
    """The influence (n,) of centred samples (n, D) over the root of n - 1, by the singular vectors (n, r) of theirs."""
    size = len(side) - 1
    overlap = vectors.square() @ singular
    return 2 * size**0.5 * (side @ shift) + size * (side.square().sum(1) - overlap)


def _centred(features: Tensor) -> tuple[Tensor, Tensor]:
    x = features.double()
    mean = x.mean(0)
    return mean, (x - mean) / (len(x) - 1) ** 0.5


class Comparison:
    """Two Gaussians, and what their distance and the influence of samples have in common."""

    def __init__(self, real: Moments, fake: Moments) -> None:
        _match(len(real.mean), len(fake.mean))
        self.real, self.fake = real, fake
        self.device = real.mean.device
        self.shift = fake.mean.to(self.device) - real.mean
        self.covariance = fake.covariance.to(self.device)
        self._overlap: Tensor | None = None

    @cached_property
    def product(self) -> Tensor:
        """F'G of roots F F' and G G' of the covariances of fake and real: its nuclear norm is the trace."""
        return self.fake.root.to(self.device).T @ self.real.root

    def distance(self) -> float:
        """Cheapest after `influence`, which finds the same trace."""
        traces = self.real.covariance.trace() + self.covariance.trace()
        return max(0.0, float(self.shift @ self.shift + traces - 2 * self._trace()))

    def _trace(self) -> Tensor:
        if self._overlap is not None:
            return self._overlap.trace()
        singular = self.fake.n is not None and self.fake.n <= len(self.shift)
        if self.real.graded is not None and not singular:
            trace = regular_overlap(self.real.covariance, self.covariance, self.real.graded)
            if trace is not None:
                return trace
        return nuclear_norm(self.product, product_method(self.product))

    def error(self, y: Array) -> float:
        """The standard error of the distance over the draw of the fake samples, to two digits or better.

        They are y (r, D), or y stands for them.
        """
        samples = as_features("fake", y)
        error = leading_error(self.fake, self.real, samples)
        return _error(self.influence(samples), self.fake.n or len(samples)) if error is None else error

    def influence(self, y: Array) -> Tensor:
        """As `frechet_influence` says, of samples y (n, D): float64 (n,)."""
        samples = as_features("fake", y).to(self.device)
        _match(len(self.shift), samples.shape[1])
        self._overlap = absolute(self.product, product_method(self.product))
        bend = -pull_back(self.fake.root.to(self.device), self._overlap)
        bend.diagonal().add_(1)
        upper = 2 * bend.triu(1) + bend.diagonal().diag()
        mean = self.fake.mean.to(self.device)
        centred = (samples[part].double() - mean for part in parts_of(samples, BLOCK_ELEMENTS))
        return torch.cat([2 * x @ self.shift + _quadratic(x, upper) for x in centred])


def _quadratic(x: Tensor, upper: Tensor) -> Tensor:
    """x'Bx of each row of x (n, D) with an upper triangular B."""
    values = x.new_zeros(len(x))
    for start in range(0, x.shape[1], PANEL):
        stop = start + PANEL
        values += ((x[:, :stop] @ upper[:stop, start:stop]) * x[:, start:stop]).sum(1)
    return values


def leading_error(own: Moments, other: Moments, samples: Tensor) -> float | None:
    """The standard error over the draw of the samples of the moments `own`, to two digits; (r, D) stand for them.

    None for few features, and where leading directions do not settle it.
    """
    if samples.shape[1] <= LARGE or len(samples) < 2:
        return None
    deviation = reduced_deviation(_some_of(samples), own, other)
    return None if deviation is None else deviation / (own.n or len(samples)) ** 0.5


def compared_once(evidence: Evidence) -> Compared:
    """The comparison of samples with real items, made once for all the metrics that look at it."""
    return evidence.once("frechet", lambda: compared(evidence.real, evidence.fake))


@dataclass(frozen=True, slots=True)
class FrechetDistance:
    """The column `fid`, between the held-out split's features and the samples'.

    Where both sides have at least 4 D samples, `low` and `high` are where the distance of endless samples and items
    lies: that of the columns is too large by a bias that is known to second order.
    """

    name = "fid"
    version: ClassVar[int] = 2
    columns = (Column("fid", "FID", "lower", digits=2, note=NOTE, general="Fréchet distance"),)
    reads: ClassVar[tuple[Reads, ...]] = ("samples", "real")
    holds: ClassVar[Holds] = "moments"
    min_samples = 2

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        comparison = compared_once(evidence)
        few, detail = False, ""
        if comparison.samples[1] is not None:
            n, dim = size_of(evidence.fake)
            few = n <= dim
            detail = f"{n} samples do not fill {dim} dimensions; biased upwards" if few else ""
        return {"fid": as_score(comparison.estimate, detail, biased=few)}
