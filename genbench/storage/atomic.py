"""Files that are exchanged whole: readers see the old content or the new, never half of it."""

from __future__ import annotations

import errno
import os
import platform
import re
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from genbench.errors import GenbenchError, ResultsError

ELSEWHERE = "choose another folder with --out"
ABANDONED_SECONDS = 86_400.0  # after which an unfinished file is nobody's, on whichever machine it was begun
HOST = re.sub(r"\W+", "-", platform.node()) or "host"
PART = re.compile(r"\..+\.(?P<host>[\w-]+)\.(?P<process>\d+)\.\d+\.part")
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def write(path: Path, save: Callable[[Path], object], elsewhere: str = ELSEWHERE) -> None:
    """Let ``save(part)`` write a file beside `path` and put it in its place; folders are made, links stay links.

    Raises ResultsError, in one line, where that is impossible or where `path` is a folder, a device or another thing
    than a file; what was there stays then. `elsewhere` tells the user how the file comes to lie in another place.
    Unfinished files that killed processes left in the folder are removed.
    """
    part = None
    try:
        _require_replaceable(path)
        target = Path(os.path.realpath(path))  # what a link points to is exchanged
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target.parent)
        part = target.with_name(f".{target.name}.{HOST}.{os.getpid()}.{threading.get_ident()}.part")
        save(part)
        _flush(part)
        if target.exists():
            part.chmod(stat.S_IMODE(target.stat().st_mode))
        os.replace(part, target)
    except GenbenchError:
        raise
    except Exception as error:
        reason = _reason(error, path.parent)
        if reason is None:
            raise
        raise ResultsError(f"cannot write {path}: {reason}{elsewhere}") from error
    finally:
        if part is not None:
            with suppress(OSError):
                part.unlink()


def write_text(path: Path, text: str, elsewhere: str = ELSEWHERE) -> None:
    """Exchange a file for one with this text in UTF-8, as `write` does; line ends stay as they are."""
    write(path, lambda part: part.write_bytes(text.encode("utf-8", "backslashreplace")), elsewhere)


def _require_replaceable(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        kind = KINDS.get(stat.S_IFMT(mode), "no regular file")
        raise ResultsError(f"cannot write {path}: it is {kind}, which is never replaced; name a file")


def _flush(part: Path) -> None:
    """On some disks the lack of room shows only here."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())


def _remove_abandoned(folder: Path) -> None:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = PART.fullmatch(entry.name)
            if match is not None and _is_abandoned(entry, match["host"], int(match["process"])):
                with suppress(OSError):
                    os.unlink(entry.path)


def _is_abandoned(entry: os.DirEntry[str], host: str, process: int) -> bool:
    if time.time() - entry.stat(follow_symlinks=False).st_mtime > ABANDONED_SECONDS:
        return True
    # Elsewhere, and on Windows, where asking with a signal would end the process, age alone decides.
    if host != HOST or os.name == "nt":
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _reason(error: BaseException | None, folder: Path) -> str | None:
    """Why a file cannot be written, up to what to do instead; None for a fault that is no news of disks.

    Writers in C++ and Rust have errors of their own for a full disk, with the system's behind them or in their text.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"the disk that holds {folder} is full; free some of it, or "
        if isinstance(error, OSError) or type(error).__name__ == "SafetensorError":
            text = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
            return f"{text}; "
        error = error.__cause__ or error.__context__
    return None
