"""Pen strokes as the places that the pen is at."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genbench.contracts import Features, SampleSpec
from genbench.errors import InputError

POSITION_SCALE = 10


@dataclass(frozen=True, slots=True)
class PenPath:
    """Positions x1, y1, x2, y2, ..., their mean at the origin: where a digit stands on the paper does not matter.

    A sequence of T directions gives T + 1 positions in units of one step; level k of K is a step at the angle
    2 pi k / K. Positions (T, 2) are multiplied by 10, by which a digit within -1..1 is about as large as a written one.
    """

    spec: SampleSpec
    name: str = "pen-path"
    fingerprint: str = "pen-path-1"

    def __call__(self, x: Tensor, /) -> Features:
        positions = POSITION_SCALE * x.double() if self.spec.levels is None else self._integrated(x)
        return Features((positions - positions.mean(1, keepdim=True)).float().flatten(1))

    def _integrated(self, x: Tensor) -> Tensor:
        assert self.spec.levels is not None
        angles = torch.arange(self.spec.levels, dtype=torch.float64, device=x.device) * (2 * math.pi / self.spec.levels)
        steps = torch.stack([angles.cos(), angles.sin()], dim=1)[x.long()]
        start = steps.new_zeros(len(x), 1, 2)
        return torch.cat([start, steps.cumsum(1)], dim=1)


def pen_path(spec: SampleSpec) -> PenPath:
    """The extractor for pen strokes. Raises InputError for anything but directions (T,) and positions (T, 2)."""
    directions = spec.levels is not None and len(spec.shape) == 1
    positions = spec.levels is None and len(spec.shape) == 2 and spec.shape[0] > 1 and spec.shape[1] == 2
    if not (directions or positions):
        kind = "real-valued" if spec.levels is None else f"{spec.levels}-level"
        raise InputError(
            f"pen-path reads levelled directions (T,) or real-valued positions (T, 2), "
            f"not {kind} items of shape {spec.shape}"
        )
    return PenPath(spec)
