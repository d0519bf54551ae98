"""The Fréchet distance class by class, which shows the classes that a generator gets wrong or leaves out.

References: M. Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium"
(2017), for the distance; Y. Benny et al., "Evaluation Metrics for Conditional Image Generation" (2021), for its mean
over the classes, which they call the within-class FID.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genbench.contracts import Column, Evidence, Features, Reads, Score
from genbench.errors import InputError, Unsupported
from genbench.metrics.classes import class_name
from genbench.metrics.frechet import compared, frechet_distance
from genbench.numerics.blocks import as_features, paired_features
from genbench.numerics.estimate import Estimate
from genbench.numerics.linalg import Array


def frechet_distance_per_class(real: Array, real_labels: Array, fake: Array, fake_labels: Array) -> dict[int, Estimate]:
    """The Fréchet distance of the features (n, D), (m, D) of each class, by its label, in rising order.

    Labels are integers (n,) and (m,). The classes are those of the real features; fakes of other classes are left out.
    Raises InputError where a class has fewer than 2 samples on either side, and as `frechet_distance` does.
    """
    x, y = paired_features(real, fake, 2)
    first, second = _labels("real_labels", real_labels, x), _labels("fake_labels", fake_labels, y)
    few = _too_few(first, second)
    if few:
        raise InputError(f"each class needs at least 2 samples on both sides; class {few}")
    classes = first.unique().tolist()
    return {label: frechet_distance(x[first == label], y[second == label]) for label in classes}


def _labels(name: str, labels: Array, features: Tensor) -> Tensor:
    numbers = torch.as_tensor(labels)
    if numbers.is_floating_point() or numbers.is_complex() or numbers.shape != features.shape[:1]:
        raise InputError(
            f"{name} must hold one integer for each of {len(features)} samples, "
            f"it has shape {tuple(numbers.shape)} and dtype {numbers.dtype}"
        )
    return numbers.to(features.device, torch.int64)


def _too_few(real: Tensor, fake: Tensor) -> str:
    """The classes of the real samples that one side shows fewer than twice, in words; empty where there is none."""
    counts = [(label, int((real == label).sum()), int((fake == label).sum())) for label in real.unique().tolist()]
    return ", class ".join(f"{label} has {n} real and {m} fake" for label, n, m in counts if min(n, m) < 2)


@dataclass(frozen=True, slots=True)
class PerClassFid:
    """The column `fid_class`: the mean over the classes; the remark names the class with the largest distance."""

    name = "per-class-fid"
    columns = (Column("fid_class", "class FID", "lower", digits=2, general="class Fréchet distance"),)
    reads: ClassVar[tuple[Reads, ...]] = ("samples", "real", "labels")
    min_samples = 2

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        real, fake = evidence.real_labels, evidence.fake_labels
        if real is None or fake is None:
            raise Unsupported("the classes of the samples or of the real items are not known")
        few = _too_few(real, fake.to(real.device))
        if few:
            raise Unsupported(f"a distance needs 2 samples of each class; class {few}")
        sides = evidence.real.once("classes", lambda: _by_class(evidence.real, real))
        fakes = _by_class(evidence.fake, fake)
        distances = {label: compared(side, fakes[label]).estimate() for label, side in sides.items()}
        worst = max(distances, key=lambda label: distances[label].value)
        value = sum(distance.value for distance in distances.values()) / len(distances)
        error = math.sqrt(sum((distance.stderr or 0.0) ** 2 for distance in distances.values())) / len(distances)
        detail = f"worst: class {class_name(evidence.classes, worst)}, {distances[worst].value:.2f}"
        return {"fid_class": Score(value, error, detail=detail)}


def _by_class(side: Features, labels: Tensor) -> dict[int, Features]:
    """The features of each class, which keep what is found of them."""
    features = as_features("features", side.embeddings)
    own = _labels("labels", labels, features)
    return {label: Features(features[own == label]) for label in own.unique().tolist()}
