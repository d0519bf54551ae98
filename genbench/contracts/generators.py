"""Generators: what is required of a model, what it may offer beyond that, and how it is built and trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from genbench.contracts.data import Dataset, SampleSpec

if TYPE_CHECKING:
    from torch import Tensor

Kind = Literal["exact", "lower_bound", "estimate"]
Truncation = Literal["threshold", "interpolation", "temperature"]


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
    """All that is required of a model. A numpy array is taken in place of a tensor.

    An optional attribute `batch_size` is how many items it is asked for, or given, at once; where it has none, it is
    asked for 1,000 samples at once and given all held-out items.
    """

    spec: SampleSpec

    def sample(self, n: int, /) -> Tensor: ...


@runtime_checkable
class HasClasses(Protocol):
    """Class-conditional models: ``sample(n, labels)``, labels int64 ``(n,)`` in 0..classes-1, is called in place of
    ``sample(n)``, and ``sample_truncated(n, labels, psi=psi)`` likewise."""

    classes: int


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
    "classes": HasClasses,
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
