"""Feature extractors by name, by ``module:factory``, or as a function of items; those of strangers under guard.

A name may have an argument, as in ``inception:768``, which the factory takes by `argument`.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.contracts import FeatureExtractor, Features, SampleSpec
from genbench.errors import InputError, ModelError, RegistryError
from genbench.plugins import registry
from genbench.plugins.guard import attribute, guarded, guarded_as
from genbench.plugins.interruptions import printable

if TYPE_CHECKING:
    from torch import Tensor

PROBES = 16  # items whose features identify an extractor that declares no fingerprint

Custom = Callable[["Tensor"], object]  # items (n, *shape) to Features, or to a tensor or array (n, D)


@dataclass(frozen=True, slots=True)
class Computing:
    """Where and how a network computes features.

    `weights` is a file in place of the network's own weights; `resize` is how images are brought to its size: "tf",
    "clean" or "torch" as other tools do it, None as the network's own tool does.
    """

    device: str = "cpu"
    precision: str = "float32"
    weights: Path | None = None
    resize: str | None = None


def make(features: str | Custom, spec: SampleSpec, computing: Computing | None = None) -> FeatureExtractor:
    """The extractor of a name or ``module:factory``, or one made of a function, for items of `spec`.

    A factory takes the spec, and by name what it knows of `device`, `precision`, `weights` and `argument`. A function
    takes items (n, *shape) and returns Features, or a tensor or array (n, D). A stranger's extractor that has no
    attribute `fingerprint` is identified by its features of fixed items, which other processors may round otherwise.

    Raises RegistryError for an unknown name and for what is no extractor, and InputError where it does not read such
    items, takes no such option, or gives other features whenever it is called.
    """
    computing = computing or Computing()
    if not isinstance(features, str):
        name = _name_of_function(features)
        _options(name, (), computing)
        return _of_stranger(features, name, spec)
    card = registry.card_of("features", features)
    factory: Callable[..., Any] = registry.load(card.target)
    if not callable(factory):
        raise RegistryError(f"{card.target} is a {type(factory).__name__}, not a factory of extractors")
    taken = tuple(guarded_as(RegistryError, f"the signature of {card.target}", inspect.signature, factory).parameters)
    argument = features[len(card.name) + 1 :]
    if argument and "argument" not in taken:
        raise InputError(f"the features {card.name} take nothing after a colon, got {features!r}")
    options = _options(card.name, taken, computing) | ({"argument": argument} if argument else {})
    made = guarded_as(RegistryError, f"the factory of the features {features}", factory, spec, **options)
    if type(made).__module__.split(".")[0] == "genbench":
        extractor: FeatureExtractor = made
        return extractor
    if not callable(made):
        raise RegistryError(
            f"the factory of the features {features} returned {printable(type(made).__name__)}; "
            f"it takes a SampleSpec and returns what maps items to features"
        )
    return _of_stranger(made, features, spec)


def _options(name: str, taken: tuple[str, ...], computing: Computing) -> dict[str, Any]:
    """How to compute, as far as a factory takes it. Raises InputError for what is asked and not taken."""
    options: dict[str, Any] = {}
    for option, usual in (("device", "cpu"), ("precision", "float32"), ("weights", None), ("resize", None)):
        value = getattr(computing, option)
        if option in taken:
            options[option] = value
        elif value != usual and option != "device":
            raise InputError(f"the features {name} take no --{option}; leave it out")
    return options


@dataclass(eq=False, slots=True)
class Foreign:
    """A stranger's extractor, called under guard with copies, and held to what features are."""

    name: str
    fingerprint: str
    any_size: bool
    function: Custom

    def __call__(self, x: Tensor, /) -> Features:
        """Raises ModelError where it raises, and where what it returns are no features of these items."""
        return _features(self.function, x, self.name)


def _of_stranger(function: Custom, name: str, spec: SampleSpec) -> Foreign:
    fingerprint = attribute(function, "fingerprint")
    if not isinstance(fingerprint, str) or not fingerprint:
        fingerprint = f"{name} {_hash_of_features(function, name, spec)}"
    return Foreign(name, printable(fingerprint), attribute(function, "any_size", False) is True, function)


def _name_of_function(function: Custom) -> str:
    """The `name` that it has, else its qualified name, or that of its class."""
    if not callable(function):
        raise InputError(f"features are a name or a function of items, not {type(function).__name__}")
    name = attribute(function, "name")
    if isinstance(name, str) and name.strip():
        return printable(name)
    named: Any = function if hasattr(function, "__qualname__") else type(function)
    return printable(f"{named.__module__}:{named.__qualname__}")


def _hash_of_features(function: Custom, name: str, spec: SampleSpec) -> str:
    """A hash of the features of fixed items: one of each extreme, and noise."""
    import torch

    from genbench import seeding

    noise = seeding.generator("items that identify an extractor")
    if spec.levels is None:
        items = torch.randn(PROBES, *spec.shape, generator=noise)
        items[0] = 0
    else:
        items = torch.randint(spec.levels, (PROBES, *spec.shape), generator=noise).to(torch.uint8)
        items[0], items[1] = 0, spec.levels - 1
    try:
        first, again = (_features(function, items, name, seed).embeddings for seed in (0, 1))
    except ModelError as error:
        raise InputError(str(error)) from error
    if not torch.equal(first, again):
        raise InputError(f"the features {name} of the same items differ from call to call; switch its dropout off")
    return hashlib.sha256(repr(tuple(first.shape)).encode() + first.numpy().tobytes()).hexdigest()[:16]


def _features(function: Custom, x: Tensor, name: str, seed: int = 0) -> Features:
    from genbench import seeding
    from genbench.plugins.arrays import plain

    what = f"the features {name}"
    with seeding.scoped(seed, "features"):
        value = guarded(what, function, x)
    known = isinstance(value, Features)
    embeddings = plain(value.embeddings if isinstance(value, Features) else value, what).float()
    if embeddings.ndim != 2 or len(embeddings) != len(x) or not embeddings.shape[1]:
        raise ModelError(f"{what} gave shape {tuple(embeddings.shape)} for {len(x)} items; it must be ({len(x)}, D)")
    if not embeddings.isfinite().all():
        raise ModelError(f"{what} hold values that are not finite")
    if not known or value.probabilities is None:  # type: ignore[attr-defined]
        return Features(embeddings)
    probabilities = plain(value.probabilities, what).float()  # type: ignore[attr-defined]
    if probabilities.ndim != 2 or len(probabilities) != len(x):
        raise ModelError(f"{what} gave class probabilities of shape {tuple(probabilities.shape)} for {len(x)} items")
    if not (probabilities >= 0).all() or not (probabilities.sum(1) - 1).abs().max() < 1e-3:
        raise ModelError(f"{what} gave class probabilities that are negative or do not sum to 1")
    return Features(embeddings, probabilities)
