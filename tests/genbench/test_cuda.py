"""Every path that runs on a GPU gives the CPU's numbers there.

The same code runs on the CPU first, where it is compared with arrays; tests of CUDA are skipped where there is none.
"""

from __future__ import annotations

import math

import pytest
import torch

from genbench import metrics
from genbench.contracts import Features, SampleSpec
from genbench.features.inception import inception
from genbench.features.inception_weights import expected_shapes
from genbench.metrics.frechet import compared, frechet_distance, frechet_influence
from genbench.numerics import distance_products, linalg, reduced_transport
from genbench.numerics.moments import Moments, MomentsBuilder
from genbench.numerics.nearest import nearest_distances
from genbench.plugins.extractors import Computing, make

CUDA = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"))
DEVICES = ["cpu", CUDA]


@pytest.fixture(params=DEVICES)
def device(request) -> str:
    return request.param


def features(n: int, dim: int, scale: float = 1.0, steepness: float = 1.0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(n)
    basis = torch.linalg.qr(torch.randn(dim, dim, generator=torch.Generator().manual_seed(0))).Q
    return scale * torch.randn(n, dim, generator=rng) * torch.arange(1, dim + 1) ** -steepness @ basis + 0.1


def same(there, here, rel: float = 1e-6) -> None:
    """One estimate computed twice."""
    for name in ("value", "stderr", "total_stderr", "low", "high"):
        pair = getattr(there, name, None), getattr(here, name, None)
        assert (pair[0] is None) == (pair[1] is None), name
        if pair[0] is not None:
            assert pair[0] == pytest.approx(pair[1], rel=rel, abs=1e-9), name


@pytest.mark.parametrize("method", ["auto", "eigen", "polar"])
@pytest.mark.parametrize("rank", [60, 20])
def test_roots(device, method, rank):
    a, b = (Moments.of(features(rank + seed, 48)).covariance for seed in (1, 2))
    expected = linalg.trace_sqrt_product(a, b)
    assert linalg.trace_sqrt_product(a.to(device), b.to(device), method) == pytest.approx(expected, rel=1e-7)
    batch = torch.stack([a, b]).to(device)
    pairs = linalg.trace_sqrt_product(batch, batch.flip(0), method)
    torch.testing.assert_close(pairs.cpu(), torch.tensor([expected] * 2, dtype=torch.float64), rtol=1e-7, atol=0)
    torch.testing.assert_close(linalg.sqrtm(a.to(device)).cpu(), linalg.sqrtm(a), rtol=1e-6, atol=1e-9)
    map_ = linalg.transport_map(a.to(device), b.to(device)).cpu()
    torch.testing.assert_close(map_ @ a @ map_, map_ @ a @ map_.T, rtol=1e-6, atol=1e-9)


def test_moments_gathered_in_parts(device):
    x = features(300, 24)
    builder = MomentsBuilder()
    for part in x.split(70):
        builder.add(part.to(device))
    there, here = builder.moments(), Moments.of(x)
    torch.testing.assert_close(there.covariance.cpu(), here.covariance, rtol=1e-9, atol=1e-12)
    assert there.mean.device.type == device


@pytest.mark.parametrize("n", [30, 60, 600])
def test_frechet_distance_and_what_follows(device, n):
    """Within the span, of singular covariances, and with the bias and the intervals of many samples."""
    x, y = features(n, 64), features(n + 10, 64, 1.2)
    there = compared(Features(x.to(device)), Features(y.to(device))).estimate
    same(there, compared(Features(x), Features(y)).estimate, rel=1e-5)
    same(frechet_distance(x.to(device), y.to(device)), frechet_distance(x.numpy(), y.numpy()), rel=1e-5)
    influence = frechet_influence(x.to(device), y.to(device)).cpu()
    torch.testing.assert_close(influence, frechet_influence(x, y), rtol=1e-4, atol=1e-4)
    if n == 600:
        same(metrics.fid_infinity(x.to(device), y.to(device)), metrics.fid_infinity(x, y), rel=1e-5)


def test_errors_from_leading_directions(device, monkeypatch):
    monkeypatch.setattr(reduced_transport, "DIRECTIONS", 48)
    monkeypatch.setattr("genbench.metrics.frechet.LARGE", 64)
    x, y = features(700, 100, 1.0, 2.0), features(500, 100, 1.1, 2.0)
    there, here = (compared(*(Features(side.to(place)) for side in (x, y))) for place in (device, "cpu"))
    assert there.distance == pytest.approx(here.distance, rel=1e-7)
    assert there.stderr == pytest.approx(here.stderr, rel=0.01)
    assert there.total_stderr == pytest.approx(here.total_stderr, rel=0.01)


@pytest.mark.parametrize("route", [None, *distance_products.ROUTES])
def test_neighbours_and_balls(device, route, monkeypatch):
    """Each way to make products, and the one that the device is measured to like best: the answers are the same."""
    x, y = features(400, 512, steepness=0.3), features(300, 512, 1.1, steepness=0.3)
    expected = metrics.manifold_metrics(x, y, k=3, density_k=5)
    nearest = nearest_distances(x.double(), y.double(), 2)
    monkeypatch.setattr(distance_products, "SMALL", 0)
    if route is not None:
        offered = route if route in distance_products.rates(device).routes else "float32"
        monkeypatch.setattr(
            distance_products,
            "choose",
            lambda frame, first, second, k, reach: distance_products.Route.fitted(offered, frame.shift(first)),
        )
    there = metrics.manifold_metrics(x.to(device), y.to(device), k=3, density_k=5)
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(there, name).value == getattr(expected, name).value
        assert getattr(there, name).stderr == pytest.approx(getattr(expected, name).stderr, rel=0.1)
    torch.testing.assert_close(nearest_distances(x.to(device), y.to(device), 2).cpu(), nearest, rtol=1e-6, atol=1e-6)


def test_kernel_distance(device):
    x, y = features(300, 32), features(250, 32, 1.2)
    same(metrics.kernel_distance(x.to(device), y.to(device)), metrics.kernel_distance(x, y), rel=1e-4)
    rows = torch.stack([torch.arange(i, i + 60) for i in range(4)])
    there = metrics.kernel_distance_subsets(x.to(device), y.to(device), rows=(rows, rows))
    here = metrics.kernel_distance_subsets(x, y, rows=(rows, rows))
    same(there.mean, here.mean, rel=1e-4)


def test_diversity_and_sliced_distances(device):
    x, y = features(300, 32), features(250, 32, 1.2)
    same(metrics.vendi_score(y.to(device)), metrics.vendi_score(y), rel=1e-5)
    same(metrics.mind(x.to(device), y.to(device)), metrics.mind(x, y), rel=1e-4)
    same(metrics.memorization(x.to(device), x[:100].to(device), y.to(device)), metrics.memorization(x, x[:100], y))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    rng = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in expected_shapes().items():
        spread = (2 / math.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.1
        state[name] = torch.randn(shape, generator=rng) * spread
        if name.endswith(("running_var", "bn.weight")):
            state[name] += 1
    path = tmp_path_factory.mktemp("weights") / "state.pth"
    torch.save(state, path)
    return path


@pytest.mark.parametrize(("precision", "miss"), [("float32", 1e-3), ("bfloat16", 0.05)])
def test_inception(device, weights, precision, miss):
    spec = SampleSpec((3, 20, 24), 256)
    x = torch.randint(256, (3, *spec.shape), dtype=torch.uint8)
    expected = inception(spec, weights=weights)(x).embeddings
    embeddings = inception(spec, weights=weights, device=device, precision=precision)(x).embeddings
    assert embeddings.device.type == "cpu"
    assert float((embeddings - expected).norm() / expected.norm()) < miss


def test_networks_that_ship(device):
    spec = SampleSpec((1, 28, 28), 256)
    x = torch.randint(256, (5, *spec.shape), dtype=torch.uint8)
    there, expected = (make("mnist-cnn", spec, Computing(place))(x).embeddings for place in (device, "cpu"))
    torch.testing.assert_close(there.cpu(), expected, rtol=1e-3, atol=1e-3)
