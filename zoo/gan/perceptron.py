"""The multilayer perceptrons that the first GANs share, as generator and as discriminator.

Close to the paper: dropout acts in the discriminator, noise enters the generator at its input alone, and unless a later
paper asks for it there is no batch norm. Where the paper's discriminator takes the largest of several linear maps in
each unit (maxout), a leaky rectifier takes the larger of two that differ by a fixed factor.

References: I. Goodfellow et al., "Generative Adversarial Nets" (2014).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from zoo.gan import base


@dataclass(frozen=True, slots=True)
class Config(base.Config):
    """The networks; see `base.Config` for their input and training.

    `hidden`: units of each of the two hidden layers on either side. `norm`: whether the generator has batch norm.
    `dropout`: chance of dropping a hidden unit of the discriminator while training.
    """

    prior: str = "uniform"
    hidden: int = 512
    norm: bool = False
    dropout: float = 0.3

    def __post_init__(self) -> None:
        base.Config.__post_init__(self)
        if self.hidden < 1 or not 0 <= self.dropout < 1:
            raise ValueError(f"hidden must be positive and dropout within [0, 1), got {self}")


class PerceptronGAN(base.GAN):
    """Both players are perceptrons; a subclass says what they play for."""

    Config = Config

    def generator_network(self) -> nn.Module:
        widths = [self.config.latent, self.config.hidden, self.config.hidden]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), *([nn.BatchNorm1d(after)] if self.config.norm else []), nn.ReLU()]
        layers += [nn.Linear(widths[-1], math.prod(self.image_shape)), nn.Tanh(), nn.Unflatten(1, self.image_shape)]
        return nn.Sequential(*layers)

    def discriminator_network(self) -> nn.Module:
        hidden, dropout = self.config.hidden, self.config.dropout
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(math.prod(self.image_shape), hidden),
            nn.LeakyReLU(0.2),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(0.2),
            nn.Dropout(dropout),
            nn.Linear(hidden, 1),
        )
