"""The classes that samples cover: closed forms, the threshold, simulated standard errors, and the metric on a board."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

import genbench
from genbench import seeding
from genbench.contracts import SampleSpec
from genbench.data.digits import digits
from genbench.errors import InputError
from genbench.evaluation import benchmarks
from genbench.evaluation.run import evaluate_generator
from genbench.metrics import class_coverage


def labels(*counts: int) -> torch.Tensor:
    return torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))


EVEN = labels(100, 100, 100, 100)


def test_even_shares_cover_everything_with_the_largest_entropy():
    even = class_coverage(EVEN, labels(50, 50, 50, 50))
    assert (even.covered, even.missing) == (4, ())
    assert even.entropy == pytest.approx(math.log(4) + 3 / 400), "and what 200 samples of 4 classes fall short by"
    assert even.entropy.low < math.log(4) < even.entropy.high
    uneven = class_coverage(EVEN, labels(0, 0, 7))
    assert (uneven.covered, uneven.missing, uneven.entropy) == (1, (0, 1, 3), 0)
    assert uneven.covered.stderr == pytest.approx(0, abs=1e-12)


def test_the_entropy_is_that_of_scipy():
    counts = (300, 20, 0, 80)
    miller_madow = 2 / (2 * sum(counts))
    assert class_coverage(EVEN, labels(*counts)).entropy == pytest.approx(stats.entropy(counts) + miller_madow)


def test_a_class_counts_from_a_tenth_of_its_real_share():
    # Of 1,000 samples a quarter would be 250, a tenth of it 25.
    assert class_coverage(EVEN, labels(400, 400, 175, 25)).covered == 4
    assert class_coverage(EVEN, labels(400, 400, 176, 24)).missing == (3,)
    assert class_coverage(EVEN, labels(400, 400, 176, 24), share=0.05).covered == 4
    # A rare class needs few samples, a class that the data does not have counts for nothing.
    assert class_coverage(labels(990, 10), labels(999, 1)).covered == 2
    assert class_coverage(labels(100, 100), labels(50, 50, 50)).covered == 2


@pytest.mark.parametrize("shares", [(0.25, 0.25, 0.25, 0.25), (0.6, 0.3, 0.075, 0.025)])
def test_standard_errors_are_those_of_many_draws(shares):
    draws = np.random.default_rng(0).multinomial(400, shares, size=400)
    coverages = [class_coverage(EVEN, labels(*counts.tolist())) for counts in draws]
    for part in ("covered", "entropy"):
        estimates = [getattr(each, part) for each in coverages]
        spread = np.std([float(estimate) for estimate in estimates], ddof=1)
        claimed = np.sqrt(np.mean([estimate.stderr**2 for estimate in estimates]))
        # The plug-in chance of a class at its very threshold is smoothed by its own noise, and the entropy of even
        # shares has a noisy first order that should be 0.
        low, high = (0.55, 1.1) if part == "covered" else (0.88, 1.14 if len(set(shares)) > 1 else 1.4)
        assert low * spread - 1e-9 <= claimed <= high * spread + 1e-9, part


@pytest.mark.parametrize("bad", [torch.tensor([0.5]), torch.tensor([[1]]), torch.tensor([-1]), torch.empty(0).long()])
def test_labels_must_be_labels(bad):
    with pytest.raises(InputError, match="fake_labels must be integers"):
        class_coverage(EVEN, bad)
    with pytest.raises(InputError, match="share must be within"):
        class_coverage(EVEN, EVEN, share=0)


class OnlyOnesAndSevens:
    spec = SampleSpec((1, 8, 8), 17)

    def sample(self, n):
        data = digits()
        chosen = data.train[(data.train_labels == 1) | (data.train_labels == 7)]
        return chosen[torch.randint(len(chosen), (n,))]


def test_a_collapsed_generator_shows_on_the_board():
    with seeding.scoped(0):
        report = genbench.evaluate(OnlyOnesAndSevens(), "digits", metrics=["classes"], n=400)
    rows = {row.column: row for row in report.results}
    assert rows["classes"].value == 2
    assert rows["classes"].detail == "left out: 0, 2, 3, 4, 5, 6, 8, 9"
    # ln 2 with a few samples that the classifier takes for something else.
    assert math.log(2) - 0.02 < rows["class_entropy"].value < math.log(2) + 0.2


def test_without_known_classes_the_column_is_unsupported():
    task = benchmarks.load("digits", metrics=["classes"], n=10, features="identity")
    rows, _ = evaluate_generator(OnlyOnesAndSevens(), task, 0, "two classes")
    assert {row.status for row in rows} == {"unsupported"}
