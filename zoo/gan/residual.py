"""The residual blocks with self-attention and spectral normalisation that SAGAN and BigGAN share.

References: H. Zhang, I. Goodfellow, D. Metaxas and A. Odena, "Self-Attention Generative Adversarial Networks" (2019);
T. Miyato and M. Koyama, "cGANs with Projection Discriminator" (2018); T. Miyato et al., "Spectral Normalization for
Generative Adversarial Networks" (2018).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from zoo.gan.resolutions import channels, enlarge, grids, halve

WIDEST_ATTENTION = 16  # the sides of the finest grid on which every position attends to every other


def normalised(layer: nn.Module) -> nn.Module:
    """A layer as the papers have them all: orthogonal at first, and of spectral norm 1 all the time."""
    nn.init.orthogonal_(layer.weight)
    return spectral_norm(layer)


class SelfAttention(nn.Module):
    """x + gamma o(A(x)): every position gets a mean of all positions, weighted by how they match; gamma is 0 at first.

    Queries and keys have an eighth of the channels, values half of them; keys and values stand on a grid of half the
    sides, as in the authors' code.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        few, half = max(1, features // 8), max(1, features // 2)
        self.query = normalised(nn.Conv2d(features, few, 1, bias=False))
        self.key = normalised(nn.Conv2d(features, few, 1, bias=False))
        self.value = normalised(nn.Conv2d(features, half, 1, bias=False))
        self.output = normalised(nn.Conv2d(half, features, 1, bias=False))
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        query = self.query(x).flatten(2)
        key, value = (F.max_pool2d(part, 2, ceil_mode=True).flatten(2) for part in (self.key(x), self.value(x)))
        weights = (query.transpose(1, 2) @ key).softmax(2)  # of positions, over the coarser ones
        return x + self.gamma * self.output((value @ weights.transpose(1, 2)).unflatten(2, x.shape[2:]))


def attentive(sizes: list[tuple[int, int]]) -> int:
    """The index of the grid with the attention: the finest whose sides are at most 16."""
    return max(index for index, grid in enumerate(sizes) if max(grid) <= WIDEST_ATTENTION)


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose gains and biases are linear in a condition (n, inputs): 1 + and 0 + of it."""

    def __init__(self, features: int, inputs: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(features, affine=False)
        self.gain = normalised(nn.Linear(inputs, features, bias=False))
        self.bias = normalised(nn.Linear(inputs, features, bias=False))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        gain, bias = self.gain(condition)[:, :, None, None], self.bias(condition)[:, :, None, None]
        return (1 + gain) * self.norm(x) + bias


class GrowingBlock(nn.Module):
    """A residual block of the generator that doubles the resolution to the next grid."""

    def __init__(self, before: int, after: int, inputs: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.norms = nn.ModuleList([ConditionalBatchNorm(before, inputs), ConditionalBatchNorm(after, inputs)])
        self.first = normalised(nn.Conv2d(before, after, 3, padding=1))
        self.second = normalised(nn.Conv2d(after, after, 3, padding=1))
        self.skip = normalised(nn.Conv2d(before, after, 1))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        y = self.first(enlarge(F.relu(self.norms[0](x, condition)), self.grid))
        y = self.second(F.relu(self.norms[1](y, condition)))
        # A convolution of one pixel gives the same before the enlargement as after it, at a quarter of the work.
        return y + enlarge(self.skip(x), self.grid)


class ResidualGenerator(nn.Module):
    """Maps z (n, inputs) and one condition (n, conditions) for each block to images in [-1, 1]."""

    def __init__(self, shape: tuple[int, int, int], inputs: int, conditions: int, width: int) -> None:
        super().__init__()
        sizes = grids(*shape[1:])
        wide = channels(width, len(sizes))
        self.first = normalised(nn.Linear(inputs, wide[0] * math.prod(sizes[0])))
        self.unflatten = nn.Unflatten(1, (wide[0], *sizes[0]))
        self.blocks = nn.ModuleList(
            GrowingBlock(before, after, conditions, grid)
            for before, after, grid in zip(wide, wide[1:], sizes[1:], strict=False)
        )
        self.attended = attentive(sizes)
        self.attention = SelfAttention(wide[self.attended])
        self.to_image = nn.Sequential(
            nn.BatchNorm2d(wide[-1]), nn.ReLU(), normalised(nn.Conv2d(wide[-1], shape[0], 3, padding=1)), nn.Tanh()
        )

    def grow(self, z: Tensor, conditions: Sequence[Tensor]) -> Tensor:
        """The images of z (n, inputs), each block told its own condition."""
        x = self.unflatten(self.first(z))
        x = self.attention(x) if self.attended == 0 else x
        for index, (block, condition) in enumerate(zip(self.blocks, conditions, strict=True), 1):
            x = block(x, condition)
            x = self.attention(x) if index == self.attended else x
        return self.to_image(x)


class ShrinkingBlock(nn.Module):
    """A residual block of the discriminator, which halves the resolution unless it is the last."""

    def __init__(self, before: int, after: int, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.first = normalised(nn.Conv2d(before, after, 3, padding=1))
        self.second = normalised(nn.Conv2d(after, after, 3, padding=1))
        self.skip = normalised(nn.Conv2d(before, after, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.relu(self.first(F.relu(x))))
        return halve(y) + self.skip(halve(x)) if self.halves else y + self.skip(x)


class ProjectionDiscriminator(nn.Module):
    """Scores (n, 1) of images with their classes: v . h(x) + c + e(y) . h(x)."""

    def __init__(self, shape: tuple[int, int, int], width: int, classes: int) -> None:
        super().__init__()
        sizes = grids(*shape[1:])[::-1]
        wide = channels(width, len(sizes))[::-1]
        attended = len(sizes) - 1 - attentive(sizes[::-1])
        self.first = normalised(nn.Conv2d(shape[0], wide[0], 3, padding=1))
        layers: list[nn.Module] = []
        for index, features in enumerate(wide):
            layers += [SelfAttention(features)] if index == attended else []
            last = index == len(wide) - 1
            layers.append(ShrinkingBlock(features, features if last else wide[index + 1], not last))
        self.blocks = nn.Sequential(*layers)
        self.score = normalised(nn.Linear(wide[-1], 1))
        self.embedding = normalised(nn.Embedding(classes, wide[-1]))

    def features(self, images: Tensor) -> Tensor:
        """h(x): the last block's outputs summed over all pixels, (n, channels)."""
        return F.relu(self.blocks(self.first(images))).sum((2, 3))

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        h = self.features(images)
        return self.score(h) + (self.embedding(labels) * h).sum(1, keepdim=True)
