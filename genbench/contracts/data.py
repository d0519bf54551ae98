"""Data: levelled items are uint8 ``(n, *shape)`` with values 0..levels-1, real-valued ones float32, levels None."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # listing what there is must not take the seconds that torch needs
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class SampleSpec:
    """What one item looks like: its `shape` without the batch axis, and its number of `levels` (None: real-valued)."""

    shape: tuple[int, ...]
    levels: int | None

    def __post_init__(self) -> None:
        if not self.shape or min(self.shape) < 1:
            raise ValueError(f"shape must be non-empty and positive, got {self.shape}")
        if self.levels is not None and not 2 <= self.levels <= 256:
            raise ValueError(f"levels must be None or within 2..256, got {self.levels}")

    @property
    def size(self) -> int:
        """The number of dimensions of one item."""
        return math.prod(self.shape)

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 3


@dataclass(frozen=True, eq=False)
class Source:
    """What a dataset's items are translated from: items of another domain; labels are int64 ``(n,)`` where known.

    `paired`: item i of a split here belongs to item i of the dataset's same split; else they show different things.
    """

    spec: SampleSpec
    train: Tensor
    heldout: Tensor
    paired: bool
    train_labels: Tensor | None = None
    heldout_labels: Tensor | None = None

    def __post_init__(self) -> None:
        for items, labels in ((self.train, self.train_labels), (self.heldout, self.heldout_labels)):
            if tuple(items.shape[1:]) != self.spec.shape:
                raise ValueError(f"sources have shape {self.spec.shape}, got {tuple(items.shape[1:])}")
            if labels is not None and len(labels) != len(items):
                raise ValueError(f"every source has one label, got {len(labels)} for {len(items)}")


@dataclass(frozen=True, eq=False)
class Dataset:
    """A fixed train and held-out split; labels are int64 ``(n,)`` where known. Truth is given where it is known.

    `validation` are items (n, *shape) that the makers of the data set aside for choices made while training; no number
    of a board reads them. `source` is what they are translated from, where a benchmark is about that. `intensities`,
    uint8 like `train` with values 0..255, say of data of two levels that the training items are drawn anew whenever
    they are learnt from, each dimension 1 with that chance over 255; `train` then is one fixed draw. `true_log_prob`
    maps ``(n, *shape)`` to float64 ``(n,)`` in nats; `entropy` is its exact negative expectation.
    """

    name: str
    spec: SampleSpec
    train: Tensor
    heldout: Tensor
    train_labels: Tensor | None = None
    heldout_labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    true_log_prob: Callable[[Tensor], Tensor] | None = None
    entropy: float | None = None
    source: Source | None = None
    validation: Tensor | None = None
    intensities: Tensor | None = None

    def __post_init__(self) -> None:
        if self.intensities is not None and (self.spec.levels != 2 or self.intensities.shape != self.train.shape):
            raise ValueError(
                f"intensities belong to training items of two levels, one to each dimension, got "
                f"{tuple(self.intensities.shape)} for {tuple(self.train.shape)} of {self.spec.levels} levels"
            )
        if self.source is None or not self.source.paired:
            return
        counts = (len(self.source.train), len(self.source.heldout)), (len(self.train), len(self.heldout))
        if counts[0] != counts[1]:
            raise ValueError(f"paired sources are as many as the items they belong to, got {counts[0]} for {counts[1]}")

    @cached_property
    def sha256(self) -> str:
        """A hash of the spec and of every value of both splits; of the intensities and of all in a source too."""
        digest = hashlib.sha256()
        splits_of_items = (self.train, self.heldout, *(() if self.intensities is None else (self.intensities,)))
        parts: list[tuple[SampleSpec, tuple[Tensor, ...]]] = [(self.spec, splits_of_items)]
        if self.source is not None:
            labels = (self.source.train_labels, self.source.heldout_labels)
            known = tuple(split for split in labels if split is not None)
            parts.append((self.source.spec, (self.source.train, self.source.heldout, *known)))
        for spec, splits in parts:
            digest.update(repr((spec.shape, spec.levels)).encode())
            for split in splits:
                digest.update(repr(tuple(split.shape)).encode())
                digest.update(split.contiguous().numpy().tobytes())
        if self.source is not None:
            digest.update(repr(self.source.paired).encode())
        return digest.hexdigest()
