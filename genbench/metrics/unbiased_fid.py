"""FID at infinitely many samples: what remains of the distance when its bias, which falls as 1/n, is extrapolated away.

References: M. Chong and D. Forsyth, "Effectively Unbiased FID and Inception Score and Where to Find Them" (2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from genbench import seeding
from genbench.contracts import Column, Evidence, Reads, Score
from genbench.errors import InputError, Unsupported
from genbench.metrics.frechet import Comparison, moments_of
from genbench.metrics.scores import as_score
from genbench.numerics.blocks import as_features
from genbench.numerics.estimate import Estimate
from genbench.numerics.linalg import Array
from genbench.numerics.moments import Moments, MomentsBuilder

PARTS = (4, 2, 1)


def _divisions(n: int, dim: int) -> list[int]:
    """Into how many parts n samples are divided: k parts need k^2 D samples, or the bias bends away from 1/n."""
    return [count for count in PARTS if n >= count**2 * dim]


def fid_infinity(real: Array | Moments, fake: Array, seed: int = 0) -> Estimate:
    """The Fréchet distance of fake features (n, D) extrapolated to n = infinity; below 0 only by its error.

    The distance is measured on all samples, on both halves and, from 16 D samples on, on all four quarters, in a random
    order that `seed` fixes; the line through the means of each size against 1/n is followed to 0. As the parts of every
    size together are all the samples, their errors of first order are the same at every size: the standard error is
    that of `frechet_distance`, where the random subsets of the paper add to it. The real side is held fixed, as in the
    paper, and the bias of its own finite size stays. Raises InputError for fewer than 4 D samples, and as
    `frechet_distance` does.
    """
    features = as_features("fake", fake)
    n, dim = features.shape
    counts = _divisions(n, dim)
    if len(counts) < 2:
        raise InputError(f"{n} samples are too few to extrapolate from; {dim} features need at least {4 * dim}")
    first = real if isinstance(real, Moments) else Moments.of(real)
    order = torch.randperm(n, generator=seeding.generator("fid-infinity", seed, n)).to(features.device)
    parts = [MomentsBuilder().add(features[rows]) for rows in order.tensor_split(counts[0])]
    whole = MomentsBuilder()
    for part in parts:
        whole.merge(part)
    comparison = Comparison(first, whole.moments())
    influence = comparison.influence(features)
    means = []
    while len(parts) > 1:
        means.append(float(np.mean([Comparison(first, part.moments()).distance() for part in parts])))
        parts = [left.merge(right) for left, right in zip(parts[::2], parts[1::2], strict=True)]
    means.append(comparison.distance())
    intercept = np.polyfit(np.array(counts) / n, means, 1)[1]
    return Estimate(float(intercept), float(influence.std() / n**0.5))


@dataclass(frozen=True, slots=True)
class FidInfinity:
    """The column `fid_infinity`, between the held-out split's features and the samples', at infinitely many samples."""

    seed: int = 0
    name = "fid-infinity"
    columns = (Column("fid_infinity", "FID∞", "lower", digits=2, general="Fréchet distance∞"),)
    reads: ClassVar[tuple[Reads, ...]] = ("samples", "real")
    min_samples = 4

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        fake = evidence.fake.embeddings
        n, dim = fake.shape
        counts = _divisions(n, dim)
        if len(counts) < 2:
            raise Unsupported(f"{n} samples of {dim} features are too few to extrapolate from, {4 * dim} are needed")
        estimate = fid_infinity(moments_of(evidence.real), fake, self.seed)
        sizes = ", ".join(str(n // count) for count in counts)
        return {"fid_infinity": as_score(estimate, f"from parts of {sizes} samples")}
