"""MIND: the sliced Wasserstein distance between features, on the scale of a Fréchet distance.

References: Berthet et al. (2026), for the measure and its scale; N. Bonneel et al., "Sliced and Radon Wasserstein
Barycenters of Measures" (2015), for slicing; F. Santambrogio, "Optimal Transport for Applied Mathematicians" (2015),
for the potentials that the standard error is made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from genbench import seeding
from genbench.contracts import Column, Evidence, Reads, Score
from genbench.errors import InputError
from genbench.metrics.scores import FALLS_SHORT, as_score
from genbench.numerics.blocks import mean_of, paired_features, parts_of
from genbench.numerics.estimate import Estimate
from genbench.numerics.linalg import Array

NOTE = "estimates E[MIND_n], the mean over samples of this size, which is above 0 for the real distribution too"
PROJECTED = 2**21  # projections of one set held at once; with what sorting and comparing add, under 300 MB


def mind(real: Array, fake: Array, directions: int = 1000) -> Estimate:
    """3 D times the mean squared difference of the sorted projections of features (n, D) and (m, D); at least 0.

    The mean is over `directions` random unit vectors, always the same ones for the same D; a shift by s costs 3 |s|^2.
    Sets of different sizes are compared by their quantile functions, which are steps: the squared difference is
    integrated exactly, as the Wasserstein distance of the two empirical distributions has it. Finite samples of one
    distribution are some distance apart: what the value and its error estimate is E[MIND_n] of samples of this size
    beside these real items, not the distance of the distributions, which is smaller. float32 features are projected in
    float32, after the mean of both sets has been taken from them.

    The standard error is that over the draw of the fake samples: to first order a sample adds to the distance the
    transport potential at its projections, averaged over the directions. Raises InputError for fewer than 2 samples,
    unequal dimensions, values that are not finite, and directions < 1.
    """
    x, y = paired_features(real, fake, 2)
    if directions < 1:
        raise InputError(f"directions must be at least 1, got {directions}")
    dim, dtype = x.shape[1], torch.promote_types(x.dtype, y.dtype)
    centre = (mean_of(x) + mean_of(y)) / 2
    units = _directions(directions, dim).to(x.device)
    steps = _Steps.of(len(x), len(y), x.device)
    total, potential = 0.0, torch.zeros(len(y), dtype=torch.float64, device=x.device)
    for some in units.split(max(1, PROJECTED // max(len(x), len(y)))):
        ordered = _in_order(_projections(x, some, centre, dtype))[0]
        fakes, places = _in_order(_projections(y, some, centre, dtype))
        squares, slopes = steps.compare(ordered, fakes)
        total += squares
        rising = _integral(fakes, slopes)
        potential += torch.empty_like(rising).scatter_(1, places, rising).sum(0)
    scale = 3 * dim / directions
    return Estimate(scale * total, scale * float(potential.std()) / len(y) ** 0.5)


def _directions(count: int, dim: int) -> Tensor:
    """Unit vectors (count, D), float64."""
    normal = torch.randn(count, dim, generator=seeding.generator("mind", dim), dtype=torch.float64)
    return normal / normal.norm(dim=1, keepdim=True)


def _projections(x: Tensor, units: Tensor, centre: Tensor, dtype: torch.dtype) -> Tensor:
    """(directions, n) in `dtype`, of x less `centre`."""
    units, centre = units.to(dtype), centre.to(dtype)
    projections = torch.empty(len(units), len(x), dtype=dtype, device=x.device)
    for part in parts_of(x):
        projections[:, part] = units @ (x[part].to(dtype) - centre).T
    return projections


def _in_order(values: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of `values` (L, n) sorted, and where they were: both (L, n)."""
    if values.device.type != "cpu":
        return values.sort(1)
    # Where processors have instructions for it, numpy needs half of torch's time. The order of equal values is free.
    places = torch.from_numpy(np.argsort(values.numpy(), axis=1))
    return values.gather(1, places), places


@dataclass(frozen=True, eq=False, slots=True)
class _Steps:
    """The intervals on which the quantile functions of n and m samples are constant: which sample either one is at."""

    first: Tensor
    second: Tensor
    widths: Tensor  # they sum to 1
    m: int

    @classmethod
    def of(cls, n: int, m: int, device: torch.device) -> _Steps:
        # In units of 1 / nm all ends are whole numbers.
        ends = torch.cat([torch.arange(n + 1) * m, torch.arange(m + 1) * n]).unique()
        starts, widths = ends[:-1], ends.diff().double() / (n * m)
        return cls((starts // m).to(device), (starts // n).to(device), widths.to(device), m)

    def compare(self, x: Tensor, y: Tensor) -> tuple[float, Tensor]:
        """The integral of the squared difference of sorted x (L, n) and y (L, m), summed over L; and for each sample of
        y twice the mean of its difference, float64 (L, m)."""
        gaps = (y[:, self.second] - x[:, self.first]).double()
        weighted = gaps * self.widths
        slopes = torch.zeros(y.shape, dtype=torch.float64, device=y.device).index_add_(1, self.second, weighted)
        return float((gaps * weighted).sum()), 2 * self.m * slopes


def _integral(points: Tensor, slopes: Tensor) -> Tensor:
    """The function (L, m) with the given slopes at ordered points (L, m), by trapezoids, of mean zero in each row."""
    rises = points.double().diff(dim=1) * (slopes[:, 1:] + slopes[:, :-1]) / 2
    value = torch.nn.functional.pad(rises.cumsum(1), (1, 0))
    return value - value.mean(1, keepdim=True)


@dataclass(frozen=True, slots=True)
class Mind:
    """The column `mind`, between the held-out split's features and the samples'."""

    directions: int = 1000
    name = "mind"
    columns = (Column("mind", "MIND", "lower", digits=2, note=f"{NOTE}; {FALLS_SHORT}"),)
    reads: ClassVar[tuple[Reads, ...]] = ("samples", "real")
    min_samples = 2

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        return {"mind": as_score(mind(evidence.real.embeddings, evidence.fake.embeddings, self.directions))}
