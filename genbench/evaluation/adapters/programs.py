"""Networks in files: TorchScript, and archives of `torch.export`, as what they are told and what they return.

Nothing here runs code of a pickle: `torch.jit.load` and `torch.export.load` read programs of their own kinds.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genbench.errors import ModelError
from genbench.plugins.interruptions import described
from genbench.storage.regular import open_regular, shown

SCRIPTS, ARCHIVES = (".pt", ".ts"), (".pt2",)


@dataclass(frozen=True, eq=False)
class Program:
    """A network from a file: `call` maps codes (n, *latent_shape), or is told how many items to make.

    `latent_shape` is None where it is told, and where whoever opened the file knows it.
    """

    name: str
    version: str
    call: Callable[..., object]
    latent_shape: tuple[int, ...] | None
    device: torch.device


def is_program(path: Path) -> bool:
    """Whether a path names a file of TorchScript or of torch.export, by its ending."""
    return path.suffix.lower() in (*SCRIPTS, *ARCHIVES) and not path.is_dir()


def opened(path: Path, device: str, maps_codes: bool = False) -> Program:
    """The network in a file; `maps_codes` where a script is known to. Raises ModelError for what holds none."""
    return exported(path) if path.suffix.lower() in ARCHIVES else scripted(path, device, maps_codes)


def scripted(path: Path, device: str, maps_codes: bool = False) -> Program:
    """The network in a TorchScript file, as ``torch.jit.script(module).save(path)`` writes it.

    It is called in one of three ways: by a method ``sample(n: int)`` (`torch.jit.export`); else by ``forward(n: int)``;
    else by ``forward(z)`` with codes z of a standard normal distribution, float32 (n, *latent_shape), where
    `latent_shape` is an attribute of the module, as ``[128]``, or an int64 buffer. Raises ModelError for others.
    """
    version, name, place = _version(path), shown(path), torch.device(device)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".*torch\.jit")  # that TorchScript is deprecated altogether
            module: Any = torch.jit.load(str(path), map_location=place).eval()
    except Exception as error:
        raise ModelError(
            f"{name} is not TorchScript ({described(error)}); save torch.jit.script(model).save(path), or name what "
            f"builds the model as module:factory"
        ) from error
    if maps_codes:
        return Program(name, version, module, None, place)
    if hasattr(module, "sample"):
        return Program(name, version, module.sample, None, place)
    arguments = module.forward.schema.arguments  # the module itself comes first
    if len(arguments) > 1 and str(arguments[1].type) == "int":
        return Program(name, version, lambda *told: module(*told), None, place)
    shape = getattr(module, "latent_shape", None)
    if shape is None:
        raise ModelError(
            f"{name} has neither a method sample(n: int) nor the shape of its codes; give the module an attribute "
            f"latent_shape before torch.jit.script, as self.latent_shape = [128], or say it in "
            f"Python, by genbench.adapt(path, latent=128)"
        )
    sizes = tuple(int(size) for size in (shape.tolist() if isinstance(shape, Tensor) else shape))
    return Program(name, version, module, sizes, place)


def exported(path: Path) -> Program:
    """The network in an archive of `torch.export`, as ``torch.export.save(program, path)`` writes it.

    Its one input are codes z of a standard normal distribution, float32 (n, *latent_shape); their shape and device are
    those of the example that it was exported with. Where n was fixed then, codes are mapped so many at a time. Raises
    ModelError for others.
    """
    version, name = _version(path), shown(path)
    try:
        program = torch.export.load(str(path))
        taken = program.graph_signature.user_inputs
        inputs = [node.meta["val"] for node in program.graph.nodes if node.op == "placeholder" and node.name in taken]
        network: Any = program.module()
    except Exception as error:
        raise ModelError(
            f"{name} is not an archive of torch.export ({described(error)}); save "
            f"torch.export.save(torch.export.export(model, (z,)), path)"
        ) from error
    if len(inputs) != 1 or not isinstance(inputs[0], Tensor) or inputs[0].dtype != torch.float32 or not inputs[0].ndim:
        raise ModelError(f"the program in {name} must take one input, codes float32 (n, *latent_shape)")
    batch, *sizes = inputs[0].shape
    if not all(isinstance(size, int) for size in sizes):
        raise ModelError(f"the program in {name} leaves the shape of its codes open; fix all of it but the first")
    call = _by_parts(network, batch) if isinstance(batch, int) else lambda z: network(z)
    return Program(name, version, call, tuple(sizes), inputs[0].device)


def _version(path: Path) -> str:
    with open_regular(path) as file:
        return f"file-{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"


def _by_parts(network: Callable[[Tensor], Any], batch: int) -> Callable[[Tensor], object]:
    """A network for `batch` codes at a time as one for any number of them."""

    def mapped(z: Tensor) -> object:
        filled = torch.cat([z, z.new_zeros(-len(z) % batch, *z.shape[1:])])
        parts = [network(part) for part in filled.split(batch)]
        return torch.cat(parts)[: len(z)] if all(isinstance(part, Tensor) for part in parts) else parts[0]

    return mapped
