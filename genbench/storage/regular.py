"""Opening what others made: regular files alone, and names as they can be printed."""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path

from genbench.errors import DataError

KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def shown(name: Path | str) -> str:
    """A path or another name as it can be printed on any terminal, whatever characters it holds."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(name))


def open_regular(path: Path) -> BufferedReader:
    """A regular file, or a link to one, open for reading bytes.

    Raises DataError for what is missing, cannot be opened or is of another kind: opening a pipe would wait for a
    writer, reading a device may never end, and both may do things in the world.
    """
    try:
        # Before the file is opened, which alone has effects on some devices, and again on what was opened.
        _refuse_others(path, os.stat(path).st_mode)
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 - the caller closes it
        try:
            _refuse_others(path, os.fstat(file.fileno()).st_mode)
        except BaseException:
            file.close()
            raise
    except FileNotFoundError as error:
        why = " (it is a link to nothing)" if os.path.islink(path) else ""
        raise DataError(f"{shown(path)} does not exist{why}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {shown(path)}: {reason(error)}") from error
    return file


def reason(error: BaseException) -> str:
    """What an exception says, in one printable line of 200 characters at most."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return shown(" ".join(text.split()))[:200] or type(error).__name__


def _refuse_others(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in KINDS if is_kind(mode)), "no file")
        raise DataError(f"{shown(path)} is {kind}, which is not read; give a regular file")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
