"""The progressive GAN: both players begin with tiny images and grow, one doubling of the resolution after the other.

Lecture topic: generative adversarial networks for large images. What an image shows as a whole is learned first and
cheaply, its details later; every new layer is faded in, so that the players keep what they have learned. The images
double from at most 4 x 4 to the size of the data. The paper leaves the loss open; here it is the non-saturating one
with R1. As z is scaled to a sphere, truncating its components changes next to nothing: what it moves is the direction
of z, and hardly that.

References: T. Karras, T. Aila, S. Laine and J. Lehtinen, "Progressive Growing of GANs for Improved Quality, Stability,
and Variation" (2018).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.gan import equalised
from zoo.gan.equalised import EqualisedConv, EqualisedLinear, PixelNorm
from zoo.gan.resolutions import channels, enlarge, grids, halve


@dataclass(frozen=True, slots=True)
class Config(equalised.Config):
    """See `equalised.Config`; `width` counts for both players."""


class Generator(nn.Module):
    """Maps z (n, latent) to images of the size that it has been grown to; `grown` as the discriminator's."""

    def __init__(self, shape: tuple[int, int, int], config: Config) -> None:
        super().__init__()
        self.grids = grids(*shape[1:])
        wide = channels(config.width, len(self.grids))
        self.grown: float = len(self.grids) - 1
        self.first = nn.Sequential(
            PixelNorm(),  # of z: on to the sphere of radius sqrt(latent)
            EqualisedLinear(config.latent, wide[0] * math.prod(self.grids[0])),
            nn.Unflatten(1, (wide[0], *self.grids[0])),
            nn.LeakyReLU(0.2),
            PixelNorm(),
            *convolution(wide[0], wide[0]),
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*convolution(coarse, fine), *convolution(fine, fine))
            for coarse, fine in zip(wide, wide[1:], strict=False)
        )
        self.to_image = nn.ModuleList(EqualisedConv(features, shape[0], 1, gain=1.0) for features in wide)

    def forward(self, z: Tensor) -> Tensor:
        last = math.ceil(self.grown)
        alpha = 1 - (last - self.grown)
        x = coarser = self.first(z)
        for stage in range(1, last + 1):
            coarser, x = x, self.stages[stage - 1](enlarge(x, self.grids[stage]))
        image = self.to_image[last](x)
        if alpha == 1:
            return image
        return torch.lerp(enlarge(self.to_image[last - 1](coarser), self.grids[last]), image, alpha)


def convolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    """The generator's 3 x 3 convolution with what follows it."""
    return EqualisedConv(inputs, outputs), nn.LeakyReLU(0.2), PixelNorm()


def growth(step: int, steps: int, doublings: int) -> float:
    """How many doublings are in use in step 1..steps.

    Every resolution gets the same share of the steps; in the first half of it, the new one is faded in.
    """
    share = step / steps * (doublings + 1)
    stage = min(int(share), doublings)
    return max(0.0, stage - 1 + min(1.0, 2 * (share - stage)))


class ProGAN(equalised.RegularisedGAN):
    """A generator and a discriminator that grow together."""

    Config = Config
    name = "progan"

    def generator_network(self) -> nn.Module:
        return Generator(self.image_shape, self.config)

    def begin_step(self, discriminator: nn.Module, step: int, steps: int) -> None:
        """Grow both players to what is due, which the step alone decides."""
        super().begin_step(discriminator, step, steps)
        self.generator.grown = discriminator.grown = growth(step, steps, len(self.generator.grids) - 1)

    def scaled(self, x: Tensor) -> Tensor:
        """Items (n, C, H, W) as images in [-1, 1] at the generator's resolution, faded in like its own."""
        images, grown = super().scaled(x), self.generator.grown
        last = math.ceil(grown)
        for _ in range(len(self.generator.grids) - 1 - last):
            images = halve(images)
        alpha = 1 - (last - grown)
        if alpha == 1:
            return images
        return torch.lerp(enlarge(halve(images), self.generator.grids[last]), images, alpha)
