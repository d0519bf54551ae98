"""The data of the translation benchmarks, each against a second computation of what was done to the digits."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from genbench.contracts import Dataset, SampleSpec, Source
from genbench.data import translation as data
from genbench.data.digits import digits

BOARDS = ("edges2digits", "thin2bold", "pose", "slant")
GREY = data.GREY
WHOLE = digits()


@pytest.mark.parametrize("name", BOARDS)
def test_datasets_are_what_their_specs_say_and_never_change(name):
    d = getattr(data, name)()
    assert (d.name, d.spec, d.classes) == (name, GREY, WHOLE.classes)
    for items, spec in ((d.train, d.spec), (d.heldout, d.spec), (d.source.train, d.source.spec)):
        assert items.dtype == torch.uint8
        assert tuple(items.shape[1:]) == spec.shape
        assert int(items.max()) == spec.levels - 1
    for labels, items in ((d.heldout_labels, d.heldout), (d.source.heldout_labels, d.source.heldout)):
        assert (labels.dtype, len(labels)) == (torch.int64, len(items))
    assert (
        d.sha256[:16]
        == {
            "edges2digits": "f20c28ae8ecdb810",
            "thin2bold": "6ca9c83fa4ea8a48",
            "pose": "febf19fee6d6c66c",
            "slant": "1b2b28d5fec09d06",
        }[name]
    )


def test_outlines_are_ink_that_an_erosion_takes_away():
    d = data.edges2digits()
    assert torch.equal(d.heldout, WHOLE.heldout)
    assert torch.equal(d.source.heldout_labels, WHOLE.heldout_labels)
    for outline, image in zip(d.source.heldout[:, 0].numpy(), WHOLE.heldout[:, 0].numpy(), strict=True):
        ink = image >= data.INK
        np.testing.assert_array_equal(outline, ink & ~ndimage.binary_erosion(ink))


def holes(images: torch.Tensor) -> float:
    """The share of images in which some level closes a ring around paper."""
    closed = [any(ndimage.label(np.pad(x, 1) < ink)[1] > 1 for ink in range(2, 17)) for x in images[:, 0].numpy()]
    return float(np.mean(closed))


def test_bold_digits_have_more_ink_and_keep_their_holes():
    d = data.thin2bold()
    assert (len(d.source.heldout), len(d.heldout), d.source.paired) == (399, 398, False)
    assert torch.equal(d.source.heldout, WHOLE.heldout[::2])
    odd = WHOLE.heldout[1::2]
    assert torch.equal(d.heldout_labels, WHOLE.heldout_labels[1::2])
    assert (d.heldout >= odd).all()
    assert 1.3 < d.heldout.double().mean() / odd.double().mean() < 1.4
    # One pixel by hand: itself, to its right, and below.
    dot = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    dot[0, 0, 3, 3] = 10
    bold = data.bold(dot)[0, 0]
    assert (int(bold[3, 3]), int(bold[3, 4]), int(bold[4, 3]), int(bold.sum())) == (10, 8, 5, 23)
    for label in (0, 6, 8, 9):
        assert holes(d.heldout[d.heldout_labels == label]) > 0.9 * holes(odd[d.heldout_labels == label])


def resampled(image, rows, columns):
    """An independent bilinear reading of an image at places in pixels, with paper beyond the border."""
    values = ndimage.map_coordinates(np.pad(image.astype(float), 2), [rows + 2, columns + 2], order=1)
    return np.floor(values + 0.5 + 1e-9)


@pytest.mark.parametrize(("turn", "shift"), [(0.0, (1.0, 0.0)), (0.5, (0.0, 0.0)), (-0.6, (0.7, -0.4))])
def test_moving_turns_counter_clockwise_and_then_shifts(turn, shift):
    image = WHOLE.train[:1]
    moved = data.moved(image, torch.tensor([turn]).double(), torch.tensor([shift]).double())[0, 0].numpy()
    row, column = np.mgrid[:8, :8]
    right, up = column - 3.5 - shift[0], 3.5 - row - shift[1]
    before = (
        right * math.cos(turn) + up * math.sin(turn),
        up * math.cos(turn) - right * math.sin(turn),
    )
    np.testing.assert_array_equal(moved, resampled(image[0, 0].numpy(), 3.5 - before[1], before[0] + 3.5))


def test_key_points_stand_upright_and_turn_with_their_pose():
    turns = torch.tensor([0.0, math.pi / 2, 0.0]).double()
    shifts = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, -1.0]]).double()
    upright, left, shifted = data.key_points(turns, shifts).long()
    rows, columns = torch.meshgrid(*[torch.arange(8.0).double()] * 2, indexing="ij")
    for channel, (right, up) in zip(upright, data.KEY_POINTS, strict=True):
        ink = channel / channel.sum()
        assert (ink * columns).sum().item() == pytest.approx(3.5 + right, abs=0.01)
        assert (ink * rows).sum().item() == pytest.approx(3.5 - up, abs=0.06)
    assert upright.amax() == 16
    assert torch.equal(upright, upright.flip(2)), "even in itself"
    assert torch.equal(left, upright.rot90(1, (1, 2))), "counter-clockwise"
    assert torch.equal(shifted[:, 1:, 1:], upright[:, :-1, :-1]), "right and down"


def test_a_pose_is_told_by_its_key_points_alone():
    """The pose read off the key points, by trying poses, moves the digit to where its pair has it."""
    d = data.pose()
    tried = torch.cartesian_prod(torch.linspace(-data.TURN, data.TURN, 15), *[torch.linspace(-1, 1, 7)] * 2).double()
    drawn = data.key_points(tried[:, 0], tried[:, 1:]).flatten(1).float()
    few = slice(0, 50)
    best = tried[torch.cdist(d.source.heldout[few, 1:].flatten(1).float(), drawn).argmin(1)]
    told = data.moved(WHOLE.heldout[few], best[:, 0], best[:, 1:])

    def error(x):
        return ((x.double() - d.heldout[few].double()) / 16).square().mean().sqrt().item()

    assert error(told) < 0.08
    assert error(d.source.heldout[few, :1]) > 0.25
    assert best[:, 0].std() > 0.25, "poses differ"


def lean(images):
    """The slope of the line of regression of ink: columns to the right per row upwards, by moments."""
    ink = images[:, 0].double() / images.double().sum((1, 2, 3))[:, None, None]
    up, right = torch.meshgrid(3.5 - torch.arange(8.0).double(), torch.arange(8.0).double(), indexing="ij")
    up = up - (ink * up).sum((1, 2))[:, None, None]
    right = right - (ink * right).sum((1, 2))[:, None, None]
    return (ink * up * right).sum((1, 2)) / (ink * up * up).sum((1, 2))


def test_slants_follow_the_plane_that_asks_for_them():
    d = data.slant()
    asked = data.slants(d.source.heldout[:, 1])
    assert torch.equal(data.planes(asked), d.source.heldout[:, 1])
    assert (d.source.heldout[:, 1].flatten(1) == d.source.heldout[:, 1, :1, 0]).all(), "constant"
    gained = lean(d.heldout) - lean(WHOLE.heldout)
    assert (gained - asked).abs().mean() < 0.01
    before = lean(d.source.heldout[:, :1]) - lean(WHOLE.heldout)
    assert before.abs().max() < data.STEEPEST + 0.05
    assert abs(np.corrcoef(asked, before)[0, 1]) < 0.1, "the slant before says nothing of the one asked for"
    assert asked.unique().tolist() == pytest.approx(np.linspace(-0.6, 0.6, 17).tolist())
    assert data.planes(torch.tensor([-9.0, 0.0, 0.04, 9.0]))[:, 0, 0].tolist() == [0, 8, 9, 16]


def test_sources_are_checked_and_covered_by_the_hash():
    x, labels = torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.arange(4)
    spec = SampleSpec((1, 2, 2), 3)
    source = Source(spec, x, x[:2], True, labels, labels[:2])
    paired = Dataset("test", spec, x, x[:2], source=source)
    changes = (
        {"spec": SampleSpec((1, 2, 2), 4)},
        {"train": x + 1},
        {"heldout": x[:2] + 1},
        {"paired": False},
        {"train_labels": None},
        {"heldout_labels": labels[:2] + 1},
    )
    hashes = {
        dataclasses.replace(paired, source=dataclasses.replace(source, **change)).sha256 for change in changes
    } | {paired.sha256, Dataset("test", spec, x, x[:2]).sha256}
    assert len(hashes) == len(changes) + 2
    with pytest.raises(ValueError, match=r"got \(3, 2\) for \(4, 2\)"):
        Dataset("test", spec, x, x[:2], source=Source(spec, x[:3], x[:2], True))
    Dataset("test", spec, x, x[:2], source=Source(spec, x[:3], x[:2], False))
    with pytest.raises(ValueError, match="sources have shape"):
        Source(spec, x[..., :1], x, False)
    with pytest.raises(ValueError, match="one label, got 3 for 4"):
        Source(spec, x, x, False, labels[:3])
