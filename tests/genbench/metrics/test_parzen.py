"""Parzen windows against closed forms and scikit-learn; which items the column is made of, and what it warns of."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import KernelDensity
from stand_in import evidence

from genbench.contracts import Dataset, Evidence, SampleSpec
from genbench.errors import InputError, Unsupported
from genbench.likelihood import parzen as module
from genbench.likelihood.parzen import parzen_bandwidth, parzen_log_prob
from genbench.metrics.parzen import Parzen, crossed_halves


@pytest.mark.parametrize("tile", [7, 1024])
@pytest.mark.parametrize("offset", [0, 1000])
def test_log_probs_are_those_of_scikit_learn(monkeypatch, tile, offset):
    monkeypatch.setattr(module, "TILE", tile)
    rng = torch.Generator().manual_seed(1)
    samples, x = torch.rand(50, 5, generator=rng) + offset, torch.rand(30, 5, generator=rng) + offset
    for sigma in (0.01, 0.3, 10.0):
        theirs = KernelDensity(bandwidth=sigma, rtol=1e-12).fit(samples.double().numpy())
        expected = torch.from_numpy(theirs.score_samples(x.double().numpy()))
        torch.testing.assert_close(parzen_log_prob(samples, x, sigma), expected, rtol=1e-7, atol=1e-7)


def test_one_sample_is_a_gaussian_and_the_density_integrates_to_one():
    x = torch.tensor([[3.0, 4.0]])
    log_prob = parzen_log_prob(torch.zeros(1, 2), x, 2.0)
    assert float(log_prob) == pytest.approx(-25 / 8 - math.log(2 * math.pi * 4))
    grid = torch.linspace(-20, 20, 4001, dtype=torch.float64)[:, None]
    density = parzen_log_prob(torch.tensor([[-1.0], [0.5], [3.0]]), grid, 0.7).exp()
    assert float(torch.trapezoid(density, grid[:, 0])) == pytest.approx(1, abs=1e-9)


def test_far_items_have_finite_log_probs():
    assert float(parzen_log_prob(torch.zeros(4, 1), torch.tensor([[1e4]]), 1.0)) == pytest.approx(-5e7, rel=1e-6)


def test_bandwidth_beside_one_sample_is_the_root_mean_square_distance():
    rng = torch.Generator().manual_seed(2)
    validation = torch.randn(40, 3, generator=rng)
    expected = float(validation.double().square().mean().sqrt())
    assert parzen_bandwidth(torch.zeros(1, 3), validation) == pytest.approx(expected, rel=0.003)
    assert parzen_bandwidth(torch.zeros(1, 3), 1000 * validation) == pytest.approx(1000 * expected, rel=0.003)


def test_no_bandwidth_of_a_fine_search_is_better():
    rng = torch.Generator().manual_seed(3)
    samples, validation = torch.rand(200, 4, generator=rng), torch.rand(80, 4, generator=rng)
    sigma = parzen_bandwidth(samples, validation)
    tried = np.geomspace(0.01, 2, 500)
    means = [float(parzen_log_prob(samples, validation, value).mean()) for value in tried]
    assert sigma == pytest.approx(tried[int(np.argmax(means))], rel=0.015)
    assert float(parzen_log_prob(samples, validation, sigma).mean()) > max(means) - 1e-4


def test_bandwidth_stays_positive_where_the_items_are_among_the_samples():
    samples = torch.rand(50, 2, generator=torch.Generator().manual_seed(4))
    distance = float(torch.cdist(samples.double(), samples[:9].double()).square().mean().div(2).sqrt())
    assert parzen_bandwidth(samples, samples[:9]) == pytest.approx(distance / 1000, rel=0.01)


def test_bad_input_is_told():
    good = torch.rand(5, 2)
    for samples, x, sigma, words in (
        (good, torch.rand(5, 3), 1.0, "flatten items"),
        (good, torch.rand(5), 1.0, "flatten items"),
        (good, good[:0], 1.0, "flatten items"),
        (good * math.nan, good, 1.0, "samples holds values"),
        (good, good * math.inf, 1.0, "x holds values"),
        (good, good, 0.0, "sigma must be above 0"),
    ):
        with pytest.raises(InputError, match=words):
            parzen_log_prob(samples, x, sigma)
    with pytest.raises(InputError, match="same point"):
        parzen_bandwidth(torch.ones(5, 2), torch.ones(3, 2))


def digits_like(levels: int | None) -> Evidence:
    rng = torch.Generator().manual_seed(5)

    def items(n: int) -> torch.Tensor:
        x = torch.randint(5, (n, 1, 2, 3), generator=rng)
        return x.float() if levels is None else x.to(torch.uint8)

    dataset = Dataset("squares", SampleSpec((1, 2, 3), levels), items(100), items(31))
    return evidence(dataset=dataset, samples=items(60))


@pytest.mark.parametrize("levels", [None, 5])
def test_the_column_is_a_density_of_held_out_items_on_the_unit_cube(levels):
    given = digits_like(levels)
    score = Parzen(validation=7).compute(given)["parzen"]
    heldout, samples = (x.flatten(1) / (1 if levels is None else 4) for x in (given.dataset.heldout, given.samples))
    log_prob = torch.empty(31, dtype=torch.float64)
    for fitted, scored in crossed_halves(31):
        sigma = parzen_bandwidth(samples, heldout[fitted[:7]])
        log_prob[scored] = parzen_log_prob(samples, heldout[scored], sigma)
    assert score.value == pytest.approx(-float(log_prob.mean()), rel=1e-5)
    assert score.stderr == pytest.approx(float(log_prob.std()) / 31**0.5, rel=1e-4)
    assert score.kind is None, "no kind of likelihood"
    assert "Theis" in score.detail


def test_no_item_has_a_bandwidth_that_it_was_fitted_by():
    (first, second), swapped = crossed_halves(31)
    assert swapped[0] is second
    assert swapped[1] is first
    assert torch.equal(torch.cat([first, second]).sort().values, torch.arange(31))
    assert not torch.equal(first.sort().values, torch.arange(len(first)))
    assert torch.equal(crossed_halves(31)[0][0], first)


def test_samples_copied_from_the_train_split_keep_a_bandwidth():
    given = digits_like(None)
    copied = evidence(dataset=given.dataset, samples=given.dataset.train)
    best = Parzen().compute(copied)["parzen"].value
    assert abs(best) < 3 * given.dataset.spec.size


def test_a_model_with_a_likelihood_of_its_own_is_left_out():
    with pytest.raises(Unsupported, match="likelihood of its own"):
        Parzen().compute(evidence(("log_prob",)))
