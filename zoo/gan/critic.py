"""What wgan, wgan-gp and sn-gan share, so that nothing but the loss and its constraint tells them apart.

The generator is the DCGAN's with its choice of modes; the critic has the DCGAN's convolutions without batch norm, which
would make the score of an image depend on the others of its batch. There is no noise on the images.

References: A. Radford, L. Metz and S. Chintala, "Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks" (2016); I. Gulrajani et al., "Improved Training of Wasserstein GANs" (2017), section 4,
for the critic without batch norm.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from genbench.contracts import SampleSpec
from zoo.gan import adversarial
from zoo.gan.convolutional import discriminator_network, generator_network


@dataclass(frozen=True, slots=True)
class Config(adversarial.Config):
    """The networks; see `adversarial.Config` for their training.

    `width`: channels at the full resolution, doubled with every halving of it.
    """

    latent: int = 64
    modes: int = 16
    batch: int = 32
    noise: float = 0.0
    width: int = 16

    def __post_init__(self) -> None:
        adversarial.Config.__post_init__(self)
        if self.width < 1:
            raise ValueError(f"width must be positive, got {self}")


class CriticGAN(adversarial.GAN):
    """Convolutions on both sides, with scores that are no logits; a subclass says what they are trained to be."""

    Config = Config

    @classmethod
    def recipe(cls, spec: SampleSpec) -> Config:
        """The defaults suit a thousand small images; larger data has wider networks and slower, longer training."""
        if spec.size <= 256:
            return cls.Config()
        rates = {"rate": 2e-4, "discriminator_rate": 2e-4}
        return cls.Config(latent=128, batch=64, width=32, steps=20_000, **rates)

    def generator_network(self) -> nn.Module:
        network = generator_network(self.image_shape, self.config.latent, self.config.width)
        return adversarial.picking(self.config.modes, network)

    def discriminator_network(self) -> nn.Module:
        return discriminator_network(self.image_shape, self.config.width, norm=False)
