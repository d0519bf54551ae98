"""The memorization test: its null distribution, its signs, brute force, and the digits, which must stand out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu
from sklearn.datasets import load_digits
from stand_in import evidence

from genbench.contracts import Features
from genbench.errors import InputError
from genbench.metrics.data_copying import Memorization, memorization


def draw(n: int, rng: torch.Generator) -> torch.Tensor:
    return torch.randn(n, 4, generator=rng)


def test_one_cell_is_the_standardised_u_of_scipy():
    rng = torch.Generator().manual_seed(0)
    train, heldout, fake = draw(200, rng), draw(80, rng), 0.8 * draw(60, rng)
    near = [torch.cdist(x.double(), train.double()).amin(1).numpy() for x in (fake, heldout)]
    u = mannwhitneyu(*near).statistic
    expected = (u - 60 * 80 / 2) / np.sqrt(60 * 80 * (60 + 80 + 1) / 12)
    assert memorization(train, heldout, fake, cells=1) == pytest.approx(expected)


def test_the_null_distribution_is_standard_and_the_error_is_that_of_the_samples():
    rng = torch.Generator().manual_seed(1)
    scores = [memorization(draw(200, rng), draw(150, rng), draw(150, rng), cells=1) for _ in range(150)]
    assert np.mean(scores) == pytest.approx(0, abs=0.3)
    assert np.std(scores) == pytest.approx(1, rel=0.2)
    train, heldout = draw(300, rng), draw(300, rng)
    scores = [memorization(train, heldout, 0.8 * draw(300, rng), cells=1) for _ in range(150)]
    assert np.mean([score.stderr for score in scores]) == pytest.approx(np.std(scores, ddof=1), rel=0.2)


def test_the_null_distribution_is_standard_for_many_cells_too():
    """The mean over cells has the deviation of the root of the sum of squared weights, here a third."""
    rng = torch.Generator().manual_seed(5)
    train = draw(1000, rng)
    statistics = [memorization(train, draw(400, rng), draw(400, rng), cells=8) for _ in range(120)]
    assert np.std(statistics) == pytest.approx(1, rel=0.25)


def test_copies_are_far_below_zero_and_strangers_far_above():
    rng = torch.Generator().manual_seed(2)
    train, heldout = draw(600, rng), draw(300, rng)
    near = train[:300] + 0.01 * draw(300, rng)
    assert memorization(train, heldout, near, cells=3) < -3
    assert memorization(train, heldout, 3 * draw(300, rng), cells=3) > 3
    assert abs(memorization(train, heldout, draw(300, rng), cells=3)) < 3


def test_training_digits_stand_out_as_copies_and_held_out_ones_do_not():
    x = torch.from_numpy(load_digits().data).float()[torch.randperm(1797, generator=torch.Generator().manual_seed(0))]
    train, heldout, others = x[:1000], x[1000:1400], x[1400:]
    assert memorization(train, heldout, train) < -9
    assert abs(memorization(train, heldout, others)) < 3
    assert memorization(train, heldout, train) == memorization(train, heldout, train)


def test_the_column_says_who_copies():
    rng = torch.Generator().manual_seed(3)
    train, heldout = draw(500, rng), draw(300, rng)
    parts = {"train": Features(train), "real": Features(heldout)}
    score = Memorization().compute(evidence(fake=Features(train[:300]), **parts))["memorization"]
    assert score.value < -3
    assert score.detail == "nearer to the training items than held-out ones are"
    score = Memorization().compute(evidence(fake=Features(draw(300, rng)), **parts))["memorization"]
    assert score.detail == ""
    assert Memorization.columns[0].better == "zero"


def test_cells_with_too_few_are_left_out():
    train = torch.cat([torch.zeros(50, 2), torch.full((50, 2), 100.0)]) + 0.1 * torch.arange(100)[:, None]
    heldout, fake = train[:50] + 0.03, train[:50] + 0.01
    everything = memorization(train, heldout, fake, cells=2)
    # The far cell now holds 19 samples, one fewer than count.
    more = torch.cat([fake, train[50:69] + 5])
    assert memorization(train, torch.cat([heldout, train[50:]]), more, cells=2) == everything
    with pytest.raises(InputError, match="no cell holds 20 samples"):
        memorization(train, heldout, fake[:19], cells=2)
    with pytest.raises(InputError, match="cells must be within"):
        memorization(train, heldout, fake, cells=0)
    with pytest.raises(InputError, match="they must be the same"):
        memorization(train, heldout, torch.zeros(30, 3))
