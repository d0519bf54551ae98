"""Naive Bayes without classes: every dimension on its own, a product of categorical distributions.

Lecture topic: generative classifiers. With one class, Bayes' rule has nothing to decide and the model is the
factorised baseline that every other likelihood should beat.

References: C. Bishop, "Pattern Recognition and Machine Learning" (2006), section 4.2.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from genbench.contracts import Budget, Dataset, SampleSpec
from zoo.nn import Model, require_levels


@dataclass(frozen=True, slots=True)
class Config:
    """`pseudo_count`: added to the count of every level, so that none is impossible."""

    pseudo_count: float = 0.5

    def __post_init__(self) -> None:
        if self.pseudo_count <= 0:
            raise ValueError(f"pseudo_count must be positive, got {self.pseudo_count}")


class NaiveBayes(Model):
    """p(x) = prod_d p_d(x_d), each p_d the smoothed frequencies of the levels in the train split."""

    Config = Config
    log_prob_kind: Literal["exact"] = "exact"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        self.levels = require_levels("naive-bayes", spec)
        self.register_buffer("log_p", torch.full((spec.size, self.levels), -torch.tensor(self.levels).log()))

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Count; the budget's steps do not matter."""
        counts = torch.zeros(self.spec.size, self.levels)
        for part in dataset.train.flatten(1).split(1000):
            counts += F.one_hot(part.long(), self.levels).sum(0)
        counts += self.config.pseudo_count
        self.log_p.copy_((counts / counts.sum(1, keepdim=True)).log())
        return {"nll": -self.log_prob(dataset.train).mean().item()}

    def log_prob(self, x: Tensor, /) -> Tensor:
        """log p(x) in nats: float64 (n,)."""
        levels = self.accept(x).long().flatten(1)
        return self.log_p.double()[torch.arange(self.spec.size), levels].sum(1)

    def sample(self, n: int, /) -> Tensor:
        """n items, each dimension drawn on its own."""
        drawn = torch.multinomial(self.log_p.exp(), n, replacement=True)
        return drawn.T.reshape(n, *self.spec.shape).to(torch.uint8)
