"""A user's own data as a dataset: a folder of image or WAV files, or an ``.npz`` with `arr_0` uint8 (N, H, W, C)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genbench.contracts import Dataset, SampleSpec
from genbench.data import audio, images
from genbench.data.folders import classes_of, files_below, halves, splits_of
from genbench.errors import DataError
from genbench.storage import npz
from genbench.storage.regular import shown


def load(path: Path) -> Dataset:
    """The images at `path` as a dataset of 256 levels.

    A folder with the subfolders ``train`` and ``test`` is split by them; any other folder or ``.npz`` is halved by a
    fixed random permutation of its sorted files. Subfolders of a split are its classes when every file lies in one.
    A folder of WAV files is read as clips of audio by `genbench.data.audio`. Raises DataError for no images, mixed
    sizes or modes, and files that cannot be read.
    """
    if is_audio(path):
        return audio.load(path)
    splits = splits_of(path)
    if splits is not None:
        (train, train_labels, classes), (heldout, heldout_labels, others) = map(_folder, splits)
        if train.shape[1:] != heldout.shape[1:]:
            raise DataError(
                f"{shown(path)}/train holds images of shape {tuple(train.shape[1:])}, "
                f"{shown(path)}/test of {tuple(heldout.shape[1:])}; resize them to one size"
            )
        if classes != others:
            raise DataError(
                f"{shown(path)}/train and {shown(path)}/test hold different class folders; make them the same"
            )
    else:
        items, labels, classes = _folder(path) if os.path.isdir(path) else (_array(path), None, ())
        if len(items) < 2:
            raise DataError(f"{shown(path)} holds {len(items)} image; a benchmark needs at least two")
        first, second = halves(len(items))
        train, heldout = items[first], items[second]
        train_labels, heldout_labels = (None, None) if labels is None else (labels[first], labels[second])
    return Dataset(
        name=path.resolve().name.removesuffix(".npz"),
        spec=SampleSpec(tuple(train.shape[1:]), 256),
        train=train,
        heldout=heldout,
        train_labels=train_labels,
        heldout_labels=heldout_labels,
        classes=classes,
    )


def is_audio(path: Path) -> bool:
    """Whether `path` is a folder of WAV files. Raises DataError where it holds images as well."""
    if not os.path.isdir(path):
        return False
    suffixes = {file.suffix.lower() for file in files_below(path, images.SUFFIXES | audio.SUFFIXES)}
    if suffixes & audio.SUFFIXES and suffixes & images.SUFFIXES:
        raise DataError(f"{shown(path)} holds both WAV files and images; give them a folder each")
    return bool(suffixes & audio.SUFFIXES)


def _folder(path: Path) -> tuple[Tensor, Tensor | None, tuple[str, ...]]:
    paths = images.find(path)
    if not paths:
        raise DataError(f"{shown(path)} holds no images ({', '.join(sorted(images.SUFFIXES))})")
    arrays: list[np.ndarray] = []
    for file in paths:
        array, remark = images.decode(file)
        if remark:
            raise DataError(
                f"{shown(file)} is not plain 8-bit grey or RGB, as a benchmark's images are: "
                f"such images {images.REMARKS[remark]}; convert it"
            )
        if arrays and array.shape != arrays[0].shape:
            raise DataError(
                f"{shown(file)} is {images.size_of(array.shape)} while {shown(paths[0])} is "
                f"{images.size_of(arrays[0].shape)}; a benchmark needs images of one size and mode"
            )
        arrays.append(array)
    stacked = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()
    return stacked, *classes_of(paths, path)


def _array(path: Path) -> Tensor:
    array = npz.read(path, ("arr_0",), mmap=False)["arr_0"]
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] not in (1, 3) or 0 in array.shape:
        raise DataError(
            f"{shown(path)}: arr_0 must be uint8 (N, H, W, C) with 1 or 3 channels, it is {array.dtype} {array.shape}"
        )
    return torch.from_numpy(array).permute(0, 3, 1, 2).contiguous()
