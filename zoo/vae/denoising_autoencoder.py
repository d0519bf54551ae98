"""The denoising autoencoder, and the Markov chain that samples from what it has learned.

Lecture topic: autoencoders. Items are corrupted, C(x~|x), and the network learns p(x|x~), the clean item given the
corrupted one: it can no longer copy, and must know which items there are. Where it is right, the chain that corrupts
an item and then draws a clean one given the result has the data's distribution as its stationary one, because each
such round trip leaves it as it is. The corruption is uniform noise: each dimension, with a probability that is drawn
for every item anew, is replaced by a level drawn uniformly.

References: P. Vincent et al., "Extracting and Composing Robust Features with Denoising Autoencoders" (2008); Y. Bengio
et al., "Generalized Denoising Auto-Encoders as Generative Models" (2013), for the chain; K. Geras and C. Sutton,
"Scheduled Denoising Autoencoders" (2015), for the descent from much noise to little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec
from zoo.nn import Model, require_levels
from zoo.training import in_batches, minimise, sizes
from zoo.vae.observation import MANY_LEVELS, observation_model

ITEMS_AT_ONCE = 250


@dataclass(frozen=True, slots=True)
class Config:
    """The corruption, the network and its training.

    `least`, `most`: each item's dimensions are replaced with a probability drawn uniformly between these. `chain`:
    steps behind every sample, with probabilities that fall evenly from `most` to `least`. `hidden`: units of each of
    the two hidden layers. `features`: units per dimension of x in the layer above. `dropout`: chance of dropping a
    hidden unit while training. `decay`: weight decay. `steps`, `batch`, `rate`: optimiser steps, items per step and
    initial learning rate.
    """

    least: float = 0.05
    most: float = 1.0
    chain: int = 40
    hidden: int = 192
    features: int = 8
    dropout: float = 0.1
    decay: float = 0.01
    steps: int = 3000
    batch: int = 100
    rate: float = 2e-3

    def __post_init__(self) -> None:
        if min(self.chain, self.hidden, self.features, self.steps, self.batch) < 1:
            raise ValueError(f"chain, hidden, features, steps and batch must be positive, got {self}")
        if not 0 < self.least <= self.most <= 1:
            raise ValueError(f"least and most must be probabilities with 0 < least <= most, got {self}")
        if not 0 <= self.dropout < 1 or self.decay < 0 or self.rate <= 0:
            raise ValueError(f"dropout must be within [0, 1), decay >= 0 and rate > 0, got {self}")


class DenoisingAutoencoder(Model):
    """p(x|x~), independent dimensions whose parameters a network finds in the corrupted item x~."""

    Config = Config
    name = "denoising-autoencoder"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        self.levels = require_levels("denoising-autoencoder", spec)
        self.observation = observation_model(self.levels)
        c = self.config
        self.network = nn.Sequential(
            *(nn.Linear(spec.size, c.hidden), nn.SiLU(), nn.Dropout(c.dropout)),
            *(nn.Linear(c.hidden, c.hidden), nn.SiLU(), nn.Dropout(c.dropout)),
            *(nn.Linear(c.hidden, c.features * spec.size), nn.Unflatten(1, (c.features, spec.size))),
        )
        # What the whole item says of a dimension's clean level meets what is left of that level itself, which would
        # not survive the hidden layers.
        self.few = self.levels <= MANY_LEVELS
        self.head = nn.Sequential(
            *(nn.Conv1d(c.features + (self.levels if self.few else 1), 4 * c.features, kernel_size=1), nn.SiLU()),
            nn.Conv1d(4 * c.features, self.observation.numbers, kernel_size=1),
        )

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Maximise log p(x|x~) of items x and their corruptions x~; the loss is in nats per dimension."""
        c = self.config

        def loss(x: Tensor) -> Tensor:
            rate = c.least + (c.most - c.least) * torch.rand(len(x), device=x.device)
            return -self.observation.log_prob(self.parameters_given(self.corrupt(x, rate)), x).mean() / self.spec.size

        return minimise(loss, self, dataset.train, budget, c)

    def corrupt(self, x: Tensor, rate: Tensor | float) -> Tensor:
        """A draw of C(x~|x): each dimension of items (n, *shape) a uniformly drawn level with probability `rate`.

        `rate` is one number or one for each item, (n,). The level drawn may be the old one.
        """
        rates = torch.as_tensor(rate, device=x.device).reshape(-1, *[1] * len(self.spec.shape))
        noise = torch.randint(self.levels, x.shape, dtype=torch.uint8, device=x.device)
        return torch.where(torch.rand(x.shape, device=x.device) < rates, noise, x)

    def parameters_given(self, x: Tensor) -> Tensor:
        """The parameters of p(x|x~) for corrupted items (n, *shape): (n, numbers, *shape)."""
        centred = x.flatten(1).float() * (2 / (self.levels - 1)) - 1
        given = F.one_hot(x.flatten(1).long(), self.levels).mT.float() if self.few else centred[:, None]
        parameters = self.head(torch.cat([self.network(centred), given], dim=1))
        return parameters.reshape(len(x), self.observation.numbers, *self.spec.shape)

    def step(self, x: Tensor, rate: float) -> Tensor:
        """One step of the chain from items x (n, *shape): corrupted with probability `rate`, then drawn clean."""
        return self.observation.sample(self.parameters_given(self.corrupt(x, rate)))

    @torch.no_grad()
    def sample(self, n: int, /) -> Tensor:
        """n items (n, *shape), the ends of independent chains that start at noise: uint8.

        Much corruption lets a chain choose among the kinds of items, little leaves what it draws sharp: dimensions
        drawn independently of each other agree the better the more is given.
        """
        c = self.config
        rates = torch.linspace(c.most, c.least, c.chain).tolist()

        def chain(x: Tensor) -> Tensor:
            for rate in rates:
                x = self.step(x, rate)
            return x

        noise = (
            torch.randint(self.levels, (part, *self.spec.shape), dtype=torch.uint8, device=self.device)
            for part in sizes(n, ITEMS_AT_ONCE)
        )
        return torch.cat([chain(x) for x in noise])

    @torch.no_grad()
    def reconstruct(self, x: Tensor, /) -> Tensor:
        """The clean item behind each item as it is given, by the median of every dimension: uint8 (n, *shape)."""
        return in_batches(
            lambda part: self.observation.median(self.parameters_given(part)), self.accept(x), ITEMS_AT_ONCE
        )
