"""Mode collapse made visible: how many classes the samples cover, and how evenly.

References: T. Che et al., "Mode Regularized Generative Adversarial Networks" (2017), for counting modes by a
classifier's guesses; Z. Lin et al., "PacGAN: The Power of Two Samples in Generative Adversarial Networks" (2018); G.
Miller, "Note on the Bias of Information Estimates" (1955), for the entropy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from scipy import stats
from torch import Tensor

from genbench.contracts import Column, Evidence, Reads, Score
from genbench.errors import InputError, Unsupported
from genbench.metrics.scores import FALLS_SHORT, as_score
from genbench.numerics.estimate import Estimate
from genbench.numerics.intervals import Z
from genbench.numerics.linalg import Array

SHARE = 0.1  # of a class's share in the real data, from which on it counts as covered


@dataclass(frozen=True, slots=True)
class ClassCoverage:
    """`covered`: how many classes the samples cover; `entropy` of their classes in nats; `missing`: those left out."""

    covered: Estimate
    entropy: Estimate
    missing: tuple[int, ...]


def class_coverage(real_labels: Array, fake_labels: Array, share: float = SHARE) -> ClassCoverage:
    """How many of the classes of `real_labels` (n,) the labels `fake_labels` (m,) of samples cover, and their entropy.

    Labels are integers from 0. A class is covered if its share of the samples is at least `share` times its share of
    the real items: a class that a collapsed generator leaves out still gets the classifier's few mistakes. The entropy,
    in nats from 0 on, is that of the sample's frequencies and (classes seen - 1) / 2m, by which it falls short on
    average (Miller, 1955); for even shares it may exceed ln(classes) by its error.

    Standard errors are those over the draw of the samples: of the count by the binomial chance of each class to be
    covered in another draw, of the entropy by the delta method to second order, since its first vanishes for even
    shares (where the error claimed is a sixth too large); `low` and `high` are the ends of a cautious 95 percent
    interval of the entropy. Raises InputError for labels that are no integers, negative
    or none, and for a share outside (0, 1].
    """
    real, fake = _labels("real_labels", real_labels), _labels("fake_labels", fake_labels)
    if not 0 < share <= 1:
        raise InputError(f"share must be within (0, 1], got {share}")
    classes, n = int(max(real.max(), fake.max())) + 1, len(fake)
    wanted = torch.bincount(real, minlength=classes).double() / len(real)
    counts = torch.bincount(fake, minlength=classes)
    needed = torch.ceil(share * wanted * n - 1e-9).clamp(min=1)
    present = wanted > 0
    covered = (counts >= needed) & present
    chance = torch.from_numpy(stats.binom.sf(needed.numpy() - 1, n, counts.double().numpy() / n))[present]
    frequencies = counts[counts > 0].double() / n
    information = -frequencies.log()
    entropy = float((frequencies * information).sum())
    first_order = float((frequencies * (information - entropy).square()).sum()) / n
    second_order = (len(frequencies) - 1) / (2 * n * n)
    return ClassCoverage(
        Estimate(float(covered.sum()), math.sqrt(float((chance * (1 - chance)).sum()))),
        _entropy_estimate(entropy + (len(frequencies) - 1) / (2 * n), first_order, second_order),
        tuple((present & ~covered).nonzero()[:, 0].tolist()),
    )


def _entropy_estimate(value: float, first_order: float, second_order: float) -> Estimate:
    # Plugging in frequencies overstates the first order by twice the second, which is all there is for even shares.
    error = math.sqrt(max(first_order - second_order, second_order))
    # Samples that happen to be nearly even show too small a first order just where the entropy comes out too large.
    half = Z * math.sqrt(first_order + 2 * second_order)
    return Estimate(value, error, low=max(0.0, value - half), high=value + half)


def _labels(name: str, labels: Array) -> Tensor:
    numbers = torch.as_tensor(labels).cpu()
    if numbers.is_floating_point() or numbers.ndim != 1 or not len(numbers) or int(numbers.min()) < 0:
        raise InputError(
            f"{name} must be integers (n,) from 0, it has shape {tuple(numbers.shape)} and dtype {numbers.dtype}"
        )
    return numbers.long()


def class_name(names: tuple[str, ...], label: int) -> str:
    """What a class is called; its number where that is not known."""
    return names[label] if label < len(names) else str(label)


@dataclass(frozen=True, slots=True)
class Classes:
    """The columns `classes` and `class_entropy`, by the extractor's guesses; the remark names the classes left out."""

    share: float = SHARE

    name = "classes"
    version: ClassVar[int] = 2
    columns = (
        Column("classes", "classes", "higher", digits=1),
        Column("class_entropy", "class entropy", "higher", digits=3, unit="nats", note=FALLS_SHORT),
    )
    reads: ClassVar[tuple[Reads, ...]] = ("samples", "labels")
    min_samples = 2

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        real, fake = evidence.real_labels, evidence.fake_labels
        if real is None or fake is None:
            raise Unsupported("the classes of the data or of the samples are not known")
        coverage = class_coverage(real, fake, self.share)
        missing = ", ".join(class_name(evidence.classes, label) for label in coverage.missing)
        return {
            "classes": as_score(coverage.covered, f"left out: {missing}" if missing else ""),
            "class_entropy": as_score(coverage.entropy),
        }
