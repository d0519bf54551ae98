"""What extractors made of other libraries' pretrained networks have in common."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor, nn

from genbench.contracts import Features, SampleSpec
from genbench.errors import InputError
from genbench.features import images, weight_files

Outputs = tuple[Tensor, Tensor | None]


@dataclass(frozen=True, slots=True)
class Computation:
    """Where a network computes, and in which of the precisions of `images.PRECISIONS`."""

    device: str = "cpu"
    precision: str = "float32"


@dataclass(frozen=True, eq=False, slots=True)
class Pretrained:
    """A network with its weights, how its input is made, and how its outputs are got.

    `prepare` takes uint8 images (n, 3, H, W) to the input, float32; its representation enters the fingerprint. `run`
    takes the network and an input to embeddings (n, D) and logits (n, K), or None where it has no classes.
    """

    name: str
    network: nn.Module
    prepare: Callable[[Tensor], Tensor]
    run: Callable[[nn.Module, Tensor], Outputs]


class PretrainedFeatures:
    """Embeddings float32 (n, D) on the CPU and, of a classifier, the probabilities float32 (n, K).

    Images may have any size.
    """

    any_size = True

    def __init__(self, spec: SampleSpec, pretrained: Pretrained, computation: Computation | None = None) -> None:
        computation = computation or Computation()
        self.spec, self.pretrained, self.name = spec, pretrained, pretrained.name
        self.device, self.dtype = torch.device(computation.device), images.PRECISIONS[computation.precision]
        self.fingerprint = (
            f"{self.name} weights={weight_files.content(pretrained.network.state_dict())} "
            f"preprocessing={pretrained.prepare!r} precision={computation.precision}"
        )
        self.network = pretrained.network.eval().requires_grad_(False).to(self.device, self.dtype)

    def __call__(self, x: Tensor, /) -> Features:
        """Raises InputError for anything but uint8 images (n, C, H, W) with C = 1 or 3."""
        x = images.rgb(self.name, self.spec, x)
        if len(x) == 0:
            raise InputError(f"{self.name} was given no images")
        embeddings, probabilities = [], []
        with torch.inference_mode(), images.full_precision(self.device):
            for part in x.split(images.images_per_pass(self.device)):
                prepared = self.pretrained.prepare(part).to(self.device, self.dtype)
                vectors, logits = self.pretrained.run(self.network, prepared)
                embeddings.append(vectors.float().cpu())
                if logits is not None:
                    probabilities.append(logits.float().softmax(1).cpu())
        # Tensors of inference mode could not be written to by who receives them.
        return Features(torch.cat(embeddings).clone(), torch.cat(probabilities).clone() if probabilities else None)


def library(module: str, name: str, extra: str) -> ModuleType:
    """A library that the features `name` need. Raises InputError, which says how to install it, where it is absent."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(
            f"the features {name} need the package {error.name}, which is not installed: "
            f"pip install 'genbench[{extra}]'"
        ) from error
