"""CMMD against the kernels written out, a closed form, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from views import Views

from genbench.errors import InputError
from genbench.metrics.clip_mmd import Cmmd, cmmd


def embeddings(n: int, shift: float, seed: int, dim: int = 24) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, dim, generator=rng) + shift, dim=1)


def written_out(x: np.ndarray, y: np.ndarray, biased: bool) -> float:
    def kernel(a, b):
        return np.exp(-np.square(a[:, None] - b[None]).sum(2) / 200)

    n, m = len(x), len(y)
    xx, yy = kernel(x, x), kernel(y, y)
    if biased:
        return 1000 * (xx.mean() + yy.mean() - 2 * kernel(x, y).mean())
    within = (xx.sum() - n) / (n * (n - 1)) + (yy.sum() - m) / (m * (m - 1))
    return 1000 * (within - 2 * kernel(x, y).mean())


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_statistics_are_those_of_the_written_kernels(biased, dtype):
    x, y = embeddings(90, 0.1, 0).to(dtype), embeddings(130, 0.3, 1).to(dtype)
    expected = written_out(x.double().numpy(), y.double().numpy(), biased)
    assert cmmd(x, y, biased=biased) == pytest.approx(expected, rel=1e-4 if dtype == torch.float32 else 1e-9)
    assert cmmd(x, y, biased=True) > cmmd(x, y) + 0.1, "the test must tell the two apart"


def test_more_samples_than_a_tile_and_the_same_samples():
    x = embeddings(1100, 0.1, 2, dim=4)
    y = embeddings(1030, 0.2, 3, dim=4)
    assert cmmd(x, y) == pytest.approx(written_out(x.double().numpy(), y.double().numpy(), False), rel=1e-3)
    assert cmmd(x, x, biased=True) == pytest.approx(0, abs=1e-6)
    assert cmmd(x, x) < 0


def test_gaussians_have_the_distance_of_the_closed_form():
    # For N(0, 1) and N(s, 1) in one dimension the kernel's means are Gaussians with a variance of sigma^2 + 2.
    sigma, shift = 2.0, 1.5
    rng = torch.Generator().manual_seed(4)
    x, y = torch.randn(1500, 1, generator=rng).double(), shift + torch.randn(1500, 1, generator=rng).double()
    total = sigma**2 + 2
    expected = 1000 * 2 * sigma / math.sqrt(total) * (1 - math.exp(-(shift**2) / (2 * total)))
    estimate = cmmd(x, y, sigma)
    assert estimate == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_errors_match_simulation(shift):
    real = embeddings(150, 0.0, 5)
    estimates = [cmmd(real, embeddings(120, shift, 100 + seed)) for seed in range(200)]
    claimed = np.sqrt(np.mean([estimate.stderr**2 for estimate in estimates]))
    assert claimed == pytest.approx(np.std(estimates, ddof=1), rel=0.2)
    assert cmmd(real, real[:3]).stderr is None


def test_the_metric_looks_through_clip_and_the_biased_number_has_its_own_name():
    real, fake = embeddings(20, 0.1, 6), embeddings(20, 0.5, 7)
    evidence = Views(clip=(real, fake, real))
    scores = Cmmd().compute(evidence)
    assert evidence.asked == list(Cmmd.features) == ["clip"]
    assert scores["cmmd"].value == cmmd(real, fake)
    assert Cmmd(biased=True).compute(evidence)["cmmd_biased"].value == cmmd(real, fake, biased=True)


def test_what_does_not_fit_is_named():
    with pytest.raises(InputError, match="at least 2 samples"):
        cmmd(torch.zeros(1, 2), torch.zeros(5, 2))
    with pytest.raises(InputError, match="sigma must be above 0"):
        cmmd(torch.zeros(5, 2), torch.zeros(5, 2), 0)
