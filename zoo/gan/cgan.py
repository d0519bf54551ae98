"""The conditional generative adversarial network: both players are told the class.

Lecture topic: conditional generation. The class joins z at the generator's input and the image at the discriminator's,
which so learns to reject a good image of the wrong class. One z under all classes shows what the class decides, and
what it leaves to z.

In the paper's experiment z and the class, image and class each have a hidden layer of their own, and the discriminator
has maxout units. Trained like that on small images, the discriminator first judges the image alone, and the generator
learns to please it by the same few images in all classes, from which it does not return. Here the networks are those of
`gan`, and the discriminator is told the class as loudly as the image.

References: M. Mirza and S. Osindero, "Conditional Generative Adversarial Nets" (2014); I. Goodfellow et al.,
"Generative Adversarial Nets" (2014).
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

    `hidden`: units of each of the two hidden layers on either side. `dropout`: chance of dropping a hidden unit of the
    discriminator while training.
    """

    prior: str = "uniform"
    hidden: int = 512
    dropout: float = 0.3

    def __post_init__(self) -> None:
        conditional.Config.__post_init__(self)
        if self.hidden < 1 or not 0 <= self.dropout < 1:
            raise ValueError(f"hidden must be positive and dropout within [0, 1), got {self}")


class Discriminator(nn.Module):
    """Logits (n, 1) that images show their classes and are real."""

    def __init__(self, shape: tuple[int, int, int], config: Config) -> None:
        super().__init__()
        self.classes, self.loudness = config.classes, math.sqrt(math.prod(shape))
        hidden, dropout = config.hidden, config.dropout
        self.layers = nn.Sequential(
            nn.Linear(math.prod(shape) + config.classes, hidden),
            nn.LeakyReLU(0.2),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(0.2),
            nn.Dropout(dropout),
            nn.Linear(hidden, 1),
        )

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        # As strong as all the pixels together: else scores first depend on the image alone, and whatever real images
        # of any class look like is where the generator goes for all of them.
        told = F.one_hot(labels, self.classes).to(images.dtype) * self.loudness
        return self.layers(torch.cat([images.flatten(1), told], 1))


class ConditionalPerceptronGAN(conditional.ConditionalGAN):
    """Perceptrons that are told the class, with the generator ascending log D."""

    Config = Config
    name = "cgan"
    discriminator_loss = staticmethod(losses.logistic)
    generator_loss = staticmethod(losses.nonsaturating)

    def generator_network(self) -> nn.Module:
        """Codes, z with the indicator of the class (n, latent + classes), to images in [-1, 1]."""
        hidden = self.config.hidden
        return nn.Sequential(
            *(nn.Linear(self.config.latent + self.config.classes, hidden), nn.ReLU()),
            *(nn.Linear(hidden, hidden), nn.ReLU()),
            *(nn.Linear(hidden, math.prod(self.image_shape)), nn.Tanh(), nn.Unflatten(1, self.image_shape)),
        )

    def discriminator_network(self) -> nn.Module:
        return Discriminator(self.image_shape, self.config)
