"""Sets of images to be scored: a folder, an array in a file or in memory; read piece by piece, in a fixed order."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor

from genbench.contracts import SampleSpec
from genbench.data import images
from genbench.data.files import classes_of
from genbench.errors import DataError

AHEAD = 4  # pictures per worker that are decoded before they are asked for


class Images(Protocol):
    """A set of images in a fixed order; `labels` are the indices of the class folders they lie in, where they do."""

    @property
    def name(self) -> str: ...

    @property
    def labels(self) -> Tensor | None: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def load(self, index: int, /) -> tuple[np.ndarray, int]: ...  # uint8 (H, W, C), and an index of images.REMARKS

    def digest(self, chosen: Sequence[int], workers: int, /) -> str: ...  # of the content of some of them

    def called(self, index: int, /) -> str: ...  # what to call one of them in a message


@dataclass(frozen=True, eq=False)
class FolderImages:
    """The image files below a folder."""

    name: str
    paths: list[Path]
    labels: Tensor | None
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, index: int, /) -> tuple[np.ndarray, int]:
        return images.decode(self.paths[index])

    def digest(self, chosen: Sequence[int], workers: int, /) -> str:
        def one(index: int) -> bytes:
            try:
                with self.paths[index].open("rb") as file:
                    return hashlib.file_digest(file, "sha256").digest()
            except OSError as error:  # decoding will say so; until then it must only differ from readable files
                return repr(error).encode()

        digest = hashlib.sha256(b"files")
        with ThreadPoolExecutor(max(1, workers)) as pool:
            for part in pool.map(one, chosen):
                digest.update(part)
        return digest.hexdigest()

    def called(self, index: int, /) -> str:
        return images.shown(self.paths[index])


@dataclass(frozen=True, eq=False)
class ArrayImages:
    """Images in one array, uint8 (n, H, W, C), on disk or in memory."""

    name: str
    array: np.ndarray
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.array)

    def load(self, index: int, /) -> tuple[np.ndarray, int]:
        return np.ascontiguousarray(self.array[index]), 0

    def digest(self, chosen: Sequence[int], workers: int, /) -> str:
        digest = hashlib.sha256(f"array {self.array.shape[1:]}".encode())
        for index in chosen:
            digest.update(np.ascontiguousarray(self.array[index]).data)
        return digest.hexdigest()

    def called(self, index: int, /) -> str:
        return f"image {index} of {self.name}"


def open_images(source: Path | str | np.ndarray | Tensor) -> Images:
    """The images at a path (a folder with its subfolders, an ``.npz`` with `arr_0`, an ``.npy``) or in memory.

    Arrays are uint8 (n, H, W, C) or (n, C, H, W), C = 1 or 3, or (n, H, W). Raises DataError for what is missing,
    empty, pickled, or not of that kind, and says how to convert floats.
    """
    if isinstance(source, np.ndarray | Tensor):
        array = source.detach().cpu().numpy() if isinstance(source, Tensor) else source
        return ArrayImages("array", _checked(array, "the array"))
    path = Path(source)
    name = path.name if path.suffix in (".npz", ".npy") else path.resolve().name
    if path.is_dir():
        paths = images.find(path)
        if not paths:
            raise DataError(f"{images.shown(path)} holds no images ({', '.join(sorted(images.SUFFIXES))})")
        return FolderImages(name, paths, *classes_of(paths, path))
    if not path.exists():
        raise DataError(f"{images.shown(path)} does not exist; give a folder of images, an .npz or an .npy")
    if path.suffix.lower() not in (".npz", ".npy"):
        raise DataError(f"{images.shown(path)} is neither a folder, nor an .npz, nor an .npy")
    return ArrayImages(name, _checked(_read(path), f"{images.shown(path)}"))


def _read(path: Path) -> np.ndarray:
    """The array of a file, mapped into memory where it is stored as it is."""
    shown = images.shown(path)
    try:
        if path.suffix.lower() == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            if "arr_0" not in names:
                hint = "; statistics are scored with --metric fid" if {"mu", "sigma"} <= set(names) else ""
                raise DataError(f"{shown} has no array named arr_0 (it has {', '.join(names) or 'none'}){hint}")
            entry = archive.getinfo("arr_0.npy")
        if entry.compress_type == zipfile.ZIP_STORED:
            return _mapped(path, entry)
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["arr_0"]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        if any(sign in str(error) for sign in ("pickle", "Object arrays", "Python objects")):
            raise DataError(f"{shown} holds pickled objects, which may run code; save a plain uint8 array") from error
        raise DataError(f"cannot read {shown}: {error}") from error


def _mapped(path: Path, entry: zipfile.ZipInfo) -> np.ndarray:
    """An uncompressed member of a zip archive as a memory map."""
    with path.open("rb") as file:
        file.seek(entry.header_offset + 26)
        name_length, extra_length = np.frombuffer(file.read(4), "<u2").tolist()
        file.seek(entry.header_offset + 30 + name_length + extra_length)
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if dtype.hasobject:
            raise ValueError("Object arrays cannot be loaded")
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")


def _checked(array: np.ndarray, what: str) -> np.ndarray:
    """The array as (n, H, W, C). Raises DataError where it is not one of 8-bit images."""
    if array.dtype.kind == "f":
        raise DataError(
            f"{what} holds {array.dtype}, images must be uint8; convert them as your model means them, for values in "
            f"[-1, 1] by ((x + 1) * 127.5).round().clip(0, 255).astype('uint8'), for [0, 1] by "
            f"(x * 255).round().clip(0, 255).astype('uint8')"
        )
    if array.dtype != np.uint8:
        raise DataError(f"{what} holds {array.dtype}, images must be uint8 with values 0..255")
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim == 4 and array.shape[3] not in (1, 3) and array.shape[1] in (1, 3):
        array = array.transpose(0, 2, 3, 1)
    if array.ndim != 4 or array.shape[3] not in (1, 3):
        raise DataError(f"{what} has shape {array.shape}; images are (n, H, W, C) or (n, C, H, W), C = 1 or 3")
    if 0 in array.shape:
        raise DataError(f"{what} holds no images, its shape is {array.shape}")
    return array


@dataclass(frozen=True, slots=True)
class Loaded:
    """One image of a set: its place, its pixels uint8 (H, W, C) and remark, or why it could not be read."""

    index: int
    pixels: np.ndarray | None
    remark: int = 0
    fault: str = ""


def read(source: Images, chosen: Sequence[int], workers: int) -> Iterator[Loaded]:
    """The chosen images in order, decoded ahead by threads: decoders release Python's lock, as networks do."""

    def one(index: int) -> Loaded:
        try:
            return Loaded(index, *source.load(index))
        except DataError as error:
            return Loaded(index, None, fault=str(error))

    if workers < 1:
        yield from map(one, chosen)
        return
    waiting: deque[Future[Loaded]] = deque()
    rest = iter(chosen)
    with ThreadPoolExecutor(workers) as pool:
        try:
            waiting.extend(pool.submit(one, index) for index in islice(rest, AHEAD * workers))
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(one, index) for index in islice(rest, 1))
        finally:
            for future in waiting:
                future.cancel()


def default_workers() -> int:
    """Threads that decode: one for each processor that this process may use, 8 at most."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, available)


class PixelDigest:
    """A hash of images, one by one in order: the same for the same pictures from files, arrays or data sets."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256(b"images")

    def add(self, pixels: np.ndarray) -> None:
        """Take in one image, uint8 (H, W, C)."""
        self._digest.update(f"{pixels.shape} ".encode())
        self._digest.update(np.ascontiguousarray(pixels).data)

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def digest_of_items(items: Tensor, spec: SampleSpec) -> str:
    """A hash of items (n, *shape); of images of 256 levels the one that `PixelDigest` gives."""
    if spec.is_image and spec.levels == 256:
        digest = PixelDigest()
        for image in items.permute(0, 2, 3, 1).contiguous().numpy():
            digest.add(image)
        return digest.hexdigest()
    plain = hashlib.sha256(repr((spec.levels, tuple(items.shape))).encode())
    plain.update(items.contiguous().numpy().tobytes())
    return plain.hexdigest()
