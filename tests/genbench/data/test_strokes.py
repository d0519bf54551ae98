"""Pen strokes: how they are traced, quantised, read, seen by their extractor and drawn."""

from __future__ import annotations

import gzip
import math

import numpy as np
import pytest
import torch
from PIL import Image

from genbench.contracts import SampleSpec, Setting
from genbench.data import digits, strokes
from genbench.errors import DataError, InputError
from genbench.features.pen_path import pen_path
from genbench.leaderboard import pictures


def test_strokes_stand_in_the_digits_split_and_never_change():
    d, grey = strokes.strokes(), digits.digits()
    assert (d.train.shape, d.heldout.shape, d.spec) == ((1000, 24), (797, 24), SampleSpec((24,), 16))
    assert d.train.dtype == torch.uint8
    assert torch.equal(d.heldout_labels, grey.heldout_labels)
    assert torch.equal(d.train_labels, grey.train_labels)
    assert d.sha256 == "28273072490c204c45dc3f612e1908c23ba531c28c461ebab3eeaed2a2a9e6c6"


def test_positions_are_the_same_paths_about_the_centre_of_their_box():
    d, quantised = strokes.strokes_positions(), strokes.strokes()
    assert (d.train.shape, d.train.dtype, d.spec) == ((1000, 25, 2), torch.float32, SampleSpec((25, 2), None))
    assert d.train.abs().max() <= 1
    torch.testing.assert_close(d.train.amax(1), -d.train.amin(1))
    steps = d.train.diff(dim=1)
    angles = torch.atan2(steps[..., 1], steps[..., 0])
    apart = (angles - 2 * math.pi * quantised.train / 16 + math.pi).remainder(2 * math.pi) - math.pi
    assert apart.abs().max() < math.pi / 16 + 1e-3, "each level is the nearest multiple of 22.5 degrees"
    assert d.sha256 == "f2a3d09c060128e96ba7ebfa83712f631092218e1b8727967c7d6aace1b4f70f"


def test_a_stroke_tells_its_digit():
    """The nearest train path names the digit; quantising and tracing have kept what makes it one."""
    d = strokes.strokes_positions()
    nearest = torch.cdist(d.heldout.flatten(1), d.train.flatten(1)).argmin(1)
    assert (d.train_labels[nearest] == d.heldout_labels).double().mean() > 0.85


def test_ones_are_written_downwards_and_zeros_counter_clockwise():
    d = strokes.strokes()
    ones = d.train[d.train_labels == 1]
    assert ((ones >= 9) & (ones <= 15)).double().mean() > 0.8
    zeros = d.train[d.train_labels == 0].long()
    turns = (zeros.diff(dim=1) + 8).remainder(16) - 8
    assert (turns.sum(1) > 8).double().mean() > 0.65, "most of a full turn of 16 levels, to the left"


def test_directions_count_counter_clockwise_from_the_right():
    square = np.array([[[0, 0], [5, 0], [5, 5], [0, 5], [0, 0], [0, 0], [9, 9]]])
    assert strokes.directions(square).tolist() == [[0, 4, 8, 12, 0, 2]]
    degrees = np.arange(0.2, 360, 0.5)
    fan = np.stack([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))], axis=1) * 1e6
    path = np.concatenate([np.zeros((1, 2)), fan.cumsum(0)]).astype(np.int64)[None]
    expected = np.floor(degrees / 22.5 + 0.5).astype(int) % 16
    assert strokes.directions(path)[0].tolist() == expected.tolist()


def test_paths_are_resampled_at_equal_distances():
    corner = np.array([[0, 0], [3000, 0], [3000, 0], [3000, 1000]])
    assert strokes.resampled(corner, 4).tolist() == [[0, 0], [1000, 0], [2000, 0], [3000, 0], [3000, 1000]]
    assert strokes.resampled(np.array([[7, 8]]), 2).tolist() == [[7, 8]] * 3


def thin(rows: list[str]) -> np.ndarray:
    return np.pad(np.array([[mark == "#" for mark in row] for row in rows]), 1)


def test_thinning_leaves_lines_of_one_pixel_in_one_piece():
    ring = np.zeros((1, 16, 16), dtype=bool)
    ring[0, 2:14, 2:14] = True
    ring[0, 6:10, 6:10] = False
    line = strokes.thinned(ring)[0]
    neighbours = sum(np.roll(line, shift, (0, 1)) for shift in strokes.AROUND)
    assert (neighbours[line] >= 2).all(), "a closed curve"
    assert not (line & np.roll(line, 1, 0) & np.roll(line, 1, 1) & np.roll(line, (1, 1), (0, 1))).any(), "no squares"
    pixels = set(np.flatnonzero(line).tolist())
    assert strokes._connected(min(pixels), pixels, [16 * row + column for row, column in strokes.AROUND]) == pixels
    assert line[:8].any(0)[4:12].all(), "around the hole"
    assert line[8:].any(0)[4:12].all()
    assert not (line & ~ring[0]).any()


def test_the_pen_goes_straight_on_at_crossings_and_writes_all_branches():
    path = strokes.pen_path(thin(["#...#", ".#.#.", "..#..", ".#.#.", "#...#"])).tolist()
    assert path[:5] == [[1, 1], [2, 2], [3, 3], [4, 4], [5, 5]], "column and row, from the top left"
    assert {tuple(place) for place in path} == {(i, i) for i in range(1, 6)} | {(i, 6 - i) for i in range(1, 6)} - {
        (1, 5),
        (2, 4),
        (4, 2),
        (5, 1),
    }, "what is shorter than a spur is not written"
    tee = strokes.pen_path(thin(["#.....", "#.....", "#.....", "######", "#.....", "#.....", "#....."])).tolist()
    assert tee[:7] == [[1, row] for row in range(1, 8)]
    assert tee[-1] == [6, 4], "back to the branch at last"
    gap = strokes.pen_path(thin(["####....", "........", "....####"])).tolist()
    assert gap[0] == [1, 1]
    assert gap[-1] == [8, 3], "on across the gap"
    assert strokes.pen_path(np.zeros((4, 4), dtype=bool)).tolist() == [[0, 0]]


def test_pendigits_are_read_in_their_split(shared_data):
    root = shared_data("pendigits").parent
    d, positions = strokes.pendigits(root), strokes.pendigits_positions(root)
    assert (d.train.shape, d.heldout.shape, d.spec.levels) == ((7494, 24), (3498, 24), 16)
    assert (positions.train.shape, positions.heldout.shape) == ((7494, 8, 2), (3498, 8, 2))
    assert (positions.train.min(), positions.train.max()) == (-1, 1)
    assert positions.train[0, 0].tolist() == pytest.approx([-0.06, 1.0])  # 47, 100
    assert d.train_labels[:3].tolist() == [8, 2, 1]
    assert torch.bincount(d.heldout_labels).tolist() == [363, 364, 364, 336, 364, 335, 336, 364, 336, 336]
    assert d.sha256 == "208df7018f6f48d04d637746e813e3bc122976fea6567d00b24e4b0003906967"


ROW = "0,0,10,0,20,0,30,0,40,0,50,0,60,0,100,0,7"


def test_pendigits_files_may_lie_beside_each_other_and_be_gzipped(tmp_path):
    (tmp_path / "pendigits.tra").write_text(f"{ROW}\n {ROW}\n\n")
    (tmp_path / "pendigits.tes.gz").write_bytes(gzip.compress(ROW.encode()))
    d = strokes.pendigits(tmp_path)
    assert (len(d.train), len(d.heldout), d.heldout_labels.tolist()) == (2, 1, [7])
    assert d.heldout.tolist() == [[0] * 24]
    with pytest.raises(DataError, match=r"pendigits needs pendigits\.tra, pendigits\.tes .*--data-root"):
        strokes.pendigits(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2,x", r"tra, line 2: '1,2,x' are not whole numbers"),
        ("1,2,3", r"tra, line 2 has 3 numbers, not 16 positions and a class"),
        (ROW.replace("100", "101"), r"tra, line 2: the position 101 is not within 0\.\.100"),
        (ROW.replace("10,", "-1,", 1), r"tra, line 2: the position -1 is not within"),
        (ROW[:-1] + "10", r"tra, line 2: the class 10 is not within 0\.\.9"),
    ],
)
def test_damaged_lines_are_named(tmp_path, line, message):
    path = tmp_path / "pendigits.tra"
    path.write_text(f"{ROW}\n{line}\n")
    with pytest.raises(DataError, match=message):
        strokes.read_pendigits(path)


def test_unreadable_and_empty_files_are_named(tmp_path):
    path = tmp_path / "pendigits.tra"
    path.write_bytes(b"")
    with pytest.raises(DataError, match="holds no digits"):
        strokes.read_pendigits(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"cannot read .*pendigits\.tra"):
        strokes.read_pendigits(path)
    packed = tmp_path / "pendigits.tra.gz"
    packed.write_bytes(gzip.compress(ROW.encode())[:-9])
    with pytest.raises(DataError, match=r"cannot read .*pendigits\.tra\.gz"):
        strokes.read_pendigits(packed)


def test_pen_paths_are_integrated_steps_about_their_mean():
    extractor = pen_path(SampleSpec((2,), 16))
    features = extractor(torch.tensor([[0, 4]], dtype=torch.uint8)).embeddings
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, torch.tensor([[-2, -1, 1, -1, 1, 2]]) / 3)
    here = torch.rand(5, 7, 2)
    real = pen_path(SampleSpec((7, 2), None))
    torch.testing.assert_close(real(here).embeddings, real(here + 3).embeddings, atol=1e-5, rtol=0)
    assert real(here).embeddings[0, 2] - real(here).embeddings[0, 0] == pytest.approx(
        10 * (here[0, 1, 0] - here[0, 0, 0]).item(), abs=1e-5
    )


@pytest.mark.parametrize(
    "spec",
    [SampleSpec((1, 8, 8), 17), SampleSpec((4,), None), SampleSpec((4, 3), None), SampleSpec((1, 2), None)],
)
def test_pen_paths_are_read_from_strokes_only(spec):
    with pytest.raises(InputError, match=r"pen-path reads levelled directions \(T,\) or real-valued positions"):
        pen_path(spec)


def ink(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L")) < 128


def test_strokes_are_drawn_as_they_are_written(tmp_path):
    right_then_up = torch.tensor([[0] * 4 + [4] * 4], dtype=torch.uint8)
    pictures.save_grid(right_then_up, SampleSpec((8,), 16), tmp_path / "levels.png", "pen")
    corner = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]])
    pictures.save_grid(corner, SampleSpec((3, 2), None), tmp_path / "real.png", "pen")
    for name in ("levels.png", "real.png"):
        drawn = ink(tmp_path / name)
        height, width = drawn.shape
        assert drawn[height // 2 :, : width // 2].any(), "along the bottom"
        assert drawn[: height // 2, width // 2 :].any(), "then up on the right"
        assert not drawn[: height // 2, : width // 2].any()


def test_waves_are_drawn_as_curves(tmp_path):
    wave = (torch.sin(torch.arange(200) / 5)).repeat(3, 1)
    pictures.save_grid(wave, SampleSpec((200,), None), tmp_path / "wave.png", "wave")
    drawn = ink(tmp_path / "wave.png")
    assert drawn.shape == (2 * pictures.WAVE_CELL[1], 2 * pictures.WAVE_CELL[0])
    assert drawn[: pictures.WAVE_CELL[1]].any()
    assert not drawn[pictures.WAVE_CELL[1] :, pictures.WAVE_CELL[0] :].any(), "three of four cells"


def test_noise_on_real_values_is_the_gaussian_of_the_train_split():
    noise = pytest.importorskip("zoo.anchors.noise")
    data = strokes.strokes_positions()
    model = noise.Noise(Setting("noise", "strokes-positions", data))
    drawn = model.sample(200)
    assert (drawn.dtype, drawn.shape) == (torch.float32, (200, 25, 2))
    assert drawn.std().item() == pytest.approx(data.train.std().item(), rel=0.05)
    normal = torch.distributions.Normal(data.train.double().mean(), data.train.double().std(correction=0))
    expected = normal.log_prob(data.heldout.double()).sum((1, 2))
    torch.testing.assert_close(model.log_prob(data.heldout), expected)
