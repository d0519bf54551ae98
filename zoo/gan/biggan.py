"""The class-conditional GAN of residual blocks, with the truncation trick.

Lecture topic: generative adversarial networks, class-conditional and large. The generator is told the class in every
batch norm, whose gains and biases are linear in a shared embedding of it and in a part of z; the discriminator adds to
its score the inner product of the image's features with an embedding of the class; both attend to distant positions,
and their layers have spectral norm 1. Truncating z trades variety for quality, and orthogonal regularisation makes the
generator bear it.

References: A. Brock, J. Donahue and K. Simonyan, "Large Scale GAN Training for High Fidelity Natural Image Synthesis"
(2019); H. Zhang, I. Goodfellow, D. Metaxas and A. Odena, "Self-Attention Generative Adversarial Networks" (2019); T.
Miyato and M. Koyama, "cGANs with Projection Discriminator" (2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.adversarial import losses
from zoo.adversarial.penalties import orthogonality
from zoo.gan import conditional
from zoo.gan.residual import ProjectionDiscriminator, ResidualGenerator
from zoo.gan.resolutions import grids


@dataclass(frozen=True, slots=True)
class Config(conditional.Config):
    """The networks; see `conditional.Config` for the rest.

    `embedding`: dimensions of the generator's shared class embedding. `width`: channels at the full resolution, doubled
    with every halving of it. `orthogonality`: the weight beta of orthogonal regularisation.
    """

    latent: int = 80
    rate: float = 5e-5
    critic_steps: int = 2
    momentum: float = 0.0
    average: float = 0.9999
    embedding: int = 128
    width: int = 64
    orthogonality: float = 1e-4

    def __post_init__(self) -> None:
        conditional.Config.__post_init__(self)
        if min(self.embedding, self.width) < 1 or self.orthogonality < 0:
            raise ValueError(f"embedding and width must be positive, orthogonality not negative, got {self}")


class Generator(ResidualGenerator):
    """Maps codes (n, latent + classes) to images in [-1, 1]: z, in equal parts for every level, and the class."""

    def __init__(self, shape: tuple[int, int, int], config: Config) -> None:
        levels = len(grids(*shape[1:]))
        # The first layer gets what is left when every block has had its part.
        part = config.latent // levels
        parts = [config.latent - part * (levels - 1), *[part] * (levels - 1)]
        super().__init__(shape, parts[0], config.embedding + part, config.width)
        self.latent, self.parts = config.latent, parts
        self.embedding = nn.Linear(config.classes, config.embedding, bias=False)
        nn.init.normal_(self.embedding.weight)

    def forward(self, code: Tensor) -> Tensor:
        first, *rest = code[:, : self.latent].split(self.parts, 1)
        shared = self.embedding(code[:, self.latent :])
        return self.grow(first, [torch.cat([shared, part], 1) for part in rest])


class BigGAN(conditional.ConditionalGAN):
    """x = G(z, y): images of a class, against a discriminator that is told the class."""

    Config = Config
    name = "biggan"
    discriminator_loss = staticmethod(losses.hinge)
    generator_loss = staticmethod(losses.critic_score)

    def generator_network(self) -> nn.Module:
        return Generator(self.image_shape, self.config)

    def discriminator_network(self) -> nn.Module:
        return ProjectionDiscriminator(self.image_shape, self.config.width, self.config.classes)

    def generator_penalty(self) -> Tensor | float:
        """Orthogonal regularisation of all the generator's maps but the class embedding."""
        named = self.generator.named_parameters()
        maps = [weight for name, weight in named if weight.ndim > 1 and not name.startswith("embedding")]
        return self.config.orthogonality * torch.stack([orthogonality(weight) for weight in maps]).sum()
