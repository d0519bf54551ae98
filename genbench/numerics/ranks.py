"""How values rank among others, which U statistics and areas under curves are made of."""

from __future__ import annotations

import torch
from torch import Tensor


def share_below(values: Tensor, points: Tensor) -> Tensor:
    """For each point (m,) the share of the values (n,) that lie below it, those equal to it counting half: float64."""
    ordered, points = values.sort().values, points.contiguous()
    below = torch.searchsorted(ordered, points, right=False) + torch.searchsorted(ordered, points, right=True)
    return below.double() / (2 * len(values))
