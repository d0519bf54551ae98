"""The deep convolutional generative adversarial network.

Lecture topic: generative adversarial networks. The generator grows images by transposed convolutions, the
discriminator shrinks them by strided ones; the truncation trick then trades diversity for quality, or fails to, because
what lies around z = 0 is what lies between the digits. `dcgan-modes` lets z choose a mode first, so that truncation
narrows every mode and keeps them all. On small data sets there are noise and dropout against a discriminator that knows
them by heart.

References: I. Goodfellow et al., "Generative Adversarial Nets" (2014), for the non-saturating loss; A. Radford, L. Metz
and S. Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks" (2016);
M. Khayatkhoei, M. Singh and A. Elgammal, "Disconnected Manifold Learning for Generative Adversarial Networks" (2018),
for the modes.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from zoo.adversarial import losses
from zoo.gan import base
from zoo.gan.convolutional import discriminator_network, generator_network
from zoo.gan.modes import picking


@dataclass(frozen=True, slots=True)
class Config(base.Config):
    """The networks; see `base.Config` for their input and training.

    `width`: channels at half the full resolution, doubled with every further halving of it. `dropout`: chance of
    dropping a channel of the discriminator while training.
    """

    prior: str = "uniform"
    batch: int = 128
    width: int = 64
    dropout: float = 0.0

    def __post_init__(self) -> None:
        base.Config.__post_init__(self)
        if self.width < 1 or not 0 <= self.dropout < 1:
            raise ValueError(f"width must be positive and dropout within [0, 1), got {self}")


class DCGAN(base.GAN):
    """Convolutions on both sides, and the non-saturating loss."""

    Config = Config
    name = "dcgan"
    discriminator_loss = staticmethod(losses.logistic)
    generator_loss = staticmethod(losses.nonsaturating)

    def generator_network(self) -> nn.Module:
        network = generator_network(self.image_shape, self.config.latent, self.config.width)
        return picking(self.config.modes, network)

    def discriminator_network(self) -> nn.Module:
        return discriminator_network(self.image_shape, self.config.width, self.config.dropout)


class DCGANModes(DCGAN):
    """The same, but z first picks one of some modes; its preset says how many."""

    name = "dcgan-modes"
