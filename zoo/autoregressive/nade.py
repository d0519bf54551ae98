"""NADE: the conditionals of all pixels share one hidden layer, whose activations grow as the image is read.

Lecture topic: autoregressive models. h_d = sigmoid(a_d) and p(x_d = 1 | x_<d) = sigmoid(b_d + V_d h_d), where a_1 = c
and a_(d+1) = a_d + W_d x_d. Because the weights are shared, all D conditionals cost O(D H) and not O(D^2 H). The
architecture is what the mean field equations of a restricted Boltzmann machine become when they are iterated once.

References: H. Larochelle and I. Murray, "The Neural Autoregressive Distribution Estimator" (2011).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import ModelError
from zoo.nn import Model, require_levels
from zoo.training import in_batches, minimise, sizes

NUMBERS_AT_ONCE = 2**26  # hidden units of all dimensions and items, of which training keeps a few copies


@dataclass(frozen=True, slots=True)
class Config:
    """The network and its training.

    `hidden`: hidden units. `dropout`: chance of dropping a hidden unit of one conditional while training. `decay`:
    weight decay. `steps`, `batch`, `rate`: optimiser steps, items per step and initial learning rate.
    """

    hidden: int = 150
    dropout: float = 0.2
    decay: float = 0.03
    steps: int = 1000
    batch: int = 100
    rate: float = 8e-3

    def __post_init__(self) -> None:
        if min(self.hidden, self.steps, self.batch) < 1:
            raise ValueError(f"hidden, steps and batch must be positive, got {self}")
        if not 0 <= self.dropout < 1 or self.decay < 0 or self.rate <= 0:
            raise ValueError(f"dropout must be within [0, 1), decay >= 0 and rate > 0, got {self}")


class NADE(Model):
    """p(x) = prod_d p(x_d | x_<d) in raster order, x binary."""

    Config = Config
    log_prob_kind: Literal["exact"] = "exact"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        if require_levels("nade", spec) != 2:
            raise ModelError(f"nade models data of two levels, not of {spec.levels}")
        hidden = self.config.hidden
        self.weight = nn.Parameter(torch.randn(spec.size, hidden) / spec.size**0.5)
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.readout = nn.Parameter(torch.randn(spec.size, hidden) / hidden**0.5)
        self.visible_bias = nn.Parameter(torch.zeros(spec.size))
        self.dropout = nn.Dropout(self.config.dropout)
        self.items_at_once = max(1, NUMBERS_AT_ONCE // 4 // (spec.size * hidden))

    @classmethod
    def recipe(cls, spec: SampleSpec) -> Config:
        """Tuned on the digits; for MNIST the 500 hidden units of Larochelle and Murray (2011)."""
        if spec.size <= 256:
            return Config()
        batch = max(1, min(100, NUMBERS_AT_ONCE // (500 * spec.size)))
        return Config(hidden=500, dropout=0.0, decay=0.01, steps=20_000, batch=batch, rate=1e-3)

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Maximise the likelihood of the train split; the loss is in nats per item."""
        return minimise(
            lambda x: -self.log_masses(x).sum(1).mean(), self, dataset.train, budget, self.config, average=0.995
        )

    def activations(self, x: Tensor) -> Tensor:
        """a_d of every conditional for items x (n, *shape): (n, D, H)."""
        # a_d lacks W_d x_d itself: the running sum starts at the bias and leaves out the last dimension.
        steps = x.flatten(1)[:, :-1, None].float() * self.weight[:-1]
        start = self.hidden_bias.expand(len(x), 1, -1)
        return torch.cat([start, steps], 1).cumsum(1)

    def logits(self, x: Tensor) -> Tensor:
        """The log odds of x_d = 1 given x_<d for items x (n, *shape): (n, D)."""
        h = self.dropout(self.activations(x).sigmoid())
        return torch.einsum("ndh,dh->nd", h, self.readout) + self.visible_bias

    def log_masses(self, x: Tensor) -> Tensor:
        """log p(x_d | x_<d) in nats: (n, D)."""
        return -F.binary_cross_entropy_with_logits(self.logits(x), x.flatten(1).float(), reduction="none")

    @torch.no_grad()
    def log_prob(self, x: Tensor, /) -> Tensor:
        """log p(x) in nats: float64 (n,)."""
        return in_batches(lambda part: self.log_masses(part).double().sum(1), self.accept(x), self.items_at_once)

    @torch.no_grad()
    def sample(self, n: int, /) -> Tensor:
        """n items (n, *shape) by ancestral sampling; each dimension adds its share to the running activation."""
        return torch.cat([self._draw(part) for part in sizes(n, self.items_at_once)])

    def _draw(self, n: int) -> Tensor:
        x = torch.zeros(n, self.spec.size, device=self.device)
        a = self.hidden_bias.repeat(n, 1)
        for d in range(self.spec.size):
            p = (self.visible_bias[d] + a.sigmoid() @ self.readout[d]).sigmoid()
            x[:, d] = (torch.rand(n, device=self.device) < p).float()
            a.addr_(x[:, d], self.weight[d])
        return x.reshape(n, *self.spec.shape).to(torch.uint8)
