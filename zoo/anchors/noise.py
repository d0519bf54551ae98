"""Noise without structure: the anchor row that every model should leave far behind.

Lecture topic: evaluation; the worst that a board should show.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from genbench.contracts import Setting
from zoo import checkpoints


class Noise:
    """Levelled data: every level of every dimension equally likely; the log-mass is -D log(levels) for every item.

    Real-valued data: every dimension of every item from one Gaussian, with the mean and the variance (over N) of all
    values of the train split. A uniform box would give items outside it the density 0.
    """

    log_prob_kind: Literal["exact"] = "exact"

    def __init__(self, setting: Setting) -> None:
        self.spec, self.levels = setting.spec, setting.spec.levels
        if self.levels is None:
            values = setting.dataset.train.double()
            self.mean, self.std = values.mean().item(), max(values.std(correction=0).item(), 1e-12)
        self.version = checkpoints.version(type(self))

    def sample(self, n: int, /) -> Tensor:
        """n items (n, *shape), uint8, or float32 for real-valued data."""
        if self.levels is None:
            return self.mean + self.std * torch.randn(n, *self.spec.shape)
        return torch.randint(self.levels, (n, *self.spec.shape), dtype=torch.uint8)

    def log_prob(self, x: Tensor, /) -> Tensor:
        """float64 (n,), nats."""
        if self.levels is None:
            squares = ((x.double() - self.mean) / self.std).square().flatten(1).sum(1)
            return -0.5 * squares - self.spec.size * (math.log(self.std) + 0.5 * math.log(2 * math.pi))
        return torch.full((len(x),), -self.spec.size * math.log(self.levels), dtype=torch.float64)
