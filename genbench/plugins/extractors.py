"""Feature extractors by name: ``NAME``, or ``NAME:ARGUMENT`` where one takes an argument, as in ``inception:768``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from genbench.contracts import FeatureExtractor, SampleSpec
from genbench.errors import InputError
from genbench.plugins import registry


@dataclass(frozen=True, slots=True)
class Computing:
    """Where and how a network computes features; `weights` is a file in place of the network's own weights."""

    device: str = "cpu"
    precision: str = "float32"
    weights: Path | None = None


def make(name: str, spec: SampleSpec, computing: Computing | None = None) -> FeatureExtractor:
    """The extractor of that name for items of `spec`.

    Raises RegistryError for an unknown name, and InputError where it does not read such items or takes no such option.
    """
    head, colon, argument = name.partition(":")
    factory: Callable[..., FeatureExtractor] = registry.load(registry.find("features", head).target)
    taken = inspect.signature(factory).parameters
    if colon and "argument" not in taken:
        raise InputError(f"the features {head} take nothing after a colon, got {name!r}")
    options: dict[str, object] = {"argument": argument} if colon else {}
    chosen = computing or Computing()
    for option, default in (("device", "cpu"), ("precision", "float32"), ("weights", None)):
        value = getattr(chosen, option)
        if option in taken:
            options[option] = value
        elif value != default and option != "device":
            raise InputError(f"the features {head} take no --{option}; leave it out")
    return factory(spec, **options)
