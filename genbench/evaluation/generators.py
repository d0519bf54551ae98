"""How generators are built, seeded and held to their contract, whoever wrote them.

Everything here that calls a generator, or reads an attribute of it, does so under `genbench.plugins.guard`.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from genbench.contracts import CAPABILITIES, Dataset, Generator, Kind, LogProbs, SampleSpec, Setting, Truncation
from genbench.errors import InputError, ModelError, RegistryError, Unsupported
from genbench.evaluation import processes
from genbench.evaluation.drawing import CHUNK as CHUNK
from genbench.evaluation.drawing import as_samples as as_samples
from genbench.evaluation.drawing import draw as draw
from genbench.evaluation.drawing import in_batches
from genbench.evaluation.drawing import samples_of as samples_of
from genbench.plugins import registry
from genbench.plugins.arrays import plain
from genbench.plugins.cards import ModelCard
from genbench.plugins.guard import attribute, guarded
from genbench.plugins.interruptions import printable, shown
from genbench.storage.names import training

PROBE = 16  # samples whose bytes identify a generator that declares no version
MOST = 1e-6  # nats by which rounding may lift the log of a mass above 0
ERRORS = 6  # of how many of its standard errors a log of a mass may be above 0
FILES = (".npz", ".npy", ".pt", ".ts", ".pt2")  # of samples, TorchScript and torch.export
FILE_TARGET = "genbench.evaluation.adapters.files:of_setting"

shielded = guarded

_ABSENT = object()
# By capability, the attributes that offer it.
MEMBERS = {
    name: tuple(each for each in (*protocol.__annotations__, *vars(protocol)) if not each.startswith("_"))
    for name, protocol in CAPABILITIES.items()
}


def resolve(name: str) -> ModelCard:
    """The card of a model's name, or a card for a file or folder (see `adapters`), or for ``module:factory``.

    A registered name wins over a folder of that name. ``MODEL@SEED`` is the training of a model by that seed, which has
    a checkpoint of its own. Raises RegistryError for what is none of them.
    """
    if not name.isprintable():
        raise RegistryError(f"{shown(name)} is no name of a model: it holds characters that cannot be printed")
    if Path(name).suffix.lower() in FILES:
        return _card_of_path(name)
    if ":" in name and not Path(name).exists():
        return ModelCard(name, name, "given by its module")
    if Path(name).exists() and (os.sep in name or not registry.is_named("models", name)):
        return _card_of_path(name)
    model, seed = training(name)
    if seed is not None and not registry.is_named("models", name):
        return replace(registry.find("models", model), name=name)
    return registry.find("models", name)


def _card_of_path(path: str) -> ModelCard:
    if not Path(path).exists():
        raise RegistryError(f"{path} does not exist; give samples, TorchScript, a torch.export archive, or a name")
    return ModelCard(path, FILE_TARGET, "given by its file")


def build(card: ModelCard, setting: Setting) -> Generator:
    """The generator behind a card: its target called with the setting, or with nothing, or as it is.

    Raises RegistryError or ModelError in one sentence, whatever the model's own code raises.
    """
    target = registry.load(card.target)
    if not inspect.isclass(target) and attribute(target, "sample") is not None:
        generator = target
    elif callable(target):
        takes = guarded(f"the signature of {card.target}", _positional, target)
        if takes > 1:
            raise ModelError(f"{card.target} takes {takes} arguments; a factory takes a Setting or nothing")
        generator = guarded(f"the factory of {card.name}", target, *[setting] * takes)
    else:
        raise ModelError(f"{card.target} is of type {type(target).__name__}, neither a factory nor a generator")
    faults = shape_faults(generator, setting.spec)
    if faults:
        raise ModelError(f"{card.name}: {faults[0]}")
    built: Generator = generator
    return built


def _positional(factory: Callable[..., Any]) -> int:
    """How many positional arguments a factory needs; one that may take an argument by `setting` gets it too."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return 0
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in positional if p.default is p.empty or p.name == "setting"]
    return len(needed)


def offers(generator: object, capability: str) -> bool:
    """Whether a generator has an optional capability of `contracts.CAPABILITIES`.

    One whose attributes cannot be read is offered: what uses it says why it fails.
    """
    return all(_has(generator, member) for member in MEMBERS[capability])


def offered(generator: object) -> tuple[str, ...]:
    """The names of the optional capabilities that a generator has."""
    return tuple(name for name in CAPABILITIES if offers(generator, name))


def _has(generator: object, member: str) -> bool:
    try:
        value = attribute(generator, member, _ABSENT)
    except ModelError:
        return True
    return value is not _ABSENT and value is not None


def shape_faults(generator: object, spec: SampleSpec | None = None) -> list[str]:
    """What a generator lacks before anything is drawn from it."""
    faults = []
    try:
        own = spec_of(generator)
        if spec is not None and own != spec:
            faults.append(
                f"it makes items of shape {own.shape} with {own.levels} levels, "
                f"the benchmark has {spec.shape} with {spec.levels}"
            )
    except ModelError as error:
        faults.append(str(error))
    try:
        if not callable(attribute(generator, "sample")):
            faults.append("it has no method sample(n)")
    except ModelError as error:
        faults.append(str(error))
    return faults


def spec_of(generator: object) -> SampleSpec:
    """What a generator makes, as a SampleSpec of genbench's own. Raises ModelError where it does not say."""
    return _spec(attribute(generator, "spec"))


def _spec(declared: object) -> SampleSpec:
    shape, levels = attribute(declared, "shape"), attribute(declared, "levels", _ABSENT)
    if shape is None or levels is _ABSENT:
        raise ModelError("it has no spec: set spec = genbench.SampleSpec(shape, levels)")
    return guarded("its spec", lambda: SampleSpec(tuple(map(int, shape)), None if levels is None else int(levels)))


def source_spec(generator: object) -> SampleSpec:
    """What a generator translates: its `source_spec`, or items of its own spec where it declares none."""
    own = attribute(generator, "source_spec")
    return spec_of(generator) if own is None else _spec(own)


def translations(
    generator: object, dataset: Dataset, n: int, seed: int, tell: Callable[[int], None] | None = None
) -> Tensor:
    """The first n held-out sources of a dataset, translated to items of its spec, chunk by chunk as `draw` does.

    Raises ModelError for anything else, and for a generator that translates other items.
    """
    return _mapped(generator, "translate", _sources(generator, dataset, n), dataset.spec, seed, tell)


def cycles(generator: object, dataset: Dataset, n: int, seed: int) -> Tensor:
    """The first n held-out sources of a dataset, translated there and back, likewise."""
    return _mapped(generator, "cycle", _sources(generator, dataset, n), source_spec(generator), seed)


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
    generator: object, what: str, x: Tensor, spec: SampleSpec, seed: int, tell: Callable[[int], None] | None = None
) -> Tensor:
    chunks = x.split(CHUNK)

    def mapped(index: int) -> Tensor:
        made = in_batches(
            generator, what, chunks[index], lambda made, n: as_samples(made, spec, n, what), (seed, what, index)
        )
        if tell is not None:
            tell(index * CHUNK + len(made))
        return made

    return torch.cat(processes.shared(len(chunks), mapped))


def reconstructions(generator: object, x: Tensor, spec: SampleSpec, seed: int) -> Tensor:
    """The reconstructions (n, *shape) of items x, under a scoped seed. Raises ModelError for anything else."""
    what = "reconstruct"
    return in_batches(generator, what, x, lambda made, n: as_samples(made, spec, n, what), (seed, what))


def log_probs(generator: object, x: Tensor, seed: int) -> Tensor:
    """float64 (n,) log-probabilities in nats of items x, under a scoped seed. Raises ModelError for anything else."""
    return in_batches(generator, "log_prob", x, as_log_probs, (seed, "log_prob"))


def log_probs_of(generator: object, x: Tensor, seed: int) -> LogProbs:
    """The log-probabilities of items x (n, *shape), with what the generator says of them.

    Raises ModelError in one sentence where they can be none: not finite, the logs of masses above 1 on levelled data,
    of no kind that there is, or with an error or an interval that is no number.
    """
    values = log_probs(generator, x, seed)
    said = LogProbs(values, kind_of(generator), error_of(generator), interval_of(generator))
    if spec_of(generator).levels is not None:
        lower = 0.0 if said.interval is None else said.interval[0]
        slack = MOST if said.kind != "estimate" else MOST + max(-lower, ERRORS * said.error)
        if values.numel() and float(values.max()) > slack:
            raise ModelError(
                f"log_prob is above 0 ({float(values.max()):.4g} nats): on levelled data it is the log of a mass"
            )
    return said


def kind_of(generator: object) -> Kind:
    """Its `log_prob_kind`. Raises ModelError for a kind that there is not."""
    declared = attribute(generator, "log_prob_kind")
    for kind in get_args(Kind):
        if isinstance(declared, str) and declared == kind:
            known: Kind = kind
            return known
    raise ModelError(f"log_prob_kind must be one of {', '.join(get_args(Kind))}, it is {shown(declared)}")


def error_of(generator: object) -> float:
    """Its `log_prob_error` in nats, 0 where it has none. Raises ModelError for what is no standard error."""
    error = attribute(generator, "log_prob_error")
    if error is None:
        return 0.0
    value = _number(error)
    if not (math.isfinite(value) and value >= 0):
        raise ModelError(f"log_prob_error must be a number of nats of at least 0, it is {shown(error)}")
    return value


def interval_of(generator: object) -> tuple[float, float] | None:
    """Its `log_prob_interval` in nats, None where it has none. Raises ModelError for what is no such interval."""
    interval = attribute(generator, "log_prob_interval")
    if interval is None:
        return None
    ends = guarded("log_prob_interval", lambda: [_number(end) for end in interval])
    if len(ends) != 2 or not (math.isfinite(ends[0]) and math.isfinite(ends[1]) and ends[0] <= 0 <= ends[1]):
        raise ModelError(
            f"log_prob_interval must be (lower <= 0, upper >= 0), finite offsets in nats, it is {shown(interval)}"
        )
    return ends[0], ends[1]


def _number(value: object) -> float:
    """A number as a float, whatever type says that it is one; NaN for what is none."""
    if isinstance(value, str | bytes):
        return math.nan
    try:
        return guarded("float", float, value)  # type: ignore[arg-type]
    except ModelError:
        return math.nan


def as_log_probs(values: object, n: int) -> Tensor:
    """`values` as float64 (n,) on the CPU. Raises ModelError where they are no log-probabilities of n items."""
    values = plain(values, "log_prob")
    if tuple(values.shape) != (n,):
        raise ModelError(f"log_prob returned shape {tuple(values.shape)}, not ({n},)")
    if values.dtype != torch.float64:
        raise ModelError(f"log_prob returned {values.dtype}; log-probabilities are float64")
    if values.isnan().any():
        raise ModelError(f"log_prob returned NaN for {int(values.isnan().sum())} of {n} items")
    if values.isinf().any():
        raise ModelError(f"log_prob is infinite for {int(values.isinf().sum())} of {n} items: the model rules them out")
    return values


def class_log_joints(generator: object, x: Tensor, classes: int, seed: int) -> Tensor:
    """log p(x, y) of items x, float64 (n, classes) in nats, under a scoped seed. Raises ModelError for anything else.

    A class that the model rules out has -inf.
    """
    what = "class_log_joint"
    return in_batches(generator, what, x, lambda made, n: as_class_log_joints(made, n, classes), (seed, what))


def as_class_log_joints(joint: object, n: int, classes: int) -> Tensor:
    """`joint` as float64 (n, classes) on the CPU. Raises ModelError where it holds no log-probabilities."""
    joint = plain(joint, "class_log_joint")
    if tuple(joint.shape) != (n, classes):
        raise ModelError(f"class_log_joint returned shape {tuple(joint.shape)}, not {(n, classes)}")
    if not joint.is_floating_point() or joint.isnan().any() or joint.isposinf().any():
        raise ModelError("class_log_joint returned values that are no log-probabilities: NaN, infinite, or no floats")
    return joint.double()


def version(generator: object) -> str:
    """What identifies a trained model: the `version`, text or a number, that it declares, else a hash of its first
    samples."""
    declared = attribute(generator, "version")
    if isinstance(declared, str | int | float) and str(declared).strip():
        return printable("".join(str(declared).split()))
    probe = samples_of(generator, spec_of(generator), PROBE, seed=0)
    return "samples-" + hashlib.sha256(probe.numpy().tobytes()).hexdigest()[:12]


def untruncated(generator: object) -> float:
    """The psi at which `sample_truncated` truncates nothing. Raises InputError for an unknown kind."""
    kind = attribute(generator, "truncation")
    if not isinstance(kind, str) or kind not in get_args(Truncation):
        raise InputError(f"truncation must be 'threshold', 'interpolation' or 'temperature', not {shown(kind)}")
    return float("inf") if kind == "threshold" else 1.0
