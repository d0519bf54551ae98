"""`genbench.adapt`: one call for a function, a network or a sampler, and one for the models of each library."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

from genbench.errors import InputError
from genbench.evaluation.adapters import libraries, programs
from genbench.evaluation.adapters.adapted import Adaptation, Adapted
from genbench.evaluation.adapters.files import StoredSamples
from genbench.storage.regular import shown

NAMES = tuple(inspect.signature(Adaptation).parameters)
OF_SAMPLES = ("shape", "levels", "name")  # the options that samples have


class Adapt:
    """Makes a Generator of what draws samples; the keyword arguments are the fields of `Adaptation`.

    A function or module is called as ``source(n)``, or as ``source(z)`` with codes where `latent` is given; labels,
    int64 (n,), come second where `classes` is given. A module without `latent` is asked by its method `sample`. It
    returns a tensor, an array or a list of images; scaling, rounding, layout, dtype and device are taken care of.

    A path is a file of TorchScript (``.pt``, ``.ts``) or of torch.export (``.pt2``), which is asked as ``genbench run
    --model PATH`` does, and may return floats of the range; or samples that are there already, an ``.npz``, an ``.npy``
    or a folder of images, of which `shape` and `levels` are told.

    >>> model = adapt(lambda n: torch.rand(n, 1, 8, 8), shape=(1, 8, 8), levels=17, range=(0, 1))
    >>> model.sample(2).dtype
    torch.uint8

    `adapt.diffusers(pipeline)`, `adapt.pythae(model)` and `adapt.flow(distribution)` know the conventions of those
    libraries. Raises InputError for options that do not fit each other, and GenbenchError for files that cannot be read
    or hold no such thing.
    """

    diffusers = staticmethod(libraries.diffusers)
    pythae = staticmethod(libraries.pythae)
    flow = staticmethod(libraries.flow)

    @overload
    def __call__(self, source: str | os.PathLike[str], **options: Any) -> Adapted | StoredSamples: ...

    @overload
    def __call__(self, source: Any, **options: Any) -> Adapted: ...

    def __call__(self, source: Any, **options: Any) -> Adapted | StoredSamples:
        unknown = [name for name in options if name not in NAMES]
        if unknown:
            raise InputError(f"adapt takes no {unknown[0]}; it takes {', '.join(NAMES)}")
        if isinstance(source, str | os.PathLike):
            return _of_path(Path(source), options)
        return Adapted(source, Adaptation(**options))

    @property
    def __signature__(self) -> inspect.Signature:
        """That of the options, for `help` and editors."""
        source = inspect.Parameter("source", inspect.Parameter.POSITIONAL_ONLY)
        keywords = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in inspect.signature(Adaptation).parameters.values()
        ]
        return inspect.Signature([source, *keywords])


def _of_path(path: Path, options: Mapping[str, Any]) -> Adapted | StoredSamples:
    """The network or the samples in a file."""
    adaptation = Adaptation(**options)
    if not path.exists():
        raise InputError(f"{shown(path)} does not exist; give a function, a network, or the path of one or of samples")
    if not programs.is_program(path):
        idle = [name for name in options if name not in OF_SAMPLES]
        if idle:
            raise InputError(f"{shown(path)} holds samples, of which {', '.join(OF_SAMPLES)} are told, not {idle[0]}")
        samples = StoredSamples.open(path, adaptation.spec)
        samples.name = adaptation.name or path.name
        return samples
    program = programs.opened(path, adaptation.device or "cpu", adaptation.latent is not None)
    known = replace(
        adaptation,
        latent=program.latent_shape if adaptation.latent is None else adaptation.latent,
        device=str(program.device),
        name=adaptation.name or path.name,
        version=adaptation.version or program.version,
    )
    return Adapted(program.call, known)


adapt = Adapt()
