"""The Fréchet distance between Gaussians fitted to features: FID, when the features are an Inception network's.

References: M. Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium"
(2017); D. Dowson and B. Landau, "The Fréchet Distance between Multivariate Normal Distributions" (1982).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from genbench.contracts import Column, Evidence, Features, Reads, Score
from genbench.errors import InputError, Unsupported
from genbench.metrics.scores import as_score
from genbench.numerics.blocks import as_features, parts_of
from genbench.numerics.estimate import Estimate
from genbench.numerics.linalg import Array, absolute, nuclear_norm, product_method, pull_back
from genbench.numerics.moments import Moments
from genbench.numerics.overlap import regular_overlap
from genbench.numerics.reduced_transport import DIRECTIONS, reduced_deviation, sample_rows

BLOCK_ELEMENTS = 2**22  # values of samples in float64 at once: 32 MB
LARGE = 2 * DIRECTIONS  # features, above which the standard error looks at the leading directions first
PANEL = 512  # columns; half of a symmetric matrix is enough for a quadratic form


def frechet_distance(real: Array | Moments, fake: Array | Moments) -> Estimate:
    """||m1 - m2||^2 + tr S1 + tr S2 - 2 tr (S1^1/2 S2 S1^1/2)^1/2 of features (n, D) or their Moments; at least 0.

    Few features, no more than D on both sides together, are compared within their span, where no covariance is
    needed. The standard error is that over the draw of the fake samples, the real ones held fixed, by the delta method;
    it is None where `fake` is given as Moments. Raises InputError for different dimensions, for fewer than 2 samples
    and for values that are not finite.
    """
    if isinstance(fake, Moments):
        first = real if isinstance(real, Moments) else Moments.of(real)
        return Estimate(Comparison(first, fake).distance())
    return _compared(real, fake).estimate()


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
        return few[1] if few else Comparison(_moments(x), Moments.of(y)).influence(y)
    first = real if isinstance(real, Moments) else Moments.of(real)
    second = fake if isinstance(fake, Moments) else Moments.of(fake)
    return Comparison(first, second).influence(y)


@dataclass(frozen=True, eq=False, slots=True)
class Compared:
    """The distance with its standard error; `comparison` where moments were compared."""

    distance: float
    error: float
    comparison: Comparison | None = None

    def estimate(self) -> Estimate:
        return Estimate(self.distance, self.error)


def _features(side: Array | Moments) -> Tensor | Moments:
    return side if isinstance(side, Moments) else as_features("real", side)


def _moments(side: Tensor | Moments) -> Moments:
    return side if isinstance(side, Moments) else Moments.of(side)


def _compared(real: Array | Moments, fake: Array) -> Compared:
    x, y = _features(real), as_features("fake", fake)
    few = None if isinstance(x, Moments) else _of_few(x, y)
    return few or _by_moments(_moments(x), Moments.of(y), y)


def compared(real: Features, fake: Features) -> Compared:
    """The comparison of two sides, of which each keeps its own moments and their root for the next."""
    x, y = real.embeddings, fake.embeddings
    few = _of_few(x, y)
    return few or _by_moments(moments_of(real), moments_of(fake), y)


def moments_of(features: Features) -> Moments:
    """The moments of one side, found once."""
    return features.once("moments", lambda: Moments.of(features.embeddings))


def _by_moments(real: Moments, fake: Moments, y: Array) -> Compared:
    comparison = Comparison(real, fake)
    # Where the error takes the whole transport map, it finds what the distance needs.
    error = comparison.error(y)
    return Compared(comparison.distance(), error, comparison)


def _of_few(x: Tensor, y: Tensor) -> Compared | None:
    few = _within_the_span(x, y)
    return few and Compared(few[0], _error(few[1]))


def _error(influence: Tensor) -> float:
    return float(influence.std() / len(influence) ** 0.5)


def _match(real: int, fake: int) -> None:
    if real != fake:
        raise InputError(f"real has {real} features and fake {fake}; they must be the same")


def _within_the_span(x: Tensor, y: Tensor) -> tuple[float, Tensor] | None:
    """The distance, and the influence (n,) of the fake features; None where both together are more than D.

    The distance and influence come from centred features X, Y over roots of n - 1: the trace is the nuclear norm of
    YX'. No matrix is larger than the features, nothing is squared, and no rank is to be found.
    """
    _match(x.shape[1], y.shape[1])
    if len(x) + len(y) > x.shape[1] or min(len(x), len(y)) < 2:
        return None
    (mean, real), (other, fake) = _centred(x), _centred(y.to(x.device))
    shift, size = other - mean, len(fake) - 1
    overlap = absolute(fake @ real.T, "svd")
    squares = fake.square().sum(1)
    distance = shift @ shift + real.square().sum() + squares.sum() - 2 * overlap.trace()
    influence = 2 * size**0.5 * (fake @ shift) + size * (squares - overlap.diagonal())
    return max(0.0, float(distance)), influence


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
        """The standard error of the distance over the draw of the fake samples y (n, D), to two digits or better."""
        samples = as_features("fake", y)
        if samples.shape[1] > LARGE and len(samples) > 1:
            some = samples[sample_rows(len(samples)).to(samples.device)].to(self.device).double()
            centred = some - self.fake.mean.to(self.device)
            deviation = reduced_deviation(centred, self.shift, self.covariance, self.real.covariance)
            if deviation is not None:
                return deviation / len(samples) ** 0.5
        return _error(self.influence(samples))

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


def compared_once(evidence: Evidence) -> Compared:
    """The comparison of samples with real items, made once for all the metrics that look at it."""
    return evidence.once("frechet", lambda: compared(evidence.real, evidence.fake))


@dataclass(frozen=True, slots=True)
class FrechetDistance:
    """The column `fid`, between the held-out split's features and the samples'."""

    name = "fid"
    columns = (Column("fid", "FID", "lower", digits=2, general="Fréchet distance"),)
    reads: ClassVar[tuple[Reads, ...]] = ("samples", "real")
    min_samples = 2

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        try:
            fake = evidence.fake.embeddings
            _ = evidence.real.embeddings
        except Unsupported:
            return {"fid": as_score(_of_statistics(evidence))}
        few = len(fake) <= fake.shape[1]
        detail = f"{len(fake)} samples do not fill {fake.shape[1]} dimensions; biased upwards" if few else ""
        return {"fid": as_score(compared_once(evidence).estimate(), detail, biased=few)}


def _of_statistics(evidence: Evidence) -> Estimate:
    """The distance where one side at least is known by its moments alone; with an error where samples are known."""
    real = moments_of(evidence.real)
    try:
        return frechet_distance(real, evidence.fake.embeddings)
    except Unsupported:
        return frechet_distance(real, moments_of(evidence.fake))
