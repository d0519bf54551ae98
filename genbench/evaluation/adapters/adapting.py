"""`genbench.adapt`: one call for a function, a network or a sampler, and one for the models of each library."""

from __future__ import annotations

import inspect
from typing import Any

from genbench.errors import InputError
from genbench.evaluation.adapters import libraries
from genbench.evaluation.adapters.adapted import Adaptation, Adapted

NAMES = tuple(inspect.signature(Adaptation).parameters)


class Adapt:
    """Makes a Generator of what draws samples; the keyword arguments are the fields of `Adaptation`.

    A function or module is called as ``source(n)``, or as ``source(z)`` with codes where `latent` is given; labels,
    int64 (n,), come second where `classes` is given. A module without `latent` is asked by its method `sample`. It
    returns a tensor, an array or a list of images; scaling, rounding, layout, dtype and device are taken care of.

    >>> model = adapt(lambda n: torch.rand(n, 1, 8, 8), shape=(1, 8, 8), levels=17, range=(0, 1))
    >>> model.sample(2).dtype
    torch.uint8

    `adapt.diffusers(pipeline)`, `adapt.pythae(model)` and `adapt.flow(distribution)` know the conventions of those
    libraries. Raises InputError for options that do not fit each other.
    """

    diffusers = staticmethod(libraries.diffusers)
    pythae = staticmethod(libraries.pythae)
    flow = staticmethod(libraries.flow)

    def __call__(self, source: Any, **options: Any) -> Adapted:
        unknown = [name for name in options if name not in NAMES]
        if unknown:
            raise InputError(f"adapt takes no {unknown[0]}; it takes {', '.join(NAMES)}")
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


adapt = Adapt()
