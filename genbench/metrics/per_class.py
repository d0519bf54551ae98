"""The Fréchet distance class by class, which shows the classes that a generator gets wrong or leaves out.

References: M. Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium"
(2017), for the distance; Y. Benny et al., "Evaluation Metrics for Conditional Image Generation" (2021), for its mean
over the classes, which they call the within-class FID.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genbench.contracts import Column, Evidence, Features, Reads, Score
from genbench.errors import InputError, Unsupported
from genbench.metrics.classes import class_name
from genbench.metrics.frechet import Compared, compared, frechet_distance
from genbench.metrics.scores import as_score
from genbench.numerics.blocks import as_features, paired_features
from genbench.numerics.estimate import Estimate
from genbench.numerics.linalg import Array

LEAST_PER_DIMENSION = 4  # samples of a class; with fewer, what second order leaves of the bias is near the error


def frechet_distance_per_class(real: Array, real_labels: Array, fake: Array, fake_labels: Array) -> dict[int, Estimate]:
    """The Fréchet distance of the features (n, D), (m, D) of each class, by its label, in rising order.

    Labels are integers (n,) and (m,). The classes are those of the real features; fakes of other classes are left out.
    Raises InputError where a class has fewer than 2 samples on either side, and as `frechet_distance` does.
    """
    x, y = paired_features(real, fake, 2)
    first, second = _labels("real_labels", real_labels, x), _labels("fake_labels", fake_labels, y)
    few = _too_few(first, second, 2)
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


def _too_few(real: Tensor, fake: Tensor, least: int) -> str:
    """The classes of the real samples that one side shows less than so often, in words; empty where there is none."""
    counts = [(label, int((real == label).sum()), int((fake == label).sum())) for label in real.unique().tolist()]
    return ", class ".join(f"{label} has {n} real and {m} fake" for label, n, m in counts if min(n, m) < least)


@dataclass(frozen=True, slots=True)
class PerClassFid:
    """The column `fid_class`: the mean over the classes, less the bias of both sides' finite size in each of them.

    The class of a sample is the one that it was drawn for, where the generator was told, else the extractor's guess.
    The bias is known to second order, which classes of fewer than 4 D samples exceed: then the number is biased. Where
    a class has no more than D samples on a side, neither the bias nor the error is known, and there is no number. The
    remark names the class with the largest distance.
    """

    name = "per-class-fid"
    version: ClassVar[int] = 3
    columns = (Column("fid_class", "class FID", "lower", digits=2, general="class Fréchet distance"),)
    reads: ClassVar[tuple[Reads, ...]] = ("samples", "real", "labels", "conditions")
    min_samples = 2

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        real, told = evidence.real_labels, evidence.conditions
        fake = evidence.fake_labels if told is None else told
        if real is None or fake is None:
            raise Unsupported("the classes of the samples or of the real items are not known")
        dim = evidence.real.embeddings.shape[1]
        few = _too_few(real, fake.to(real.device), dim + 1)
        if few:
            raise Unsupported(f"needs more samples of each class than {dim} dimensions; class {few}")
        sides = evidence.real.once("classes", lambda: _by_class(evidence.real, real))
        fakes = _by_class(evidence.fake, fake)
        distances = {label: debiased(compared(side, fakes[label])) for label, side in sides.items()}
        worst = max(distances, key=lambda label: distances[label].value)
        smallest = min(min(len(side.embeddings), len(fakes[label].embeddings)) for label, side in sides.items())
        biased = smallest < LEAST_PER_DIMENSION * dim
        detail = f"worst: class {class_name(evidence.classes, worst)}, {distances[worst].value:.2f}"
        if biased:
            detail += f"; {smallest} samples of a class are few for {dim} dimensions, biased upwards"
        return {"fid_class": as_score(mean_of_estimates(list(distances.values())), detail, biased=biased)}


def debiased(comparison: Compared) -> Estimate:
    """The distance less the bias of both sides' finite size, where that is known."""
    if comparison.fake_effect is None or comparison.real_effect is None:
        return Estimate(comparison.distance, comparison.stderr)
    value = comparison.distance - comparison.fake_effect.bias - comparison.real_effect.bias
    total = math.sqrt(comparison.fake_effect.variance + comparison.real_effect.variance)
    return Estimate(value, comparison.stderr, total_stderr=total)


def mean_of_estimates(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of independent estimates; an error that one of them lacks is not known of the mean."""
    errors = []
    for parts in ([e.stderr for e in estimates], [e.total_stderr for e in estimates]):
        known = [part for part in parts if part is not None]
        errors.append(math.hypot(*known) / len(estimates) if len(known) == len(estimates) else None)
    return Estimate(sum(e.value for e in estimates) / len(estimates), errors[0], total_stderr=errors[1])


def _by_class(side: Features, labels: Tensor) -> dict[int, Features]:
    """The features of each class, which keep what is found of them."""
    features = as_features("features", side.embeddings)
    own = _labels("labels", labels, features)
    return {label: Features(features[own == label]) for label in own.unique().tolist()}
