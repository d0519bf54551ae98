"""Folders of files: which ones they hold, the classes that subfolders stand for, and a fixed split into halves."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor

from genbench import seeding
from genbench.errors import DataError
from genbench.storage.regular import shown


def files_below(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    """Every file below a folder with one of the lower-case suffixes, sorted by the bytes of its path.

    Upper-case suffixes count. Links are followed, but for those to a folder that they lie in or that holds `folder`;
    no folder is listed twice, and where one is reached by several ways, the one without links counts. Raises DataError
    where a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"cannot read the folder {shown(str(error.filename))}: {error.strerror}") from error

    paths: list[Path] = []
    walked: set[str] = set()
    starts = [os.fspath(folder)]
    while starts:
        start = starts.pop(0)
        if os.path.realpath(start) in walked:
            continue
        links = []
        for here, folders, names in os.walk(start, onerror=refuse):
            real = os.path.realpath(here)
            folders[:] = [name for name in folders if os.path.join(real, name) not in walked]
            walked.add(real)
            links += [os.path.join(here, name) for name in folders if os.path.islink(os.path.join(here, name))]
            paths += [Path(here, name) for name in names if Path(name).suffix.lower() in suffixes]
        starts += sorted(link for link in links if not _leads_up(link, folder))
    return sorted(paths, key=os.fsencode)


def _leads_up(link: str, folder: Path) -> bool:
    """Whether a link leads to a folder that it lies in, or that `folder` lies in."""
    target = os.path.realpath(link)
    holders = os.path.realpath(os.path.dirname(link)), os.path.realpath(folder)
    return any(holder == target or holder.startswith(target.rstrip(os.sep) + os.sep) for holder in holders)


def splits_of(folder: Path) -> tuple[Path, Path] | None:
    """The subfolders ``train`` and ``test`` where a folder has both."""
    splits = folder / "train", folder / "test"
    return splits if all(map(os.path.isdir, splits)) else None


def classes_of(paths: list[Path], folder: Path) -> tuple[Tensor | None, tuple[str, ...]]:
    """Labels of the files by their subfolders and the subfolders' names; none where a file lies in no subfolder."""
    names = [path.relative_to(folder).parts[0] if path.parent != folder else None for path in paths]
    if None in names or len(set(names)) < 2:
        return None, ()
    classes = tuple(sorted({name for name in names if name is not None}))
    places = {name: place for place, name in enumerate(classes)}
    return torch.tensor([places[str(name)] for name in names]), classes


def halves(count: int) -> tuple[Tensor, Tensor]:
    """The sorted indices of the first and of the second half of a fixed random permutation of `count` files."""
    order = torch.randperm(count, generator=seeding.generator("halves", count))
    return order[: count // 2].sort().values, order[count // 2 :].sort().values
