"""The error of the Fréchet distance from leading directions: two digits, or no answer."""

from __future__ import annotations

import pytest
import torch

from genbench.metrics import frechet, frechet_distance, frechet_influence
from genbench.numerics import reduced_transport
from genbench.numerics.moments import Moments
from genbench.numerics.reduced_transport import leading_directions, reduced_deviation, row_step


@pytest.fixture(autouse=True)
def few_directions(monkeypatch):
    monkeypatch.setattr(reduced_transport, "DIRECTIONS", 48)
    monkeypatch.setattr(frechet, "LARGE", 64)


def features(n: int, dim: int, steepness: float, scale: float) -> torch.Tensor:
    basis = torch.linalg.qr(torch.randn(dim, dim, generator=torch.Generator().manual_seed(0))).Q
    return scale * torch.randn(n, dim) * torch.arange(1, dim + 1) ** -steepness @ basis


@pytest.mark.parametrize("scale", [1.0, 1.1])
@pytest.mark.parametrize("steepness", [1.0, 2.0])
def test_leading_directions_give_the_error_to_two_digits(steepness, scale):
    real, fake = features(2000, 160, steepness, 1.0), features(1500, 160, steepness, scale) + 0.01
    first, second = Moments.of(real), Moments.of(fake)
    reduced = reduced_deviation(fake, second, first)
    exact = float(frechet_influence(real, fake).std())
    assert reduced == pytest.approx(exact, rel=0.02)
    assert frechet_distance(real, fake).stderr == reduced / 1500**0.5, "of few samples all count"


def test_features_without_leading_directions_take_the_whole_map(monkeypatch):
    real, fake = features(600, 160, 0.0, 1.0), features(500, 160, 0.0, 1.1)
    assert frechet_distance(real, fake).stderr == pytest.approx(
        float(frechet_influence(real, fake).std()) / 500**0.5, rel=1e-9
    )
    monkeypatch.setattr(reduced_transport, "SHARE", 1e9)
    assert frechet_distance(real, fake).stderr < 0.9 * float(frechet_influence(real, fake).std()) / 500**0.5


@pytest.mark.parametrize("scale", [1e-24, 1e-6, 1e6, 1e24])
def test_errors_scale_as_the_distance_does(scale):
    real, fake = features(600, 160, 2.0, 1.0), features(500, 160, 2.0, 1.1)
    expected = frechet_distance(real, fake).stderr
    assert frechet_distance(scale * real.double(), scale * fake.double()).stderr == pytest.approx(
        expected * scale**2, rel=0.02
    )


def test_rows_are_spread_evenly_and_the_same_each_time(monkeypatch):
    monkeypatch.setattr(reduced_transport, "SAMPLES", 100)
    assert [row_step(n) for n in (100, 101, 250, 301)] == [1, 3, 3, 5]
    matrix = Moments.of(features(400, 160, 1.0, 1.0)).covariance
    basis = leading_directions(matrix, 48)
    assert torch.equal(basis, leading_directions(matrix, 48))
    torch.testing.assert_close(basis.T @ basis, torch.eye(48, dtype=torch.float64), atol=1e-5, rtol=0)
    largest = torch.linalg.eigvalsh(matrix).flip(0)[:8]
    torch.testing.assert_close((basis * (matrix @ basis)).sum(0)[:8], largest, rtol=1e-3, atol=0)
