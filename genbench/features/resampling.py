"""How images reach a network's input size: the ways of the tools whose numbers are published.

``tf`` is the bilinear resize of TensorFlow 1, which averages nothing on the way down; ``torch`` is what
`torch.nn.functional.interpolate` does without its antialiasing, as pytorch-fid has it; ``clean`` is Pillow's bicubic
filter on each channel in float, without rounding, as clean-fid and the ``--clean_resize`` of dgm-eval have it; ``pil``
is Pillow's filter on 8-bit images, which torchvision's and timm's own transforms use.

References: G. Parmar, R. Zhang and J.-Y. Zhu, "On Aliased Resizing and Surprising Subtleties in GAN Evaluation" (2022).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from genbench.errors import InputError
from genbench.features import resize

Filter = Literal["bilinear", "bicubic"]
CHOICES = ("tf", "clean", "torch")  # of --resize
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def filter_named(name: str) -> Filter:
    """The filter of a library's own name for it; bicubic for those that are not here."""
    return "bilinear" if name == "bilinear" else "bicubic"


def check_choice(name: str, choice: str | None) -> None:
    """Raises InputError for what --resize does not offer."""
    if choice is not None and choice not in CHOICES:
        raise InputError(f"{name} resizes by {', '.join(CHOICES)}, not by {choice!r}; choose one of them")


def resampled(x: Tensor, side: int, way: str, how: Filter = "bicubic") -> Tensor:
    """uint8 images (n, 3, H, W) as float32 (n, 3, side, side) of values 0..255, the whole of them, by one of the ways.

    `how` is the filter of ``pil`` and ``torch``. Bicubic values of ``torch`` may pass the range by a few levels.
    """
    if way == "tf":
        return resize.resized(x, side) * 128 + 128
    if way == "torch":
        return F.interpolate(x.float(), (side, side), mode=how, align_corners=False)
    pictures = [_clean(pixels, side) if way == "clean" else _by_pillow(pixels, side, how) for pixels in _arrays(x)]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(x.device)


def _arrays(x: Tensor) -> np.ndarray:
    return x.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def _by_pillow(pixels: np.ndarray, side: int, how: Filter) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((side, side), FILTERS[how]), dtype=np.float32)


def _clean(pixels: np.ndarray, side: int) -> np.ndarray:
    channels = [
        np.asarray(Image.fromarray(channel).resize((side, side), FILTERS["bicubic"])).clip(0, 255)
        for channel in pixels.astype(np.float32).transpose(2, 0, 1)
    ]
    return np.stack(channels, 2)


@dataclass(frozen=True, slots=True)
class Square:
    """Images (n, 3, H, W), uint8, to a network's input (n, 3, side, side), float32: (x / 255 - mean) / std.

    The whole image is squeezed into the square, or, where it is `cropped`, the largest square amid it is taken. Its
    representation is part of a fingerprint.
    """

    side: int
    way: str = "pil"
    how: Filter = "bicubic"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    cropped: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        if self.cropped:
            height, width = x.shape[2:]
            short = min(height, width)
            top, left = (height - short) // 2, (width - short) // 2
            x = x[:, :, top : top + short, left : left + short]
        mean, std = (torch.tensor(values, device=x.device)[:, None, None] for values in (self.mean, self.std))
        return (resampled(x, self.side, self.way, self.how) / 255 - mean) / std


@dataclass(frozen=True, slots=True)
class ByLibrary:
    """A library's own transform of one Pillow image to a tensor, applied to uint8 images (n, 3, H, W)."""

    transform: Callable[[Image.Image], Tensor]

    def __call__(self, x: Tensor) -> Tensor:
        return torch.stack([self.transform(Image.fromarray(pixels)) for pixels in _arrays(x)]).to(x.device)

    def __repr__(self) -> str:
        return " ".join(repr(self.transform).split())
