"""The generative adversarial network with self-attention.

Lecture topic: attention in generative adversarial networks. Convolutions relate what is near; here one layer of both
players lets every position look at all others, weighted by how their features match, so that distant strokes can agree.
The generator hears of the class in its batch norms, the discriminator by projection, and the layers of both have
spectral norm 1, with a faster discriminator in place of several steps of it.

References: H. Zhang, I. Goodfellow, D. Metaxas and A. Odena, "Self-Attention Generative Adversarial Networks" (2019);
T. Miyato and M. Koyama, "cGANs with Projection Discriminator" (2018); M. Heusel et al., "GANs Trained by a Two
Time-Scale Update Rule Converge to a Local Nash Equilibrium" (2017), for the two rates.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from zoo.adversarial import losses
from zoo.gan import conditional
from zoo.gan.residual import ProjectionDiscriminator, ResidualGenerator


@dataclass(frozen=True, slots=True)
class Config(conditional.Config):
    """The networks; see `conditional.Config`. `width`: channels at the full resolution, doubled with every halving."""

    latent: int = 128
    rate: float = 1e-4
    discriminator_rate: float = 4e-4
    momentum: float = 0.0
    squares: float = 0.9
    width: int = 64

    def __post_init__(self) -> None:
        conditional.Config.__post_init__(self)
        if self.width < 1:
            raise ValueError(f"width must be positive, got {self}")


class Generator(ResidualGenerator):
    """Maps codes (n, latent + classes) to images in [-1, 1]; gains and biases are those of the class."""

    def __init__(self, shape: tuple[int, int, int], config: Config) -> None:
        super().__init__(shape, config.latent, config.classes, config.width)
        self.latent = config.latent

    def forward(self, code: Tensor) -> Tensor:
        return self.grow(code[:, : self.latent], [code[:, self.latent :]] * len(self.blocks))


class SAGAN(conditional.ConditionalGAN):
    """Attention and spectral norm on both sides."""

    Config = Config
    name = "sagan"
    discriminator_loss = staticmethod(losses.hinge)
    generator_loss = staticmethod(losses.critic_score)

    def generator_network(self) -> nn.Module:
        return Generator(self.image_shape, self.config)

    def discriminator_network(self) -> nn.Module:
        return ProjectionDiscriminator(self.image_shape, self.config.width, self.config.classes)
