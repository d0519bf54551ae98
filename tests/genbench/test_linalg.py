"""Roots of PSD matrices: closed forms, scipy, and the inputs that break a non-symmetric square root."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch

from genbench import linalg
from genbench.errors import InputError


def psd(dim: int, rank: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(dim, rank))
    return x @ x.T


def test_sqrtm_squares_back_and_agrees_with_scipy():
    a = psd(20, 30)
    root = linalg.sqrtm(a)
    assert root.dtype == torch.float64
    np.testing.assert_allclose(root @ root, a, atol=1e-10)
    np.testing.assert_allclose(root, scipy.linalg.sqrtm(a).real, atol=1e-9)


def test_trace_of_a_root_of_a_product_agrees_with_scipy():
    a, b = psd(15, 20, 1), psd(15, 25, 2)
    expected = np.trace(scipy.linalg.sqrtm(a @ b)).real
    assert linalg.trace_sqrt_product(a, b) == pytest.approx(expected, rel=1e-10)
    assert linalg.trace_sqrt_product(torch.from_numpy(a), b) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("rank", [1, 5, 12])
def test_trace_against_itself_is_the_trace_at_any_rank_and_scale(rank, scale):
    a = scale * psd(12, rank)
    assert linalg.trace_sqrt_product(a, a) == pytest.approx(np.trace(a), rel=1e-9)


def test_diagonal_and_zero_matrices_have_closed_forms():
    a, b = np.diag([1.0, 4.0, 0.0]), np.diag([9.0, 1.0, 5.0])
    assert linalg.trace_sqrt_product(a, b) == pytest.approx(3 + 2)
    assert linalg.trace_sqrt_product(np.zeros((3, 3)), b) == 0


def test_transport_map_carries_source_to_target():
    source, target = (torch.from_numpy(psd(8, 16, seed)) for seed in (3, 4))
    t = linalg.transport_map(source, target)
    torch.testing.assert_close(t @ source @ t, target, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(t, t.T)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((2, 3)), "square"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "finite"),
        (np.array([[1.0, 2.0], [0.0, 1.0]]), "symmetric"),
        (np.diag([1.0, -1.0]), "positive semi-definite"),
        (np.ones(3), "axes"),
        (np.array([["a"]]), "numbers"),
    ],
)
def test_bad_input_is_named(matrix, message):
    with pytest.raises(InputError, match=message):
        linalg.sqrtm(matrix)


def test_different_sizes_are_named():
    with pytest.raises(InputError, match="one size"):
        linalg.trace_sqrt_product(np.eye(2), np.eye(3))
