"""Standard errors against what they claim: the deviation between repeated draws, by simulation or bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genbench.metrics import Moments, frechet_distance, inception_score, negative_log_likelihood, precision_recall


def test_fid_error_matches_simulation_at_two_thousand_samples():
    rng = torch.Generator().manual_seed(1)
    mix = torch.randn(8, 8, generator=rng, dtype=torch.float64) / 3
    real = Moments.of(torch.randn(5000, 8, generator=rng, dtype=torch.float64))

    def draw() -> torch.Tensor:
        return torch.randn(2000, 8, generator=rng, dtype=torch.float64) @ (torch.eye(8) + mix) + 0.2

    estimates = [frechet_distance(real, draw()) for _ in range(400)]
    spread = np.std(estimates, ddof=1)
    claimed = np.mean([estimate.stderr for estimate in estimates])
    assert claimed == pytest.approx(spread, rel=0.1)  # 400 draws know the spread to 3.5 percent


def test_precision_and_recall_errors_match_simulation():
    rng = torch.Generator().manual_seed(2)
    real = torch.randn(400, 6, generator=rng)
    results = [precision_recall(real, 0.8 * torch.randn(400, 6, generator=rng) + 0.2) for _ in range(120)]
    for side, tolerance in (("precision", 0.2), ("recall", 0.25)):
        estimates = [getattr(result, side) for result in results]
        claimed = np.mean([estimate.stderr for estimate in estimates])
        assert claimed == pytest.approx(np.std(estimates, ddof=1), rel=tolerance)


def test_inception_score_error_matches_bootstrap():
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.full(6, 0.3), size=1000)
    estimate = inception_score(p, splits=1).unsplit
    again = [inception_score(p[rng.integers(0, 1000, 1000)], splits=1).unsplit for _ in range(400)]
    assert estimate.stderr == pytest.approx(np.std(again, ddof=1), rel=0.12)


def test_split_inception_score_error_matches_simulation():
    rng = np.random.default_rng(4)
    estimates = [inception_score(rng.dirichlet(np.full(6, 0.3), size=1000)).mean for _ in range(300)]
    claimed = np.mean([estimate.stderr for estimate in estimates])
    assert claimed == pytest.approx(np.std(estimates, ddof=1), rel=0.12)


def test_likelihood_error_matches_bootstrap():
    rng = np.random.default_rng(5)
    values = -rng.gamma(3, 20, size=800)
    estimate = negative_log_likelihood(values)
    again = [negative_log_likelihood(values[rng.integers(0, 800, 800)]) for _ in range(500)]
    assert estimate.stderr == pytest.approx(np.std(again, ddof=1), rel=0.12)
