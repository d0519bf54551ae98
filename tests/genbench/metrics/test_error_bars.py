"""Error bars against redraws, in short: a near-equal and a collapsed generator for every column (see error_bars.py)."""

from __future__ import annotations

import math
from pathlib import Path

import error_bars
import pytest

from genbench.metrics.scores import FALLS_SHORT
from genbench.numerics.intervals import logit_interval, share_with_error, wilson

REDRAWS = 40
# What the full simulation says of them too: errors a third too large or more where the first order vanishes, and shares
# of a collapsed generator that hardly vary at all.
LOOSE = {"class_entropy", "classes", "coverage", "is", "fid_class"}


@pytest.fixture(scope="module", params=["equal", "collapsed"])
def lines(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(error_bars, "LARGE", 20_000)
        return error_bars.simulate(4, 120, request.param, REDRAWS)


def test_reported_errors_are_the_true_ones(lines):
    for line in lines:
        for ratio in (line.ratio, line.total_ratio):
            if line.column not in LOOSE and not math.isnan(ratio) and line.sd != 0:
                assert 0.6 < ratio < 1.8, line
    assert {line.column for line in lines} >= {"fid", "kid", "precision", "recall", "coverage", "is", "auroc", "nll"}


def test_intervals_cover(lines):
    for line in lines:
        for share in (line.covers_mean, line.covers_truth):
            assert math.isnan(share) or share >= 0.7, line
    known = [s for line in lines for s in (line.covers_mean, line.covers_truth) if not math.isnan(s)]
    assert sum(known) / len(known) > 0.9


def test_the_table_names_every_column(lines):
    shown = error_bars.table(lines)
    assert all(f"| `{line.column}` |" in shown for line in lines)


def test_boards_name_the_columns_that_fall_short():
    metrics = [*error_bars.OF_SAMPLES, *error_bars.OF_HELD_OUT]
    noted = {column.name for metric in metrics for column in metric.columns if FALLS_SHORT in column.note}
    path = Path(__file__).parents[3] / "leaderboards" / "coverage.csv"
    assert noted == set(error_bars.short(error_bars.read(path)))


def test_intervals_of_shares_have_their_closed_forms():
    assert wilson(0.0, 100) == pytest.approx((0, 0.0370), abs=1e-4)
    assert all(wilson(0.0, n)[0] == 0 and wilson(1.0, n)[1] == 1 for n in range(1, 2000))
    assert wilson(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    # The binomial error is that of n items.
    share = share_with_error(0.3, math.sqrt(0.3 * 0.7 / 80), 1000)
    assert (share.low, share.high) == pytest.approx(wilson(0.3, 80))
    assert share_with_error(1.0, 0.0, 50).low == pytest.approx(wilson(1.0, 50)[0])
    low, high = logit_interval(0.5, 0.05, 1000)
    assert low + high == pytest.approx(1)
    assert logit_interval(0.9999, 1e-5, 100)[0] == pytest.approx(0.97)
