"""Sets of images to be scored: a folder, an array in a file or in memory; read piece by piece, in a fixed order."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor

from genbench.data import images
from genbench.data.digests import PixelDigest, digest_of_items, pixel_digest
from genbench.data.folders import classes_of
from genbench.errors import DataError
from genbench.storage import npz
from genbench.storage.regular import open_regular, shown

__all__ = [
    "ArrayImages",
    "FolderImages",
    "Images",
    "Loaded",
    "PixelDigest",
    "default_workers",
    "digest_of_items",
    "open_images",
    "pixel_digest",
    "read",
]

HASHED = 2**22  # bytes of an array that are hashed at once
HELD = 2**28  # bytes of files that are held between their digest and their decoding: 256 MB
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

    def digest(self, chosen: Sequence[int], workers: int, /) -> str: ...  # of the content of some, without decoding

    def pixel_digest(self, chosen: Sequence[int], workers: int, /) -> str: ...  # of the pixels of some, see digests

    def called(self, index: int, /) -> str: ...  # what to call one of them in a message

    def release(self) -> None: ...  # what was held in memory since `digest`


@dataclass(frozen=True, eq=False)
class FolderImages:
    """The image files below a folder.

    What is read for their digest is held until `release`, up to HELD bytes, so that most sets are read once.
    """

    name: str
    paths: list[Path]
    labels: Tensor | None
    classes: tuple[str, ...]
    held: dict[int, bytes] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, index: int, /) -> tuple[np.ndarray, int]:
        return images.decode(self.paths[index], self.held.get(index))

    def release(self) -> None:
        self.held.clear()

    def digest(self, chosen: Sequence[int], workers: int, /) -> str:
        room = HELD

        def digest_of(index: int) -> bytes:
            nonlocal room
            try:
                with open_regular(self.paths[index]) as file:
                    size = os.fstat(file.fileno()).st_size
                    if size > room:
                        return hashlib.file_digest(file, "sha256").digest()
                    room -= size  # threads may take a file too many
                    content = self.held[index] = file.read()
                    return hashlib.sha256(content).digest()
            except (DataError, OSError):  # decoding will say so; until then it must only differ from readable files
                return bytes(hashlib.sha256().digest_size)

        digest = hashlib.sha256(b"files")
        with ThreadPoolExecutor(max(1, workers)) as pool:
            for part in pool.map(digest_of, chosen):
                digest.update(part)
        return digest.hexdigest()

    def pixel_digest(self, chosen: Sequence[int], workers: int, /) -> str:
        """Of those that can be read."""
        return pixel_digest(loaded.pixels for loaded in read(self, chosen, workers) if loaded.pixels is not None)

    def called(self, index: int, /) -> str:
        return shown(self.paths[index])


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
        return self.pixel_digest(chosen, workers)

    def pixel_digest(self, chosen: Sequence[int], workers: int, /) -> str:
        digest = PixelDigest()
        count = max(1, HASHED // (self.array[:1].nbytes or 1))
        for start in range(0, len(chosen), count):
            digest.add_batch(self.array[list(chosen[start : start + count])])
        return digest.hexdigest()

    def called(self, index: int, /) -> str:
        return f"image {index} of {self.name}"

    def release(self) -> None:
        pass


def open_images(source: Path | str | np.ndarray | Tensor) -> Images:
    """The images at a path (a folder with its subfolders, an ``.npz`` with `arr_0`, an ``.npy``) or in memory.

    Arrays are uint8 (n, H, W, C) or (n, C, H, W), C = 1 or 3, or (n, H, W). Raises DataError for what is missing,
    empty, pickled, or not of that kind, and says how to convert floats.
    """
    if isinstance(source, np.ndarray | Tensor):
        array = source.detach().cpu().numpy() if isinstance(source, Tensor) else source
        return ArrayImages("array", _checked(array, "the array"))
    path = Path(source)
    if os.path.isdir(path):
        paths = images.find(path)
        if not paths:
            raise DataError(f"{shown(path)} holds no images ({', '.join(sorted(images.SUFFIXES))})")
        return FolderImages(path.resolve().name, paths, *classes_of(paths, path))
    with open_regular(path):  # what is missing, or is a pipe, is that before it is of a wrong suffix
        pass
    if path.suffix.lower() not in (".npz", ".npy"):
        raise DataError(f"{shown(path)} is neither a folder, nor an .npz, nor an .npy; give one of these")
    if npz.are_statistics(path):
        raise DataError(f"{shown(path)} holds statistics and no images; they are scored with --metric fid")
    return ArrayImages(path.name, _checked(npz.read(path, ("arr_0",))["arr_0"], shown(path)))


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

    def load(index: int) -> Loaded:
        try:
            return Loaded(index, *source.load(index))
        except DataError as error:
            return Loaded(index, None, fault=str(error))

    if workers < 1:
        yield from map(load, chosen)
        return
    waiting: deque[Future[Loaded]] = deque()
    rest = iter(chosen)
    with ThreadPoolExecutor(workers) as pool:
        try:
            waiting.extend(pool.submit(load, index) for index in islice(rest, AHEAD * workers))
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(load, index) for index in islice(rest, 1))
        finally:
            for future in waiting:
                future.cancel()


def default_workers() -> int:
    """Threads that decode: one for each processor that this process may use, 8 at most."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, available)
