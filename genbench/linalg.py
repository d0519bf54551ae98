"""Roots of positive semi-definite matrices, in float64, on any device.

Everything goes through symmetric eigendecompositions: results are real, and rank-deficient input needs no special
case.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from genbench.errors import InputError

Array = ArrayLike | Tensor


def as_float64(name: str, x: Array, ndim: int = 2) -> Tensor:
    """`x` as a finite float64 tensor of `ndim` axes, on its device. Raises InputError where it is not that."""
    if isinstance(x, Tensor):
        tensor = x
    else:
        array = np.asarray(x)
        if array.dtype.kind not in "fiub":
            raise InputError(f"{name} must hold numbers, it has dtype {array.dtype}")
        tensor = torch.from_numpy(array.astype(np.float64))
    tensor = tensor.detach().to(torch.float64)
    if tensor.ndim != ndim:
        raise InputError(f"{name} must have {ndim} axes, it has shape {tuple(tensor.shape)}")
    if not torch.isfinite(tensor).all():
        raise InputError(f"{name} holds values that are not finite")
    return tensor


def _psd(name: str, a: Array) -> Tensor:
    matrix = as_float64(name, a)
    if matrix.shape[0] != matrix.shape[1]:
        raise InputError(f"{name} must be square, it has shape {tuple(matrix.shape)}")
    scale = matrix.abs().max().clamp(min=torch.finfo(torch.float64).tiny)
    if (matrix - matrix.T).abs().max() > 1e-6 * scale:
        raise InputError(f"{name} must be symmetric")
    return (matrix + matrix.T) / 2


def _eigh(name: str, matrix: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(matrix)
    if values[0] < -1e-6 * values.abs().max():
        raise InputError(f"{name} must be positive semi-definite, its smallest eigenvalue is {values[0].item():.3g}")
    # Eigenvalues below the rounding of the largest are noise, whose root would be 1e8 times larger than itself.
    floor = values.abs().max() * len(values) * torch.finfo(torch.float64).eps
    return torch.where(values > floor, values, 0.0), vectors


def sqrtm(a: Array) -> Tensor:
    """The PSD root of a PSD matrix (D, D), float64 on the device of `a`.

    Raises InputError for input that is not finite, not square, clearly asymmetric or clearly indefinite.
    """
    values, vectors = _eigh("a", _psd("a", a))
    return (vectors * values.sqrt()) @ vectors.T


def trace_sqrt_product(a: Array, b: Array) -> float:
    """tr (a^1/2 b a^1/2)^1/2 for PSD matrices (D, D): always real and at least 0; tr a when b is a.

    This is the trace that the Fréchet distance needs (D. Dowson and B. Landau, 1982). With a = L L' and b = M M' it is
    the sum of the singular values of L'M, which squares nothing and so keeps full precision for singular matrices.
    Raises InputError as `sqrtm` does, and for matrices of different sizes.
    """
    first, second = _psd("a", a), _psd("b", b)
    if first.shape != second.shape:
        raise InputError(f"a and b must have one size, they have {tuple(first.shape)} and {tuple(second.shape)}")
    factors = []
    for name, matrix in (("a", first), ("b", second)):
        values, vectors = _eigh(name, matrix)
        factors.append(vectors[:, values > 0] * values[values > 0].sqrt())
    return float(torch.linalg.svdvals(factors[0].T @ factors[1]).sum())


def transport_map(source: Tensor, target: Tensor) -> Tensor:
    """The linear optimal transport map T (D, D) from N(0, source) to N(0, target), with T source T = target.

    On the null space of `source` it is zero (M. Gelbrich, 1990).
    """
    values, vectors = _eigh("source", _psd("source", source))
    root = (vectors * values.sqrt()) @ vectors.T
    inverse = torch.where(values > 0, values.clamp(min=torch.finfo(torch.float64).tiny).rsqrt(), 0.0)
    inverse_root = (vectors * inverse) @ vectors.T
    return inverse_root @ sqrtm(root @ target @ root) @ inverse_root
