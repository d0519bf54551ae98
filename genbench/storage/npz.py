"""Arrays in ``.npz`` and ``.npy`` files: the one place that reads them, and what is written for other tools.

Samples are an ``.npz`` with `arr_0`, statistics one with `mu` and `sigma` (see `genbench.storage.statistics`).

References: NumPy Enhancement Proposal 1, "A Simple File Format for NumPy Arrays" (2007).
"""

from __future__ import annotations

import math
import os
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np

from genbench.contracts import SampleSpec
from genbench.errors import DataError
from genbench.storage import atomic
from genbench.storage.regular import open_regular, reason, shown

if TYPE_CHECKING:
    from torch import Tensor

ONLY = "arr_0"  # what an array is called that came without a name
ZIP, NPY = (b"PK\3\4", b"PK\5\6"), b"\x93NUMPY"
ENCRYPTED = 1  # the bit of a zip member's flags
MOST_DENSE = 1032  # bytes that deflate makes of one at best
BOMB_BYTES, BOMB_RATIO = 2**30, 100  # a larger member that is denser than this is not unpacked into memory
BLOCK = 2**20
PLAIN = "biufcSU"  # kinds of dtypes: booleans, numbers and strings


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
    """Whether a file is an ``.npz`` of statistics, and not of images; what cannot be read is not."""
    held: tuple[str, ...] = ()
    with suppress(DataError):
        held = names(path)
    return {"mu", "sigma"} <= set(held) and ONLY not in held


def names(path: Path) -> tuple[str, ...]:
    """The names of the arrays in a file, in its order. Raises DataError as `read` does."""
    with _opened(path) as file:
        if not _is_zip(file):
            return (ONLY,)
        with zipfile.ZipFile(file) as archive:
            return tuple(_members(archive))


def read(
    path: Path, wanted: Sequence[str] | None = None, *, optional: Sequence[str] = (), mmap: bool = True
) -> dict[str, np.ndarray]:
    """The arrays `wanted` of a file (None: all of them) and those `optional` ones that it has, by name.

    A file is read as what it holds, whatever it is called: the array of an ``.npy`` is named `arr_0`. Arrays that lie
    in the file as they are get mapped into memory, read-only, unless `mmap` is False. Every byte of an ``.npz`` array
    is held to its checksum.

    Raises DataError, in one line, for pickled objects, which are never loaded, and for every file that is missing, no
    regular file, damaged, truncated, encrypted, of contradictory sizes, or without the arrays wanted.
    """
    with _opened(path) as file:
        if not _is_zip(file):
            _refuse_absent(wanted, (ONLY,))
            return {ONLY: _from_npy(file, mmap)}
        with zipfile.ZipFile(file) as archive:
            members = _members(archive)
            _refuse_absent(wanted, tuple(members))
            chosen = members if wanted is None else [name for name in (*wanted, *optional) if name in members]
            return {name: _from_zip(archive, file, members[name], mmap) for name in chosen}


class _Fault(Exception):  # noqa: N818 - half a sentence
    """What is wrong with a file, as a sentence that its path begins."""


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with open_regular(path) as file:
        try:
            yield file
        except _Fault as fault:
            raise DataError(f"{shown(path)} {fault}") from fault
        except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds of errors on damaged bytes
            raise DataError(
                f"cannot read {shown(path)} as an .npz or .npy file of plain arrays: {reason(error)}; save it again"
            ) from error


def _is_zip(file: BinaryIO) -> bool:
    """Whether a file is an ``.npz`` rather than an ``.npy``. Raises _Fault where it is neither."""
    start = file.read(len(NPY))
    file.seek(0)
    if start.startswith(ZIP):
        return True
    if start == NPY:
        return False
    what = "is empty" if not start else "is neither an .npz nor an .npy file, or its beginning is damaged"
    raise _Fault(f"{what}; save it again with numpy.savez")


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The members by their arrays' names. Raises _Fault for names that occur twice or lead out of a folder."""
    members: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        name = entry.filename.removesuffix(".npy")
        parts = re.split(r"[/\\]", entry.filename)
        if entry.filename != entry.orig_filename or not parts[0] or ".." in parts:
            raise _Fault(f"holds a member named {_listed([name])}, which is no array's name")
        if name in members:
            raise _Fault(f"holds two arrays named {_listed([name])}; save it again")
        members[name] = entry
    return members


def _refuse_absent(wanted: Sequence[str] | None, held: tuple[str, ...]) -> None:
    absent = [name for name in wanted or () if name not in held]
    if absent:
        raise _Fault(f"has no array named {' and none named '.join(absent)} (it has {_listed(held)})")


def _listed(held: Sequence[str], most: int = 8) -> str:
    rest = f" and {len(held) - most} more" if len(held) > most else ""
    return ", ".join(shown(name[:60]) for name in held[:most]) + rest or "none"


@dataclass(frozen=True, slots=True)
class _Header:
    """What an array's header says, as far as it can be believed without its values."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    order: Literal["C", "F"]

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return math.prod(self.shape) * self.dtype.itemsize


def _header(stream: IO[bytes]) -> _Header:
    """The header at the start of a stream, which is left at the values. Raises _Fault for what is not plain."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise _Fault("is of a format that plain arrays do not need; save it again with numpy.savez")
    parse = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that Python 2 wrote a file, or that damage looks like that
        shape, fortran, dtype = parse(stream)
    if dtype.hasobject:
        raise _Fault("holds pickled objects, which may run code; save plain arrays of numbers")
    if dtype.names is not None or dtype.subdtype is not None or dtype.kind not in PLAIN or not dtype.itemsize:
        raise _Fault(f"holds an array of {shown(str(dtype))[:80]}, not of plain numbers; save the numbers alone")
    if any(length < 0 for length in shape):
        raise _Fault(f"is damaged: it claims an array of shape {_shape(shape)}; save it again")
    return _Header(dtype, tuple(int(length) for length in shape), "F" if fortran else "C")


def _shape(shape: Sequence[int]) -> str:
    return f"({', '.join(str(length)[:24] for length in shape[:8])})"


def _disagrees(header: _Header, held: int) -> _Fault:
    return _Fault(
        f"is damaged: an array of shape {_shape(header.shape)} and {header.dtype} does not take {held} bytes; "
        f"save it again"
    )


def _from_npy(file: BinaryIO, mmap: bool) -> np.ndarray:
    header = _header(file)
    start = file.tell()
    held = os.fstat(file.fileno()).st_size - start
    if held != header.size:
        raise _disagrees(header, held)
    return _mapped(file, header, start) if mmap and header.size else _loaded(file, header)


def _from_zip(archive: zipfile.ZipFile, file: BinaryIO, entry: zipfile.ZipInfo, mmap: bool) -> np.ndarray:
    name = shown(entry.filename[:60])
    _refuse_impossible(entry, name, os.fstat(file.fileno()).st_size)
    with archive.open(entry) as member:
        header = _header(member)
        start = member.tell()
        if entry.file_size - start != header.size:
            raise _disagrees(header, entry.file_size - start)
        if mmap and header.size and entry.compress_type == zipfile.ZIP_STORED:
            while member.read(BLOCK):  # to the end, where zipfile compares the checksum
                pass
            return _mapped(file, header, _values_of(file, entry) + start)
        array = _loaded(member, header)
        if member.read(1):
            raise _disagrees(header, entry.file_size)
        return array


def _refuse_impossible(entry: zipfile.ZipInfo, name: str, total: int) -> None:
    """Raises _Fault for a member that cannot be read, or that claims more than the file can hold."""
    if entry.flag_bits & ENCRYPTED:
        raise _Fault(f"has an encrypted member {name}; save it again without a password")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _Fault(f"has a member {name} packed by a method of its own; save it again with numpy.savez_compressed")
    most = entry.compress_size * (1 if entry.compress_type == zipfile.ZIP_STORED else MOST_DENSE)
    if entry.compress_size > total or entry.file_size > most:
        raise _Fault(
            f"is damaged: its member {name} claims {entry.file_size} bytes in {entry.compress_size}, "
            f"more than the file can hold; save it again"
        )
    if entry.file_size > BOMB_BYTES and entry.file_size > BOMB_RATIO * entry.compress_size:
        raise _Fault(
            f"has a member {name} that unpacks {entry.compress_size} bytes to {entry.file_size}, which may be a "
            f"decompression bomb; save it unpacked with numpy.savez"
        )


def _values_of(file: BinaryIO, entry: zipfile.ZipInfo) -> int:
    """Where the content of a member begins in its file."""
    file.seek(entry.header_offset + 26)
    name_length, extra_length = struct.unpack("<HH", file.read(4))
    return entry.header_offset + 30 + int(name_length) + int(extra_length)


def _mapped(file: BinaryIO, header: _Header, start: int) -> np.ndarray:
    return np.memmap(file, header.dtype, "r", start, header.shape, header.order)


def _loaded(stream: IO[bytes], header: _Header) -> np.ndarray:
    """The values at a stream's place, in memory; it must hold them all."""
    if not header.size:
        return np.empty(header.shape, header.dtype, header.order)
    buffer = np.empty(header.size, np.uint8)
    filled = 0
    while filled < header.size:
        block = stream.read(min(BLOCK, header.size - filled))
        if not block:
            raise _Fault(f"is truncated: {header.size - filled} bytes of an array are missing; save it again")
        buffer[filled : filled + len(block)] = np.frombuffer(block, np.uint8)
        filled += len(block)
    return buffer.view(header.dtype).reshape(header.shape, order=header.order)
