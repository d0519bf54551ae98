"""Timings beside peers, in one process and on the same arrays: read the ratios, not the seconds.

`make bench` runs these; the ordinary suite runs each once, untimed, to keep them working.
"""

from __future__ import annotations

import warnings

import numpy as np
import prdc
import pytest
import torch

from genbench.metrics import Moments, frechet_distance, inception_score, precision_recall

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch_fidelity import metric_fid, metric_isc, metric_prc


def features(n: int, dim: int, seed: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, dim, generator=rng) @ torch.randn(dim, dim, generator=rng) / dim**0.5


@pytest.fixture(scope="module")
def sets(request) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (n, D) of two sets, small where nothing is timed."""
    timed = request.config.getoption("--benchmark-enable")
    n, dim = (2000, 512) if timed else (100, 8)
    return features(n, dim, 1), features(n, dim, 2)


@pytest.mark.benchmark(group="FID of 2,000 and 2,000 features, D = 512")
def test_fid_of_genbench(benchmark, sets):
    """The standard error included, which no peer gives."""
    benchmark(frechet_distance, *sets)


@pytest.mark.benchmark(group="FID of 2,000 and 2,000 features, D = 512")
def test_fid_of_genbench_without_error(benchmark, sets):
    benchmark(lambda: frechet_distance(*map(Moments.of, sets)))


@pytest.mark.benchmark(group="FID of 2,000 and 2,000 features, D = 512")
def test_fid_of_torch_fidelity(benchmark, sets):
    def fid() -> float:
        statistics = [metric_fid.fid_features_to_statistics(x) for x in sets]
        return metric_fid.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]

    assert benchmark(fid) == pytest.approx(frechet_distance(*sets), rel=1e-5)


@pytest.mark.benchmark(group="precision and recall of 2,000 and 2,000 features, D = 512")
def test_precision_recall_of_genbench(benchmark, sets):
    benchmark(precision_recall, *sets)


@pytest.mark.benchmark(group="precision and recall of 2,000 and 2,000 features, D = 512")
def test_precision_recall_of_prdc(benchmark, sets):
    real, fake = (x.double().numpy() for x in sets)
    theirs = benchmark(prdc.compute_prdc, real, fake, nearest_k=3)
    assert theirs["precision"] == pytest.approx(precision_recall(*sets).precision)


@pytest.mark.benchmark(group="precision and recall of 2,000 and 2,000 features, D = 512")
def test_precision_recall_of_torch_fidelity(benchmark, sets):
    options = {"prc_neighborhood": 3, "prc_batch_size": 10000, "verbose": False}
    theirs = benchmark(metric_prc.prc_features_to_metric, *reversed(sets), **options)
    assert theirs["precision"] == pytest.approx(precision_recall(*sets).precision, abs=0.01)


@pytest.mark.benchmark(group="Inception Score of 2,000 items, 512 classes")
def test_inception_score_of_genbench(benchmark, sets):
    benchmark(inception_score, sets[0].softmax(1))


@pytest.mark.benchmark(group="Inception Score of 2,000 items, 512 classes")
def test_inception_score_of_torch_fidelity(benchmark, sets):
    theirs = benchmark(metric_isc.isc_features_to_metric, sets[0], splits=1, shuffle=False)
    assert np.isclose(theirs["inception_score_mean"], inception_score(sets[0].softmax(1), splits=1).mean)
