"""Distances through other extractors: which ones are asked, and FDr^k by closed form and simulation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from views import Views

from genbench.errors import InputError
from genbench.metrics.representations import (
    Dinov2FrechetDistance,
    FrechetRatio,
    SpatialFrechetDistance,
    frechet_ratio,
)


def gaussian(n: int, shift: float, seed: int, dim: int = 4) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)).double() + shift


@pytest.mark.parametrize(
    ("metric", "features", "column"),
    [(SpatialFrechetDistance(), "inception:spatial", "sfid"), (Dinov2FrechetDistance(), "dinov2", "fd_dinov2")],
)
def test_distances_are_those_of_the_extractor_that_the_metric_names(metric, features, column):
    real, fake = gaussian(300, 0, 0), gaussian(300, 2, 1)
    evidence = Views(**{features.replace(":", "_"): (real, fake, real)})
    score = metric.compute(evidence)[column]
    assert evidence.asked == [features] == list(metric.features)
    assert score.value == pytest.approx(4 * 4, rel=0.1)  # a shift by 2 in each of 4 dimensions
    assert score.stderr is not None
    few = Views(**{features.replace(":", "_"): (real, fake[:3], real)})
    assert "do not fill" in metric.compute(few)[column].detail


def mirrored(n: int, shift: float) -> torch.Tensor:
    """Points whose mean is exactly `shift` in each dimension and whose covariance depends on n alone."""
    half = gaussian(n // 2, 0, 2)
    return torch.cat([half, -half]) + shift


def test_ratios_are_measured_in_the_distance_of_real_items_and_averaged():
    # Equal covariances leave the squared distance of the means.
    train, heldout, fake = mirrored(200, 0), mirrored(200, 1), mirrored(200, 3)
    assert frechet_ratio([(train, heldout, fake)]) == pytest.approx(9)
    assert frechet_ratio([(train, heldout, 2 * heldout - heldout)]) == pytest.approx(1)
    views = [(train, heldout, fake), (10 * train, 10 * heldout, 10 * mirrored(200, 2))]
    assert frechet_ratio(views) == pytest.approx((9 + 4) / 2)  # no view counts more for its scale


def test_as_many_held_out_items_as_samples_are_taken():
    train, heldout, fake = gaussian(2000, 0, 3, 30), gaussian(2000, 0, 4, 30), gaussian(100, 0, 5, 30)
    # With all 2,000 held-out items the ratio would be that of 1 / 100 to 1 / 2,000.
    assert frechet_ratio([(train, heldout, fake)]) == pytest.approx(1, abs=0.2)
    assert frechet_ratio([(train, heldout[:100], gaussian(2000, 0, 6, 30))]) == pytest.approx(1, abs=0.2)


def test_errors_match_simulation_when_views_see_the_same_samples():
    mix = gaussian(4, 0, 7)
    train, heldout = gaussian(200, 0, 8), gaussian(200, 0.3, 9)
    estimates = []
    for seed in range(40):
        fake = gaussian(200, 0.5, 1000 + seed)
        estimates.append(frechet_ratio([(train, heldout, fake), (train @ mix, heldout @ mix, fake @ mix)]))
    claimed = np.mean([estimate.stderr for estimate in estimates])
    assert claimed == pytest.approx(np.std(estimates, ddof=1), rel=0.4)


def test_the_metric_names_its_representations():
    sides = {name: (gaussian(60, 0, 1), gaussian(60, 1, 2), gaussian(80, 0, 3)) for name in ("inception", "clip")}
    metric = FrechetRatio(("inception", "clip"))
    evidence = Views(**sides)
    score = metric.compute(evidence)["fdr"]
    assert evidence.asked == ["inception", "clip"]
    real, fake, train = sides["clip"]
    assert score.value == frechet_ratio([(train, real, fake)] * 2)
    assert score.detail == "of inception, clip"
    assert metric.columns[0].title == "FDr^2"
    assert FrechetRatio().columns[0].title == "FDr^3"


def test_what_does_not_fit_is_named():
    x = gaussian(20, 0, 1)
    with pytest.raises(InputError, match="at least one representation"):
        frechet_ratio([])
    with pytest.raises(InputError, match="different numbers of items"):
        frechet_ratio([(x, x[:9], x), (x, x, x)])
    with pytest.raises(InputError, match="leaves no unit"):
        frechet_ratio([(torch.ones(9, 2), torch.ones(9, 2), torch.ones(9, 2))])
