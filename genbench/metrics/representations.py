"""Fréchet distances of other features than a board's own: sFID, FD-DINOv2, and FDr^k, which takes several at once.

References: C. Nash et al., "Generating Images with Sparse Representations" (2021), for sFID, in the form of P. Dhariwal
and A. Nichol, "Diffusion Models Beat GANs on Image Synthesis" (2021); G. Stein et al., "Exposing flaws of generative
model evaluation metrics and their unfair treatment of diffusion models" (2023), for FD-DINOv2; J. Yang et al.,
"Representation Fréchet Loss for Visual Generation" (2026), for FDr^k.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from genbench import seeding
from genbench.contracts import Column, Evidence, Score
from genbench.errors import InputError
from genbench.metrics.frechet import frechet_distance, frechet_influence
from genbench.numerics.estimate import Estimate
from genbench.numerics.linalg import Array, as_matrix


def _frechet_score(evidence: Evidence, features: str) -> Score:
    view = evidence.through(features)
    fake = view.fake.embeddings
    estimate = frechet_distance(view.real.embeddings, fake)
    few = len(fake) <= fake.shape[1]
    detail = f"{len(fake)} samples do not fill {fake.shape[1]} dimensions; biased upwards" if few else ""
    return Score(estimate.value, estimate.stderr, detail=detail)


@dataclass(frozen=True, slots=True)
class SpatialFrechetDistance:
    """The column `sfid`: the Fréchet distance of 7 of the maps of ``mixed_6/conv``, not averaged over space.

    Higher than FID where what is depicted is right and where it stands is not.
    """

    name = "sfid"
    columns = (Column("sfid", "sFID", "lower", digits=2),)
    features: ClassVar[tuple[str, ...]] = ("inception:spatial",)
    reads: ClassVar[Literal["samples"]] = "samples"
    min_samples = 2

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        return {"sfid": _frechet_score(evidence, self.features[0])}


@dataclass(frozen=True, slots=True)
class Dinov2FrechetDistance:
    """The column `fd_dinov2`: the Fréchet distance of DINOv2's features, which people's judgement goes with."""

    name = "fd-dinov2"
    columns = (Column("fd_dinov2", "FD-DINOv2", "lower", digits=2),)
    features: ClassVar[tuple[str, ...]] = ("dinov2",)
    reads: ClassVar[Literal["samples"]] = "samples"
    min_samples = 2

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        return {"fd_dinov2": _frechet_score(evidence, self.features[0])}


Views = Sequence[tuple[Array, Array, Array]]


def frechet_ratio(views: Views) -> Estimate:
    """FDr^k: the mean over k representations of a Fréchet distance in units of that which real items have; from 0 on.

    A view holds the features of one representation: of the training items (n, D), of held-out ones (h, D) and of
    samples (m, D). Its ratio is the distance of samples to training items over that of held-out items to them: 1 is
    what fresh real items would get. As the distance depends on their number, as many held-out items are taken as there
    are samples, or the other way round; which ones is always the same. The standard error is that over the draw of the
    samples, the same ones in all views. Raises InputError for no views, for numbers of items that differ between views,
    where held-out and training items are the same, and as `frechet_distance` does.
    """
    if not views:
        raise InputError("FDr^k needs the features of at least one representation")
    matrices = [
        tuple(as_matrix(*side) for side in zip(("train", "heldout", "fake"), view, strict=True)) for view in views
    ]
    if len({tuple(map(len, view)) for view in matrices}) > 1:
        raise InputError("the representations are of different numbers of items; give the same items to all")
    ratios, influences = [], []
    for train, heldout, fake in matrices:
        size = min(len(heldout), len(fake))
        real, samples = _some(heldout, size, "heldout"), _some(fake, size, "fake")
        usual = float(frechet_distance(train, real))
        if not usual > 0:
            raise InputError("held-out and training items have the same features, which leaves no unit to measure in")
        ratios.append(float(frechet_distance(train, samples)) / usual)
        influences.append(frechet_influence(train, samples) / usual)
    influence = torch.stack(influences).mean(0)
    return Estimate(sum(ratios) / len(ratios), float(influence.std()) / len(influence) ** 0.5)


def _some(x: torch.Tensor, size: int, name: str) -> torch.Tensor:
    if len(x) == size:
        return x
    order = torch.randperm(len(x), generator=seeding.generator("frechet ratio", name, len(x), size))
    return x[order[:size].to(x.device)]


@dataclass(frozen=True, slots=True)
class FrechetRatio:
    """The column `fdr`, over the representations named in `features`, and between train and held-out split.

    The paper's six are Inception, ConvNeXt, DINOv2, MAE, SigLIP and CLIP; here they are the three that other metrics
    look through too, as their own papers prepare images, so that the title says FDr^3.
    """

    features: tuple[str, ...] = ("inception", "dinov2", "clip")
    name = "fdr"
    reads: ClassVar[tuple[Literal["samples", "real", "train"], ...]] = ("samples", "real", "train")
    min_samples = 2

    @property
    def columns(self) -> tuple[Column, ...]:
        return (Column("fdr", f"FDr^{len(self.features)}", "lower", digits=2),)

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        embedded = [evidence.through(name) for name in self.features]
        views = [(each.train.embeddings, each.real.embeddings, each.fake.embeddings) for each in embedded]
        estimate = frechet_ratio(views)
        return {"fdr": Score(estimate.value, estimate.stderr, detail=f"of {', '.join(self.features)}")}
