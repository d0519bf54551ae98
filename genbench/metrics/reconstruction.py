"""Reconstruction and denoising: how near a model's reconstruction comes to an item it is shown, whole or corrupted.

References: G. Hinton and R. Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks" (2006);
P. Vincent et al., "Extracting and Composing Robust Features with Denoising Autoencoders" (2008).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genbench import seeding
from genbench.contracts import Column, Evidence, Reads, Score
from genbench.metrics.outliers import squared_errors
from genbench.metrics.scores import FALLS_SHORT, as_score
from genbench.numerics.estimate import Estimate
from genbench.numerics.linalg import as_float64


def root_mean_square(squares: Tensor) -> Estimate:
    """The root of the mean of squared errors (n,), with its standard error by the delta method; 0 has none."""
    values = as_float64("squares", squares, ndim=1)
    root = math.sqrt(float(values.mean()))
    spread = float(values.std(correction=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return Estimate(root, spread / (2 * root) if root else None)


def error_score(squares: Tensor, detail: str = "") -> Score:
    """The root of the mean of squared errors (n,) as the number of a column, with the part of it that is each item's.

    The root r of the mean square m moves by (s - m) / 2r with an item's square s: the parts are r plus that.
    """
    root = root_mean_square(squares)
    values = squares.double()
    parts = root.value + (values - values.mean()) / (2 * root.value) if root.value else values
    return as_score(root, detail, parts=parts)


def corrupted(x: Tensor, levels: int | None, rate: float) -> Tensor:
    """Items (n, *shape) of which each dimension, with probability `rate`, is replaced by a level drawn uniformly.

    Real-valued dimensions are replaced by that of another item. The same items are always corrupted in the same way.
    """
    generator = seeding.generator("corrupted", *x.shape)
    hit = torch.rand(x.shape, generator=generator) < rate
    if levels is None:
        return torch.where(hit, x[torch.randperm(len(x), generator=generator)], x)
    return torch.where(hit, torch.randint(levels, x.shape, generator=generator).to(torch.uint8), x)


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """The columns `reconstruction` and `denoising`: root mean squared errors per dimension, the range counting as 1."""

    rate: float = 0.25

    name = "reconstruction"
    columns = (
        Column("reconstruction", "reconstruction RMSE", "lower"),
        Column("denoising", "denoising RMSE", "lower", note=FALLS_SHORT),
    )
    reads: ClassVar[tuple[Reads, ...]] = ("reconstruction",)
    min_samples = 1

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        clean, levels = evidence.dataset.heldout, evidence.dataset.spec.levels
        noisy = corrupted(clean, levels, self.rate)
        plain = squared_errors(evidence.reconstruct(clean, "heldout"), clean, levels)
        denoised = squared_errors(evidence.reconstruct(noisy, "corrupted"), clean, levels)
        shown = root_mean_square(squared_errors(noisy, clean, levels))
        return {
            "reconstruction": error_score(plain),
            "denoising": error_score(denoised, f"the corrupted items: {shown.value:.3f}"),
        }
