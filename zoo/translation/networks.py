"""The networks that several image-to-image models share.

Beyond the papers, whose images have sides of 128 or 256: every generator starts and ends at the full resolution, and
discriminators have no normalisation, because a mean over the image would let every patch see all of it.

References: O. Ronneberger, P. Fischer and T. Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation"
(2015); P. Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks" (2017), for the U-Net with
strided convolutions and the PatchGAN; J. Johnson, A. Alahi and L. Fei-Fei, "Perceptual Losses for Real-Time Style
Transfer and Super-Resolution" (2016), for the residual generator.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def cropped(x: Tensor, like: Tensor) -> Tensor:
    """The top left part of x (n, C, H, W), where doubling a grid overshoots the height and width of `like`."""
    return x[:, :, : like.shape[2], : like.shape[3]]


class UNet(nn.Module):
    """An encoder and a decoder with a skip connection at every resolution: (n, C, H, W) to (n, outputs, H, W).

    What the bottleneck, a grid of about 2 x 2, cannot hold, the place of every edge above all, reaches the decoder by
    the skips. `shape` is (C, H, W). `width` counts channels at the full resolution, doubled with every halving up to
    eight times as many. `dropout` drops channels of the decoder, when translating too: it is the only noise that the
    generator has. `connected` puts a linear map of the whole bottleneck in its middle, by which every place hears of
    every other.
    """

    def __init__(
        self, shape: tuple[int, int, int], outputs: int, width: int, dropout: float = 0.0, connected: bool = False
    ) -> None:
        super().__init__()
        depth = max(1, round(math.log2(min(shape[1:]))) - 1)
        widths = [width * min(2**i, 8) for i in range(depth + 1)]
        self.dropout = dropout
        self.first = nn.Conv2d(shape[0], width, 3, padding=1)
        # The innermost grid has too few positions for a normalisation over them.
        self.downs = nn.ModuleList(
            nn.Sequential(
                nn.LeakyReLU(0.2),
                nn.Conv2d(widths[i], widths[i + 1], 3, stride=2, padding=1),
                nn.InstanceNorm2d(widths[i + 1]) if i + 1 < depth else nn.Identity(),
            )
            for i in range(depth)
        )
        self.middle = nn.Identity()
        if connected:
            bottleneck = (widths[-1], *(math.ceil(side / 2**depth) for side in shape[1:]))
            size = math.prod(bottleneck)
            self.middle = nn.Sequential(
                *(nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(size, size), nn.Unflatten(1, bottleneck))
            )
        self.ups = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(),
                nn.ConvTranspose2d(widths[i + 1] * (1 if i + 1 == depth else 2), widths[i], 4, stride=2, padding=1),
                nn.InstanceNorm2d(widths[i]),
            )
            for i in reversed(range(depth))
        )
        self.last = nn.Sequential(nn.ReLU(), nn.Conv2d(2 * width, outputs, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        skips = [self.first(x)]
        for down in self.downs:
            skips.append(down(skips[-1]))
        h = self.middle(skips.pop())
        for up in self.ups:
            skip = skips.pop()
            h = torch.cat([F.dropout2d(cropped(up(h), skip), self.dropout), skip], 1)
        return self.last(h)


class ResidualBlock(nn.Module):
    """x + f(x) with two convolutions in f."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            *(nn.Conv2d(width, width, 3, padding=1), nn.InstanceNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, width, 3, padding=1), nn.InstanceNorm2d(width)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.change(x)


class ResidualGenerator(nn.Module):
    """Halve the image, change it by residual blocks, and double it: (n, inputs, H, W) to (n, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int, width: int, blocks: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(inputs, width, 3, padding=1), nn.InstanceNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.InstanceNorm2d(2 * width), nn.ReLU()),
            *(ResidualBlock(2 * width) for _ in range(blocks)),
            nn.ConvTranspose2d(2 * width, width, 3, stride=2, padding=1, output_padding=1),
            *(nn.InstanceNorm2d(width), nn.ReLU(), nn.Conv2d(width, outputs, 3, padding=1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return cropped(self.layers(x), x)


def patch_features(inputs: int, width: int, depth: int) -> nn.Sequential:
    """Convolutions that halve images (n, inputs, H, W) `depth` times: (n, width * 2^depth, h, w).

    Each position sees a patch of 3 * 2^depth pixels a side: 3 by the first convolution, and each halving doubles it.
    """
    layers: list[nn.Module] = [nn.Conv2d(inputs, width, 3, padding=1), nn.LeakyReLU(0.2)]
    for i in range(depth):
        before, after = width * 2**i, width * 2 ** (i + 1)
        layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


def patch_discriminator(inputs: int, width: int, depth: int) -> nn.Sequential:
    """The PatchGAN: images (n, inputs, H, W) to a score for every overlapping patch, (n, 1, h, w)."""
    return nn.Sequential(*patch_features(inputs, width, depth), nn.Conv2d(width * 2**depth, 1, 1))
