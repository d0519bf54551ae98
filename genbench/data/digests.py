"""What identifies a set of items by its content, whatever kind of file it came in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from torch import Tensor

from genbench.contracts import SampleSpec

BLOCK = 2**22  # bytes of pictures that are hashed at once


class PixelDigest:
    """A hash of pictures that arrive one by one or in batches: SHA-256 over, for each, its shape and its pixels.

    The shape (H, W, C) is three little-endian 64-bit integers, the pixels are uint8 in the order of the shape, so that
    the same pictures in the same order have one digest, whether they lie in files, arrays or tensors.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, picture: np.ndarray) -> None:
        """Take one picture in, uint8 (H, W, C). Raises ValueError for anything else."""
        self.add_batch(picture[None])

    def add_batch(self, pictures: np.ndarray) -> None:
        """Take pictures in, uint8 (n, H, W, C), as if they came one by one. Raises ValueError for anything else."""
        if pictures.dtype != np.uint8 or pictures.ndim != 4:
            raise ValueError(f"pictures are uint8 (H, W, C), not {pictures.dtype} {pictures.shape[1:]}")
        shape = np.frombuffer(np.array(pictures.shape[1:], "<i8").tobytes(), np.uint8)
        size = int(np.prod(pictures.shape[1:]))
        count = max(1, BLOCK // max(1, size))
        for start in range(0, len(pictures), count):
            part = pictures[start : start + count]
            rows = np.empty((len(part), len(shape) + size), np.uint8)
            rows[:, : len(shape)] = shape
            rows[:, len(shape) :] = part.reshape(len(part), size)
            self._hash.update(rows.data)

    def hexdigest(self) -> str:
        """64 hexadecimal digits for what was taken in so far."""
        return self._hash.hexdigest()


def pixel_digest(pictures: Iterable[np.ndarray]) -> str:
    """The digest of pictures, each uint8 (H, W, C), in their order."""
    digest = PixelDigest()
    for picture in pictures:
        digest.add(picture)
    return digest.hexdigest()


def digest_of_items(items: Tensor, spec: SampleSpec) -> str:
    """The digest of items (n, *shape) of a spec.

    For images of 256 levels it is their `pixel_digest`; for all others a hash of the levels, the shape and the values.
    """
    values = items.detach().cpu().numpy()
    if spec.is_image and spec.levels == 256:
        digest = PixelDigest()
        digest.add_batch(values.transpose(0, 2, 3, 1))
        return digest.hexdigest()
    hashed = hashlib.sha256(f"items {spec.levels} {values.dtype} {values.shape} ".encode())
    hashed.update(np.ascontiguousarray(values).data)
    return hashed.hexdigest()
