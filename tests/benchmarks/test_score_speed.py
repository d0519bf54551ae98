"""Two folders of PNG files in, one FID out, beside the tools that people use for it, on one file of random weights."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy
import torch
from PIL import Image

import genbench
from genbench.evaluation.image_pass import Reading
from genbench.plugins.extractors import Computing

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pytorch_fid.fid_score
    import pytorch_fid.inception
    import torch_fidelity
    from cleanfid import fid as cleanfid


@pytest.fixture(scope="module")
def count(request) -> int:
    """Images in each folder: 500 as in the README where GENBENCH_BENCH_LARGE is set."""
    if not request.config.getoption("--benchmark-enable"):
        return 3
    return 500 if os.environ.get("GENBENCH_BENCH_LARGE") else 60


@pytest.fixture(scope="module")
def dims(request) -> int:
    """Features of the peers that call scipy's sqrtm: where nothing is timed, few, as its root of 2,048 takes 20 s."""
    return 2048 if request.config.getoption("--benchmark-enable") else 64


@pytest.fixture(scope="module")
def folders(tmp_path_factory, count) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    home = tmp_path_factory.mktemp("folders")
    for name in ("real", "fake"):
        (home / name).mkdir()
        for number in range(count):
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(home / name / f"{number:04}.png")
    return home / "real", home / "fake"


@pytest.fixture
def cacheless(monkeypatch) -> None:
    """No features from before."""
    monkeypatch.setenv("GENBENCH_CACHE", "/proc/none")


def once(benchmark, function):
    return benchmark.pedantic(function, rounds=1, iterations=1, warmup_rounds=0)


def once_where_it_runs(benchmark, function):
    """pytorch-fid and clean-fid call scipy's sqrtm with `disp`, which scipy 1.18 took away."""
    try:
        return once(benchmark, function)
    except TypeError as error:
        pytest.skip(f"the peer does not run with scipy {scipy.__version__}: {error}")


def ours(folders: tuple[Path, Path], weights: Path, precision: str = "float32") -> float:
    reading = Reading(Computing(precision=precision, weights=weights))
    return genbench.score(*folders, "inception", ["fid"], reading=reading)["fid"]


@pytest.mark.benchmark(group="folders of PNG to FID")
def test_score_of_genbench(benchmark, folders, weights, cacheless):
    assert once(benchmark, lambda: ours(folders, weights)) > 0


@pytest.mark.benchmark(group="folders of PNG to FID")
def test_score_of_genbench_from_its_cache(benchmark, folders, weights, tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path))
    first = ours(folders, weights)
    assert once(benchmark, lambda: ours(folders, weights)) == first


@pytest.mark.benchmark(group="folders of PNG to FID")
def test_score_of_torch_fidelity(benchmark, folders, weights, cacheless):
    real, fake = map(str, folders)
    options = {"cuda": False, "fid": True, "verbose": False, "cache": False}
    options |= {"feature_extractor_weights_path": str(weights), "batch_size": 32, "samples_find_deep": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = once(benchmark, lambda: torch_fidelity.calculate_metrics(input1=real, input2=fake, **options))
    # Its eigenvalues of a singular product are right to the third digit.
    assert theirs["frechet_inception_distance"] == pytest.approx(ours(folders, weights), rel=2e-2)


@pytest.mark.benchmark(group="folders of PNG to FID")
def test_score_of_pytorch_fid(benchmark, folders, weights, dims, monkeypatch):
    """It resizes by the centres of pixels, and its numbers are others for that."""
    monkeypatch.setattr(pytorch_fid.inception, "load_state_dict_from_url", lambda *_, **__: torch.load(weights))
    paths = [str(path) for path in folders]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        its = pytorch_fid.fid_score.calculate_fid_given_paths
        assert once_where_it_runs(benchmark, lambda: its(paths, 32, torch.device("cpu"), dims, 2)) > 0


@pytest.mark.benchmark(group="folders of PNG to FID")
def test_score_of_clean_fid(benchmark, folders, weights, dims, monkeypatch):
    """Its own resizing and loading around the network of pytorch-fid, as its weights cannot be had offline."""
    monkeypatch.setattr(pytorch_fid.inception, "load_state_dict_from_url", lambda *_, **__: torch.load(weights))
    block = pytorch_fid.inception.InceptionV3.BLOCK_INDEX_BY_DIM[dims]
    network = pytorch_fid.inception.InceptionV3([block], resize_input=False).eval()

    def features(x: torch.Tensor) -> torch.Tensor:
        return network(x / 255)[0][:, :, 0, 0]

    def fid() -> float:
        options = {"num_workers": 2, "batch_size": 32, "device": torch.device("cpu"), "verbose": False}
        sets = [cleanfid.get_folder_features(str(path), features, mode="clean", **options) for path in folders]
        moments = [x for features in sets for x in (features.mean(0), np.cov(features.T))]
        return float(cleanfid.frechet_distance(*moments))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert once_where_it_runs(benchmark, fid) > 0
