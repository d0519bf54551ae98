"""Files that are exchanged whole: readers see the old content or the new, never half of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from genbench.errors import ResultsError


def write(path: Path, save: Callable[[Path], object]) -> None:
    """Let ``save(part)`` write a file beside `path` and put it in its place; folders are made.

    Raises ResultsError where that is impossible; the old file stays then.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save(part)
        os.replace(part, path)
    except OSError as error:
        reason = error.strerror or error
        raise ResultsError(f"cannot write {path}: {reason}; choose another folder with --out") from error
    finally:
        with suppress(OSError):
            part.unlink()


def write_text(path: Path, text: str) -> None:
    """Exchange a file for one with this text, as `write` does."""
    write(path, lambda part: part.write_text(text))
