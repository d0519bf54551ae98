"""The train split handed in as if it were generated: the anchor row of what perfect samples score.

Lecture topic: evaluation; a finite sample of the truth is no closer to the held-out split than this.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.contracts import Setting
from zoo import checkpoints


class Real:
    """Items of the train split in random order, none twice within one call until all are used."""

    def __init__(self, setting: Setting) -> None:
        self.spec, self.train = setting.spec, setting.dataset.train
        self.version = checkpoints.version(type(self))

    def sample(self, n: int, /) -> Tensor:
        """n items (n, *shape) of the train split."""
        rounds = -(-n // len(self.train))
        rows = torch.cat([torch.randperm(len(self.train)) for _ in range(rounds)])[:n]
        return self.train[rows]
