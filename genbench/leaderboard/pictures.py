"""Pictures of samples, as PNG files written atomically."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genbench.contracts import SampleSpec
from genbench.errors import GenbenchError, InputError, ResultsError
from genbench.storage import atomic

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from genbench.contracts import Dataset

GRID_ITEMS = 100
ROWS_BESIDE, COLUMNS_BESIDE, WIDTH_BESIDE = 15, 4, 1000  # cells of a picture whose cells hold several images, pixels
BORDER, DIVIDER = 90, 200  # greys of the lines around images, and between cells
SMOOTHING = 4  # lines are drawn this many times larger, then shrunk, so that their edges are smooth
PEN_CELL, WAVE_CELL = (48, 48), (120, 48)  # width and height in pixels
PAPER, INK, START = (255, 255, 255), (30, 40, 70), (220, 90, 40)
ROW_WIDTH, HEADING = 700, 24  # pixels: the least width of rows of images, and the height of the line above them
PALETTE = np.array([[250, 190, 60], [70, 120, 190], [170, 170, 170], [60, 160, 110], [200, 80, 80]], dtype=np.uint8)


@contextmanager
def drawing(path: Path, doing: str = "draw") -> Iterator[None]:
    """Whatever goes wrong in a picture is one line, and costs the picture alone."""
    try:
        yield
    except GenbenchError:
        raise
    except Exception as error:
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        raise ResultsError(f"cannot {doing} {path}: {type(error).__name__}: {reason}") from error


def save_grid(samples: Tensor, spec: SampleSpec, path: Path, picture: str = "") -> None:
    """A grid of images, or sequences as rows of coloured cells; at least 400 pixels wide. Other shapes: no picture.

    `picture` says what a sequence is, where it is more than symbols: "pen" draws written lines (a dot where each
    begins) from directions (T,) or positions (T, 2), "wave" the curve of audio (T,), 256 levels read as mu-law. Raises
    ResultsError where it cannot be drawn or written, as the other pictures do.
    """
    with drawing(path):
        image = _grid(samples, spec, picture)
        if image is not None:
            atomic.write(path, lambda part: image.save(part, format="PNG"))


def _grid(samples: Tensor, spec: SampleSpec, picture: str) -> Image | None:
    if picture == "pen":
        return _line_grid([_fit(path, PEN_CELL) for path in _pen_paths(samples, spec)], PEN_CELL, dots=True)
    if picture == "wave":
        return _line_grid(_curves(samples, spec), WAVE_CELL)
    if spec.is_image and spec.shape[0] in (1, 3):
        return _enlarged(_image_grid(samples, spec))
    if len(spec.shape) == 1 and spec.levels is not None:
        return _enlarged(_sequence_rows(samples, spec.levels))
    return None


def translations(dataset: Dataset, made: Tensor) -> list[tuple[str, Tensor, SampleSpec]]:
    """What stands side by side for translations (n, *shape) of the first held-out sources, each with its heading.

    Channels of a source beyond those of its target are what the model is told: its condition, drawn one over the other.
    """
    source = dataset.source
    assert source is not None
    items, channels = source.heldout[: len(made)], dataset.spec.shape[0]
    parts = [("source", items, source.spec)]
    if source.spec.is_image and source.spec.shape[0] > channels:
        told = items[:, channels:].amax(1, keepdim=True)
        single = SampleSpec((1, *source.spec.shape[1:]), source.spec.levels)
        shown = SampleSpec((channels, *source.spec.shape[1:]), source.spec.levels)
        parts = [("source", items[:, :channels], shown), ("condition", told, single)]
    parts.append(("output", made, dataset.spec))
    return [*parts, ("target", dataset.heldout, dataset.spec)] if source.paired else parts


def save_beside(parts: Sequence[tuple[str, Tensor, SampleSpec]], path: Path) -> None:
    """Several images side by side in each cell, as a source, its translation and its target, a line between cells.

    `parts` are the heading of each, its items (n, C, H, W) of one or three channels, all of one height, and their spec;
    the first 60 items are shown. Other shapes: no picture.
    """
    if not all(spec.is_image and spec.shape[0] in (1, 3) for _, _, spec in parts):
        return
    with drawing(path):
        image = _beside(parts)
        atomic.write(path, lambda part: image.save(part, format="PNG"))


def _beside(parts: Sequence[tuple[str, Tensor, SampleSpec]]) -> Image:
    count = min(ROWS_BESIDE * COLUMNS_BESIDE, *(len(items) for _, items, _ in parts))
    images = [_pixels(items[:count], spec) for _, items, spec in parts]
    line = np.full((count, images[0].shape[1], 1, 3), BORDER, dtype=np.uint8)
    cells = np.concatenate([piece for image in images for piece in (line, image)][1:], axis=2)
    grid = _cells(cells, COLUMNS_BESIDE, DIVIDER)
    scale = max(1, math.ceil(WIDTH_BESIDE / grid.shape[1]))
    ends = np.cumsum([image.shape[2] + 1 for image in images])
    middles = [end - (image.shape[2] + 1) / 2 for end, image in zip(ends, images, strict=True)]
    headings = [
        (scale * (1 + column * (cells.shape[2] + 1) + middle), heading)
        for column in range(COLUMNS_BESIDE)
        for middle, (heading, _, _) in zip(middles, parts, strict=True)
    ]
    return _headed(headings, scale * min(image.shape[2] for image in images), _enlarged(grid, scale * grid.shape[1]))


def _headed(headings: Sequence[tuple[float, str]], space: float, image: Image) -> Image:
    """An image below headings, each about its middle in pixels, as large as lets the longest fit into its space."""
    from PIL import Image, ImageDraw, ImageFont

    size = 0.6 * HEADING
    longest = max(ImageFont.load_default(size=size).getlength(heading) for _, heading in headings)
    font = ImageFont.load_default(size=size * min(1, 0.95 * space / longest))
    page = Image.new("RGB", (image.width, HEADING + image.height), PAPER)
    draw = ImageDraw.Draw(page)
    for middle, heading in headings:
        draw.text((middle, HEADING / 2), heading, fill=INK, font=font, anchor="mm")
    page.paste(image, (0, HEADING))
    return page


def save_rows(blocks: Sequence[tuple[Sequence[str], Tensor]], spec: SampleSpec, path: Path) -> None:
    """Blocks of images one below the other, each with headings above its columns.

    A block is its headings and items (rows, columns, *spec.shape); fewer headings than columns stand evenly above them.
    Raises InputError for items that are no images of one or three channels.
    """
    if not (spec.is_image and spec.shape[0] in (1, 3)):
        raise InputError(f"a grid of rows needs images of one or three channels, these items are {spec.shape}")
    with drawing(path):
        grids = [(heads, _cells(_pixels(items.flatten(0, 1), spec), items.shape[1], BORDER)) for heads, items in blocks]
        scale = math.ceil(ROW_WIDTH / max(pixels.shape[1] for _, pixels in grids))
        image = _stacked([(heads, _enlarged(pixels, scale * pixels.shape[1])) for heads, pixels in grids])
        atomic.write(path, lambda part: image.save(part, format="PNG"))


def _stacked(blocks: Sequence[tuple[Sequence[str], Image]]) -> Image:
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=0.6 * HEADING)
    width = max(image.width for _, image in blocks)
    height = sum(HEADING + image.height for _, image in blocks)
    page, top = Image.new("RGB", (width, height), PAPER), 0
    draw = ImageDraw.Draw(page)
    for heads, image in blocks:
        for number, head in enumerate(heads):
            middle = (number + 0.5) * image.width / len(heads)
            draw.text((middle, top + HEADING / 2), head, fill=INK, font=font, anchor="mm")
        page.paste(image, (0, top + HEADING))
        top += HEADING + image.height
    return page


def _enlarged(pixels: np.ndarray, least: int = 400) -> Image:
    from PIL import Image

    scale = max(1, math.ceil(least / pixels.shape[1]))
    return Image.fromarray(pixels.repeat(scale, 0).repeat(scale, 1))


def _pen_paths(samples: Tensor, spec: SampleSpec) -> np.ndarray:
    """Positions float64 (n, T, 2), y upwards. Level k of directions is a step of length 1 at angle 2 pi k / levels."""
    if spec.levels is None:
        return samples.double().numpy()
    angles = 2 * np.pi * samples.double().numpy() / spec.levels
    steps = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return np.concatenate([np.zeros((len(steps), 1, 2)), steps.cumsum(1)], axis=1)


def _fit(path: np.ndarray, cell: tuple[int, int]) -> np.ndarray:
    """A path (T, 2) as pixels of its cell, y downwards, as large as the cell allows."""
    low, high = path.min(0), path.max(0)
    scale = 0.8 * min(cell) / max((high - low).max(), 1e-12)
    fitted: np.ndarray = (path - (low + high) / 2) * [scale, -scale] + [cell[0] / 2, cell[1] / 2]
    return fitted


def _curves(samples: Tensor, spec: SampleSpec) -> list[np.ndarray]:
    """Audio (n, T) as curves in pixels of their cells; the loudest of all curves fills its cell's height."""
    values = samples.double().numpy()
    if spec.levels is not None:
        compressed = 2 * values / (spec.levels - 1) - 1
        values = np.sign(compressed) * (spec.levels ** np.abs(compressed) - 1) / (spec.levels - 1)
    width, height = WAVE_CELL
    heights = height / 2 - 0.45 * height * values / max(np.abs(values).max(), 1e-12)
    across = np.linspace(3, width - 3, values.shape[1])
    return [np.stack([across, curve], axis=1) for curve in heights]


def _line_grid(paths: list[np.ndarray], cell: tuple[int, int], dots: bool = False) -> Image:
    """Paths (T, 2), each in pixels of its own cell, as dark lines on white paper."""
    from PIL import Image, ImageDraw

    columns = math.ceil(math.sqrt(len(paths)))
    rows = math.ceil(len(paths) / columns)
    size = columns * cell[0], rows * cell[1]
    image = Image.new("RGB", (SMOOTHING * size[0], SMOOTHING * size[1]), PAPER)
    draw = ImageDraw.Draw(image)
    for index, path in enumerate(paths):
        corner = np.array([index % columns * cell[0], index // columns * cell[1]])
        points = [(float(x), float(y)) for x, y in SMOOTHING * (corner + path)]
        draw.line(points, fill=INK, width=(2 if dots else 1) * SMOOTHING, joint="curve")
        if dots:
            (x, y), radius = points[0], 2 * SMOOTHING
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=START)
    return image.resize(size, Image.Resampling.LANCZOS)


def _pixels(samples: Tensor, spec: SampleSpec) -> np.ndarray:
    """Images (n, 1 or 3, H, W) as RGB bytes (n, H, W, 3)."""
    values = samples.float().numpy()
    low, high = (values.min(), values.max()) if spec.levels is None else (0, spec.levels - 1)
    images = np.round(255 * (values - low) / max(high - low, 1e-12)).astype(np.uint8).transpose(0, 2, 3, 1)
    return np.broadcast_to(images, (*images.shape[:3], 3))


def _image_grid(samples: Tensor, spec: SampleSpec) -> np.ndarray:
    return _cells(_pixels(samples, spec), math.ceil(math.sqrt(len(samples))), BORDER)


def _cells(images: np.ndarray, columns: int, border: int) -> np.ndarray:
    """Images (n, H, W, 3) in rows, with lines of a grey around each."""
    rows = math.ceil(len(images) / columns)
    height, width = images.shape[1:3]
    grid = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, 3), border, dtype=np.uint8)
    for index, image in enumerate(images):
        top, left = 1 + index // columns * (height + 1), 1 + index % columns * (width + 1)
        grid[top : top + height, left : left + width] = image
    return grid


def _sequence_rows(samples: Tensor, levels: int) -> np.ndarray:
    colours = PALETTE if levels <= len(PALETTE) else np.linspace(0, 255, levels).astype(np.uint8)[:, None].repeat(3, 1)
    return colours[samples[:40].numpy()]
