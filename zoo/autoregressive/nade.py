"""NADE: the conditionals of all pixels share one hidden layer, whose activations grow as the image is read.

Lecture topic: autoregressive models. h_d = sigmoid(a_d) and p(x_d = 1 | x_<d) = sigmoid(b_d + V_d h_d), where a_1 = c
and a_(d+1) = a_d + W_d x_d. Because the weights are shared, all D conditionals cost O(D H) and not O(D^2 H). The
architecture is what the mean field equations of a restricted Boltzmann machine become when they are iterated once.

References: H. Larochelle and I. Murray, "The Neural Autoregressive Distribution Estimator" (2011).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

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

    `hidden`: hidden units. `decay`: weight decay. `steps`, `batch`, `rate`: optimiser steps, items per step and initial
    learning rate. `validation`: items of the train split that choose among the weights on the way; 0 takes the last.
    """

    hidden: int = 150
    decay: float = 0.03
    steps: int = 1000
    batch: int = 100
    rate: float = 8e-3
    validation: int = 0

    def __post_init__(self) -> None:
        if min(self.hidden, self.steps, self.batch) < 1:
            raise ValueError(f"hidden, steps and batch must be positive, got {self}")
        if min(self.decay, self.validation) < 0 or self.rate <= 0:
            raise ValueError(f"decay and validation must be >= 0 and rate > 0, got {self}")


class Scan(torch.autograd.Function):
    """The sums V_d sigmoid(a_d) of all conditionals, one after the other, without a memory of the hidden units.

    Autograd would keep every sigmoid(a_d), D times the hidden layer. The gradient needs them in reverse order, in which
    they are found again by taking W_d x_d off the activation.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, readout: Tensor) -> Tensor:
        """Items x float (n, D), W and V (D, H), c (H,): the sums (n, D)."""
        a = bias.repeat(len(x), 1)
        h = torch.empty_like(a)
        sums = torch.empty(x.shape[::-1], dtype=a.dtype, device=a.device)
        columns = x.T.contiguous()
        for d in range(x.shape[1]):
            torch.sigmoid(a, out=h)
            torch.mv(h, readout[d], out=sums[d])
            a.addr_(columns[d], weight[d])
        ctx.save_for_backward(columns, weight, readout, a)
        return sums.T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        columns, weight, readout, end = ctx.saved_tensors
        gradient = gradients[0].T.contiguous()
        a, h = end.clone(), torch.empty_like(end)
        to_activation = torch.zeros_like(end)  # of the loss in a_d, through all conditionals from d on
        to_weight, to_readout = torch.empty_like(weight), torch.empty_like(readout)
        for d in reversed(range(len(columns))):
            torch.mv(to_activation.T, columns[d], out=to_weight[d])
            a.addr_(columns[d], weight[d], alpha=-1)
            torch.sigmoid(a, out=h)
            torch.mv(h.T, gradient[d], out=to_readout[d])
            h.addcmul_(h, h, value=-1)  # the sigmoid's slope h (1 - h)
            to_activation.addcmul_(h, torch.outer(gradient[d], readout[d]))
        return None, to_weight, to_activation.sum(0), to_readout


class NADE(Model):
    """p(x) = prod_d p(x_d | x_<d) in raster order, x binary."""

    Config = Config
    name = "nade"
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

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Maximise the likelihood of the train split; the loss is in nats per item."""

        def loss(x: Tensor) -> Tensor:
            return -self.log_masses(x).sum(1).mean()

        split = validated(dataset, self.config.validation)
        return minimise(loss, self, split, budget, self.config, Options(average=0.995, score=loss))

    def logits(self, x: Tensor) -> Tensor:
        """The log odds of x_d = 1 given x_<d for items x (n, *shape): (n, D)."""
        flat = x.flatten(1).to(self.weight.dtype)
        return Scan.apply(flat, self.weight, self.hidden_bias, self.readout) + self.visible_bias

    def log_masses(self, x: Tensor) -> Tensor:
        """log p(x_d | x_<d) in nats: (n, D)."""
        logits = self.logits(x)
        return -F.binary_cross_entropy_with_logits(logits, x.flatten(1).to(logits.dtype), reduction="none")

    @torch.no_grad()
    def log_prob(self, x: Tensor, /) -> Tensor:
        """log p(x) in nats: float64 (n,)."""
        return in_batches(lambda part: self.log_masses(part).double().sum(1), self.accept(x), ITEMS_AT_ONCE)

    @torch.no_grad()
    def sample(self, n: int, /) -> Tensor:
        """n items (n, *shape) by ancestral sampling; each dimension adds its share to the running activation."""
        return torch.cat([self._draw(part) for part in sizes(n, ITEMS_AT_ONCE)])

    def _draw(self, n: int) -> Tensor:
        x = torch.zeros(n, self.spec.size, device=self.device)
        a = self.hidden_bias.repeat(n, 1)
        for d in range(self.spec.size):
            p = (self.visible_bias[d] + a.sigmoid() @ self.readout[d]).sigmoid()
            x[:, d] = (torch.rand(n, device=self.device) < p).float()
            a.addr_(x[:, d], self.weight[d])
        return x.reshape(n, *self.spec.shape).to(torch.uint8)
