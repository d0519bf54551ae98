"""EoNADE: one network for the conditionals of every ordering, and an ensemble over some of them.

Lecture topic: autoregressive models. NADE fixes an order in which dimensions are predicted. Here the network is told
which dimensions are given, as a mask beside their values, and predicts all the others: trained on random orderings cut
at a random place, it is a NADE for each of the D! orderings at once. Any of them is a distribution of its own, and so
is their mixture, which is better than the mean of its parts.

References: B. Uria, I. Murray and H. Larochelle, "A Deep and Tractable Density Estimator" (2014).
"""

from __future__ import annotations

import math
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

ITEMS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Config:
    """The network and its training.

    `hidden`: units of the hidden layer. `orderings`: members of the ensemble that is evaluated and drawn from.
    `decay`: weight decay. `steps`, `batch`, `rate`: optimiser steps, items per step and initial learning rate.
    `validation`: items of the train split that choose among the weights on the way; 0 takes the last.
    """

    hidden: int = 300
    orderings: int = 16
    decay: float = 0.03
    steps: int = 8000
    batch: int = 100
    rate: float = 3e-3
    validation: int = 150

    def __post_init__(self) -> None:
        if min(self.hidden, self.orderings, self.steps, self.batch) < 1:
            raise ValueError(f"hidden, orderings, steps and batch must be positive, got {self}")
        if min(self.decay, self.validation) < 0 or self.rate <= 0:
            raise ValueError(f"decay and validation must be >= 0 and rate > 0, got {self}")


class EoNADE(Model):
    """p(x) = 1/M sum_m prod_d p(x_o(d) | x_o(<d)) over M random orderings o = o_m, x binary."""

    Config = Config
    name = "eonade"
    log_prob_kind: Literal["exact"] = "exact"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        if require_levels("eonade", spec) != 2:
            raise ModelError(f"eonade models data of two levels, not of {spec.levels}")
        hidden, size = self.config.hidden, spec.size
        self.weight = nn.Parameter(torch.randn(size, hidden) / size**0.5)
        self.given_weight = nn.Parameter(torch.zeros(size, hidden))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.readout = nn.Parameter(torch.randn(size, hidden) / hidden**0.5)
        self.visible_bias = nn.Parameter(torch.zeros(size))
        orderings = torch.stack([torch.randperm(size) for _ in range(self.config.orderings)])
        self.register_buffer("orderings", orderings)

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Minimise the expectation of an ordering's loss over all orderings, from one place in one of them for each
        item; the loss is in nats per item."""

        def loss(x: Tensor) -> Tensor:
            return self.ordering_loss(x.flatten(1).float()).mean()

        split = validated(dataset, self.config.validation)
        return minimise(loss, self, split, budget, self.config, Options(average=0.995, score=loss))

    def ordering_loss(self, x: Tensor) -> Tensor:
        """An unbiased estimate of -log p(x) of a random ordering, for items float (n, D): (n,), in nats."""
        n, size = x.shape
        places = torch.randint(size, (n, 1), device=x.device)
        given = (torch.rand(n, size, device=x.device).argsort(1).argsort(1) < places).float()
        missed = F.binary_cross_entropy_with_logits(self.logits(x, given), x, reduction="none") * (1 - given)
        # The place stands for all D of them, and the dimensions not given for the one that comes next.
        return missed.sum(1) * size / (size - places[:, 0])

    def logits(self, x: Tensor, given: Tensor) -> Tensor:
        """The log odds of x_d = 1 for every d, told the values of x (n, D) where `given` (n, D) is 1: (n, D)."""
        a = (x * given) @ self.weight + given @ self.given_weight + self.hidden_bias
        return a.sigmoid() @ self.readout.T + self.visible_bias

    def log_masses(self, x: Tensor, ordering: Tensor) -> Tensor:
        """log p(x) of items float (n, D) in one ordering of the dimensions: float64 (n,), in nats."""
        total = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        a = self.hidden_bias.repeat(len(x), 1)
        for d in ordering.tolist():
            log_odds = a.sigmoid() @ self.readout[d] + self.visible_bias[d]
            total -= F.binary_cross_entropy_with_logits(log_odds, x[:, d], reduction="none").double()
            a = (a + self.given_weight[d]).addr_(x[:, d], self.weight[d])
        return total

    @torch.no_grad()
    def log_prob(self, x: Tensor, /) -> Tensor:
        """log p(x) of the ensemble in nats: float64 (n,)."""

        def ensemble(part: Tensor) -> Tensor:
            flat = part.flatten(1).float()
            members = torch.stack([self.log_masses(flat, ordering) for ordering in self.orderings])
            return members.logsumexp(0) - math.log(len(members))

        return in_batches(ensemble, self.accept(x), ITEMS_AT_ONCE)

    @torch.no_grad()
    def sample(self, n: int, /) -> Tensor:
        """n items (n, *shape), each drawn in an ordering of the ensemble, dimension by dimension."""
        return torch.cat([self._draw(part) for part in sizes(n, ITEMS_AT_ONCE)])

    def _draw(self, n: int) -> Tensor:
        x, items = torch.zeros(n, self.spec.size, device=self.device), torch.arange(n, device=self.device)
        member = torch.randint(len(self.orderings), (n,), device=self.device)
        a = self.hidden_bias.repeat(n, 1)
        for d in self.orderings[member].T:  # the dimension that comes next in each item
            p = ((a.sigmoid() * self.readout[d]).sum(1) + self.visible_bias[d]).sigmoid()
            x[items, d] = (torch.rand(n, device=self.device) < p).float()
            a += x[items, d, None] * self.weight[d] + self.given_weight[d]
        return x.reshape(n, *self.spec.shape).to(torch.uint8)
