"""The data itself as features."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from genbench.contracts import Features, SampleSpec


@dataclass(frozen=True, slots=True)
class Identity:
    """Flattened items, levels scaled to [0, 1]; real-valued items as they are."""

    spec: SampleSpec
    name: str = "identity"
    fingerprint: str = "identity-1"

    def __call__(self, x: Tensor, /) -> Features:
        scale = 1 if self.spec.levels is None else self.spec.levels - 1
        return Features(x.flatten(1).float() / scale)


identity = Identity
