"""Roots of PSD matrices: closed forms, scipy, and the inputs that break a non-symmetric square root."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import scipy.linalg
import torch

from genbench.errors import InputError
from genbench.numerics import linalg, polar

METHODS = ("eigen", "polar")


def psd(dim: int, rank: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(dim, rank))
    return x @ x.T


def with_spectrum(spectrum: np.ndarray, seed: int) -> np.ndarray:
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(spectrum), len(spectrum))))[0]
    matrix = (basis * spectrum) @ basis.T
    return (matrix + matrix.T) / 2


def test_sqrtm_squares_back_and_agrees_with_scipy():
    a = psd(20, 30)
    root = linalg.sqrtm(a)
    assert root.dtype == torch.float64
    np.testing.assert_allclose(root @ root, a, atol=1e-10)
    np.testing.assert_allclose(root, scipy.linalg.sqrtm(a).real, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_trace_of_a_root_of_a_product_agrees_with_scipy_and_with_eigenvalues(method):
    a, b = psd(15, 20, 1), psd(15, 25, 2)
    expected = np.trace(scipy.linalg.sqrtm(a @ b)).real
    assert np.sqrt(np.linalg.eigvals(a @ b)).sum().real == pytest.approx(expected, rel=1e-10)
    assert linalg.trace_sqrt_product(a, b, method) == pytest.approx(expected, rel=1e-10)
    assert linalg.trace_sqrt_product(torch.from_numpy(a), b, method) == pytest.approx(expected, rel=1e-10)


def test_trace_of_two_by_two_matrices_has_a_closed_form():
    a, b = psd(2, 3, 5), psd(2, 4, 6)
    # (l + m)^2 = l^2 + m^2 + 2 l m, with l^2 and m^2 the eigenvalues of a b
    expected = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a) * np.linalg.det(b)))
    assert linalg.trace_sqrt_product(a, b) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("scale", [1e-200, 1e-8, 1.0, 1e8, 1e200])
@pytest.mark.parametrize("rank", [1, 5, 12])
@pytest.mark.parametrize("method", METHODS)
def test_trace_against_itself_is_the_trace_at_any_rank_and_scale(rank, scale, method):
    a = scale * psd(12, rank)
    assert linalg.trace_sqrt_product(a, a, method) == pytest.approx(np.trace(a), rel=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_diagonal_and_zero_matrices_have_closed_forms(method):
    a, b = np.diag([1.0, 4.0, 0.0]), np.diag([9.0, 1.0, 5.0])
    assert linalg.trace_sqrt_product(a, b, method) == pytest.approx(3 + 2)
    assert linalg.trace_sqrt_product(np.zeros((3, 3)), b, method) == 0
    assert linalg.trace_sqrt_product(np.diag([1.0, 0.0, 0.0]), np.diag([0.0, 1.0, 1.0]), method) == 0


def test_squares_lose_no_digits_of_small_values():
    """Graded products keep the small eigenvalues, of which plain squares lose half of the digits."""
    dim = 48
    steep = np.arange(1.0, dim + 1) ** -4
    a, b = with_spectrum(steep, 1), with_spectrum(steep, 2)
    with mpmath.workdps(60):
        first, second = (mpmath.cholesky(mpmath.matrix(x.tolist())) for x in (a, b))
        exact = float(sum(mpmath.svd_r(first.T * second, compute_uv=False)))
    assert linalg.trace_sqrt_product(a, b) == pytest.approx(exact, rel=1e-12)
    root = np.linalg.cholesky(a)[:, ::-1]  # the same factor, but graded from small to large
    squares = np.linalg.eigvalsh(root.T @ b @ root)
    assert abs(np.sqrt(squares.clip(0)).sum() / exact - 1) > 1e-11


@pytest.mark.parametrize("spectrum", ["flat", "1/i", "1/i^2", "1/i^4", "exponential", "half", "flat and 1/i^2"])
def test_matrix_products_alone_are_as_good_as_eigenvalues(spectrum):
    i = np.arange(1.0, 129)
    spectra = {
        "flat": (0 * i + 1, 0 * i + 1),
        "1/i": (1 / i, 1 / i),
        "1/i^2": (i**-2, i**-2),
        "1/i^4": (i**-4, i**-4),
        "exponential": (np.exp(-i / 12), np.exp(-i / 12)),
        "half": ((i < 64) / i, (i < 32) / i),
        "flat and 1/i^2": (0 * i + 1, i**-2),
    }[spectrum]
    for seed in (1, 2):  # with the same eigenvectors, and with others
        a, b = with_spectrum(spectra[0], 1), with_spectrum(spectra[1], seed)
        exact = np.sqrt(spectra[0] * spectra[1]).sum() if seed == 1 else linalg.trace_sqrt_product(a, b, "eigen")
        assert linalg.trace_sqrt_product(a, b, "polar") == pytest.approx(exact, rel=1e-8)


def test_polar_factor_is_orthogonal_and_its_steps_reach_the_smallest_values():
    m = torch.randn(40, 25, dtype=torch.float64)
    factor = polar.polar_factor(m)
    left, _, right = torch.linalg.svd(m, full_matrices=False)
    torch.testing.assert_close(factor, left @ right, rtol=0, atol=1e-5)
    torch.testing.assert_close(factor.T @ factor, torch.eye(25, dtype=torch.float64), rtol=0, atol=1e-11)
    torch.testing.assert_close(polar.polar_factor(m.T), factor.T)
    x = np.geomspace(polar.SMALLEST, 1, 1000)
    for scale in polar.scales():
        x = scale * x * (3 - scale**2 * x**2) / 2
        assert 0 < x.min() <= x.max() <= 1 + 1e-12
    assert x.min() > 1 - 1e-6


def test_polar_factor_keeps_full_precision_where_the_user_allows_less():
    before = torch.get_float32_matmul_precision()
    a, b = psd(64, 80, 1), psd(64, 80, 2)
    try:
        torch.set_float32_matmul_precision("medium")
        trace = linalg.trace_sqrt_product(a, b, "polar")
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert trace == pytest.approx(linalg.trace_sqrt_product(a, b, "eigen"), rel=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_batches_are_as_their_members(method):
    a = torch.from_numpy(np.stack([psd(6, 9, 1), psd(6, 3, 2), psd(6, 6, 3)]))[:, None]
    b = torch.from_numpy(np.stack([psd(6, 9, 4), psd(6, 9, 5), psd(6, 2, 6)]))[:, None]
    traces = linalg.trace_sqrt_product(a, b, method)
    assert traces.shape == (3, 1)
    for i in range(3):
        assert float(traces[i, 0]) == pytest.approx(linalg.trace_sqrt_product(a[i, 0], b[i, 0], method), rel=1e-9)
        torch.testing.assert_close(linalg.sqrtm(a)[i, 0], linalg.sqrtm(a[i, 0]))


@pytest.mark.parametrize("rank", [0, 3, 12])
def test_root_factor_has_the_rank_of_its_matrix(rank):
    a = psd(12, rank)
    factor = linalg.root_factor(a)
    assert factor.shape == (12, rank)
    np.testing.assert_allclose(factor @ factor.T, a, atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 8), (8, 5), (7, 7)])
@pytest.mark.parametrize("method", ["eigen", "polar", "svd"])
def test_absolute_value_and_nuclear_norm_of_any_matrix(shape, method):
    m = torch.from_numpy(np.random.default_rng(0).normal(size=shape))
    expected = linalg.sqrtm(m @ m.T)
    torch.testing.assert_close(linalg.absolute(m, method), expected, rtol=0, atol=1e-5 if method == "polar" else 1e-7)
    assert float(linalg.nuclear_norm(m, method)) == pytest.approx(float(np.linalg.svd(m)[1].sum()), rel=1e-11)


@pytest.mark.parametrize("rank", [0, 4, 8])
def test_transport_map_carries_source_to_target(rank):
    source, target = torch.from_numpy(psd(8, rank, 3)), torch.from_numpy(psd(8, 16, 4))
    t = linalg.transport_map(source, target)
    onto = torch.linalg.pinv(source) @ source
    torch.testing.assert_close(t @ source @ t, onto @ target @ onto if rank < 8 else target, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(t, t.T)
    assert torch.linalg.eigvalsh(t).min() > -1e-9


BAD = [
    (np.ones((2, 3)), "square"),
    (np.array([[1.0, np.nan], [np.nan, 1.0]]), "finite"),
    (np.array([[1.0, np.nan], [2.0, 1.0]]), "finite"),
    (np.array([[1.0, np.inf], [-np.inf, 1.0]]), "finite"),
    (np.array([[1.0, 2.0], [0.0, 1.0]]), "symmetric"),
    (np.diag([1.0, -1.0]), "positive semi-definite"),
    (np.array([[0.0, 1.0], [1.0, 0.0]]), "positive semi-definite"),
    (np.ones(3), "axes"),
    (np.array([["a"]]), "numbers"),
    (np.zeros((0, 0)), "empty"),
]


@pytest.mark.parametrize(("matrix", "message"), BAD)
def test_bad_input_is_named(matrix, message):
    for check in (
        linalg.sqrtm,
        linalg.root_factor,
        *(lambda a, m=m: linalg.trace_sqrt_product(a, a, m) for m in METHODS),
    ):
        with pytest.raises(InputError, match=message):
            check(matrix)


def test_what_does_not_fit_together_is_named():
    with pytest.raises(InputError, match="one size"):
        linalg.trace_sqrt_product(np.eye(2), np.eye(3))
    with pytest.raises(InputError, match="auto, eigen or polar"):
        linalg.trace_sqrt_product(np.eye(2), np.eye(2), "cholesky")
