"""The source handed back untranslated: the anchor row of a translation board that every translator should beat.

Lecture topic: evaluation; what a translation gains is what it gains over doing nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.contracts import Setting
from genbench.errors import ModelError
from zoo import checkpoints


class Copy:
    """The first channels of the source, as many as the target has, its levels spread over those of the target."""

    def __init__(self, setting: Setting) -> None:
        source, self.spec = setting.dataset.source, setting.spec
        if source is None:
            raise ModelError(f"{setting.model} copies what is translated, and {setting.benchmark} translates nothing")
        self.source_spec, self.train = source.spec, source.train
        fits = len(source.spec.shape) == len(self.spec.shape) and source.spec.shape[1:] == self.spec.shape[1:]
        if not fits or source.spec.shape[0] < self.spec.shape[0]:
            raise ModelError(f"no source {source.spec.shape} can stand for an item {self.spec.shape}")
        if (source.spec.levels is None) != (self.spec.levels is None):
            raise ModelError("a real-valued source cannot stand for levels, nor levels for real values")
        self.version = checkpoints.version(type(self))

    def sample(self, n: int, /) -> Tensor:
        """n random train sources, copied."""
        return self.translate(self.train[torch.randint(len(self.train), (n,))])

    def translate(self, x: Tensor, /) -> Tensor:
        """Sources (n, *source_spec.shape) as items (n, *spec.shape)."""
        x = x[:, : self.spec.shape[0]]
        if self.spec.levels is None or self.source_spec.levels is None:
            return x
        return (x * ((self.spec.levels - 1) / (self.source_spec.levels - 1))).round().to(torch.uint8)
