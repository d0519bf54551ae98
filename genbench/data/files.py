"""A user's own data as a dataset: a folder of image or WAV files, or an ``.npz`` with `arr_0` uint8 (N, H, W, C)."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genbench import seeding
from genbench.contracts import Dataset, SampleSpec
from genbench.data import images
from genbench.errors import DataError


def load(path: Path) -> Dataset:
    """The images at `path` as a dataset of 256 levels.

    A folder with the subfolders ``train`` and ``test`` is split by them; any other folder or ``.npz`` is halved by a
    fixed random permutation of its sorted files. Subfolders of a split are its classes when every file lies in one.
    A folder of WAV files is read as clips of audio by `genbench.data.audio`. Raises DataError for no images, mixed
    sizes or modes, and files that cannot be read.
    """
    if is_audio(path):
        from genbench.data import audio

        return audio.load(path)
    name = path.resolve().name.removesuffix(".npz")
    if path.is_dir() and (path / "train").is_dir() and (path / "test").is_dir():
        train, train_labels, classes = _folder(path / "train")
        heldout, heldout_labels, others = _folder(path / "test")
        if train.shape[1:] != heldout.shape[1:]:
            raise DataError(
                f"{path}/train holds images of shape {tuple(train.shape[1:])}, "
                f"{path}/test of {tuple(heldout.shape[1:])}; resize them to one size"
            )
        if classes != others:
            raise DataError(f"{path}/train and {path}/test hold different class folders; make them the same")
    else:
        found, labels, classes = _folder(path) if path.is_dir() else (_npz(path), None, ())
        if len(found) < 2:
            raise DataError(f"{path} holds {len(found)} image; a benchmark needs at least two")
        first, second = halves(len(found))
        train, heldout = found[first], found[second]
        train_labels, heldout_labels = (None, None) if labels is None else (labels[first], labels[second])
    return Dataset(
        name=name,
        spec=SampleSpec(tuple(train.shape[1:]), 256),
        train=train,
        heldout=heldout,
        train_labels=train_labels,
        heldout_labels=heldout_labels,
        classes=classes,
    )


def is_audio(path: Path) -> bool:
    """Whether `path` is a folder of WAV files. Raises DataError where it holds images as well."""
    if not path.is_dir():
        return False
    suffixes = {file.suffix.lower() for file in path.rglob("*")}
    if ".wav" in suffixes and suffixes & images.SUFFIXES:
        raise DataError(f"{path} holds both WAV files and images; give them a folder each")
    return ".wav" in suffixes


def halves(count: int) -> tuple[Tensor, Tensor]:
    """The sorted indices of the first and of the second half of a fixed random permutation of `count` files."""
    order = torch.randperm(count, generator=seeding.generator("halves", count))
    return order[: count // 2].sort().values, order[count // 2 :].sort().values


def classes_of(paths: list[Path], folder: Path) -> tuple[Tensor | None, tuple[str, ...]]:
    """Labels of the files by their subfolders and the subfolders' names; none where a file lies in no subfolder."""
    folders = [file.relative_to(folder).parts[0] if file.parent != folder else None for file in paths]
    if None in folders or len(set(folders)) < 2:
        return None, ()
    classes = tuple(sorted({name for name in folders if name is not None}))
    return torch.tensor([classes.index(str(name)) for name in folders]), classes


def _folder(path: Path) -> tuple[Tensor, Tensor | None, tuple[str, ...]]:
    paths = images.find(path)
    if not paths:
        raise DataError(f"{path} holds no images ({', '.join(sorted(images.SUFFIXES))})")
    arrays: list[np.ndarray] = []
    for file in paths:
        array, remark = images.decode(file)
        if remark:
            raise DataError(
                f"{images.shown(file)} is not plain 8-bit grey or RGB, as a benchmark's images are: "
                f"such images {images.REMARKS[remark]}; convert it"
            )
        if arrays and array.shape != arrays[0].shape:
            raise DataError(
                f"{file} is {images.size_of(array.shape)} while {paths[0]} is {images.size_of(arrays[0].shape)}; "
                f"a benchmark needs images of one size and mode"
            )
        arrays.append(array)
    stacked = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()
    return stacked, *classes_of(paths, path)


def _npz(path: Path) -> Tensor:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if "arr_0" not in arrays:
                raise DataError(f"{path} has no array named arr_0 (it has {', '.join(arrays) or 'none'})")
            array = arrays["arr_0"]
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] not in (1, 3):
        raise DataError(
            f"{path}: arr_0 must be uint8 (N, H, W, C) with 1 or 3 channels, it is {array.dtype} {array.shape}"
        )
    return torch.from_numpy(array).permute(0, 3, 1, 2).contiguous()
