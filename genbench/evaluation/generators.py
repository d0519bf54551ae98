"""How generators are built, seeded and held to their contract, whoever wrote them."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from genbench import seeding
from genbench.contracts import (
    Dataset,
    Generator,
    HasCycle,
    HasLogProb,
    HasReconstruction,
    HasTranslation,
    SampleSpec,
    Setting,
)
from genbench.errors import GenbenchError, InputError, ModelError, RegistryError, Unsupported
from genbench.plugins import registry
from genbench.plugins.cards import ModelCard

CHUNK = 1000  # samples drawn under one scoped seed; part of every protocol that reads samples
PROBE = 16  # samples whose bytes identify a generator that declares no version

T = TypeVar("T")


def resolve(name: str) -> ModelCard:
    """The card of a model's name, or a card for ``module:factory``. Raises RegistryError."""
    if ":" in name:
        return ModelCard(name, name, "given on the command line")
    card = registry.find("models", name)
    if not isinstance(card, ModelCard):
        raise RegistryError(f"{name} is listed under genbench.models without a ModelCard")
    return card


def build(card: ModelCard, setting: Setting) -> Generator:
    """The generator behind a card: its target called with the setting, or with nothing, or as it is.

    Raises RegistryError or ModelError in one sentence, whatever the model's own code raises.
    """
    target = registry.load(card.target)
    if hasattr(target, "sample") and not inspect.isclass(target):
        generator = target
    elif callable(target):
        takes = _positional(target)
        if takes > 1:
            raise ModelError(f"{card.target} takes {takes} arguments; a factory takes a Setting or nothing")
        generator = shielded(f"the factory of {card.name}", target, *[setting] * takes)
    else:
        raise ModelError(f"{card.target} is a {type(target).__name__}, neither a factory nor a generator")
    faults = shape_faults(generator, setting.spec)
    if faults:
        raise ModelError(f"{card.name}: {faults[0]}")
    return generator


def _positional(factory: Callable[..., Any]) -> int:
    """How many positional arguments a factory needs; one that may take an argument by `setting` gets it too."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return 0
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in positional if p.default is p.empty or p.name == "setting"]
    return len(needed)


def shape_faults(generator: object, spec: SampleSpec | None = None) -> list[str]:
    """What a generator lacks before anything is drawn from it."""
    faults = []
    own = getattr(generator, "spec", None)
    if own is None or not hasattr(own, "shape") or not hasattr(own, "levels"):
        faults.append("it has no spec: set spec = genbench.SampleSpec(shape, levels)")
    elif spec is not None and (tuple(own.shape), own.levels) != (spec.shape, spec.levels):
        faults.append(
            f"it makes items of shape {tuple(own.shape)} with {own.levels} levels, "
            f"the benchmark has {spec.shape} with {spec.levels}"
        )
    if not callable(getattr(generator, "sample", None)):
        faults.append("it has no method sample(n)")
    return faults


def shielded(what: str, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """Call a model's code; whatever it raises becomes a ModelError of one line that names the place."""
    try:
        return function(*arguments, **options)
    except GenbenchError:
        raise
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        message = f"{what} raised {type(error).__name__}" + (f": {lines[0]}" if lines else "")
        raise ModelError(message) from error


def as_samples(x: object, spec: SampleSpec, n: int, what: str = "sample") -> Tensor:
    """`x` as a CPU tensor (n, *spec.shape) of the spec's dtype. Raises ModelError that says how `x` differs."""
    if isinstance(x, np.ndarray):
        try:
            x = torch.from_numpy(x)
        except TypeError as error:
            raise ModelError(f"{what}({n}) returned a numpy array of dtype {x.dtype}") from error
    if not isinstance(x, Tensor):
        raise ModelError(f"{what}({n}) returned {type(x).__name__}, not a tensor or a numpy array")
    expected = (n, *spec.shape)
    if tuple(x.shape) != expected:
        few = f", {len(x)} samples in place of {n}" if x.ndim and x.shape[1:] == expected[1:] else ""
        raise ModelError(f"{what}({n}) returned shape {tuple(x.shape)}, not {expected}{few}")
    x = x.detach().cpu()
    if spec.levels is None:
        if x.dtype != torch.float32:
            raise ModelError(f"{what}({n}) returned {x.dtype}; real-valued samples are float32")
        if not torch.isfinite(x).all():
            raise ModelError(f"{what}({n}) returned values that are not finite")
    else:
        if x.is_floating_point() and not torch.isfinite(x).all():
            raise ModelError(f"{what}({n}) returned values that are not finite")
        if x.dtype != torch.uint8:
            hint = ", scaled to 0..levels-1 and rounded" if x.is_floating_point() else ""
            raise ModelError(f"{what}({n}) returned {x.dtype}; levelled samples are uint8{hint}")
        if x.numel() and int(x.max()) >= spec.levels:
            raise ModelError(f"{what}({n}) returned the value {int(x.max())}; the levels are 0..{spec.levels - 1}")
    return x


def draw(
    method: Callable[..., object],
    spec: SampleSpec,
    n: int,
    seed: int,
    what: str = "sample",
    tell: Callable[[int], None] | None = None,
    **options: float,
) -> Tensor:
    """n samples (n, *shape) drawn chunk by chunk, each chunk under its own scoped seed; `tell` hears how many are done.

    The same seed gives the same bytes however the chunks are spread over processes.
    """
    parts = []
    for index, start in enumerate(range(0, n, CHUNK)):
        size = min(CHUNK, n - start)
        with seeding.scoped(seed, "samples", index), torch.no_grad():
            parts.append(as_samples(shielded(what, method, size, **options), spec, size, what))
        if tell is not None:
            tell(start + size)
    return torch.cat(parts)


def source_spec(generator: object) -> SampleSpec:
    """What a generator translates: its `source_spec`, or items of its own spec where it declares none."""
    own = getattr(generator, "source_spec", None) or getattr(generator, "spec")  # noqa: B009 - any object is taken
    return SampleSpec(tuple(own.shape), own.levels)


def translations(
    generator: HasTranslation, dataset: Dataset, n: int, seed: int, tell: Callable[[int], None] | None = None
) -> Tensor:
    """The first n held-out sources of a dataset, translated to items of its spec, chunk by chunk as `draw` does.

    Raises ModelError for anything else, and for a generator that translates other items.
    """
    return _mapped(generator.translate, _sources(generator, dataset, n), dataset.spec, seed, "translate", tell)


def cycles(generator: HasCycle, dataset: Dataset, n: int, seed: int) -> Tensor:
    """The first n held-out sources of a dataset, translated there and back, likewise."""
    x = _sources(generator, dataset, n)
    return _mapped(generator.cycle, x, source_spec(generator), seed, "cycle")


def _sources(generator: object, dataset: Dataset, n: int) -> Tensor:
    """The sources to translate, if the generator translates such items. Raises Unsupported or ModelError."""
    if dataset.source is None:
        raise Unsupported(f"{dataset.name} has no sources to translate")
    own, spec = source_spec(generator), dataset.source.spec
    if own != spec:
        raise ModelError(
            f"it translates items of shape {own.shape} with {own.levels} levels, "
            f"the sources have {spec.shape} with {spec.levels}"
        )
    return dataset.source.heldout[:n]


def _mapped(
    method: Callable[[Tensor], object],
    x: Tensor,
    spec: SampleSpec,
    seed: int,
    what: str,
    tell: Callable[[int], None] | None = None,
) -> Tensor:
    parts: list[Tensor] = []
    for index, part in enumerate(x.split(CHUNK)):
        with seeding.scoped(seed, what, index), torch.no_grad():
            parts.append(as_samples(shielded(what, method, part), spec, len(part), what))
        if tell is not None:
            tell(sum(map(len, parts)))
    return torch.cat(parts)


def log_probs(generator: HasLogProb, x: Tensor, seed: int) -> Tensor:
    """float64 (n,) log-probabilities in nats of items x, under a scoped seed. Raises ModelError for anything else."""
    with seeding.scoped(seed, "log_prob"), torch.no_grad():
        values = shielded("log_prob", generator.log_prob, x)
    if isinstance(values, np.ndarray):
        values = torch.from_numpy(values)
    return as_log_probs(values, len(x))


def reconstructions(generator: HasReconstruction, x: Tensor, spec: SampleSpec, seed: int) -> Tensor:
    """The reconstructions (n, *shape) of items x, under a scoped seed. Raises ModelError for anything else."""
    with seeding.scoped(seed, "reconstruct"), torch.no_grad():
        found = shielded("reconstruct", generator.reconstruct, x)
    return as_samples(found, spec, len(x), "reconstruct")


def as_log_probs(values: object, n: int) -> Tensor:
    """`values` as float64 (n,) on the CPU. Raises ModelError where they are no log-probabilities of n items."""
    if not isinstance(values, Tensor):
        raise ModelError(f"log_prob returned {type(values).__name__}, not a tensor")
    if tuple(values.shape) != (n,):
        raise ModelError(f"log_prob returned shape {tuple(values.shape)}, not ({n},)")
    values = values.detach().cpu()
    if values.dtype != torch.float64:
        raise ModelError(f"log_prob returned {values.dtype}; log-probabilities are float64")
    if values.isnan().any():
        raise ModelError(f"log_prob returned NaN for {int(values.isnan().sum())} of {n} items")
    if values.isinf().any():
        raise ModelError(f"log_prob is infinite for {int(values.isinf().sum())} of {n} items: the model rules them out")
    return values


def version(generator: Generator) -> str:
    """What identifies a trained model: the `version` that it declares, else a hash of its first samples."""
    declared = getattr(generator, "version", None)
    if declared:
        return "".join(str(declared).split())
    probe = draw(generator.sample, generator.spec, PROBE, seed=0)
    return "samples-" + hashlib.sha256(probe.numpy().tobytes()).hexdigest()[:12]


def untruncated(generator: object) -> float:
    """The psi at which `sample_truncated` truncates nothing. Raises InputError for an unknown kind."""
    kind = getattr(generator, "truncation", None)
    if kind not in ("threshold", "interpolation", "temperature"):
        raise InputError(f"truncation must be 'threshold', 'interpolation' or 'temperature', not {kind!r}")
    return float("inf") if kind == "threshold" else 1.0
