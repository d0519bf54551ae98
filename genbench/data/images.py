"""Image files: which ones a folder holds, and the pixels of one of them as 8-bit grey or RGB."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from genbench.errors import DataError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".gif"})

# What decoding may have left out of a picture or changed in it.
REMARKS = (
    "",
    "lost an alpha channel",
    "had 16 bits and were scaled to 8",
    "had another colour space than RGB",
    "were animations, of which the first frame counts",
)


def shown(path: Path | str) -> str:
    """A path as it can be printed on any terminal, whatever bytes and control characters its name holds."""
    text = os.fsencode(path).decode("utf-8", "replace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def size_of(shape: Sequence[int]) -> str:
    """A shape (H, W, C) as people say it."""
    return f"{shape[1]}x{shape[0]} with {shape[2]} channel" + ("s" if shape[2] > 1 else "")


def find(folder: Path, suffixes: frozenset[str] = SUFFIXES) -> list[Path]:
    """Every image file below a folder, sorted; upper-case suffixes count, links are followed, loops of links end.

    Raises DataError where a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"cannot read the folder {shown(error.filename)}: {error.strerror}") from error

    found: list[Path] = []
    seen: set[str] = set()
    for here, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        seen.add(os.path.realpath(here))
        folders[:] = sorted(name for name in folders if not _goes_up(os.path.join(here, name), seen))
        found += [Path(here, name) for name in names if Path(name).suffix.lower() in suffixes]
    return sorted(found, key=os.fsencode)


def _goes_up(path: str, seen: set[str]) -> bool:
    """Whether a folder is a link to one that was walked already."""
    return os.path.islink(path) and os.path.realpath(path) in seen


def decode(file: Path) -> tuple[np.ndarray, int]:
    """The pixels of one image, uint8 (H, W, C) with C = 1 for grey and 3 for all others, and an index of REMARKS.

    Alpha channels are dropped, as `convert("RGB")` drops them in torch-fidelity and pytorch-fid; 16 bits are scaled to
    8, which Pillow's own conversion would clip. Raises DataError for what cannot be read, floating-point pixels, and
    pictures so large that they may be decompression bombs.
    """
    try:
        with Image.open(file) as image:
            if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
                raise DataError(f"has {image.width}x{image.height} pixels, which may be a decompression bomb")
            return _pixels(image)
    except DataError as error:
        raise DataError(f"{shown(file)}: {error}") from error
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        raise DataError(f"cannot read {shown(file)}: {_reason(error, file)}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{shown(file)}: may be a decompression bomb: {error}") from error


def _pixels(image: Image.Image) -> tuple[np.ndarray, int]:
    remark = 4 if getattr(image, "n_frames", 1) > 1 else 0
    mode = image.mode
    if mode.startswith("I"):
        wide = np.asarray(image).astype(np.int64)
        if wide.min() < 0 or wide.max() > 65535:
            raise DataError("has 32-bit pixels; convert it to 8 bits")
        return ((wide + 128) // 257).astype(np.uint8)[:, :, None], 2
    if mode == "F":
        raise DataError("has floating-point pixels; convert it to 8 bits")
    if mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info:
        remark = remark or 1
    elif mode not in ("1", "L", "P", "RGB", "RGBX"):
        remark = remark or 3
    if mode in ("1", "L", "LA", "La"):
        return np.asarray(image.convert("L"))[:, :, None], remark
    return np.asarray(image.convert("RGB")), remark


def _reason(error: BaseException, file: Path) -> str:
    """Pillow's message without the path, which the sentence has already."""
    if isinstance(error, FileNotFoundError):
        return "a broken link, or a file that is gone"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (text or type(error).__name__).replace(repr(str(file)), "it").replace(str(file), "it")
