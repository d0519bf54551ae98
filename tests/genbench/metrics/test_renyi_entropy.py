"""RKE against the eigenvalues that define it, closed forms, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from views import direct

from genbench.errors import InputError, Unsupported
from genbench.metrics.renyi_entropy import Rke, median_distance, rke


def test_it_is_the_order_two_entropy_of_the_kernels_eigenvalues():
    x = torch.randn(70, 5, generator=torch.Generator().manual_seed(0)).double()
    kernel = torch.exp(-torch.cdist(x, x).square() / (2 * 1.3**2)) / len(x)
    eigenvalues = torch.linalg.eigvalsh(kernel)
    assert rke(x, 1.3) == pytest.approx(float(1 / eigenvalues.square().sum()), rel=1e-9)
    assert rke(x.float(), 1.3) == pytest.approx(rke(x, 1.3), rel=1e-4)


def test_far_clusters_are_counted_by_their_weights():
    centres = torch.tensor([[0.0, 0.0], [100.0, 0.0], [0.0, 100.0]])
    assert rke(centres.repeat_interleave(500, 0), 1.0) == pytest.approx(3, rel=1e-6)
    uneven = centres.repeat_interleave(torch.tensor([800, 100, 100]), 0)
    assert rke(uneven, 1.0) == pytest.approx(1 / (0.8**2 + 2 * 0.1**2), rel=1e-6)
    assert rke(torch.ones(9, 2), 1.0) == 1
    assert rke(1e4 * torch.arange(40.0)[:, None], 1.0) == pytest.approx(40)


def test_errors_match_simulation():
    rng = torch.Generator().manual_seed(1)
    weights = torch.tensor([0.6, 0.3, 0.1])
    estimates = []
    for _ in range(80):
        cluster = torch.multinomial(weights, 200, replacement=True, generator=rng)
        estimates.append(rke(10.0 * cluster[:, None] + 0.3 * torch.randn(200, 1, generator=rng), 1.0))
    claimed = np.mean([estimate.stderr for estimate in estimates])
    assert claimed == pytest.approx(np.std(estimates, ddof=1), rel=0.3)


def test_the_bandwidth_is_the_real_items():
    rng = torch.Generator().manual_seed(2)
    real, fake = torch.randn(80, 4, generator=rng), 0.1 * torch.randn(90, 4, generator=rng)
    bandwidth = 0.5 * median_distance(real)
    assert bandwidth == pytest.approx(0.5 * float(torch.pdist(real.double()).median()))
    score = Rke().compute(direct(real, fake, real))["rke"]
    assert score.value == pytest.approx(rke(fake, bandwidth))
    assert f"{float(rke(real, bandwidth)):.2f}" in score.detail
    with pytest.raises(Unsupported, match="most real items are the same"):
        Rke().compute(direct(torch.zeros(9, 2), fake[:, :2], real))
    with pytest.raises(InputError, match="bandwidth must be above 0"):
        rke(fake, 0.0)
