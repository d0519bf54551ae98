"""Uniform noise: the anchor row that every model should leave far behind.

Lecture topic: evaluation; the worst that a board should show.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from genbench.contracts import Setting
from genbench.errors import ModelError
from zoo import checkpoints


class Noise:
    """Every level of every dimension equally likely; its log-mass is -D log(levels) for every item."""

    log_prob_kind: Literal["exact"] = "exact"

    def __init__(self, setting: Setting) -> None:
        if setting.spec.levels is None:
            raise ModelError("noise is uniform over levels; real-valued data has none")
        self.spec, self.levels = setting.spec, setting.spec.levels
        self.version = checkpoints.version(type(self))

    def sample(self, n: int, /) -> Tensor:
        """n items (n, *shape), uint8."""
        return torch.randint(self.levels, (n, *self.spec.shape), dtype=torch.uint8)

    def log_prob(self, x: Tensor, /) -> Tensor:
        """float64 (n,), nats."""
        return torch.full((len(x),), -self.spec.size * math.log(self.levels), dtype=torch.float64)
