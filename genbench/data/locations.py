"""Where downloaded data lies, and the one sentence to say when it can be neither found nor downloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from genbench.errors import DataError
from genbench.storage import cache


def find(root: Path, names: tuple[str, ...], folders: tuple[str, ...]) -> list[Path] | None:
    """The paths of `names` in the first of `folders` below `root` that holds them all, gzipped ones included."""
    for folder in folders:
        found = [
            next((path for path in (root / folder / name, root / folder / f"{name}.gz") if path.is_file()), None)
            for name in names
        ]
        if None not in found:
            return [path for path in found if path is not None]
    return None


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
    found = find(home, names, folders)
    if found is None and root is None:
        try:
            download(home)
        except Exception as error:  # whatever the network raises, the user needs the two ways out
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"{dataset} is not in {home} and cannot be downloaded ({reason}); "
                f"where you have a copy, name its folder with --data-root"
            ) from error
        found = find(home, names, folders)
    if found is None:
        places = ", ".join(str(home / folder) for folder in folders)
        raise DataError(
            f"{dataset} needs {', '.join(names)} (or the same with .gz) in one of {places}; "
            f"name another folder with --data-root, or leave --data-root out to download"
        )
    return found
