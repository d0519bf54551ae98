"""The contracts between the rooms of genbench: data, generators and their capabilities, extractors, metrics.

Levelled data (images, symbol sequences) is ``uint8`` of shape ``(n, *shape)`` with values ``0..levels-1``; images are
``(n, C, H, W)``. Real-valued data is ``float32`` with ``levels=None``. All log-probabilities are in nats.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:  # listing what there is must not take the seconds that torch needs
    from torch import Tensor

Kind = Literal["exact", "lower_bound", "estimate"]
Reads = Literal["samples", "log_prob", "classes", "outliers", "reconstruction", "translation"]
Truncation = Literal["threshold", "interpolation", "temperature"]


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

    `source` is what they are translated from, where a benchmark is about that. `true_log_prob` maps ``(n, *shape)`` to
    float64 ``(n,)`` in nats; `entropy` is its exact negative expectation.
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

    def __post_init__(self) -> None:
        if self.source is None or not self.source.paired:
            return
        counts = (len(self.source.train), len(self.source.heldout)), (len(self.train), len(self.heldout))
        if counts[0] != counts[1]:
            raise ValueError(f"paired sources are as many as the items they belong to, got {counts[0]} for {counts[1]}")

    @cached_property
    def sha256(self) -> str:
        """A hash of the spec and of every value of both splits; with a source, of all that it holds too."""
        digest = hashlib.sha256()
        parts: list[tuple[SampleSpec, tuple[Tensor, ...]]] = [(self.spec, (self.train, self.heldout))]
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


@dataclass(frozen=True, slots=True)
class Effort:
    """How much work likelihood estimators spend; part of the protocol, because a bound tightens with it."""

    importance_samples: int = 128  # K of the importance-weighted bound; 1 is the ELBO
    dequantization_samples: int = 16  # uniform noises averaged per item by models with a density
    ais_chains: int = 512  # parallel annealed importance sampling chains
    ais_temperatures: int = 2000  # intermediate distributions per chain


@dataclass(frozen=True, slots=True)
class Setting:
    """What a model factory is told: which model, for which data, on which device, trained or fresh."""

    model: str
    benchmark: str
    dataset: Dataset
    device: str = "cpu"
    trained: bool = True
    effort: Effort = field(default_factory=Effort)

    @property
    def spec(self) -> SampleSpec:
        return self.dataset.spec


class Snapshots(Protocol):
    """Where a training keeps the states from which it can go on; a training may have several phases, one by one."""

    def enter(self) -> Mapping[str, Any] | None: ...  # the next phase begins: the state that it goes on from, if any

    def keep(self, state: Mapping[str, Any], /) -> None: ...  # of the phase at hand, in place of its earlier one

    def diverged(self) -> str: ...  # what came after the state last kept was of no use; what to do, for the message


@dataclass(frozen=True, slots=True)
class Budget:
    """How long `fit` trains: optimiser steps (None: the model's own recipe), a seed, and whom to tell about progress.

    `progress` is called with (step done, steps in all, figures such as the loss); `snapshots` (None: nowhere) is where
    states are kept from which an interrupted or diverged training goes on.
    """

    steps: int | None = None
    seed: int = 0
    progress: Callable[[int, int, Mapping[str, float]], None] | None = None
    snapshots: Snapshots | None = None

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")


class Generator(Protocol):
    """All that is required of a model. A numpy array is taken in place of a tensor."""

    spec: SampleSpec

    def sample(self, n: int, /) -> Tensor: ...


@runtime_checkable
class HasLogProb(Protocol):
    """Log-likelihood: float64 ``(n,)`` in nats, of a probability mass for levelled data.

    An optional attribute `log_prob_error` (nats) is a standard error that all items share, as that of a log Z by AIS.
    An optional attribute `log_prob_interval` is the pair of offsets (lower <= 0, upper >= 0) in nats between which all
    true values may lie around the ones returned, as the two ends of a bidirectional AIS.
    """

    log_prob_kind: Kind

    def log_prob(self, x: Tensor, /) -> Tensor: ...


@runtime_checkable
class HasTruncation(Protocol):
    """Diversity traded for quality; smaller `psi` is more truncated, inf (threshold) or 1.0 (others) is none."""

    truncation: Truncation

    def sample_truncated(self, n: int, /, *, psi: float) -> Tensor: ...


@runtime_checkable
class HasReconstruction(Protocol):
    def reconstruct(self, x: Tensor, /) -> Tensor: ...


@runtime_checkable
class HasLatent(Protocol):
    """A latent space to interpolate in: codes are float32 ``(n, *latent_shape)``."""

    latent_shape: tuple[int, ...]

    def sample_latent(self, n: int, /) -> Tensor: ...

    def decode(self, z: Tensor, /) -> Tensor: ...


@runtime_checkable
class HasClassJoint(Protocol):
    """Generative classifiers: log p(x, y), float64 ``(n, classes)`` in nats."""

    def class_log_joint(self, x: Tensor, /) -> Tensor: ...


@runtime_checkable
class HasTranslation(Protocol):
    """Translation of sources ``(n, *source.shape)`` to items ``(n, *spec.shape)`` of the generator's spec.

    An optional attribute `source_spec` is the SampleSpec of the sources, where it is not the generator's own `spec`.
    """

    def translate(self, x: Tensor, /) -> Tensor: ...


@runtime_checkable
class HasCycle(Protocol):
    """Sources ``(n, *source.shape)`` translated and back again: items of the source's spec."""

    def cycle(self, x: Tensor, /) -> Tensor: ...


@runtime_checkable
class Trainable(Protocol):
    """`fit` returns the figures worth recording (final losses, say); `save` keeps the weights beside them."""

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]: ...

    def save(self, setting: Setting, record: Mapping[str, object], /) -> object: ...


CAPABILITIES: Mapping[str, type] = {
    "log_prob": HasLogProb,
    "truncation": HasTruncation,
    "reconstruction": HasReconstruction,
    "latent": HasLatent,
    "class_joint": HasClassJoint,
    "translation": HasTranslation,
    "cycle": HasCycle,
    "training": Trainable,
}


def capabilities(generator: object) -> tuple[str, ...]:
    """The names of the optional capabilities that a generator (or its class) offers, in the order above."""
    return tuple(name for name, protocol in CAPABILITIES.items() if isinstance(generator, protocol))


@dataclass(frozen=True, slots=True)
class Features:
    """What an extractor sees in n items: embeddings float32 ``(n, D)``, class probabilities ``(n, K)`` or None."""

    embeddings: Tensor
    probabilities: Tensor | None = None


class FeatureExtractor(Protocol):
    """Maps items of one spec to features; `fingerprint` covers weights and preprocessing."""

    name: str
    fingerprint: str

    def __call__(self, x: Tensor, /) -> Features: ...


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a board; the direction belongs here, never to the table that sorts by it.

    `note` is what every board that shows the column must say of it.
    """

    name: str
    title: str
    better: Literal["higher", "lower"]
    digits: int = 3
    unit: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """One number for one column, its standard error, what kind of number it is, and a remark.

    `low` and `high`, given together, say between which values an estimate lies.
    """

    value: float
    stderr: float | None = None
    kind: Kind | None = None
    detail: str = ""
    low: float | None = None
    high: float | None = None


class Evidence(Protocol):
    """What a metric may read of one model on one benchmark; each part is computed once, on first use.

    Reading a part raises Unsupported where the model or benchmark does not define it.
    """

    @property
    def generator(self) -> Generator: ...

    @property
    def dataset(self) -> Dataset: ...

    @property
    def real(self) -> Features: ...

    @property
    def fake(self) -> Features: ...

    @property
    def train(self) -> Features: ...  # of the train split

    @property
    def samples(self) -> Tensor: ...  # (n, *shape), those behind `fake`

    @property
    def real_labels(self) -> Tensor | None: ...  # the class of each real item, int64, where it is known

    @property
    def fake_labels(self) -> Tensor | None: ...  # likewise; for generators the extractor's guess

    @property
    def log_prob(self) -> Tensor: ...  # of the held-out split

    @property
    def class_log_joint(self) -> Tensor: ...  # of the held-out split

    @property
    def outliers(self) -> Tensor: ...  # items of the same spec that are nothing like the data

    @property
    def outlier_log_prob(self) -> Tensor: ...

    def reconstruct(self, x: Tensor, what: str, /) -> Tensor: ...  # any items; `what` names them

    @property
    def translated(self) -> Tensor: ...  # the held-out sources (the first n of them), translated

    @property
    def cycled(self) -> Tensor: ...  # likewise, there and back


class Metric(Protocol):
    """A frozen dataclass whose fields are its parameters; they enter the protocol fingerprint as they are.

    `reads` names the evidence behind the numbers, `min_samples` the fewest samples they can be computed from.
    """

    @property
    def name(self) -> str: ...

    @property
    def columns(self) -> tuple[Column, ...]: ...

    @property
    def reads(self) -> Reads: ...

    @property
    def min_samples(self) -> int: ...

    def compute(self, evidence: Evidence, /) -> Mapping[str, Score]: ...
