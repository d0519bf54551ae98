"""The Fréchet distance beside its peers, in one process and on the same arrays, at the 2048 features of Inception.

`make bench` times these; the ordinary suite runs each once on tiny arrays, to keep them working.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.linalg
import torch

from genbench.metrics.frechet import frechet_distance
from genbench.numerics.linalg import trace_sqrt_product
from genbench.numerics.moments import Moments

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch_fidelity import metric_fid


@dataclass(frozen=True, eq=False)
class Sets:
    """Features (n, D) of both sides whose variances fall as 1/i^2, as those of Inception about do."""

    real: torch.Tensor
    fake: torch.Tensor


def draw(n: int, dim: int) -> Sets:
    rng = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(dim, dim, generator=rng))[0] / torch.arange(1, dim + 1)[:, None]
    return Sets(*(scale * torch.randn(n, dim, generator=rng) @ basis + 0.3 for scale in (1.0, 1.1)))


@pytest.fixture(scope="module")
def many(request) -> Sets:
    timed = request.config.getoption("--benchmark-enable")
    return draw(*((10000, 2048) if timed else (100, 8)))


@pytest.fixture(scope="module")
def few(request) -> Sets:
    timed = request.config.getoption("--benchmark-enable")
    return draw(*((500, 2048) if timed else (5, 16)))


@pytest.fixture(scope="module")
def covariances(many) -> tuple[np.ndarray, np.ndarray]:
    return tuple(Moments.of(side).covariance.numpy() for side in (many.real, many.fake))


def timed(benchmark, function, *arguments):
    """Two rounds after one unmeasured: some of the peers take many seconds."""
    return benchmark.pedantic(function, arguments, rounds=2, iterations=1, warmup_rounds=1)


def torch_fidelity(real: torch.Tensor, fake: torch.Tensor) -> float:
    statistics = [metric_fid.fid_features_to_statistics(side) for side in (real, fake)]
    return metric_fid.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]


def from_moments(real: torch.Tensor, fake: torch.Tensor) -> float:
    return frechet_distance(Moments.of(real), Moments.of(fake))


def by_schur(real: torch.Tensor, fake: torch.Tensor) -> float:
    """FID as pytorch-fid and clean-fid find it."""
    first, second = (np.cov(side.double().numpy(), rowvar=False) for side in (real, fake))
    shift = (real.double().mean(0) - fake.double().mean(0)).square().sum()
    return float(shift) + np.trace(first) + np.trace(second) - 2 * schur_trace(first, second)


def schur_trace(a: np.ndarray, b: np.ndarray) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # singular products are announced
        return float(np.trace(scipy.linalg.sqrtm(a @ b)).real)


@pytest.mark.benchmark(group="trace of the root of a product, D = 2048")
def test_trace_of_genbench(benchmark, covariances):
    timed(benchmark, trace_sqrt_product, *covariances)


@pytest.mark.benchmark(group="trace of the root of a product, D = 2048")
def test_trace_of_torch_fidelity(benchmark, covariances):
    zeros = np.zeros(len(covariances[0]))
    sides = [{"mu": zeros, "sigma": sigma} for sigma in covariances]
    theirs = timed(benchmark, lambda: metric_fid.fid_statistics_to_metric(*sides, verbose=False))
    traces = sum(np.trace(sigma) for sigma in covariances)
    expected = traces - 2 * trace_sqrt_product(*covariances)
    assert theirs["frechet_inception_distance"] == pytest.approx(expected, abs=1e-6 * traces)


@pytest.mark.benchmark(group="trace of the root of a product, D = 2048")
def test_trace_of_scipy(benchmark, covariances):
    trace = benchmark.pedantic(schur_trace, covariances, rounds=1, iterations=1)
    assert trace == pytest.approx(trace_sqrt_product(*covariances), rel=1e-6)


@pytest.mark.benchmark(group="FID of 500 and 500 features, D = 2048")
def test_few_of_genbench(benchmark, few):
    """The standard error included, which no peer gives."""
    timed(benchmark, frechet_distance, few.real, few.fake)


# Peers take roots of what rounding leaves of zero eigenvalues, so that their value is too small in the fifth digit.
@pytest.mark.benchmark(group="FID of 500 and 500 features, D = 2048")
def test_few_of_torch_fidelity(benchmark, few):
    assert timed(benchmark, torch_fidelity, few.real, few.fake) == pytest.approx(
        frechet_distance(few.real, few.fake), rel=1e-3
    )


@pytest.mark.benchmark(group="FID of 500 and 500 features, D = 2048")
def test_few_of_scipy(benchmark, few):
    distance = benchmark.pedantic(by_schur, (few.real, few.fake), rounds=1, iterations=1)
    assert distance == pytest.approx(frechet_distance(few.real, few.fake), rel=1e-2)


@pytest.mark.benchmark(group="FID of 10,000 and 10,000 features, D = 2048")
def test_fid_of_genbench(benchmark, many):
    timed(benchmark, from_moments, many.real, many.fake)


@pytest.mark.benchmark(group="FID of 10,000 and 10,000 features, D = 2048")
def test_fid_of_torch_fidelity(benchmark, many):
    distance = timed(benchmark, torch_fidelity, many.real, many.fake)
    assert distance == pytest.approx(from_moments(many.real, many.fake), rel=1e-5)


@pytest.mark.benchmark(group="FID with standard error of 10,000 and 10,000 features, D = 2048")
def test_fid_with_error_of_genbench(benchmark, many):
    distance = timed(benchmark, frechet_distance, many.real, many.fake)
    assert distance.stderr > 0


# What the peer finds in this time has no error.
@pytest.mark.benchmark(group="FID with standard error of 10,000 and 10,000 features, D = 2048")
def test_fid_without_error_of_torch_fidelity(benchmark, many):
    timed(benchmark, torch_fidelity, many.real, many.fake)
