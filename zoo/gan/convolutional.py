"""The convolutional networks that several GANs share: those of the DCGAN.

The paper's images have sides of 64: four doublings from 4 x 4, kernels of 5 x 5, the last layer of the generator and
the first of the discriminator without batch norm, and no pooling. Other sizes have as many doublings as they need from
a first grid of at most 7 x 7.

References: A. Radford, L. Metz and S. Chintala, "Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks" (2016).
"""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn


def halvings(height: int, width: int) -> int:
    """How often the resolution doubles from the generator's first grid, of at most 7 x 7, to the image; at least 2."""
    return max(2, math.ceil(math.log2(max(height, width) / 7)))


class Crop(nn.Module):
    """The top left part of an image, where doubling a grid overshoots the image's size."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, : self.height, : self.width]


def generator_network(shape: tuple[int, int, int], latent: int, width: int) -> nn.Sequential:
    """Maps z (n, latent) to images (n, C, H, W) in [-1, 1] by transposed convolutions with batch norm and ReLU.

    `width`: channels before the last doubling, twice as many before each earlier one.
    """
    channels, height, breadth = shape
    m = halvings(height, breadth)
    grid = (math.ceil(height / 2**m), math.ceil(breadth / 2**m))
    widths = [width * 2**i for i in range(m)][::-1]
    layers: list[nn.Module] = [
        nn.Linear(latent, widths[0] * grid[0] * grid[1], bias=False),
        nn.Unflatten(1, (widths[0], *grid)),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(),
    ]
    for before, after in pairwise(widths):
        layers += [doubling(before, after, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    layers += [doubling(width, channels), nn.Tanh(), Crop(height, breadth)]
    return nn.Sequential(*layers).apply(initialise)


def doubling(before: int, after: int, bias: bool = True) -> nn.ConvTranspose2d:
    """A transposed convolution of 5 x 5 that doubles both sides."""
    return nn.ConvTranspose2d(before, after, 5, stride=2, padding=2, output_padding=1, bias=bias)


def discriminator_network(
    shape: tuple[int, int, int], width: int, dropout: float = 0.0, norm: bool = True
) -> nn.Sequential:
    """Maps images (n, C, H, W) to scores of being real (n, 1) by strided convolutions, batch norm and leaky ReLU.

    `width`: channels after the first halving, twice as many after each later one. Without batch norm the initial
    weights are torch's, because the paper's small ones leave the scaling up to it.
    """
    channels, height, breadth = shape
    m = halvings(height, breadth)
    widths = [width * 2**i for i in range(m)]
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 5, stride=2, padding=2), nn.LeakyReLU(0.2)]
    for before, after in pairwise(widths):
        layers += [
            nn.Conv2d(before, after, 5, stride=2, padding=2, bias=not norm),
            *([nn.BatchNorm2d(after)] if norm else []),
            nn.LeakyReLU(0.2),
            *([nn.Dropout2d(dropout)] if dropout else []),
        ]
    features = widths[-1] * math.ceil(height / 2**m) * math.ceil(breadth / 2**m)
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, 1))
    return network.apply(initialise) if norm else network


def initialise(module: nn.Module) -> None:
    """The paper's initial weights: N(0, 0.02) for linear maps, N(1, 0.02) for the gains of batch norm."""
    if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1, 0.02)
