"""The Fréchet distance between Gaussians fitted to features: FID, when the features are an Inception network's.

References: M. Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium"
(2017); D. Dowson and B. Landau, "The Fréchet Distance between Multivariate Normal Distributions" (1982).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from genbench.contracts import Column, Evidence, Features, Reads, Score
from genbench.errors import InputError, Unsupported
from genbench.metrics.scores import as_score
from genbench.numerics.blocks import as_features, parts_of
from genbench.numerics.estimate import Estimate
from genbench.numerics.linalg import Array, absolute, nuclear_norm, product_method, pull_back
from genbench.numerics.moments import Moments

BLOCK_ELEMENTS = 2**22  # values of samples in float64 at once: 32 MB
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
        return _compared(real, fake).influence
    first = real if isinstance(real, Moments) else Moments.of(real)
    second = fake if isinstance(fake, Moments) else Moments.of(fake)
    return Comparison(first, second).influence(y)


@dataclass(frozen=True, eq=False, slots=True)
class Compared:
    """The distance, and the influence (n,) of each fake sample on it; `comparison` where moments were compared."""

    distance: float
    influence: Tensor
    comparison: Comparison | None = None

    def estimate(self) -> Estimate:
        return Estimate(self.distance, float(self.influence.std() / len(self.influence) ** 0.5))


def _compared(real: Array | Moments, fake: Array) -> Compared:
    if isinstance(real, Moments):
        return _by_moments(real, Moments.of(fake), fake)
    x, y = as_features("real", real), as_features("fake", fake)
    return _within_the_span(x, y) or _by_moments(Moments.of(x), Moments.of(y), y)


def compared(real: Features, fake: Features) -> Compared:
    """The comparison of two sides, of which each keeps its own moments and their root for the next."""
    x, y = real.embeddings, fake.embeddings
    few = _within_the_span(x, y)
    return few or _by_moments(moments_of(real), moments_of(fake), y)


def moments_of(features: Features) -> Moments:
    """The moments of one side, found once."""
    return features.once("moments", lambda: Moments.of(features.embeddings))


def _by_moments(real: Moments, fake: Moments, y: Array) -> Compared:
    comparison = Comparison(real, fake)
    # The influence finds what the distance needs.
    influence = comparison.influence(y)
    return Compared(comparison.distance(), influence, comparison)


def _match(real: int, fake: int) -> None:
    if real != fake:
        raise InputError(f"real has {real} features and fake {fake}; they must be the same")


def _within_the_span(x: Tensor, y: Tensor) -> Compared | None:
    """Real and fake features compared where both together are no more than D; None where they are more.

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
    return Compared(max(0.0, float(distance)), influence)


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
        self.factor = fake.root.to(self.device)
        self.product = self.factor.T @ real.root
        self.method: Literal["eigen", "polar"] = product_method(self.product)
        self._overlap: Tensor | None = None

    def distance(self) -> float:
        """Cheapest after `influence`, which finds the same trace."""
        known = self._overlap
        overlap = nuclear_norm(self.product, self.method) if known is None else known.trace()
        traces = self.real.covariance.trace() + self.covariance.trace()
        return max(0.0, float(self.shift @ self.shift + traces - 2 * overlap))

    def influence(self, y: Array) -> Tensor:
        """As `frechet_influence` says, of samples y (n, D): float64 (n,)."""
        samples = as_features("fake", y).to(self.device)
        _match(len(self.shift), samples.shape[1])
        self._overlap = absolute(self.product, self.method)
        bend = -pull_back(self.factor, self._overlap)
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
