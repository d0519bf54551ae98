"""Symbol sequences as the counts of their transitions."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from genbench.contracts import Features, SampleSpec
from genbench.errors import InputError


@dataclass(frozen=True, slots=True)
class Transitions:
    """For S symbols, S*S features: how many of a sequence's steps go from each symbol to each."""

    spec: SampleSpec
    name: str = "transitions"
    fingerprint: str = "transition-counts-1"

    def __call__(self, x: Tensor, /) -> Features:
        assert self.spec.levels is not None
        pairs = x[:, :-1].long() * self.spec.levels + x[:, 1:].long()
        return Features(F.one_hot(pairs, self.spec.levels**2).float().sum(1))


def transitions(spec: SampleSpec) -> Transitions:
    """The extractor for sequences. Raises InputError for images, real values, and fewer than two steps."""
    if len(spec.shape) != 1 or spec.shape[0] < 2 or spec.levels is None:
        raise InputError(f"transitions reads symbol sequences of two or more steps, not items of shape {spec.shape}")
    return Transitions(spec)
