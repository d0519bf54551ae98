"""Four benchmarks of image-to-image translation, each made from the bundled digits by a transformation that is known.

`edges2digits` fills outlines, `thin2bold` thickens strokes without any pair to learn it from, `pose` turns a digit
into the pose that key points show, `slant` leans a digit by a given number. What a model is told beside an image are
further channels of its source.

Rotations, shifts and shears read the digits between pixels, bilinearly, with paper beyond the border.

References: P. Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks" (2017), for pairs of
edges and images; J.-Y. Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks"
(2017); L. Ma et al., "Pose Guided Person Image Generation" (2017), for an image and a pose as one input; A. Pumarola et
al., "GANimation: Anatomically-aware Facial Animation from a Single Image" (2018), for conditions that are numbers; J.
Rivest, P. Soille and S. Beucher, "Morphological Gradients" (1993), for the edges.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genbench import seeding
from genbench.contracts import Dataset, SampleSpec, Source
from genbench.data.digits import digits

LEVELS, SIDE = 17, 8
GREY = SampleSpec((1, SIDE, SIDE), LEVELS)

INK = 4  # the lowest level that counts as ink where an outline is drawn
WIDER, TALLER = 0.8, 0.5  # the share of its level that a pixel hands on to its right, and downwards
TURN, SHIFT = math.radians(35), 1.0  # poses: the largest rotation, and the largest shift in pixels along both axes
STEEPEST = 0.6  # the largest slant, in columns per row

# The key points that show a pose: feet, hips, neck and head of a figure upright, in pixels to the right of and above
# the image's centre, each a disc.
KEY_POINTS = ((0.0, -3.0), (0.0, -1.0), (0.0, 1.0), (0.0, 2.5))
RADIUS = 1.0


def edges2digits(root: Path | None = None) -> Dataset:
    """The split of `digits`, each image paired with its outline (1, 8, 8), 2 levels; `root` is not read."""
    whole = digits()
    outlines = [outline(split) for split in (whole.train, whole.heldout)]
    return _paired("edges2digits", whole, SampleSpec((1, SIDE, SIDE), 2), outlines, [whole.train, whole.heldout])


def thin2bold(root: Path | None = None) -> Dataset:
    """The digits in even rows of both splits, and, made bold, those in odd rows; `root` is not read.

    No digit stands in both domains: 500 train and 399 held-out sources, 500 and 398 targets.
    """
    whole = digits()
    assert whole.train_labels is not None
    assert whole.heldout_labels is not None
    labels = whole.train_labels[::2], whole.heldout_labels[::2]
    source = Source(GREY, whole.train[::2], whole.heldout[::2], False, *labels)
    return Dataset(
        name="thin2bold",
        spec=GREY,
        train=bold(whole.train[1::2]),
        heldout=bold(whole.heldout[1::2]),
        train_labels=whole.train_labels[1::2],
        heldout_labels=whole.heldout_labels[1::2],
        classes=whole.classes,
        source=source,
    )


def pose(root: Path | None = None) -> Dataset:
    """Sources (5, 8, 8): a digit in one pose, and the four key points of another; paired with the digit in that pose.

    A pose turns by at most 35 degrees and then shifts by at most 1 pixel along both axes. No `root` is read.
    """
    return _told("pose", _posed, 6)


def slant(root: Path | None = None) -> Dataset:
    """Sources (2, 8, 8): a digit at some slant, and the slant to give it, a constant plane; paired with the digit so.

    `planes` and `slants` turn slants into planes and back. Each target with its own plane, ``source.train[i, 1]``, is
    an image whose slant is known, which is all that a model without pairs may read. No `root` is read.
    """
    return _told("slant", _slanted, 2)


def outline(x: Tensor, ink_from: int = INK) -> Tensor:
    """The inner edge of the ink of images (n, 1, H, W): 1 where a pixel is ink and one of its four neighbours is not.

    Ink are the levels from `ink_from` on. This is the internal morphological gradient of the thresholded image; beyond
    the border there is no ink.
    """
    ink = F.pad((x >= ink_from).to(torch.uint8), (1, 1, 1, 1))
    around = ink[..., :-2, 1:-1], ink[..., 2:, 1:-1], ink[..., 1:-1, :-2], ink[..., 1:-1, 2:]
    return ink[..., 1:-1, 1:-1] & (1 - torch.stack(around).amin(0))


def bold(x: Tensor) -> Tensor:
    """Grey dilation of images (n, 1, H, W): the largest of a pixel, 0.8 of its left neighbour, 0.5 of the one above.

    Strokes grow on one side only and by less than a pixel: the holes of 0, 6, 8 and 9 narrow and turn grey, but stay.
    """
    before = F.pad(x, (1, 0, 1, 0)).double()
    return torch.stack([x, _levelled(WIDER * before[..., 1:, :-1]), _levelled(TALLER * before[..., :-1, 1:])]).amax(0)


def slants(asked: Tensor) -> Tensor:
    """The slants, float64 (n,), that planes (n, H, W) of levels 0..16 ask for: columns to the right per row upwards."""
    return (2 * asked[:, 0, 0].double() / (LEVELS - 1) - 1) * STEEPEST


def planes(values: Tensor) -> Tensor:
    """The planes, uint8 (n, 8, 8), that ask for slants (n,): the nearest of 17 levels from -0.6 to 0.6."""
    levels = _levelled((values.double().clamp(-STEEPEST, STEEPEST) / STEEPEST + 1) / 2 * (LEVELS - 1))
    return levels[:, None, None].expand(-1, SIDE, SIDE).contiguous()


def sheared(x: Tensor, values: Tensor) -> Tensor:
    """Images (n, 1, H, W) sheared horizontally about their middle row by slants (n,), columns per row upwards."""
    # Rows count downwards: above the middle they are negative, and what stands there came from the left.
    backwards = torch.eye(2, 3, dtype=torch.float64).repeat(len(x), 1, 1)
    backwards[:, 0, 1] = values
    return _resampled(x, backwards)


def moved(x: Tensor, turns: Tensor, shifts: Tensor) -> Tensor:
    """Images (n, 1, H, W) turned about their centre by angles (n,), counter-clockwise in radians, then shifted.

    Shifts (n, 2) are in pixels to the right and upwards.
    """
    return _resampled(x, _undoing(turns, shifts))


def key_points(turns: Tensor, shifts: Tensor) -> Tensor:
    """The key points of a pose, turned and shifted likewise, a channel each: uint8 (n, 4, 8, 8).

    A disc's level falls from 16 to 0 over one pixel, so that its greys tell where it lies between pixels.
    """
    centres = F.affine_grid(_undoing(turns, shifts), [len(turns), 1, SIDE, SIDE], align_corners=False) * SIDE / 2
    pixels = centres * torch.tensor([1.0, -1.0], dtype=torch.float64)
    points = torch.tensor(KEY_POINTS, dtype=torch.float64)
    distances = (pixels[:, None] - points[:, None, None]).norm(dim=-1)
    return _levelled((LEVELS - 1) * (RADIUS + 0.5 - distances).clamp(0, 1))


def _posed(x: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
    turns, shifts = TURN * draws[:, :2], SHIFT * draws[:, 2:].unflatten(1, (2, 2))
    shown = key_points(turns[:, 1], shifts[:, 1])
    sources = torch.cat([moved(x, turns[:, 0], shifts[:, 0]), shown], dim=1)
    return sources, moved(x, turns[:, 1], shifts[:, 1])


def _slanted(x: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
    before, asked = STEEPEST * draws[:, 0], planes(STEEPEST * draws[:, 1])
    return torch.cat([sheared(x, before), asked[:, None]], dim=1), sheared(x, slants(asked))


def _told(name: str, make: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], numbers: int) -> Dataset:
    """The split of `digits` as sources and targets, which `make` makes from digits and numbers uniform in -1..1."""
    whole = digits()
    pairs = []
    for index, split in enumerate((whole.train, whole.heldout)):
        draws = np.random.default_rng(seeding.derive(name, index)).uniform(-1, 1, (len(split), numbers))
        pairs.append(make(split, torch.from_numpy(draws)))
    sources, targets = zip(*pairs, strict=True)
    told = SampleSpec((sources[0].shape[1], SIDE, SIDE), LEVELS)
    return _paired(name, whole, told, sources, targets)


def _paired(
    name: str, whole: Dataset, spec: SampleSpec, sources: Sequence[Tensor], targets: Sequence[Tensor]
) -> Dataset:
    """Train and held-out sources of a spec with the targets that they belong to; the labels are those of the digits."""
    labels = whole.train_labels, whole.heldout_labels
    source = Source(spec, sources[0], sources[1], True, *labels)
    return Dataset(name, GREY, targets[0], targets[1], *labels, classes=whole.classes, source=source)


def _undoing(turns: Tensor, shifts: Tensor) -> Tensor:
    """Affine maps (n, 2, 3) from where a pixel is after a turn and a shift to where it was, in units of half a side.

    Rows count downwards, so that undoing a counter-clockwise turn is this rotation.
    """
    cos, sin = turns.cos(), turns.sin()
    linear = torch.stack([torch.stack([cos, -sin], dim=1), torch.stack([sin, cos], dim=1)], dim=1)
    offsets = shifts * torch.tensor([1.0, -1.0], dtype=torch.float64) / (SIDE / 2)
    return torch.cat([linear, -linear @ offsets[:, :, None]], dim=2)


def _resampled(x: Tensor, backwards: Tensor) -> Tensor:
    """Images (n, 1, H, W) whose pixels are read, bilinearly, where the maps (n, 2, 3) say that they were."""
    grid = F.affine_grid(backwards, list(x.shape), align_corners=False)
    return _levelled(F.grid_sample(x.double(), grid, mode="bilinear", padding_mode="zeros", align_corners=False))


def _levelled(x: Tensor) -> Tensor:
    """The nearest levels; a value halfway goes up, even where the arithmetic of a machine leaves it just below."""
    return (x + 0.5 + 1e-9).floor().to(torch.uint8)
