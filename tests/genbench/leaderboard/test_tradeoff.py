"""Figures of truncation curves: what a printer, a reader without colours and a reader of small letters need."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Annotation, Text

from genbench.leaderboard import tradeoff
from genbench.leaderboard.tradeoff import COLOURS, FEW, LETTERS, LINES, VIEWS, Curve, band
from genbench.numerics.intervals import Z

BY_NAME = {view.name: view for view in VIEWS}


def curve(shift: float, kind: str = "threshold") -> Curve:
    psi = [0.2, 0.5, 1.0, math.inf if kind == "threshold" else 1.1]
    steps = np.arange(4)
    columns = {
        "precision": 0.9 - 0.05 * steps + shift,
        "recall": 0.1 + 0.2 * steps,
        "fid": 300.0 / 4**steps + shift,
        "is": 6 + steps + shift,
        "fid_infinity": 290.0 / 4**steps,
    }
    errors = {f"{name}_stderr": np.full(4, 0.01) for name in columns}
    return Curve(pd.DataFrame({"psi": psi, **columns, **errors, "n": 1000, "seed": 3}), kind)


def point() -> Curve:
    values = {"precision": 0.93, "recall": 0.9, "fid": 0.7, "is": 9.5, "fid_infinity": -0.1}
    return Curve(pd.DataFrame([{"psi": math.nan, **values, "n": 1000, "seed": 3}]))


def drawn(count: int, view: str) -> tradeoff.Figure:
    kinds = list(LINES)
    curves = {f"model {i}": curve(0.02 * i, kinds[i % 3]) for i in range(count)}
    with tradeoff._style():
        return tradeoff._figure({**curves, "real": point()}, BY_NAME[view], "digits-cnn")


def lightness(colour: str) -> float:
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return 116 * luminance ** (1 / 3) - 16 if luminance > 0.009 else 903 * luminance


def test_colours_stay_apart_in_grey():
    assert all(after - before > 10 for before, after in pairwise(map(lightness, COLOURS)))
    assert len({str(line) for line in LINES.values()}) == len(LINES) == 3


@pytest.mark.parametrize("view", BY_NAME)
@pytest.mark.parametrize("count", [2, FEW, FEW + 2])
def test_figures_are_seven_inches_wide_with_letters_of_eight_points_and_a_star_in_every_panel(count, view):
    figure = drawn(count, view)
    figure.canvas.draw()
    assert figure.get_size_inches()[0] == 7
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    assert min(text.get_fontsize() for text in texts) >= LETTERS
    assert len(figure.axes) == (1 if count <= FEW else count)
    for panel in figure.axes:
        stars = [line for line in panel.lines if line.get_marker() == "*"]
        assert [line.get_label() for line in stars] == ["real"]
    (caption,) = [text.get_text() for text in texts if "n = 1,000" in text.get_text()]
    for part in ("seed 3", "digits-cnn", "threshold", "95 %", "Star: 1,000 real images."):
        assert part in caption.replace("\n", " ")


def test_labels_cover_neither_each_other_nor_a_curve():
    figure = drawn(FEW, "fid-is")
    (panel,) = figure.axes
    boxes = [label.get_window_extent() for label in panel.findobj(Annotation)]
    assert len(boxes) >= 2
    assert not any(first.overlaps(second) for first, second in combinations(boxes, 2))
    curves = [line for line in panel.lines if str(line.get_label()).startswith("model")]
    places = np.concatenate([panel.transData.transform(line.get_xydata()) for line in curves])
    assert not any(box.count_contains(places) for box in boxes)


def test_an_axis_of_distances_has_plain_numbers():
    figure = drawn(2, "fid-is")
    figure.canvas.draw()
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels
    assert all(f"{float(label):g}" == label for label in labels)
    across = [label.get_text() for label in drawn(2, "fid-infinity-psi").axes[0].get_xticklabels()]
    assert across[-1] == "∞"


def test_a_band_is_as_wide_as_the_errors_across_the_curve():
    x = np.array([0.0, 1.0, 2.0])
    upper, lower = band(x, np.zeros(3), np.full(3, 0.5), np.full(3, 0.1))
    assert np.allclose(upper[:, 1], 0.1)
    assert np.allclose(lower[:, 1], -0.1)
    assert np.allclose(upper[:, 0], x)


def test_a_band_does_not_depend_on_the_scale_of_an_axis():
    x, y = np.array([0.0, 1.0, 3.0, 3.5]), np.array([5.0, 4.0, 1.0, 0.5])
    errors = np.array([0.2, 0.1, 0.3, 0.2]), np.array([0.5, 0.4, 0.1, 0.3])
    plain, stretched = band(x, y, *errors), band(100 * x, y, 100 * errors[0], errors[1])
    for edge, wide in zip(plain, stretched, strict=True):
        assert np.allclose(edge * [100, 1], wide)


def test_errors_are_ninety_five_per_cent():
    assert tradeoff._errors(curve(0).table, "fid") == pytest.approx(0.01 * Z)


def test_figures_are_written_twice_alike_and_only_where_their_columns_are(tmp_path):
    curves = {"a": curve(0), "b": curve(0.1, "interpolation"), "real": point()}
    paths = tradeoff.save(curves, tmp_path / "tradeoff", "digits-cnn")
    assert {path.name for path in paths} == {
        f"tradeoff-{view}.{kind}"
        for view in ("precision-recall", "fid-is", "fid-infinity-psi")
        for kind in ("svg", "png")
    }
    contents = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in tradeoff.save(curves, tmp_path / "tradeoff", "digits-cnn")] == contents
    few = {name: Curve(whole.table[["psi", "fid", "n", "seed"]], whole.truncation) for name, whole in curves.items()}
    assert tradeoff.save(few, tmp_path / "few", "digits-cnn") == []
    assert tradeoff.save({"real": point()}, tmp_path / "none", "digits-cnn") == []
