"""FLS: the likelihood of held-out items under Gaussians around the samples, fitted to the training items.

References: M. Jiralerspong et al., "Feature Likelihood Score: Evaluating the Generalization of Generative Models Using
Samples" (2023), in its first form, which dgm-eval computes: G. Stein et al., "Exposing flaws of generative model
evaluation metrics and their unfair treatment of diffusion models" (2023).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from genbench import seeding
from genbench.contracts import Column, Evidence, Score
from genbench.errors import InputError, Unsupported
from genbench.numerics.blocks import as_features
from genbench.numerics.linalg import Array

STEPS, RATE, DECAY_AT = 100, 0.5, 50  # of Adam; from the step on, a tenth of the rate
LEAST, MOST = -100.0, 20.0  # of a log variance, for samples that are the same as an item
ROWS = 1024
MOST_ITEMS = 10_000


def feature_likelihood_score(train: Array, heldout: Array, fake: Array, most: int = MOST_ITEMS) -> float:
    """FLS of features (n, D), (h, D) and (m, D): above 0, and 100 where samples are as good as training items.

    One Gaussian stands around each sample, its variance chosen to make one half of the training items likeliest; 100
    exp(-2 d / D) is the score, d being by how many nats a held-out item is less likely under them than under Gaussians
    around the other half, fitted likewise. Copies of training items get variances of next to nothing, and are punished.

    All sets are cut to the size of the smallest, at most `most`; which items are taken is always the same. Features are
    standardised over all sets together. Raises InputError for fewer than 2 items in any set, different dimensions and
    values that are not finite.
    """
    sets = [as_features(name, x) for name, x in (("train", train), ("heldout", heldout), ("fake", fake))]
    t, h, f = sets
    size = min(most, len(t) // 2, len(h), len(f))
    if size < 2:
        raise InputError(
            f"FLS needs at least 4 training items, 2 held-out ones and 2 samples, got {len(t)}, {len(h)} and {len(f)}"
        )
    if len({x.shape[1] for x in sets}) > 1:
        raise InputError(
            f"train has {t.shape[1]} features, heldout {h.shape[1]} and fake {f.shape[1]}; they must be the same"
        )
    chosen = _some(t, 2 * size, "train")
    fitted, baseline, tested, samples = _standardised(
        chosen[:size], chosen[size:], _some(h, size, "heldout"), _some(f, size, "fake")
    )
    gap = _mean_nats(tested, samples, fitted) - _mean_nats(tested, baseline, fitted)
    return 100 * math.exp(-2 * gap / t.shape[1])


def _some(x: Tensor, count: int, name: str) -> Tensor:
    order = torch.randperm(len(x), generator=seeding.generator("feature likelihood", name, len(x)))
    return x[order[:count].to(x.device)].float()


def _standardised(*sets: Tensor) -> list[Tensor]:
    whole = torch.cat(sets)
    std = whole.std(0)
    return [(x - whole.mean(0)) / torch.where(std > 0, std, 1.0) for x in sets]


def _mean_nats(items: Tensor, centres: Tensor, fitted: Tensor) -> float:
    """The mean negative log-likelihood of items, less a constant, under Gaussians whose variances suit `fitted`."""
    log_variances = fit(torch.cdist(fitted, centres).square_(), fitted.shape[1])
    squares = torch.cdist(items, centres).square_()
    return -float(
        torch.cat([_joint(part, log_variances, items.shape[1]).logsumexp(1) for part in squares.split(ROWS)]).mean()
    )


def _joint(squares: Tensor, log_variances: Tensor, dimensions: int) -> Tensor:
    """The log of each Gaussian's share (b, m) of the density at each item, less the constant (D / 2) log 2 pi."""
    share = math.log(squares.shape[1])
    return -0.5 * squares * (-log_variances).exp() - dimensions / 2 * log_variances - share


def fit(squares: Tensor, dimensions: int) -> Tensor:
    """The log variances (m,) of Gaussians, by squared distances (n, m) of the items that they shall make likely."""
    log_variances = torch.zeros(squares.shape[1], device=squares.device, requires_grad=True)
    optimiser = torch.optim.Adam([log_variances], lr=RATE)
    decay = torch.optim.lr_scheduler.MultiStepLR(optimiser, milestones=[DECAY_AT], gamma=0.1)
    for _ in range(STEPS):
        gradient = torch.zeros_like(log_variances)
        with torch.no_grad():
            for part in squares.split(ROWS):
                weights = _joint(part, log_variances, dimensions).softmax(1)
                pulls = 0.5 * part * (-log_variances).exp() - dimensions / 2
                gradient -= (weights * pulls).sum(0) / len(squares)
        log_variances.grad = gradient
        optimiser.step()
        decay.step()
        with torch.no_grad():
            log_variances.clamp_(LEAST, MOST)
    return log_variances.detach()


@dataclass(frozen=True, slots=True)
class FeatureLikelihood:
    """The column `fls`, of the samples' features against those of the train and the held-out split."""

    most: int = MOST_ITEMS
    name = "fls"
    columns = (Column("fls", "FLS", "higher", digits=2),)
    reads: ClassVar[tuple[Literal["samples", "real", "train"], ...]] = ("samples", "real", "train")
    min_samples = 2

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]:
        train = evidence.train.embeddings
        if len(train) < 4:
            raise Unsupported(f"needs at least 4 training items, there are {len(train)}")
        score = feature_likelihood_score(train, evidence.real.embeddings, evidence.fake.embeddings, self.most)
        return {"fls": Score(score)}
