"""Density and coverage against prdc, closed forms and simulation; and one run for all four measures."""

from __future__ import annotations

import numpy as np
import prdc
import pytest
import torch

from genbench.errors import InputError
from genbench.metrics.manifolds import manifold_metrics
from genbench.metrics.prdc import DensityCoverage, density_coverage, precision_recall
from genbench.numerics import distance_products
from genbench.numerics.distance_products import ROUTES, Route


def test_all_four_agree_with_prdc():
    rng = torch.Generator().manual_seed(0)
    real, fake = torch.randn(300, 6, generator=rng), 0.7 * torch.randn(260, 6, generator=rng) + 0.3
    ours = manifold_metrics(real, fake, k=5, density_k=5)
    theirs = prdc.compute_prdc(real.double().numpy(), fake.double().numpy(), nearest_k=5)
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(ours, name) == pytest.approx(theirs[name])
    assert abs(ours.density - ours.precision) > 0.1
    assert abs(ours.coverage - ours.recall) > 0.1, "the test must tell the two apart"


def test_one_run_gives_what_two_runs_give():
    rng = torch.Generator().manual_seed(1)
    real, fake = torch.randn(90, 4, generator=rng).numpy(), torch.randn(120, 4, generator=rng).numpy()
    both, sharp, dense = manifold_metrics(real, fake), precision_recall(real, fake), density_coverage(real, fake)
    assert (both.precision, both.recall) == (sharp.precision, sharp.recall)
    assert (both.density, both.coverage) == (dense.density, dense.coverage)
    assert both.precision.stderr == sharp.precision.stderr


def test_balls_are_open_and_density_exceeds_one():
    real = torch.tensor([[0.0], [1.0], [3.0]])
    # Radii of the first neighbour: 1, 1, 2. Points at exactly the border are outside.
    ours = density_coverage(real, torch.tensor([[-1.0], [2.0], [5.0], [-0.5], [7.0]]), k=1)
    assert ours.density == pytest.approx((0 + 1 + 0 + 1 + 0) / 5)  # 2 lies in the ball of 3 alone
    assert ours.coverage == pytest.approx(2 / 3)
    crowded = density_coverage(real, torch.full((5, 1), 0.5), k=1)
    assert crowded.density == 2
    assert crowded.density.stderr == 0
    assert precision_recall(real, torch.tensor([[2.0], [2.0]]), k=1).recall.stderr is None, "too few for halves"


def test_density_and_coverage_are_not_swapped_with_their_arguments():
    real = torch.cat([torch.randn(100, 2), torch.randn(100, 2) + 50])
    ours = density_coverage(real, real[:100] + 1e-3)
    assert ours.density > 0.8
    assert ours.coverage == pytest.approx(0.5)
    assert density_coverage(real[:100], real).coverage == 1


def test_the_error_of_coverage_counts_balls_that_hold_the_same_one_or_two():
    real = torch.tensor([[0.0], [1.0], [10.0], [11.0], [20.0], [21.0], [30.0], [31.0]])
    # With k = 1 each ball reaches 1 to either side, borders left out.
    fake = torch.tensor([[0.5], [10.5], [10.6], [20.2], [20.4], [20.6], [30.7], [31.5]])
    coverage = density_coverage(real, fake, k=1).coverage
    assert coverage == 1
    # One sample alone: those at 0 and 1 share theirs, 30 has one of the two of 31; two: 10 and 11 share theirs.
    ones, twos = 2**2 + 1 - 3**2 / 8, 2**2 + 1
    assert coverage.stderr == pytest.approx(max(0.75 * ones - 0.25 * twos, 0.75) ** 0.5 / 8)


@pytest.mark.parametrize("spread", [0.8, 0.5])
def test_errors_match_simulation(spread):
    rng = torch.Generator().manual_seed(2)
    real = torch.randn(300, 6, generator=rng)
    results = [density_coverage(real, spread * torch.randn(300, 6, generator=rng) + 0.2) for _ in range(100)]
    for side, tolerance in (("density", 0.2), ("coverage", 0.3)):
        estimates = [getattr(result, side) for result in results]
        claimed = np.mean([estimate.stderr for estimate in estimates])
        assert claimed == pytest.approx(np.std(estimates, ddof=1), rel=tolerance)


def test_what_does_not_fit_is_named():
    with pytest.raises(InputError, match="more than k = 5"):
        density_coverage(torch.zeros(9, 2), torch.zeros(5, 2))
    with pytest.raises(InputError, match="at least 1"):
        density_coverage(torch.zeros(9, 2), torch.zeros(5, 2), k=0)
    with pytest.raises(InputError, match="they must be the same"):
        density_coverage(torch.zeros(9, 2), torch.zeros(9, 3))
    assert DensityCoverage().min_samples == 6


@pytest.mark.parametrize("name", ROUTES)
def test_errors_do_not_depend_on_the_route(monkeypatch, name):
    """Rows far out make the bounds of coarse products wide: values stay exact, and errors have to as well."""
    rng = torch.Generator().manual_seed(0)
    scales = torch.tensor([1.0, 1.0, 1.0, 3.0]).repeat(100)[:, None]
    real, fake = torch.randn(400, 64, generator=rng) * scales, torch.randn(350, 64, generator=rng) * scales[:350]

    def forced(name):
        def choose(frame, first, second, k, reach):
            return Route.fitted(name, torch.cat([frame.shift(first[:200]), frame.shift(second[:200])]))

        monkeypatch.setattr(distance_products, "choose", choose)
        measured = manifold_metrics(real, fake)
        return measured.precision, measured.recall, measured.density, measured.coverage

    for estimate, plain in zip(forced(name), forced("float32"), strict=True):
        assert estimate.value == plain.value
        assert estimate.stderr == pytest.approx(plain.stderr, rel=1e-3)
        assert (estimate.total_stderr is None) == (plain.total_stderr is None)
        if plain.total_stderr is not None:
            assert estimate.total_stderr == pytest.approx(plain.total_stderr, rel=1e-3)
