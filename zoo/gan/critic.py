"""What wgan, wgan-gp and sn-gan share, so that nothing but the loss and its constraint tells them apart.

The generator is the DCGAN's; the critic has the DCGAN's convolutions without batch norm, which would make the score of
an image depend on the others of its batch.

References: A. Radford, L. Metz and S. Chintala, "Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks" (2016); I. Gulrajani et al., "Improved Training of Wasserstein GANs" (2017), section 4,
for the critic without batch norm.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from zoo.gan import base
from zoo.gan.convolutional import discriminator_network, generator_network


@dataclass(frozen=True, slots=True)
class Config(base.Config):
    """The networks; see `base.Config` for their input and training.

    `width`: channels at half the full resolution, doubled with every further halving of it.
    """

    latent: int = 128
    critic_steps: int = 5
    width: int = 64

    def __post_init__(self) -> None:
        base.Config.__post_init__(self)
        if self.width < 1:
            raise ValueError(f"width must be positive, got {self}")


class CriticGAN(base.GAN):
    """Convolutions on both sides, with scores that are no logits; a subclass says what they are trained to be."""

    Config = Config

    def generator_network(self) -> nn.Module:
        return generator_network(self.image_shape, self.config.latent, self.config.width)

    def discriminator_network(self) -> nn.Module:
        return discriminator_network(self.image_shape, self.config.width, norm=False)
