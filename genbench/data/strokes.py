"""Digits as pen strokes: sequences of quantised directions, or of pen positions.

`strokes` stands in for recorded pens: the 8x8 digits that scikit-learn bundles are thinned to lines, and one pen path
is led along each. `pendigits` are recordings of real pens.

A direction is one of 16 levels: level k points 22.5 k degrees counter-clockwise from the right, y upwards (0 right,
4 up, 8 left, 12 down), and stands for the angles within 11.25 degrees of it. A path of T + 1 points at equal distances
along the pen's line has T directions. All of it is computed in whole numbers, so that no rounding of a library or a
machine decides where a direction falls.

References: T. Zhang and C. Suen, "A Fast Parallel Algorithm for Thinning Digital Patterns" (1984); H. Freeman, "On the
Encoding of Arbitrary Geometric Configurations" (1961), for chains of quantised directions; F. Alimoglu and E. Alpaydin,
"Methods of Combining Multiple Classifiers Based on Different Representations for Pen-based Handwritten Digit
Recognition" (1996), for pendigits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genbench.contracts import Dataset, SampleSpec
from genbench.data.digits import digits
from genbench.data.locations import content, obtain
from genbench.errors import DataError
from genbench.storage.regular import shown

Integers = NDArray[np.int64]

STEPS = 24
LEVELS = 16
ZOOM = 4  # pixels of the thinned image per pixel of the 8x8 original
FINE = 1024  # the grid on which points between pixels lie: this many to a pixel
SPUR = 4  # pixels: shorter side branches are left by thinning, not by the pen
HEADING = 5  # pixels over which the pen's heading is taken
CLASSES = tuple("0123456789")

FILES = ("pendigits.tra", "pendigits.tes")
URL = "https://archive.ics.uci.edu/ml/machine-learning-databases/pendigits/{}"
POINTS, LARGEST = 8, 100

# Unit vectors at 22.5 k degrees, times 10,000 and rounded, so that the level of a vector is an exact comparison.
QUADRANT = ((10000, 0), (9239, 3827), (7071, 7071), (3827, 9239))
COMPASS = (
    np.array([[*QUADRANT, *((-y, x) for x, y in QUADRANT)][k % 8] for k in range(LEVELS)], dtype=np.int64)
    * np.repeat([1, -1], 8)[:, None]
)


def strokes(root: Path | None = None) -> Dataset:
    """1,000 train and 797 held-out direction sequences (24,), levels 0..15, split like `digits`; no `root` is read."""
    return _strokes("strokes", SampleSpec((STEPS,), LEVELS), directions)


def strokes_positions(root: Path | None = None) -> Dataset:
    """The same pen paths as positions float32 (25, 2): x to the right and y upwards, within -1..1.

    The centre of each path's bounding box is the origin; 1 is half the height of the image. `root` is not read.
    """
    return _strokes("strokes-positions", SampleSpec((STEPS + 1, 2), None), lambda x: centred(x, 4 * ZOOM * FINE))


def _strokes(name: str, spec: SampleSpec, form: Callable[[Integers], Tensor]) -> Dataset:
    images, points = _written_digits()
    items = form(points)
    return Dataset(
        name=name,
        spec=spec,
        train=items[: len(images.train)],
        heldout=items[len(images.train) :],
        train_labels=images.train_labels,
        heldout_labels=images.heldout_labels,
        classes=CLASSES,
    )


def pendigits(root: Path | None = None) -> Dataset:
    """7,494 train and 3,498 held-out direction sequences (24,), levels 0..15, along the lines between the 8 points."""
    return _pendigits(
        "pendigits",
        SampleSpec((STEPS,), LEVELS),
        root,
        lambda x: directions(np.stack([resampled(path) for path in x * FINE])),
    )


def pendigits_positions(root: Path | None = None) -> Dataset:
    """The same recordings as their 8 pen positions float32 (8, 2), scaled from 0..100 to -1..1, not moved.

    Points in between would follow from these 8, and have no density of their own.
    """
    return _pendigits(
        "pendigits-positions",
        SampleSpec((POINTS, 2), None),
        root,
        lambda x: torch.from_numpy(((2 * x - LARGEST) / LARGEST).astype(np.float32)),
    )


def _pendigits(name: str, spec: SampleSpec, root: Path | None, form: Callable[[Integers], Tensor]) -> Dataset:
    paths = obtain("pendigits", root, FILES, ("pendigits", "."), _download)
    (train, train_labels), (heldout, heldout_labels) = map(read_pendigits, paths)
    return Dataset(
        name=name,
        spec=spec,
        train=form(train),
        heldout=form(heldout),
        train_labels=train_labels,
        heldout_labels=heldout_labels,
        classes=CLASSES,
    )


def _download(home: Path) -> None:
    from torchvision.datasets.utils import download_url

    for name in FILES:
        download_url(URL.format(name), str(home / "pendigits"))


def read_pendigits(path: Path) -> tuple[Integers, Tensor]:
    """Pen positions (n, 8, 2) within 0..100 and classes int64 (n,). Raises DataError that names the first bad line."""
    try:
        lines = content(path).decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"cannot read {shown(path)}: {error}; fetch it again") from error
    rows = [_row(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise DataError(f"{shown(path)} holds no digits; fetch it again")
    values = np.array(rows, dtype=np.int64)
    return values[:, :-1].reshape(-1, POINTS, 2), torch.from_numpy(values[:, -1].copy())


def _row(path: Path, number: int, line: str) -> list[int]:
    try:
        row = [int(value) for value in line.split(",")]
    except ValueError:
        raise DataError(
            f"{shown(path)}, line {number}: {line.strip()[:60]!r} are not whole numbers between commas"
        ) from None
    if len(row) != 2 * POINTS + 1:
        raise DataError(f"{shown(path)}, line {number} has {len(row)} numbers, not {2 * POINTS} positions and a class")
    wrong = next((value for value in row[:-1] if not 0 <= value <= LARGEST), None)
    if wrong is not None:
        raise DataError(f"{shown(path)}, line {number}: the position {wrong} is not within 0..{LARGEST}")
    if not 0 <= row[-1] < len(CLASSES):
        raise DataError(f"{shown(path)}, line {number}: the class {row[-1]} is not within 0..{len(CLASSES) - 1}")
    return row


@functools.cache
def _written_digits() -> tuple[Dataset, Integers]:
    """The 8x8 digits, and the pen paths (1797, 25, 2) of their train and then their held-out images."""
    images = digits()
    both = np.concatenate([images.train[:, 0].numpy(), images.heldout[:, 0].numpy()])
    return images, np.stack([resampled(smoothed(pen_path(image))) for image in thinned(enlarged(both))])


def directions(points: Integers) -> Tensor:
    """The level of each step of paths (n, T + 1, 2): uint8 (n, T). A step of no length counts as level 0."""
    steps = np.diff(points, axis=1)
    return torch.from_numpy((steps @ COMPASS.T).argmax(-1).astype(np.uint8))


def centred(points: Integers, unit: int) -> Tensor:
    """Paths (n, T, 2) as float32, the centre of each bounding box at the origin, `unit` grid points as 1."""
    middle = points.min(1, keepdims=True) + points.max(1, keepdims=True)
    return torch.from_numpy(((2 * points - middle) / (2 * unit)).astype(np.float32))


def resampled(points: Integers, steps: int = STEPS) -> Integers:
    """A path (m, 2) as steps + 1 points (steps + 1, 2) at equal distances along it, on the same grid."""
    sides = np.diff(points, axis=0)
    lengths = np.sqrt((sides**2).sum(1)).astype(np.int64)
    if not lengths.any():
        return np.repeat(points[:1], steps + 1, axis=0)
    points, sides, lengths = points[:-1][lengths > 0], sides[lengths > 0], lengths[lengths > 0]
    ends = lengths.cumsum()
    # In units of 1 / steps of the grid, point k lies k * length along the path.
    along = np.arange(steps + 1) * ends[-1]
    side = np.minimum(np.searchsorted(ends * steps, along), len(ends) - 1)
    beyond = along - (ends - lengths)[side] * steps
    return points[side] + sides[side] * beyond[:, None] // (lengths[side] * steps)[:, None]


def smoothed(pixels: Integers) -> Integers:
    """A chain of pixels (m, 2), column and row, without its staircase: (m, 2) on the fine grid, y up, ends kept."""
    points: Integers = pixels * np.array([FINE, -FINE])
    for _ in range(2):
        inner = points[:-2] + 2 * points[1:-1] + points[2:]
        points = np.concatenate([points[:1], inner // 4, points[-1:]]) if len(points) > 2 else points
    return points


def enlarged(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The ink of images (n, 8, 8), values 0..16, enlarged ZOOM times by bilinear interpolation, with an empty margin.

    Ink is what reaches half of the largest value around it, by which faint strokes stay whole and small loops open.
    """
    size = images.shape[1]
    fine = np.arange(ZOOM * size)
    # The centre of fine pixel i lies at (2 i + 1 - ZOOM) / (2 ZOOM) in coarse pixels.
    coarse, rest = np.divmod(2 * fine + 1 - ZOOM, 2 * ZOOM)
    weights = np.zeros((len(fine), size), dtype=np.int64)
    for offset, weight in ((0, 2 * ZOOM - rest), (1, rest)):
        np.add.at(weights, (fine, np.clip(coarse + offset, 0, size - 1)), weight)
    wide = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    largest = np.max([wide[:, row : row + size, column : column + size] for row, column in np.ndindex(3, 3)], axis=0)
    ink, around = (weights @ values.astype(np.int64) @ weights.T for values in (images, largest))
    full = 16 * (2 * ZOOM) ** 2
    return np.pad((2 * ink >= around) & (4 * ink >= full), ((0, 0), (1, 1), (1, 1)))


def _deletable() -> NDArray[np.bool_]:
    """Zhang and Suen's conditions for their two passes: bool (2, 256), by the neighbours read as the bits of AROUND."""
    table = np.zeros((2, 256), dtype=bool)
    for code in range(256):
        ring = [code >> bit & 1 for bit in range(8)]
        top, right, bottom, left = ring[::2]
        rises = sum(not ring[bit - 1] and ring[bit] for bit in range(8))
        simple = 2 <= sum(ring) <= 6 and rises == 1
        table[0, code] = simple and not top & right & bottom and not right & bottom & left
        table[1, code] = simple and not top & right & left and not top & bottom & left
    return table


DELETABLE = _deletable()
AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))  # row, column, from the top clockwise


def thinned(images: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Images (n, h, w) with an empty margin, their strokes thinned to lines of one pixel."""
    images = images.copy()
    height, width = images.shape[1] - 2, images.shape[2] - 2
    inner = images[:, 1:-1, 1:-1]
    while True:
        before = inner.sum()
        for conditions in DELETABLE:
            code = np.zeros(inner.shape, dtype=np.uint8)
            for bit, (row, column) in enumerate(AROUND):
                code |= images[:, 1 + row : 1 + row + height, 1 + column : 1 + column + width].view(np.uint8) << bit
            inner &= ~conditions[code]
        if inner.sum() == before:
            return images


def pen_path(skeleton: NDArray[np.bool_]) -> Integers:
    """The pixels (m, 2) as (column, row) of a thinned digit, in the order in which one pen would write them.

    The pen starts at the end of a line in the upper half that is nearest to the top left, without one at the top of
    a loop. It goes straight on at crossings, back over written lines to reach branches, and across gaps; what is left
    beside its way and shorter than SPUR pixels is not written.
    """
    width = skeleton.shape[1]
    offsets = [row * width + column for row, column in AROUND]
    pixels = set(np.flatnonzero(skeleton).tolist())
    if not pixels:
        return np.zeros((1, 2), dtype=np.int64)
    here = _start(pixels, offsets, width)
    path, rest = [here], pixels - {here}
    while rest:
        ahead = [here + offset for offset in offsets if here + offset in rest]
        if ahead:
            here = ahead[0] if len(ahead) == 1 else _straightest(path, ahead, width)
            path.append(here)
            rest.discard(here)
            continue
        way = _way_to_rest(here, pixels, rest, offsets) or [_nearest(here, rest, width)]
        branch = _connected(way[-1], rest, offsets)
        if len(branch) < SPUR:
            rest -= branch
            continue
        path += way
        here = path[-1]
        rest.discard(here)
    return np.stack([np.array(path) % width, np.array(path) // width], axis=1)


def _start(pixels: set[int], offsets: list[int], width: int) -> int:
    top, bottom = min(pixels), max(pixels)
    upper = [pixel for pixel in pixels if 2 * (pixel // width) < top // width + bottom // width]
    ends = [pixel for pixel in upper if sum([pixel + offset in pixels for offset in offsets]) == 1]
    return min(ends, key=lambda pixel: (pixel // width + pixel % width, pixel)) if ends else top


def _straightest(path: list[int], ahead: list[int], width: int) -> int:
    """The pixel ahead that turns least; the first turn of all is to the left and down, as loops are written."""
    behind, here = path[-HEADING:][0], path[-1]
    rise, run = (1, -2) if behind == here else (here // width - behind // width, here % width - behind % width)

    def straightness(pixel: int) -> int:
        row, column = pixel // width - here // width, pixel % width - here % width
        # In the ratio of the lengths of straight and diagonal steps.
        return (row * rise + column * run) * (5 if row and column else 7)

    return max(ahead, key=straightness)


def _way_to_rest(here: int, pixels: set[int], rest: set[int], offsets: list[int]) -> list[int]:
    """The shortest way over written pixels to an unwritten one, which is its last; empty where there is none."""
    came_from = {here: here}
    front = [here]
    while front:
        reached = []
        for pixel in front:
            for offset in offsets:
                if (other := pixel + offset) in pixels and other not in came_from:
                    came_from[other] = pixel
                    if other in rest:
                        way = [other]
                        while came_from[way[-1]] != here:
                            way.append(came_from[way[-1]])
                        return way[::-1]
                    reached.append(other)
        front = reached
    return []


def _nearest(here: int, rest: set[int], width: int) -> int:
    def distance(pixel: int) -> int:
        return (pixel // width - here // width) ** 2 + (pixel % width - here % width) ** 2

    return min(rest, key=lambda pixel: (distance(pixel), pixel))


def _connected(start: int, rest: set[int], offsets: list[int]) -> set[int]:
    reached, front = {start}, [start]
    while front:
        pixel = front.pop()
        fresh = {pixel + offset for offset in offsets} & rest - reached
        reached |= fresh
        front += fresh
    return reached
