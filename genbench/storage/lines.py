"""Files of lines that are only ever appended to, by any number of processes, and never left with half a line for long.

All lines of one append are written under a lock by a single write, so a kill leaves at most one torn last line, which
readers ignore and the next append replaces. The lock is the operating system's own: it goes when its holder does.
"""

from __future__ import annotations

import os
import stat
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from genbench.errors import GenbenchWarning, ResultsError
from genbench.storage.atomic import ELSEWHERE
from genbench.storage.rows import parse_json

LOCK_SECONDS = 60.0  # longer than any append takes
BLOCK = 1 << 16


def read(path: Path) -> list[tuple[int, bytes]]:
    """The number and content of every line that is not empty; a torn last one is left out with a warning.

    Raises ResultsError where the file cannot be read. A file that is not there has no lines.
    """
    content = _content(path)
    *lines, tail = content.split(b"\n")
    if tail.strip():
        if is_torn(tail):
            message = f"{path}: the last line is torn and ignored; its row is computed again"
            warnings.warn(message, GenbenchWarning, stacklevel=2)
        else:
            lines.append(tail)
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def is_torn(line: bytes) -> bool:
    """Whether a line is the beginning of one: no beginning of a JSON object is JSON itself."""
    try:
        parse_json(line, constants=True)
    except ValueError:
        return True
    return False


def append(path: Path, lines: Sequence[str]) -> None:
    """Append lines and flush them to disk. Raises ResultsError where that is impossible.

    The file is as before then, and the lines are in a temporary file that the message names.
    """
    data = "".join(f"{line}\n" for line in lines).encode()
    if not data:
        return
    try:
        with locked(path), path.open("a+b", buffering=0) as file:
            _append(file, data)
    except (OSError, ResultsError) as error:
        reason = error if isinstance(error, ResultsError) else f"cannot write {path}: {error.strerror or error}"
        raise ResultsError(f"{reason}; {_rescued(path, data)}") from error


def require_writable(path: Path) -> None:
    """Raises ResultsError where lines could not be appended; no file of lines is made, but its folder is."""
    try:
        with locked(path):
            if path.exists():
                path.open("ab").close()
    except OSError as error:
        raise ResultsError(f"cannot write {path}: {error.strerror or error}; {ELSEWHERE}") from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """The only one to write `path`, whose folder is made. Raises ResultsError where that cannot be had."""
    from filelock import FileLock, Timeout

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _require_regular(path)
        file = Path(os.path.realpath(path))  # two links to one file are one file
        lock = FileLock(file.with_name(f".{file.name}.lock"), timeout=LOCK_SECONDS)
        lock.acquire()
    except Timeout as error:
        raise ResultsError(f"cannot write {path}: another process has held it for {LOCK_SECONDS:.0f} s") from error
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ResultsError(f"cannot write {path}: {reason}; {ELSEWHERE}") from error
    try:
        yield
    finally:
        lock.release()


def _content(path: Path) -> bytes:
    try:
        _require_regular(path)
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise ResultsError(f"cannot read {path}: {error.strerror or error}") from error


def _require_regular(path: Path) -> None:
    """Devices and pipes are neither read, which may never end, nor written to."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise ResultsError(f"{path} is no regular file; name a results folder")


def _append(file: BinaryIO, data: bytes) -> None:
    size = file.seek(0, os.SEEK_END)
    tail = _tail(file, size)
    if tail.strip() and not is_torn(tail):
        data = b"\n" + data  # a whole line that only lacks its end
    else:
        size -= len(tail)
        file.truncate(size)
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
    except OSError:
        file.truncate(size)
        raise


def _tail(file: BinaryIO, size: int) -> bytes:
    """What stands after the last line end."""
    tail, start = b"", size
    while start and b"\n" not in tail:
        start, end = max(0, start - BLOCK), start
        file.seek(start)
        tail = file.read(end - start) + tail
    return tail.rpartition(b"\n")[2]


def _rescued(path: Path, data: bytes) -> str:
    """Keeps lines that could not be appended, and says where."""
    try:
        with tempfile.NamedTemporaryFile("wb", prefix=f"{path.stem}-", suffix=path.suffix, delete=False) as file:
            file.write(data)
    except OSError:
        return "nothing was added"
    return f"what was to be added is in {file.name}, to be appended once there is room: cat {file.name} >> {path}"
