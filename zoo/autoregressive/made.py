"""MADE: an autoencoder whose weights are masked, so that its outputs are the conditionals of an ordering.

Lecture topic: autoregressive models. Every unit carries a number: an input the place of its dimension in an ordering, a
hidden unit any number below D. A weight survives where the numbers rise from input to output, strictly at the last
layer: then output d depends on the dimensions before d alone, and one pass gives all conditionals. Other orderings and
other numbers of the hidden units are other masks over the same weights; training takes one of them after the other, and
the model is their mixture.

References: M. Germain, K. Gregor, I. Murray and H. Larochelle, "MADE: Masked Autoencoder for Distribution Estimation"
(2015); B. Uria, I. Murray and H. Larochelle, "A Deep and Tractable Density Estimator" (2014), for the ensembles of
orderings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import ModelError
from zoo.nn import Model, require_levels
from zoo.training import Memory, Options, in_batches, minimise, sizes, validated

ITEMS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Config:
    """The network and its training.

    `hidden`: units of each hidden layer. `masks`: masks that take turns, each with an ordering of the dimensions of its
    own, or with the raster's if there is but one. `decay`: weight decay. `steps`, `batch`, `rate`: optimiser steps,
    items per step and initial learning rate. `validation`: items of the train split that choose among the weights on
    the way; 0 takes the last.
    """

    hidden: Sequence[int] = (200,)
    masks: int = 16
    decay: float = 0.1
    steps: int = 3000
    batch: int = 100
    rate: float = 3e-3
    validation: int = 150

    def __post_init__(self) -> None:
        if not self.hidden or min(*self.hidden, self.masks, self.steps, self.batch) < 1:
            raise ValueError(f"hidden must be some positive sizes; masks, steps, batch must be positive, got {self}")
        if min(self.decay, self.validation) < 0 or self.rate <= 0:
            raise ValueError(f"decay and validation must be >= 0 and rate > 0, got {self}")


class MADE(Model):
    """p(x) = mean over masks m of prod_d p_m(x_d | the dimensions before d in the ordering of m), x binary."""

    Config = Config
    name = "made"
    log_prob_kind: Literal["exact"] = "exact"
    numbers_0: Tensor

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        if require_levels(self.name, spec) != 2:
            raise ModelError(f"made models data of two levels, not of {spec.levels}")
        widths = (spec.size, *self.config.hidden, spec.size)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:], strict=False))
        # Row m holds the numbers of one mask's units; those of the inputs, 0..D-1, are the ordering.
        count, size = self.config.masks, spec.size
        orders = torch.stack([torch.randperm(size) for _ in range(count)]) if count > 1 else torch.arange(size)[None]
        self.register_buffer("numbers_0", orders.short())
        for index, width in enumerate(self.config.hidden, 1):
            lowest = torch.zeros(count, 1, dtype=torch.short)
            if index > 1:  # a unit that is numbered below all units before it would see nothing
                lowest = getattr(self, f"numbers_{index - 1}").min(1, keepdim=True).values
            span = max(1, size - 1) - lowest
            drawn = lowest + (torch.rand(count, width) * span).floor()
            self.register_buffer(f"numbers_{index}", drawn.short())

    def weights(self, mask: int) -> list[Tensor]:
        """The masked weights of all layers under one mask, each (outputs, inputs)."""
        numbers = [getattr(self, f"numbers_{index}")[mask] for index in range(len(self.layers))]
        below = [
            *(after[:, None] >= before for before, after in zip(numbers, numbers[1:], strict=False)),
            numbers[0][:, None] > numbers[-1],
        ]
        return [layer.weight * visible for layer, visible in zip(self.layers, below, strict=True)]

    def logits(self, x: Tensor, mask: int) -> Tensor:
        """The log odds of x_d = 1 given the dimensions before d under one mask, for items (n, *shape): (n, D)."""
        h = x.flatten(1).to(self.layers[0].bias.dtype)
        for layer, weight in zip(self.layers, self.weights(mask), strict=True):
            h = F.linear(F.relu(h), weight, layer.bias)  # items are not negative: the first relu changes nothing
        return h

    def log_masses(self, x: Tensor, mask: int) -> Tensor:
        """log p_m(x_d | those before) in nats under one mask: (n, D)."""
        logits = self.logits(x, mask)
        return -F.binary_cross_entropy_with_logits(logits, x.flatten(1).to(logits.dtype), reduction="none")

    def mixture(self, x: Tensor) -> Tensor:
        """log p(x) in nats, with the mean over the masks of masses: float64 (n,)."""
        parts = [self.log_masses(x, mask).double().sum(1) for mask in range(self.config.masks)]
        return torch.stack(parts).logsumexp(0) - math.log(self.config.masks)

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Maximise the likelihood of the train split under one mask after the other; the loss is in nats per item."""
        memory = Memory(step=0)

        def loss(x: Tensor) -> Tensor:
            memory.step += 1
            return -self.log_masses(x, memory.step % self.config.masks).sum(1).mean()

        options = Options(average=0.999, memory=memory, score=lambda x: -self.mixture(x).mean(), at_once=ITEMS_AT_ONCE)
        return minimise(loss, self, validated(dataset, self.config.validation), budget, self.config, options)

    @torch.no_grad()
    def log_prob(self, x: Tensor, /) -> Tensor:
        """log p(x) in nats: float64 (n,)."""
        return in_batches(self.mixture, self.accept(x), ITEMS_AT_ONCE)

    @torch.no_grad()
    def sample(self, n: int, /) -> Tensor:
        """n items (n, *shape) by ancestral sampling, each under a random mask."""
        counts = torch.multinomial(torch.ones(self.config.masks), n, replacement=True).bincount().tolist() if n else []
        drawn = [self._draw(part, m) for m, count in enumerate(counts) for part in sizes(count, ITEMS_AT_ONCE)]
        items = torch.cat(drawn)[torch.randperm(n)] if drawn else torch.zeros(0, self.spec.size)
        return items.reshape(n, *self.spec.shape).to(torch.uint8)

    def _draw(self, n: int, mask: int) -> Tensor:
        """n items float (n, D) under one mask."""
        first, *middle, last = self.weights(mask)
        biases = [layer.bias for layer in self.layers]
        columns = first.T.contiguous()
        x = torch.zeros(n, self.spec.size, device=self.device)
        total = biases[0].repeat(n, 1)  # the first layer grows with every dimension that is drawn
        for d in self.numbers_0[mask].long().argsort().tolist():
            h = total.relu()
            for weight, bias in zip(middle, biases[1:-1], strict=True):
                h = F.linear(h, weight, bias).relu()
            p = (h @ last[d] + biases[-1][d]).sigmoid()
            x[:, d] = (torch.rand(n, device=self.device) < p).float()
            total.addr_(x[:, d], columns[d])
        return x
