"""KID beside its peers, in one process and on the same arrays; theirs are means over subsets, as is one of ours.

`make bench` runs these; the ordinary suite runs each once, untimed, to keep them working.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from genbench.metrics.maximum_mean_discrepancy import KernelDistanceSubsets, kernel_distance, kernel_distance_subsets
from genbench.numerics.estimate import Estimate

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch_fidelity.metric_kid import kid_features_to_metric

SEED = 2020  # that of torch-fidelity, whose subsets all share here


@pytest.fixture(scope="module")
def sets(request) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (n, D) like those of Inception, non-negative and correlated; small where nothing is timed."""
    timed = request.config.getoption("--benchmark-enable")
    n, dim = (10_000, 2048) if timed else (200, 8)
    rng = torch.Generator().manual_seed(1)
    mix = torch.randn(32, dim, generator=rng) / 8

    def features(scale: float) -> torch.Tensor:
        return torch.nn.functional.softplus(torch.randn(n, 32, generator=rng) @ mix * scale - 0.5)

    return features(1.0), features(1.05)


@pytest.fixture(scope="module")
def size(request) -> int:
    return 1000 if request.config.getoption("--benchmark-enable") else 50


@pytest.fixture(scope="module")
def rows(sets, size) -> tuple[torch.Tensor, torch.Tensor]:
    """The indices (100, size) that torch-fidelity draws of either set."""
    draws = np.random.RandomState(SEED)
    pairs = [[draws.choice(len(x), size, replace=False) for x in sets] for _ in range(100)]
    real, fake = (torch.from_numpy(np.stack(side)) for side in zip(*pairs, strict=True))
    return real, fake


@pytest.fixture(scope="module")
def expected(sets, rows) -> tuple[Estimate, KernelDistanceSubsets]:
    """Over all pairs, and over those subsets."""
    return kernel_distance(*sets), kernel_distance_subsets(*sets, rows=rows)


def timed_once(benchmark, function, *args, **options):
    """One round after a short warm-up: a run is many times longer than what a first call costs."""
    torch.ones(512, 512) @ torch.ones(512, 512)
    return benchmark.pedantic(function, args=args, kwargs=options, rounds=1, iterations=1)


@pytest.mark.benchmark(group="KID of 10,000 and 10,000 features, D = 2048")
def test_kid_of_genbench(benchmark, sets):
    """All pairs, and the standard error, which no peer gives."""
    timed_once(benchmark, kernel_distance, *sets)


@pytest.mark.benchmark(group="KID of 10,000 and 10,000 features, D = 2048")
def test_kid_of_genbench_in_subsets(benchmark, sets, rows):
    """The standard error included."""
    timed_once(benchmark, kernel_distance_subsets, *sets, rows=rows)


@pytest.mark.benchmark(group="KID of 10,000 and 10,000 features, D = 2048")
def test_kid_of_torch_fidelity(benchmark, sets, size, expected):
    options = {"kid_subset_size": size, "rng_seed": SEED, "verbose": False}
    theirs = timed_once(benchmark, kid_features_to_metric, *sets, **options)
    whole, ours = expected
    # Their sums in float32 are good to some 1e-6.
    assert ours.mean == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-3, abs=2e-6)
    assert ours.std == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-2, abs=2e-6)
    assert abs(ours.mean - whole) < 0.5 * ours.std


@pytest.mark.benchmark(group="KID of 10,000 and 10,000 features, D = 2048")
def test_kid_of_clean_fid(benchmark, sets, size, expected):
    """It draws subsets of its own."""
    cleanfid = pytest.importorskip("cleanfid.fid")
    np.random.seed(SEED)
    theirs = timed_once(benchmark, cleanfid.kernel_distance, *(x.numpy() for x in sets), max_subset_size=size)
    assert abs(expected[1].mean - theirs) < expected[1].std


@pytest.mark.benchmark(group="KID of 10,000 and 10,000 features, D = 2048")
def test_kid_of_torchmetrics(benchmark, sets, size, expected):
    """It draws subsets of its own."""
    kid = pytest.importorskip("torchmetrics.image.kid")

    def mean_over_subsets() -> float:
        draws = ([x[torch.randperm(len(x))[:size]] for x in sets] for _ in range(100))
        return float(torch.stack([kid.poly_mmd(*pair) for pair in draws]).mean())

    theirs = timed_once(benchmark, mean_over_subsets)
    assert abs(expected[1].mean - theirs) < expected[1].std
