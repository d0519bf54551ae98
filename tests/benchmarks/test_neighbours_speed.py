"""Precision, recall, density and coverage beside peers, on the same features in one process: read the ratios.

Three kinds of features: those without structure, where all distances are alike and a coarse first look leaves most
open; those whose covariance has eigenvalues falling as 1 / i or as 1 / i^2, between which networks' lie; and a sample
of 50,000 on each side, which GENBENCH_BENCH_LARGE=1 asks for.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings

import prdc
import pytest
import torch

from genbench.metrics.manifolds import manifold_metrics
from genbench.metrics.prdc import precision_recall

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch_fidelity import metric_prc

Pair = tuple[torch.Tensor, torch.Tensor]
LARGE = os.environ.get("GENBENCH_BENCH_LARGE") == "1"
# The powers of 1/i by which variances fall. Those of networks' features fall as 1/i first and then faster.
KINDS = {"isotropic": 0, "decaying": 1, "steep": 2}
ONCE = {"rounds": 2, "iterations": 1, "warmup_rounds": 0}


def features(n: int, dim: int, kind: str) -> Pair:
    """Two float32 sets (n, D) from distributions that differ in scale by a twentieth; KINDS say how variances fall."""
    rng = torch.Generator().manual_seed(0)
    scales = torch.arange(1, dim + 1) ** (-KINDS[kind] / 2)
    turn = torch.linalg.qr(torch.randn(dim, dim, generator=rng)).Q
    real, fake = ((torch.randn(n, dim, generator=rng) * scales) @ turn for _ in range(2))
    return real, fake.mul_(0.95)


@pytest.fixture(scope="module", params=["2000-decaying", "10000-steep", "10000-decaying", "10000-isotropic"])
def sets(request) -> tuple[str, Pair]:
    n, kind = request.param.split("-")
    timed = request.config.getoption("--benchmark-enable")
    name = f"{int(n):,} and {int(n):,} {kind} features, D = 2048"
    return name, features(int(n), 2048, kind) if timed else features(100, 8, kind)


@pytest.fixture
def pair(benchmark, sets) -> Pair:
    benchmark.group = f"precision and recall of {sets[0]}"
    return sets[1]


@pytest.fixture(scope="module")
def expected(sets):
    return precision_recall(*sets[1])


def of_torch_fidelity(real: torch.Tensor, fake: torch.Tensor, save_memory: bool = False) -> dict[str, float]:
    # torch-fidelity's first argument is the generated set.
    options = {"prc_neighborhood": 3, "prc_batch_size": 10_000, "save_cpu_ram": save_memory, "verbose": False}
    return metric_prc.prc_features_to_metric(fake, real, **options)


def of_prdc(real: torch.Tensor, fake: torch.Tensor, k: int) -> dict[str, float]:
    with contextlib.redirect_stdout(io.StringIO()):
        return prdc.compute_prdc(real.double().numpy(), fake.double().numpy(), nearest_k=k)


def test_precision_recall_of_genbench(benchmark, pair, expected):
    """With standard errors, which no peer gives."""
    shares = benchmark.pedantic(precision_recall, pair, **ONCE)
    assert (shares.precision, shares.recall) == (expected.precision, expected.recall)


def test_precision_recall_of_torch_fidelity(benchmark, pair, expected):
    theirs = benchmark.pedantic(of_torch_fidelity, pair, **ONCE)
    # In float32, where points at the edge of a ball may fall on either side.
    assert theirs["precision"] == pytest.approx(expected.precision, abs=0.002)
    assert theirs["recall"] == pytest.approx(expected.recall, abs=0.002)


def test_precision_recall_of_prdc(benchmark, pair, expected):
    """All four of its measures, as it gives no fewer."""
    theirs = benchmark.pedantic(of_prdc, (*pair, 3), **ONCE | {"rounds": 1})
    assert theirs["precision"] == pytest.approx(expected.precision)
    assert theirs["recall"] == pytest.approx(expected.recall)


def test_all_four_of_genbench(benchmark, sets):
    benchmark.group = f"precision, recall, density, coverage of {sets[0]}"
    benchmark.pedantic(manifold_metrics, sets[1], kwargs={"k": 5, "density_k": 5}, **ONCE)


def test_all_four_of_prdc(benchmark, sets):
    benchmark.group = f"precision, recall, density, coverage of {sets[0]}"
    theirs = benchmark.pedantic(of_prdc, (*sets[1], 5), **ONCE | {"rounds": 1})
    ours = manifold_metrics(*sets[1], k=5, density_k=5)
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(ours, name) == pytest.approx(theirs[name])


@pytest.fixture(params=["steep", "decaying"])
def large(benchmark, request) -> Pair:
    benchmark.group = f"precision and recall of 50,000 and 50,000 {request.param} features, D = 2048"
    return features(50_000, 2048, request.param)


@pytest.mark.skipif(not LARGE, reason="minutes; set GENBENCH_BENCH_LARGE=1")
def test_large_precision_recall_of_genbench(benchmark, large):
    benchmark.pedantic(precision_recall, large, rounds=1, iterations=1)


@pytest.mark.skipif(not LARGE, reason="minutes; set GENBENCH_BENCH_LARGE=1")
def test_large_precision_recall_of_torch_fidelity(benchmark, large):
    """In its economical mode: the other needs 30 GB."""
    benchmark.pedantic(of_torch_fidelity, (*large, True), rounds=1, iterations=1)
