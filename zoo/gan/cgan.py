"""The conditional generative adversarial network: both players are told the class.

Lecture topic: conditional generation. The generator maps z and the class each to a hidden layer of its own and the two
together to an image; the discriminator does likewise with the image and the class, and so learns to reject a good
image of the wrong class. One z under all classes shows what the class decides, and what it leaves to z.

References: M. Mirza and S. Osindero, "Conditional Generative Adversarial Nets" (2014); I. Goodfellow et al., "Maxout
Networks" (2013).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.adversarial import losses
from zoo.gan import conditional


@dataclass(frozen=True, slots=True)
class Config(conditional.Config):
    """The networks; see `conditional.Config` for the rest.

    `hidden`: units of the generator's joint hidden layer, of which z and the class each have as many parts as in the
    paper. `judging`: maxout units of the discriminator's layers for the image and for both together. `dropout`: chance
    of dropping a hidden unit of the discriminator while training.
    """

    prior: str = "uniform"
    hidden: int = 1200
    judging: int = 240
    dropout: float = 0.5

    def __post_init__(self) -> None:
        conditional.Config.__post_init__(self)
        if self.hidden < 6 or self.judging < 5 or not 0 <= self.dropout < 1:
            raise ValueError(f"hidden must be at least 6, judging at least 5 and dropout within [0, 1), got {self}")


class Maxout(nn.Module):
    """Units (n, outputs) that are each the largest of as many linear maps as `pieces`."""

    def __init__(self, inputs: int, outputs: int, pieces: int) -> None:
        super().__init__()
        self.maps = nn.Linear(inputs, outputs * pieces)
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        return self.maps(x).unflatten(1, (-1, self.pieces)).amax(2)


class Generator(nn.Module):
    """Maps codes (n, latent + classes) to images in [-1, 1]."""

    def __init__(self, shape: tuple[int, int, int], config: Config) -> None:
        super().__init__()
        from_z = config.hidden // 6  # 200 and 1,000 of 1,200 in the paper
        self.latent = config.latent
        self.of_z = nn.Linear(config.latent, from_z)
        self.of_class = nn.Linear(config.classes, config.hidden - from_z)
        self.joint = nn.Linear(config.hidden, config.hidden)
        self.to_image = nn.Sequential(
            nn.Linear(config.hidden, math.prod(shape)), nn.Tanh(), nn.Unflatten(1, tuple(shape))
        )

    def forward(self, code: Tensor) -> Tensor:
        parts = self.of_z(code[:, : self.latent]), self.of_class(code[:, self.latent :])
        return self.to_image(F.relu(self.joint(F.relu(torch.cat(parts, 1)))))


class Discriminator(nn.Module):
    """Logits (n, 1) that images show their classes and are real."""

    def __init__(self, shape: tuple[int, int, int], config: Config) -> None:
        super().__init__()
        told = config.judging // 5 + 2  # 50 beside 240 in the paper
        self.classes = config.classes
        self.of_image = Maxout(math.prod(shape), config.judging, 5)
        self.of_class = Maxout(config.classes, told, 5)
        self.joint = Maxout(config.judging + told, config.judging, 4)
        self.dropout = nn.Dropout(config.dropout)
        self.score = nn.Linear(config.judging, 1)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        told = F.one_hot(labels, self.classes).to(images.dtype)
        parts = self.of_image(images.flatten(1)), self.of_class(told)
        return self.score(self.dropout(self.joint(self.dropout(torch.cat(parts, 1)))))


class ConditionalPerceptronGAN(conditional.ConditionalGAN):
    """The perceptrons of the paper, with the generator ascending log D."""

    Config = Config
    name = "cgan"
    discriminator_loss = staticmethod(losses.logistic)
    generator_loss = staticmethod(losses.nonsaturating)

    def generator_network(self) -> nn.Module:
        return Generator(self.image_shape, self.config)

    def discriminator_network(self) -> nn.Module:
        return Discriminator(self.image_shape, self.config)
