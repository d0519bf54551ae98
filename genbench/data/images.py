"""Image files: which ones a folder holds, and the pixels of one of them as 8-bit grey or RGB."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from genbench.data.folders import files_below
from genbench.errors import DataError
from genbench.storage.regular import open_regular, reason, shown

__all__ = ["REMARKS", "SUFFIXES", "decode", "find", "shown", "size_of"]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".gif"})
# What a file's content may be, whatever its name: Pillow reads more, but runs other programs for some of it (EPS).
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "WEBP", "TIFF", "DIB")

# What decoding may have left out of a picture or changed in it.
REMARKS = (
    "",
    "lost an alpha channel",
    "had 16 bits and were scaled to 8",
    "had another colour space than RGB",
    "were animations, of which the first frame counts",
)


def size_of(shape: Sequence[int]) -> str:
    """A shape (H, W, C) as people say it."""
    return f"{shape[1]}x{shape[0]} with {shape[2]} channel" + ("s" if shape[2] > 1 else "")


def find(folder: Path) -> list[Path]:
    """Every image file below a folder, as `folders.files_below` finds them. Raises DataError as that does."""
    return files_below(folder, SUFFIXES)


def decode(file: Path, content: bytes | None = None) -> tuple[np.ndarray, int]:
    """The pixels of one image, uint8 (H, W, C) with C = 1 for grey and 3 for all others, and an index of REMARKS.

    The file is not opened where its `content` is at hand.
    Alpha channels are dropped, as `convert("RGB")` drops them in torch-fidelity and pytorch-fid; 16 bits are scaled to
    8, which Pillow's own conversion would clip. Raises DataError for what cannot be read, floating-point pixels, and
    pictures so large that they may be decompression bombs.
    """
    with open_regular(file) if content is None else io.BytesIO(content) as stream:
        try:
            with Image.open(stream, formats=FORMATS) as image:
                if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
                    raise DataError(f"has {image.width}x{image.height} pixels, which may be a decompression bomb")
                return _pixels(image)
        except DataError as error:
            raise DataError(f"{shown(file)} {error}") from error
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise DataError(f"{shown(file)} may be a decompression bomb: {reason(error)}") from error
        except UnidentifiedImageError as error:
            raise DataError(
                f"cannot read {shown(file)}: it is damaged at its beginning, or none of {', '.join(FORMATS)}"
            ) from error
        except Exception as error:  # decoders raise two dozen kinds of errors on damaged headers
            raise DataError(f"cannot read {shown(file)}: {reason(error)}") from error


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
