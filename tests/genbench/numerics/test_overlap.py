"""The trace from one Cholesky factor beside the singular values that it replaces, and what it hands back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genbench.errors import InputError
from genbench.numerics import linalg, overlap
from genbench.numerics.moments import Moments
from genbench.numerics.overlap import GradedFactor, regular_overlap


def covariance(n: int, spread: np.ndarray, seed: int) -> torch.Tensor:
    """Of n samples whose deviations are `spread` (D,) along random directions."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(len(spread), len(spread))))[0]
    return torch.from_numpy(np.cov(rng.normal(size=(n, len(spread))) * spread @ basis.T, rowvar=False))


@pytest.mark.parametrize("steepness", [0.0, 0.5, 1.0, 1.5])
def test_trace_of_regular_matrices_is_that_of_singular_values(steepness):
    spread = np.arange(1.0, 129) ** -steepness
    a, b = covariance(300, spread, 1), covariance(400, 1.1 * spread, 2)
    exact = float(torch.linalg.svdvals(linalg.root_factor(a).T @ linalg.root_factor(b)).sum())
    assert float(regular_overlap(a, b)) == pytest.approx(exact, rel=1e-12)
    assert float(regular_overlap(a, b, GradedFactor.of(a))) == float(regular_overlap(a, b))
    assert float(regular_overlap(b, a)) == pytest.approx(exact, rel=1e-12)


def test_pivots_are_chosen_where_they_do_not_fall_by_themselves(monkeypatch):
    """Two correlated pairs hide a large variance behind a small one: the order of the diagonal is no help."""
    a = torch.diag(torch.tensor([4.0, 4.0 + 1e-6, 3.0, 3.0], dtype=torch.float64))
    a[0, 1] = a[1, 0] = 4.0
    monkeypatch.setattr(overlap.lapack, "dpstrf", spy := Spy(overlap.lapack.dpstrf))
    factor = GradedFactor.of(a)
    assert spy.calls == 1
    lower = torch.from_numpy(np.tril(factor.lower))
    torch.testing.assert_close(lower @ lower.T, a[factor.order][:, factor.order])
    assert (lower.diagonal().diff() <= 0).all()
    GradedFactor.of(torch.eye(4, dtype=torch.float64))
    assert spy.calls == 1, "falling pivots need no other order"


class Spy:
    def __init__(self, function) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *arguments, **options):
        self.calls += 1
        return self.function(*arguments, **options)


def test_singular_and_indefinite_matrices_are_handed_back():
    spread = np.ones(40)
    regular, singular = covariance(90, spread, 1), covariance(30, spread, 2)
    assert regular_overlap(singular, regular) is None
    assert regular_overlap(regular, singular) is None
    indefinite = regular - 2 * torch.outer(regular[0], regular[0]) / regular[0, 0]
    assert regular_overlap(regular, indefinite) is None
    with pytest.raises(InputError, match="positive semi-definite"):
        linalg.trace_sqrt_product(regular, indefinite)
    assert regular_overlap(1e200 * regular, regular) is None


def test_a_symmetric_update_gives_the_covariance_of_numpy():
    x = np.random.default_rng(3).normal(size=(70, 33)) + 5
    moments = Moments.of(x)
    np.testing.assert_allclose(moments.covariance, np.cov(x, rowvar=False), rtol=1e-12, atol=1e-14)
    assert torch.equal(moments.covariance, moments.covariance.T)
