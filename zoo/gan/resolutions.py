"""Grids that double from a small one up to the image, for the networks that grow or shrink images by stages."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

COARSEST = 4  # both sides of the first grid are at most this


def grids(height: int, width: int) -> list[tuple[int, int]]:
    """The sizes of an image halved, rounded up, until it is no larger than 4 x 4; the smallest comes first."""
    sizes = [(height, width)]
    while max(sizes[0]) > COARSEST:
        sizes.insert(0, (math.ceil(sizes[0][0] / 2), math.ceil(sizes[0][1] / 2)))
    return sizes


def channels(width: int, stages: int) -> list[int]:
    """Channels of every grid: `width` at the finest, doubled with every halving up to eight times as many."""
    return [width * 2 ** min(3, stages - 1 - stage) for stage in range(stages)]


def enlarge(x: Tensor, grid: tuple[int, int]) -> Tensor:
    """Every pixel of x (n, C, h, w) doubled in both directions, and cropped to the next finer grid (H, W)."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")[:, :, : grid[0], : grid[1]]


def halve(x: Tensor) -> Tensor:
    """The means of 2 x 2 pixels of x (n, C, H, W); at an odd edge, of those that there are."""
    return F.avg_pool2d(x, 2, ceil_mode=True)
