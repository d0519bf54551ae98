"""The deep convolutional generative adversarial network.

Lecture topic: generative adversarial networks. The generator grows images by transposed convolutions, the
discriminator shrinks them by strided ones; the truncation trick then trades diversity for quality. Beyond the paper:
noise and dropout against a discriminator that knows a small data set by heart, and a choice between modes at the start
of the generator.

References: I. Goodfellow et al., "Generative Adversarial Nets" (2014), for the non-saturating loss; A. Radford, L. Metz
and S. Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks" (2016);
M. Khayatkhoei, M. Singh and A. Elgammal, "Disconnected Manifold Learning for Generative Adversarial Networks" (2018),
for the modes.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from genbench.contracts import SampleSpec
from zoo.gan import adversarial
from zoo.gan.convolutional import discriminator_network, generator_network
from zoo.gan.gan_nonsaturating import NonSaturating


@dataclass(frozen=True, slots=True)
class Config(adversarial.Config):
    """The networks; see `adversarial.Config` for their training.

    `width`: channels at the full resolution, doubled with every halving of it. `dropout`: chance of dropping a channel
    of the discriminator while training.
    """

    modes: int = 16
    width: int = 20
    dropout: float = 0.1

    def __post_init__(self) -> None:
        adversarial.Config.__post_init__(self)
        if self.width < 1 or not 0 <= self.dropout < 1:
            raise ValueError(f"width must be positive and dropout within [0, 1), got {self}")


class DCGAN(NonSaturating, adversarial.GAN):
    """Convolutions on both sides, and the non-saturating loss."""

    Config = Config
    name = "dcgan"

    @classmethod
    def recipe(cls, spec: SampleSpec) -> Config:
        """The defaults suit a thousand small images; the paper's latent size and rates serve larger data."""
        if spec.size <= 256 and spec.levels == 2:
            # Two levels are told from a generator's greys early on, and modes collapse before they have formed.
            return Config(latent=16, modes=0)
        if spec.size <= 256:
            return Config()
        return Config(latent=100, modes=16, width=32, dropout=0.0, steps=20_000, rate=2e-4, discriminator_rate=2e-4)

    def generator_network(self) -> nn.Module:
        network = generator_network(self.image_shape, self.config.latent, self.config.width)
        return adversarial.picking(self.config.modes, network)

    def discriminator_network(self) -> nn.Module:
        return discriminator_network(self.image_shape, self.config.width, self.config.dropout)
