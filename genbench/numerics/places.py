"""Where something is true of a tile: on the CPU by numpy, which takes a fifth of the time that torch does."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def at_most(values: Tensor, limits: Tensor) -> Tensor:
    """Whether values are at most limits of a shape that is broadcast: bool."""
    if values.device.type != "cpu":
        return values <= limits
    return torch.from_numpy(np.less_equal(values.numpy(), limits.numpy()))


def places(wanted: Tensor) -> tuple[Tensor, Tensor]:
    """The rows and columns (p,) of what is true in (a, b), row by row."""
    if wanted.device.type != "cpu":
        row, column = wanted.nonzero().unbind(1)
        return row, column
    place = torch.from_numpy(np.flatnonzero(wanted.numpy()))
    row = place.div(wanted.shape[1], rounding_mode="floor")
    return row, place - row * wanted.shape[1]
