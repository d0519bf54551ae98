"""Where downloaded data lies, and the one sentence to say when it can be neither found nor downloaded."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

from genbench.errors import DataError
from genbench.storage import cache
from genbench.storage.regular import open_regular, reason, shown

LARGEST = 2**30  # bytes of one file; the largest of these data sets has 79 MB


def find(root: Path, names: tuple[str, ...], folders: tuple[str, ...]) -> list[Path] | None:
    """The paths of `names` in the first of `folders` below `root` that holds them all, gzipped ones included."""
    for folder in folders:
        paths = [
            next((path for path in (root / folder / name, root / folder / f"{name}.gz") if path.is_file()), None)
            for name in names
        ]
        if None not in paths:
            return [path for path in paths if path is not None]
    return None


def content(path: Path) -> bytes:
    """All bytes of a file, unpacked where it is gzipped. Raises DataError where it cannot be read or is too large."""
    with open_regular(path) as file, gzip.GzipFile(fileobj=file) as unpacked:
        try:
            whole = (unpacked if path.suffix == ".gz" else file).read(LARGEST + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"cannot read {shown(path)}: {reason(error)}; fetch it again") from error
    if len(whole) > LARGEST:
        raise DataError(
            f"{shown(path)} holds more than {LARGEST} bytes, so it is not what it should be; fetch it again"
        )
    return whole


def obtain(
    dataset: str,
    root: Path | None,
    names: tuple[str, ...],
    folders: tuple[str, ...],
    download: Callable[[Path], object],
) -> list[Path]:
    """The files of a dataset: from `root` if one is given, else from the cache, downloading them there.

    Raises DataError that says which files were looked for and where, and how to go on.
    """
    home = root if root is not None else cache.root() / "data"
    paths = find(home, names, folders)
    if paths is None and root is None:
        try:
            download(home)
        except Exception as error:  # whatever the network raises, the user needs the two ways out
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"{dataset} is not in {home} and cannot be downloaded ({reason}); "
                f"where you have a copy, name its folder with --data-root"
            ) from error
        paths = find(home, names, folders)
    if paths is None:
        places = ", ".join(str(home / folder) for folder in folders)
        raise DataError(
            f"{dataset} needs {', '.join(names)} (or the same with .gz) in one of {places}; "
            f"name another folder with --data-root, or leave --data-root out to download"
        )
    return paths
