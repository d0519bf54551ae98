"""What networks for photographs are given: uint8 RGB images of 256 levels, a few at a time, in full float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from genbench.contracts import SampleSpec
from genbench.errors import InputError

PRECISIONS = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}

# Images per pass. On a CPU more would make activations that the allocator hands back to the system and faults in anew.
CPU_IMAGES, GPU_IMAGES = 4, 64
THINNEST = 32  # the long side over the short one, where the short one is enlarged to a network's hundreds of pixels


def check_spec(name: str, spec: SampleSpec) -> None:
    """Raises InputError for anything but levelled grey or RGB images."""
    if spec.levels is None or not spec.is_image or spec.shape[0] not in (1, 3):
        kind = "real-valued" if spec.levels is None else f"{spec.levels}-level"
        raise InputError(
            f"{name} reads levelled images of shape (C, H, W) with C = 1 or 3, not {kind} items of shape {spec.shape}"
        )


def check_precision(name: str, precision: str) -> None:
    """Raises InputError for a precision that networks here do not compute in."""
    if precision not in PRECISIONS:
        raise InputError(f"{name} computes in {', '.join(PRECISIONS)}, not in {precision!r}; choose one of them")


def rgb(name: str, spec: SampleSpec, x: Tensor) -> Tensor:
    """Images (n, C, H, W) of the spec's levels as uint8 (n, 3, H, W) of 256 levels.

    Level x of K becomes round(255 x / (K - 1)); grey is repeated. H and W need not be those of the spec. Raises
    InputError for another dtype, number of axes or of channels, and for values that are no level.
    """
    if x.dtype != torch.uint8 or x.ndim != 4 or x.shape[1] not in (1, 3) or 0 in x.shape[2:]:
        raise InputError(
            f"{name} reads uint8 images (n, C, H, W) with C = 1 or 3, not {x.dtype} of shape {tuple(x.shape)}"
        )
    assert spec.levels is not None
    if spec.levels < 256:
        if x.numel() and int(x.max()) >= spec.levels:
            raise InputError(f"{name} was made for {spec.levels} levels, an image holds the value {int(x.max())}")
        table = [round(255 * level / (spec.levels - 1)) for level in range(spec.levels)]
        x = torch.tensor(table, dtype=torch.uint8, device=x.device)[x.int()]
    return x.expand(-1, 3, -1, -1)


def check_aspect(name: str, x: Tensor) -> None:
    """Raises InputError for images (n, C, H, W) so thin that to resize the short side takes gigabytes for the long."""
    short, long = sorted(x.shape[2:])
    if long > THINNEST * short:
        raise InputError(
            f"{name} resizes the short side of an image and keeps its shape, for which {x.shape[3]}x{x.shape[2]} "
            f"pixels are too thin; crop it to at most {THINNEST} times its short side, or choose the features inception"
        )


def images_per_pass(device: torch.device) -> int:
    return CPU_IMAGES if device.type == "cpu" else GPU_IMAGES


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """No TensorFloat-32 on a GPU, whose 10-bit mantissas would show in the features; the user's setting comes back."""
    switches = _tensorfloat_switches() if device.type == "cuda" else ()
    before = [getattr(owner, name) for owner, name, _ in switches]
    try:
        for owner, name, off in switches:
            setattr(owner, name, off)
        yield
    finally:
        for (owner, name, _), value in zip(switches, before, strict=True):
            setattr(owner, name, value)


def _tensorfloat_switches() -> tuple[tuple[Any, str, object], ...]:
    """What of torch allows TensorFloat-32, the attribute's name, and its value for no."""
    backends: Any = torch.backends
    if hasattr(backends.cudnn, "conv"):
        return (backends.cudnn.conv, "fp32_precision", "ieee"), (backends.cuda.matmul, "fp32_precision", "ieee")
    return (backends.cudnn, "allow_tf32", False), (backends.cuda.matmul, "allow_tf32", False)  # torch before 2.9
