"""Models from files: samples that were drawn already, and networks that make items of the spec by themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genbench.contracts import Generator, SampleSpec, Setting
from genbench.data import images, sources
from genbench.errors import DataError, ModelError
from genbench.evaluation.adapters import programs
from genbench.storage import npz
from genbench.storage.regular import shown


def of_setting(setting: Setting) -> Generator:
    """The factory behind the card of a file: the setting's model is its path."""
    return from_path(Path(setting.model), setting)


def from_path(path: Path, setting: Setting) -> Generator:
    """The generator that a file or folder holds, for items of the setting's spec.

    Samples are an ``.npz`` with `arr_0`, an ``.npy``, or a folder of images; see `StoredSamples`. ``.pt`` and ``.ts``
    are TorchScript, ``.pt2`` is an archive of `torch.export`; see `programs`. Raises DataError for what cannot be read,
    and ModelError for what makes no such items, in one sentence that says how to make it so.
    """
    if not programs.is_program(path):
        return StoredSamples.open(path, setting.spec)
    program = programs.opened(path, setting.device)
    about = program.name, setting.spec, program.version, program.call
    if program.latent_shape is None:
        return CountedModel(*about)
    return DecodingModel(*about, program.latent_shape, program.device)


class StoredSamples:
    """Samples (n, *shape) that are there already: the first ones are given, in order, whatever the seed.

    Images may be (n, H, W, C), (n, C, H, W) or, grey, (n, H, W); others are (n, *shape). Levelled data is uint8, images
    of fewer than 256 levels with these spread over 0..255, as ``--save-samples`` writes them; real-valued data is
    float32.
    """

    def __init__(self, name: str, items: Tensor, spec: SampleSpec) -> None:
        self.name, self.items, self.spec = name, items, spec
        content = repr((tuple(items.shape), items.dtype)).encode() + items.numpy().tobytes()
        self.version = f"content-{hashlib.sha256(content).hexdigest()[:12]}"

    @classmethod
    def open(cls, path: Path, spec: SampleSpec) -> StoredSamples:
        """The samples at a path. Raises DataError or ModelError, see `from_path`."""
        if spec.is_image and spec.levels is not None:
            items = _image_items(path, spec)
        elif path.is_dir():
            raise ModelError(f"{shown(path)} is a folder, which holds images alone; give an .npz or .npy of {spec}")
        else:
            items = _array_items(path, spec)
        return cls(shown(path), items, spec)

    def sample(self, n: int, /) -> Tensor:
        """The first n. Raises ModelError where there are fewer."""
        if n > len(self.items):
            raise ModelError(f"{self.name} holds {len(self.items)} samples, not {n}; draw more, or lower -n")
        return self.items[:n]

    sample.in_one_piece = True  # type: ignore[attr-defined]  # not by chunks, each of which would be the first ones


def _image_items(path: Path, spec: SampleSpec) -> Tensor:
    """Images as uint8 (n, C, H, W) of the spec's levels."""
    assert spec.levels is not None
    source = sources.open_images(path)
    if isinstance(source, sources.ArrayImages):
        stacked = np.asarray(source.array)
    else:
        stacked = _decoded(source)
    if stacked.shape[1:] != (*spec.shape[1:], spec.shape[0]):
        sizes = images.size_of(stacked.shape[1:]), images.size_of((*spec.shape[1:], spec.shape[0]))
        raise ModelError(f"the images of {shown(path)} are {sizes[0]}, the benchmark's are {sizes[1]}")
    items = torch.from_numpy(np.array(stacked.transpose(0, 3, 1, 2), order="C"))
    return items if spec.levels == 256 else _levels_of(items, spec.levels, shown(path))


def _decoded(source: sources.Images) -> np.ndarray:
    """The pixels of all images, uint8 (n, H, W, C). Raises DataError where they are not plain and of one size."""
    pixels: list[np.ndarray] = []
    for image in sources.read(source, range(len(source)), sources.default_workers()):
        if image.pixels is None:
            raise DataError(image.fault)
        if image.remark:
            raise DataError(
                f"{source.called(image.index)} is not plain 8-bit grey or RGB: such images "
                f"{images.REMARKS[image.remark]}; convert it"
            )
        if pixels and image.pixels.shape != pixels[0].shape:
            sizes = images.size_of(image.pixels.shape), images.size_of(pixels[0].shape)
            raise DataError(f"{source.called(image.index)} is {sizes[0]} while {source.called(0)} is {sizes[1]}")
        pixels.append(image.pixels)
    return np.stack(pixels)


def _levels_of(items: Tensor, levels: int, name: str) -> Tensor:
    """Levels that were spread over 0..255, back again. Raises ModelError for any value between them."""
    spread = torch.from_numpy(np.rint(np.arange(levels) * (255.0 / (levels - 1))).astype(np.int64))
    back = torch.full((256,), -1, dtype=torch.int64)
    back[spread] = torch.arange(levels)
    values = back[items.long()]
    if (values < 0).any():
        wrong = int(items[values < 0][0])
        raise ModelError(
            f"{name} holds the value {wrong}; images of {levels} levels are stored as (level * {255 / (levels - 1):g})"
            f".round(), as --save-samples writes them"
        )
    return values.to(torch.uint8)


def _array_items(path: Path, spec: SampleSpec) -> Tensor:
    """Items that are no levelled images, (n, *shape), as they stand in an array."""
    array = npz.read(path, ["arr_0"])["arr_0"]
    wanted = np.dtype(np.float32 if spec.levels is None else np.uint8)
    if array.dtype.newbyteorder("=") != wanted:
        raise ModelError(f"{shown(path)} holds {array.dtype}, samples of this benchmark are {wanted}; convert them")
    if array.shape[1:] != spec.shape:
        raise ModelError(f"{shown(path)} holds an array of shape {array.shape}; samples are (n, *{spec.shape})")
    items = torch.from_numpy(np.array(array, dtype=wanted, order="C"))
    if spec.levels is None and not items.isfinite().all():
        raise ModelError(f"{shown(path)} holds values that are not finite")
    if spec.levels is not None and items.numel() and int(items.max()) >= spec.levels:
        raise ModelError(f"{shown(path)} holds the value {int(items.max())}; the levels are 0..{spec.levels - 1}")
    return items


@dataclass(eq=False)
class CountedModel:
    """A network in a file that is told how many items to make."""

    name: str
    spec: SampleSpec
    version: str
    network: Callable[..., object]

    def sample(self, n: int, /) -> Tensor:
        return _items(self.network(n), self.spec, self.name)


@dataclass(eq=False)
class DecodingModel:
    """A network in a file that maps codes, drawn from a standard normal distribution, to items."""

    name: str
    spec: SampleSpec
    version: str
    network: Callable[..., object]
    latent_shape: tuple[int, ...]
    device: torch.device

    def sample_latent(self, n: int, /) -> Tensor:
        return torch.randn(n, *self.latent_shape)

    def decode(self, z: Tensor, /) -> Tensor:
        """Codes float32 (n, *latent_shape) as items (n, *shape)."""
        with torch.no_grad():
            return _items(self.network(z.to(self.device)), self.spec, self.name)

    def sample(self, n: int, /) -> Tensor:
        return self.decode(self.sample_latent(n))


def _items(made: object, spec: SampleSpec, name: str) -> Tensor:
    """What a network makes. Raises ModelError for floats in place of levels: their range is not to be guessed."""
    if not isinstance(made, Tensor):
        raise ModelError(f"the network in {name} returns {type(made).__name__}, not a tensor")
    if spec.levels is not None and made.is_floating_point():
        top = spec.levels - 1
        raise ModelError(
            f"the network in {name} returns {made.dtype}, samples are uint8 with values 0..{top}; convert them in its "
            f"forward, for values in [-1, 1] by ((x + 1) * {top / 2:g}).round().clamp(0, {top}).to(torch.uint8), for "
            f"[0, 1] by (x * {top}).round().clamp(0, {top}).to(torch.uint8); or give them their range in Python, by "
            f"genbench.adapt(path, range=(-1, 1))"
        )
    return made
