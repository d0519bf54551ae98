"""The kernel distance against its definition, torch-fidelity on the same subsets, and its errors against simulation."""

from __future__ import annotations

import math
import warnings
from fractions import Fraction

import numpy as np
import pytest
import torch
from stand_in import evidence

from genbench.contracts import Features
from genbench.errors import InputError
from genbench.metrics import cubic_kernel
from genbench.metrics.maximum_mean_discrepancy import (
    KernelDistance,
    kernel_distance,
    kernel_distance_subsets,
    kernel_statistics,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch_fidelity.metric_kid import kid_features_to_metric


def uniform(rng: torch.Generator, n: int, width: float = 1.0, shift: float = 0.0) -> torch.Tensor:
    return (2 * torch.rand(n, 4, generator=rng, dtype=torch.float64) - 1) * width + shift


def by_definition(real: torch.Tensor, fake: torch.Tensor) -> float:
    """Means over pairs of different points of one set, and over all pairs of two sets, in one piece."""
    x, y = np.asarray(real, dtype=np.longdouble), np.asarray(fake, dtype=np.longdouble)

    def kernel(a, b):
        return (np.einsum("id,jd->ij", a, b) / a.shape[1] + 1) ** 3

    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (kernel(x, x), kernel(y, y))]
    return float(within[0] + within[1] - 2 * kernel(x, y).mean())


@pytest.mark.parametrize("tile", [7, 1024])
def test_all_pairs_are_counted_once_as_in_the_definition(monkeypatch, tile):
    monkeypatch.setattr(cubic_kernel, "TILE", tile)
    rng = torch.Generator().manual_seed(1)
    real, fake = uniform(rng, 30), uniform(rng, 23, 1.2, 0.3)
    assert kernel_distance(real, fake) == pytest.approx(by_definition(real, fake), rel=1e-12)
    assert kernel_distance(real.numpy(), fake.tolist()) == kernel_distance(real, fake)


def test_one_feature_has_a_closed_form_in_its_moments():
    """(xy + 1)^3 has the features 1, x, x^2 and x^3 with weights 1, 3, 3 and 1."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 5000, 1))
    y = 1.5 * y[:3000] + 0.5

    def pairs(a: np.ndarray, b: np.ndarray) -> float:
        return 1 + sum(w * (a**p).mean() * (b**p).mean() for w, p in ((3, 1), (3, 2), (1, 3)))

    def own(a: np.ndarray) -> float:
        return (len(a) * pairs(a, a) - ((a**2 + 1) ** 3).mean()) / (len(a) - 1)

    assert kernel_distance(x, y) == pytest.approx(own(x) + own(y) - 2 * pairs(x, y), rel=1e-10)


def test_a_set_beside_itself_is_nearer_than_zero_because_its_pairs_with_themselves_count_between_only():
    real = uniform(torch.Generator().manual_seed(3), 50)
    assert kernel_distance(real, real) == pytest.approx(by_definition(real, real), rel=1e-9)
    assert kernel_distance(real, real) < -0.01


@pytest.mark.parametrize(
    ("offset", "scale"), [(0.4, 0.5), (5.0, 1.0), (300.0, 1.0), (0.0, 1e8), (0.0, 1e-4), (0.0, 1e22)]
)
def test_single_precision_keeps_digits_far_from_the_origin_and_at_any_scale(offset, scale):
    rng = torch.Generator().manual_seed(4)
    real = (torch.randn(300, 64, generator=rng) * scale + offset).float()
    fake = (torch.randn(300, 64, generator=rng) * scale * 1.05 + offset).float()
    exact = kernel_statistics(real.double(), fake.double())
    assert exact.distance == pytest.approx(by_definition(real, fake), rel=1e-7)
    single = kernel_distance(real, fake)
    assert single == pytest.approx(exact.distance, abs=1e-5 * exact.distance.stderr)
    assert single.stderr == pytest.approx(exact.distance.stderr, rel=1e-4)


@pytest.mark.parametrize("scale", [1e8, 2e23])
def test_large_features_have_the_value_of_exact_arithmetic(scale):
    rng = np.random.default_rng(11)
    real, fake = rng.normal(size=(6, 3)) * scale, rng.normal(1, 1, size=(5, 3)) * scale

    def mean(a: np.ndarray, b: np.ndarray) -> Fraction:
        pairs = [(x, y) for i, x in enumerate(a.tolist()) for j, y in enumerate(b.tolist()) if a is not b or i != j]
        products = [sum(Fraction(p) * Fraction(q) for p, q in zip(x, y, strict=True)) for x, y in pairs]
        return sum((product / 3 + 1) ** 3 for product in products) / len(products)

    exact = mean(real, real) + mean(fake, fake) - 2 * mean(real, fake)
    for distance in (kernel_distance(real, fake), kernel_distance_subsets(real, fake, 3, 5).mean):
        assert math.isfinite(distance.stderr)
    assert kernel_distance(real, fake) == pytest.approx(float(exact), rel=1e-9)


@pytest.mark.parametrize("scale", [1e40, 1e70, 1e110, 1e150, 1e200, 1e308])
def test_features_beyond_that_are_refused_and_give_neither_infinity_nor_nan(scale):
    good = np.random.default_rng(12).uniform(0.5, 1, size=(6, 3))
    for real, fake in ((good * scale, good), (good, good * scale), (good * scale, good * scale)):
        with pytest.raises(InputError, match="divide"):
            kernel_distance(real, fake)
        with pytest.raises(InputError, match="divide"):
            kernel_distance_subsets(real, fake, 2, 4)


@pytest.mark.parametrize("n", [60, 400])  # fewer and more pairs in all than in the subsets
def test_subsets_are_those_of_torch_fidelity_where_they_hold_the_same_rows(n):
    rng = torch.Generator().manual_seed(5)
    real, fake = uniform(rng, n), uniform(rng, n + 20, 1.1, 0.2)
    theirs = kid_features_to_metric(real, fake, kid_subsets=6, kid_subset_size=50, verbose=False, rng_seed=7)
    draws = np.random.RandomState(7)
    rows = [(draws.choice(n, 50, replace=False), draws.choice(n + 20, 50, replace=False)) for _ in range(6)]
    ours = kernel_distance_subsets(
        real, fake, rows=tuple(torch.from_numpy(np.stack(side)) for side in zip(*rows, strict=True))
    )
    assert ours.mean == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-9)
    assert ours.std == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-9)


def test_subsets_are_drawn_without_replacement_and_are_always_the_same():
    rng = torch.Generator().manual_seed(6)
    real, fake = uniform(rng, 40), uniform(rng, 40, 1.2)
    whole = kernel_distance_subsets(real, fake, subsets=3, size=40)
    assert whole.mean == pytest.approx(kernel_distance(real, fake), rel=1e-9)
    assert whole.std < 1e-12
    state = torch.random.get_rng_state()
    again = [kernel_distance_subsets(real, fake, subsets=5, size=10) for _ in range(2)]
    assert again[0] == again[1]
    assert again[0].std > 0.01
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(("width", "shift"), [(1.0, 0.0), (1.2, 0.3)])
def test_error_over_the_fake_samples_matches_simulation(width, shift):
    rng = torch.Generator().manual_seed(7)
    real = uniform(rng, 40)
    distances = [kernel_distance(real, uniform(rng, 30, width, shift)) for _ in range(500)]
    claimed = np.sqrt(np.mean([estimate.stderr**2 for estimate in distances]))
    assert claimed == pytest.approx(np.std(distances, ddof=1), rel=0.1)  # 500 draws know the spread to 3 percent


def test_variance_over_both_draws_matches_simulation():
    rng = torch.Generator().manual_seed(8)
    repeats = [kernel_statistics(uniform(rng, 25), uniform(rng, 40, 1.2, 0.3)) for _ in range(800)]
    distances = [statistics.distance for statistics in repeats]
    assert np.mean([statistics.variance for statistics in repeats]) == pytest.approx(
        np.var(distances, ddof=1), rel=0.15
    )
    # The real samples' share is in it, and the error over the fake ones alone leaves it out.
    assert np.mean([d.stderr**2 for d in distances]) < 0.75 * np.var(distances, ddof=1)


@pytest.mark.parametrize("subsets", [4, 60])
def test_error_of_the_mean_over_subsets_matches_simulation(subsets):
    rng = torch.Generator().manual_seed(9)
    real = uniform(rng, 60)
    means = [kernel_distance_subsets(real, uniform(rng, 60, 1.2, 0.3), subsets, 20).mean for _ in range(150)]
    claimed = np.sqrt(np.mean([estimate.stderr**2 for estimate in means]))
    assert claimed == pytest.approx(np.std(means, ddof=1), rel=0.2)  # 150 draws know it to 6 percent


def test_bad_input_is_told():
    good = np.ones((5, 3))
    for real, fake, words in (
        (good, np.ones((5, 2)), "they must be the same"),
        (good, good[:1], "at least 2 samples"),
        (good, np.where(np.eye(5, 3) > 0, np.nan, 1), "fake holds values that are not finite"),
        (good[0], good, "real must be of shape"),
        (good.astype(str), good, "must hold numbers"),
    ):
        with pytest.raises(InputError, match=words):
            kernel_distance(real, fake)
    with pytest.raises(InputError, match="cannot be drawn from 5 real"):
        kernel_distance_subsets(good, good, 2, 6)
    with pytest.raises(InputError, match="one shape"):
        kernel_distance_subsets(good, good, rows=(torch.zeros(2, 3).long(), torch.zeros(2, 4).long()))
    assert kernel_distance(good, good[:3]).stderr is None


def test_the_columns_are_the_functions_of_held_out_and_samples():
    rng = torch.Generator().manual_seed(10)
    real, fake = uniform(rng, 50), uniform(rng, 40, 1.2, 0.3)
    parts = evidence(real=Features(real), fake=Features(fake))
    metric = KernelDistance(subsets=4, size=20)
    scores = metric.compute(parts)
    assert list(scores) == [column.name for column in metric.columns] == ["kid", "kid_subsets"]
    assert (scores["kid"].value, scores["kid"].stderr) == (
        kernel_distance(real, fake),
        kernel_distance(real, fake).stderr,
    )
    assert scores["kid"].stderr != kernel_distance(fake, real).stderr
    assert scores["kid_subsets"].value == kernel_distance_subsets(real, fake, 4, 20).mean
    assert list(KernelDistance().compute(parts)) == ["kid"]
    assert (KernelDistance().min_samples, metric.min_samples) == (2, 20)
