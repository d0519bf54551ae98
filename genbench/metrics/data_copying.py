"""Memorization: are samples nearer to the training items than held-out items are?

References: C. Meehan, K. Chaudhuri and S. Dasgupta, "A Non-Parametric Test to Detect Data-Copying in Generative Models"
(2020).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genbench import seeding
from genbench.contracts import Column, Evidence, Reads, Score
from genbench.errors import InputError, Unsupported
from genbench.metrics.scores import FALLS_SHORT, as_score
from genbench.numerics.estimate import Estimate
from genbench.numerics.linalg import Array, as_matrix
from genbench.numerics.nearest import exact_distances, nearest_distances
from genbench.numerics.ranks import share_below

MOST_FITTED = 10_000  # training items that the cells are fitted to
NEARER, FARTHER = "nearer to the training items than held-out ones are", "farther from the training items than those"
NOTE = f"in standard deviations; below -3, samples are {NEARER}; far above 0, they are {FARTHER}"
FEWEST_FAKE, FEWEST_HELDOUT = 20, 5  # in a cell that counts; the first is the paper's


def memorization(train: Array, heldout: Array, fake: Array, cells: int = 10) -> Estimate:
    """C_T in its standard deviations, of features of training items (t, D), held-out items (n, D) and samples (m, D).

    In each k-means cell of the training items, the distances to the nearest training item are compared by the
    Mann-Whitney U of samples over held-out items, ties counting half, in standard deviations of U for equal
    distributions, sqrt(n m (n + m + 1) / 12). The paper's C_T is the mean over cells, weighted by the shares w of the
    held-out items in them; its deviation for equal distributions is not 1 but the root of the sum of w^2, by which the
    value here is divided. Cells with fewer than 20 samples or 5 held-out items are left out. Unbounded, and growing
    with the number of samples: near 0 is good, below -3 says that samples are nearer to the training items than
    held-out ones are, far above 0 that they stay away from the data.

    The standard error is over the draw of the samples, the rest and the cells held fixed (E. DeLong et al., 1988).
    Raises InputError for different dimensions, values that are not finite, cells < 1, or where no cell has enough
    items.
    """
    t, h, f = as_matrix("train", train), as_matrix("heldout", heldout), as_matrix("fake", fake)
    if len({t.shape[1], h.shape[1], f.shape[1]}) > 1:
        raise InputError(
            f"train has {t.shape[1]} features, heldout {h.shape[1]} and fake {f.shape[1]}; they must be the same"
        )
    return _statistic(HeldOut.of(t, h, centres_of(t, cells)), t, f)


@dataclass(frozen=True, eq=False, slots=True)
class HeldOut:
    """What held-out items are compared by: the cells' centres, the cell of each, its distance to the training items."""

    centres: Tensor
    cells: Tensor
    distances: Tensor

    @classmethod
    def of(cls, train: Tensor, heldout: Tensor, centres: Tensor) -> HeldOut:
        return cls(centres, _cells(heldout, centres), nearest_distances(heldout, train))


def _statistic(heldout: HeldOut, train: Tensor, fake: Tensor) -> Estimate:
    distances, cells = nearest_distances(fake, train), _cells(fake, heldout.centres)
    weights, scores, variances = [], [], []
    for cell in range(len(heldout.centres)):
        ours, theirs = distances[cells == cell], heldout.distances[heldout.cells == cell]
        if len(ours) < FEWEST_FAKE or len(theirs) < FEWEST_HELDOUT:
            continue
        n, m = len(theirs), len(ours)
        scale = n * m / math.sqrt(n * m * (n + m + 1) / 12)
        above = share_below(theirs, ours)
        weights.append(n)
        scores.append((float(above.mean()) - 0.5) * scale)
        variances.append(float(above.var(correction=1)) / m * scale**2)
    if not weights:
        raise InputError(
            f"no cell holds {FEWEST_FAKE} samples and {FEWEST_HELDOUT} held-out items; give more of them or fewer cells"
        )
    shares = [weight / sum(weights) for weight in weights]
    deviation = math.sqrt(sum(share**2 for share in shares))
    error = math.sqrt(sum(share**2 * variance for share, variance in zip(shares, variances, strict=True)))
    statistic = sum(share * score for share, score in zip(shares, scores, strict=True))
    return Estimate(statistic / deviation, error / deviation)


def centres_of(train: Tensor, cells: int) -> Tensor:
    """The centres (cells, D), float64, of k-means cells of (some of) the training items; the same on every call."""
    if not 1 <= cells <= len(train):
        raise InputError(f"cells must be within 1..{len(train)}, the number of training items, got {cells}")
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    some = torch.randperm(len(train), generator=seeding.generator("cells", len(train)))[:MOST_FITTED]
    with warnings.catch_warnings():
        # Fewer different items than cells leave some cells empty, which does no harm.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = KMeans(cells, n_init=1, random_state=0).fit(train[some.to(train.device)].cpu().numpy())
    return torch.from_numpy(fitted.cluster_centers_).double().to(train.device)


def _cells(x: Tensor, centres: Tensor) -> Tensor:
    """The nearest centre (n,) of each row."""
    return torch.cat([exact_distances(part.double(), centres).argmin(1) for part in x.split(4096)])


@dataclass(frozen=True, slots=True)
class Memorization:
    """The column `memorization`: C_T of the samples against the train and held-out splits, in standard deviations.

    Best is 0; values far above it say that samples are far from the data, which other columns measure.
    """

    cells: int = 10
    name = "memorization"
    version: ClassVar[int] = 2
    columns = (Column("memorization", "memorization z", "zero", digits=2, note=f"{NOTE}; {FALLS_SHORT}"),)
    reads: ClassVar[tuple[Reads, ...]] = ("samples", "real", "train")
    min_samples = 1  # with too few in every cell it is unsupported

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        train, real, fake = evidence.train.embeddings, evidence.real.embeddings, evidence.fake.embeddings
        cells = min(self.cells, len(train))
        try:
            centres = evidence.train.once(("cells", cells), lambda: centres_of(train, cells))
            heldout = evidence.real.once(("beside train", cells), lambda: HeldOut.of(train, real, centres))
            statistic = _statistic(heldout, train, fake)
        except InputError as error:  # too few items in each cell
            raise Unsupported(str(error)) from error
        detail = NEARER if statistic < -3 else FARTHER if statistic > 3 else ""
        return {"memorization": as_score(statistic, detail)}
