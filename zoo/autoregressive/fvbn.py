"""The fully visible belief network: every pixel a logistic regression on the pixels before it.

Lecture topic: autoregressive models. p(x_d = 1 | x_<d) = sigmoid(b_d + sum_(e<d) W_de x_e) in raster order, known as
the logistic autoregressive or fully visible sigmoid belief network too. Nothing is hidden: the likelihood is a product
of D logistic regressions, exact, and log-concave in the parameters.

References: R. Neal, "Connectionist Learning of Belief Networks" (1992); B. Frey, "Graphical Models for Machine Learning
and Digital Communication" (1998).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import ModelError
from zoo.nn import Model, require_levels
from zoo.training import Options, in_batches, minimise, sizes, validated

NUMBERS_AT_ONCE = 2**24


@dataclass(frozen=True, slots=True)
class Config:
    """The penalty and the training.

    `decay`: weight decay in nats per unit of half the squared weights, as of a Gaussian prior of that precision over
    each weight; biases are free. `steps`, `batch`, `rate`: optimiser steps, items per step and initial learning rate.
    `validation`: items of the train split that choose among the weights on the way; 0 takes the last.
    """

    decay: float = 2.0
    steps: int = 1000
    batch: int = 100
    rate: float = 0.03
    validation: int = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.batch) < 1:
            raise ValueError(f"steps and batch must be positive, got {self}")
        if self.decay < 0 or self.rate <= 0:
            raise ValueError(f"decay must be >= 0 and rate > 0, got {self}")


class FVBN(Model):
    """p(x) = prod_d p(x_d | x_<d), each conditional a logistic regression of its own."""

    Config = Config
    name = "fvbn"
    log_prob_kind: Literal["exact"] = "exact"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        if require_levels("fvbn", spec) != 2:
            raise ModelError(f"fvbn models data of two levels, not of {spec.levels}")
        self.bias = nn.Parameter(torch.zeros(spec.size))
        self.weight = nn.Parameter(torch.zeros(spec.size, spec.size))
        self.items_at_once = max(1, NUMBERS_AT_ONCE // spec.size)

    @property
    def strict(self) -> Tensor:
        """The weights W (D, D) below the diagonal: row d sees the dimensions before d alone."""
        return self.weight.tril(-1)

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Maximise the penalised likelihood of the train split; the loss is in nats per item, penalty included."""
        self.start_at_base_rates(dataset.train)
        items = len(dataset.train)
        # The penalty is part of the loss: a decay outside of Adam's gradients would move the optimum.
        recipe = dataclasses.replace(self.config, decay=0.0)
        options = Options(score=lambda x: -self.log_masses(x).sum(1).mean())
        split = validated(dataset, self.config.validation)
        return minimise(lambda x: self.loss(x, items), self, split, budget, recipe, options)

    @torch.no_grad()
    def start_at_base_rates(self, x: Tensor) -> None:
        """Make the dimensions independent, with their frequencies in items x (n, *shape)."""
        ones = x.flatten(1).double().sum(0)
        # Half a count for each level keeps the odds of pixels that never change finite.
        self.bias.copy_(((ones + 0.5) / (len(x) - ones + 0.5)).log())
        self.weight.zero_()

    def loss(self, x: Tensor, items: int) -> Tensor:
        """The minibatch's mean -log p(x), with the share of the penalty that one of `items` training items bears."""
        penalty = 0.5 * self.config.decay * self.strict.square().sum()
        return -self.log_masses(x).sum(1).mean() + penalty / items

    def logits(self, x: Tensor) -> Tensor:
        """The log odds of x_d = 1 given x_<d for items x (n, *shape): (n, D)."""
        return F.linear(x.flatten(1).float(), self.strict, self.bias)

    def log_masses(self, x: Tensor) -> Tensor:
        """log p(x_d | x_<d) in nats: (n, D)."""
        return -F.binary_cross_entropy_with_logits(self.logits(x), x.flatten(1).float(), reduction="none")

    @torch.no_grad()
    def log_prob(self, x: Tensor, /) -> Tensor:
        """log p(x) in nats: float64 (n,)."""
        return in_batches(lambda part: self.log_masses(part).double().sum(1), self.accept(x), self.items_at_once)

    @torch.no_grad()
    def sample(self, n: int, /) -> Tensor:
        """n items (n, *shape) by ancestral sampling, one dimension after the other."""
        return torch.cat([self._draw(part) for part in sizes(n, self.items_at_once)])

    def _draw(self, n: int) -> Tensor:
        # Dimensions by items, so that the dimensions before d are one block of memory.
        x = torch.zeros(self.spec.size, n, device=self.device)
        weight = self.strict
        for d in range(self.spec.size):
            p = (self.bias[d] + weight[d, :d] @ x[:d]).sigmoid()
            x[d] = (torch.rand(n, device=self.device) < p).float()
        return x.T.reshape(n, *self.spec.shape).to(torch.uint8)
