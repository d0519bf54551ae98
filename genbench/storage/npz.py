"""Files for other tools: samples as an ``.npz`` with `arr_0`, statistics as one with `mu` and `sigma`."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from torch import Tensor

from genbench.contracts import SampleSpec
from genbench.storage import atomic


def save(path: Path, samples: Tensor, spec: SampleSpec) -> None:
    """Write samples (n, *shape) as `arr_0`; images as uint8 (n, H, W, C) with their levels spread over 0..255.

    Raises ResultsError where the file cannot be written.
    """
    array = samples.cpu().numpy()
    if spec.is_image and spec.levels is not None:
        if spec.levels < 256:
            array = np.rint(array * (255.0 / (spec.levels - 1))).astype(np.uint8)
        array = array.transpose(0, 2, 3, 1)
    write(path, arr_0=array)


def write(path: Path, **arrays: np.ndarray) -> None:
    """Exchange a file for an ``.npz`` of these arrays. Raises ResultsError where it cannot be written."""

    def into(part: Path) -> None:
        with part.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    atomic.write(path, into)


def are_statistics(path: Path) -> bool:
    """Whether a file is an ``.npz`` of statistics, and not of images."""
    if path.suffix.lower() != ".npz" or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
    return {"mu.npy", "sigma.npy"} <= names and "arr_0.npy" not in names
