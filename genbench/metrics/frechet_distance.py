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

from genbench.contracts import Column, Evidence, Score
from genbench.errors import InputError
from genbench.estimate import Estimate
from genbench.linalg import Array, as_float64, trace_sqrt_product, transport_map


@dataclass(frozen=True, eq=False, slots=True)
class Moments:
    """The mean (D,) and covariance (D, D) of n feature vectors, float64, the covariance divided by n - 1."""

    n: int
    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, features: Array) -> Moments:
        """The moments of features (n, D). Raises InputError for n < 2."""
        x = as_float64("features", features)
        if len(x) < 2:
            raise InputError(f"a covariance needs at least 2 samples, got {len(x)}")
        mean = x.mean(0)
        centred = x - mean
        return cls(len(x), mean, centred.T @ centred / (len(x) - 1))


def frechet_distance(real: Array | Moments, fake: Array | Moments) -> Estimate:
    """||m1 - m2||^2 + tr S1 + tr S2 - 2 tr (S1^1/2 S2 S1^1/2)^1/2 of features (n, D) or their Moments; at least 0.

    The standard error is that over the draw of the fake samples, the real ones held fixed, by the delta method; it is
    None where `fake` is given as Moments. Raises InputError for different dimensions or fewer than 2 samples.
    """
    first = real if isinstance(real, Moments) else Moments.of(real)
    second = fake if isinstance(fake, Moments) else Moments.of(fake)
    if first.mean.shape != second.mean.shape:
        raise InputError(f"real has {len(first.mean)} features and fake {len(second.mean)}; they must be the same")
    shift = float((first.mean - second.mean).square().sum())
    trace = float(first.covariance.trace() + second.covariance.trace())
    distance = max(0.0, shift + trace - 2 * trace_sqrt_product(first.covariance, second.covariance))
    if isinstance(fake, Moments):
        return Estimate(distance)
    influence = frechet_influence(first, second, as_float64("fake", fake))
    return Estimate(distance, float(influence.std() / len(influence) ** 0.5))


def frechet_influence(real: Moments, fake: Moments, y: Tensor) -> Tensor:
    """What each fake sample y (n, D) adds to the distance, to first order: float64 (n,), up to a constant.

    2 (m_f - m_r).(y - m_f) + (y - m_f)'(I - T)(y - m_f), with T the optimal transport map from fake to real.
    """
    centred = y - fake.mean
    transport = transport_map(fake.covariance, real.covariance)
    bend = torch.eye(len(transport), dtype=torch.float64, device=transport.device) - transport
    return 2 * centred @ (fake.mean - real.mean) + ((centred @ bend) * centred).sum(1)


@dataclass(frozen=True, slots=True)
class FrechetDistance:
    """The column `fid`, between the held-out split's features and the samples'."""

    name = "fid"
    columns = (Column("fid", "FID", "lower", digits=2),)
    reads: ClassVar[Literal["samples"]] = "samples"
    min_samples = 2

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        fake = evidence.fake.embeddings
        estimate = frechet_distance(evidence.real.embeddings, fake)
        few = len(fake) <= fake.shape[1]
        detail = f"{len(fake)} samples do not fill {fake.shape[1]} dimensions; biased upwards" if few else ""
        return {"fid": Score(estimate.value, estimate.stderr, detail=detail)}
