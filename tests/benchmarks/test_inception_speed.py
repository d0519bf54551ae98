"""Inception features and their resize beside peers, on one state of random weights: uint8 images in, features out."""

from __future__ import annotations

import warnings

import pytest
import torch

from genbench import seeding
from genbench.contracts import SampleSpec
from genbench.features.inception import InceptionFeatures, Options, inception
from genbench.features.resize import resized

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pytorch_fid.inception
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
    from torchmetrics.image.fid import NoTrainInceptionV3

SPEC = SampleSpec((3, 32, 32), 256)


@pytest.fixture(scope="module")
def timed(request) -> bool:
    return request.config.getoption("--benchmark-enable")


@pytest.fixture(scope="module")
def images(timed) -> torch.Tensor:
    rng = seeding.generator("images")
    return torch.randint(256, (32 if timed else 1, 3, 32, 32), dtype=torch.uint8, generator=rng)


@pytest.fixture(scope="module")
def ours(weights) -> InceptionFeatures:
    return inception(SPEC, weights=weights)


def measure(benchmark, function, *arguments):
    return benchmark.pedantic(torch.inference_mode()(function), arguments, rounds=3, iterations=1, warmup_rounds=1)


def relative(features: torch.Tensor, expected: torch.Tensor) -> float:
    return float((features - expected).norm() / expected.norm())


@pytest.mark.benchmark(group="Inception features of 32 images")
def test_inception_of_genbench(benchmark, images, ours):
    measure(benchmark, ours, images)
    benchmark.extra_info["images"] = len(images)


@pytest.mark.benchmark(group="Inception features of 32 images")
def test_inception_of_genbench_in_bfloat16(benchmark, images, ours):
    """Slower where the processor has no instructions for it, of which users are warned."""
    reduced = InceptionFeatures(SPEC, ours.state, Options(precision="bfloat16"))
    assert relative(measure(benchmark, reduced, images).embeddings, ours(images).embeddings) < 0.03


@pytest.mark.benchmark(group="Inception features of 32 images")
def test_inception_of_torch_fidelity(benchmark, images, ours, weights):
    network = FeatureExtractorInceptionV3("its", ["2048"], str(weights))
    assert relative(measure(benchmark, network, images)[0], ours(images).embeddings) < 1e-4


@pytest.mark.benchmark(group="Inception features of 32 images")
def test_inception_of_pytorch_fid(benchmark, images, ours, weights, monkeypatch):
    """It resizes by the centres of pixels, and its features are others for that."""
    monkeypatch.setattr(pytorch_fid.inception, "load_state_dict_from_url", lambda *_, **__: torch.load(weights))
    network = pytorch_fid.inception.InceptionV3().eval()
    theirs = measure(benchmark, lambda x: network(x.float() / 255)[0][:, :, 0, 0], images)
    assert relative(theirs, ours(images).embeddings) > 1e-3


@pytest.mark.benchmark(group="Inception features of 32 images")
def test_inception_of_torchmetrics(benchmark, images, ours, weights):
    """It resizes by the centres of pixels, and its features are others for that."""
    network = NoTrainInceptionV3("its", ["2048"], str(weights))
    assert relative(measure(benchmark, network, images), ours(images).embeddings) > 1e-3


@pytest.mark.benchmark(group="resize to 299 x 299 of 32 images, 32 x 32")
def test_resize_of_genbench(benchmark, images):
    measure(benchmark, resized, images, 299)


@pytest.mark.benchmark(group="resize to 299 x 299 of 32 images, 32 x 32")
def test_resize_of_torch_fidelity(benchmark, images):
    def its(x: torch.Tensor) -> torch.Tensor:
        return (interpolate_bilinear_2d_like_tensorflow1x(x.float(), (299, 299), align_corners=False) - 128) / 128

    torch.testing.assert_close(measure(benchmark, its, images), resized(images, 299), rtol=0, atol=1e-6)
