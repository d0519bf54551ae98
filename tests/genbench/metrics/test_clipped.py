"""Clipped density and coverage against their definition written out, what they promise, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import betabinom
from views import direct

from genbench.errors import InputError
from genbench.metrics.clipped import Clipped, clipped_density_coverage, expected_coverage


def written_out(real: torch.Tensor, fake: torch.Tensor, k: int) -> tuple[float, float]:
    """Ball by ball, sample by sample; the expectations by a library's distribution."""
    real, fake = real.double().numpy(), fake.double().numpy()
    between = np.linalg.norm(real[:, None] - real[None], axis=2)
    np.fill_diagonal(between, np.inf)
    radii = np.sort(between, axis=1)[:, k - 1]
    to_fake = np.linalg.norm(real[:, None] - fake[None], axis=2)
    clipped = np.minimum(radii, np.median(radii))
    density = np.minimum((to_fake <= clipped[:, None]).sum(0) / k, 1).mean()
    usual = np.minimum((between <= clipped[:, None]).sum(0) / k, 1).mean()
    raw = np.minimum((to_fake < radii[:, None]).sum(1), k).mean() / k
    n, m = len(real), len(fake)
    expected = [0.0] * k
    for good in range(k, m + 1):
        hits = np.arange(good + 1)
        expected.append((betabinom.pmf(hits, good, k, n - k) * np.minimum(hits, k)).sum() / k)
    return min(1, density / usual), np.searchsorted(expected, raw - 1e-10) / (m + 1)


@pytest.mark.parametrize(("spread", "shift", "k"), [(1.0, 0.0, 5), (0.6, 0.4, 3), (1.5, 0.0, 1), (0.3, 0.0, 5)])
def test_both_are_what_the_paper_defines(spread, shift, k):
    rng = torch.Generator().manual_seed(0)
    real, fake = torch.randn(121, 4, generator=rng), spread * torch.randn(90, 4, generator=rng) + shift
    ours = clipped_density_coverage(real, fake, k)
    assert (ours.density, ours.coverage) == pytest.approx(written_out(real, fake, k), abs=1e-9)
    even = clipped_density_coverage(real[:120], fake, k)
    assert (even.density, even.coverage) == pytest.approx(written_out(real[:120], fake, k), abs=1e-9)


def test_they_are_shares_of_good_samples():
    rng = torch.Generator().manual_seed(1)
    real, good = torch.randn(1500, 4, generator=rng), torch.randn(1500, 4, generator=rng)
    for share in (1.0, 0.7, 0.3):
        fake = good.clone()
        fake[round(share * 1500) :] += 100
        ours = clipped_density_coverage(real, fake)
        assert ours.density == pytest.approx(share, abs=0.07)
        assert ours.coverage == pytest.approx(share, abs=0.07)


def test_what_is_clipped_does_not_count_twice():
    rng = torch.Generator().manual_seed(2)
    real = torch.randn(200, 2, generator=rng)
    outlier = torch.cat([real, torch.tensor([[40.0, 0.0]])])  # with a ball that reaches to the others
    fake = torch.randn(200, 2, generator=rng) + torch.tensor([25.0, 0.0])
    assert clipped_density_coverage(outlier, fake).density == 0
    crowded = torch.zeros(200, 2) + 1e-3 * torch.randn(200, 2, generator=rng)
    ours = clipped_density_coverage(real, crowded)
    assert ours.density == 1
    assert ours.coverage < 0.2
    assert clipped_density_coverage(real, real + 1e-6).coverage == 1


def test_the_expectation_is_that_of_drawn_samples():
    rng = torch.Generator().manual_seed(3)
    n, m, k = 60, 50, 3
    raw = []
    for _ in range(200):
        x = torch.rand(n + m, 1, generator=rng, dtype=torch.float64)
        real, fake = x[:n], x[n:]
        radii = torch.cdist(real, real).sort(1).values[:, k]
        raw.append(float((torch.cdist(real, fake) < radii[:, None]).sum(1).clamp(max=k).double().mean()) / k)
    expected = expected_coverage(n, m, k)
    assert float(expected[m]) == pytest.approx(np.mean(raw), abs=0.01)
    assert float(expected[0]) == pytest.approx(0, abs=1e-12)
    assert (expected.diff() > 0).all()


@pytest.mark.parametrize(("spread", "shift"), [(0.8, 0.8), (1.3, 0.3)])
def test_errors_match_simulation(spread, shift):
    rng = torch.Generator().manual_seed(4)
    real = torch.randn(200, 6, generator=rng)
    results = [clipped_density_coverage(real, spread * torch.randn(200, 6, generator=rng) + shift) for _ in range(60)]
    for side in ("density", "coverage"):
        estimates = [getattr(result, side) for result in results]
        claimed = np.mean([estimate.stderr for estimate in estimates])
        assert claimed == pytest.approx(np.std(estimates, ddof=1), rel=0.35)


def test_the_metric_and_what_does_not_fit():
    rng = torch.Generator().manual_seed(5)
    real, fake = torch.randn(50, 3, generator=rng), torch.randn(40, 3, generator=rng)
    scores = Clipped().compute(direct(real, fake, real))
    assert scores["clipped_coverage"].value == clipped_density_coverage(real, fake).coverage
    assert scores["clipped_density"].value == clipped_density_coverage(real, fake).density
    with pytest.raises(InputError, match="more than k = 5"):
        clipped_density_coverage(torch.zeros(9, 2), torch.zeros(5, 2))
