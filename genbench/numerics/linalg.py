"""Roots of positive semi-definite matrices, in float64, on any device.

Results are always real, and matrices of any rank and scale need no special case. On the CPU a matrix is factored by
pivoted Cholesky and the rest are eigenvalues of a small symmetric product; on a GPU the rest are matrix products.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.linalg import blas, lapack
from torch import Tensor

from genbench import seeding
from genbench.errors import InputError
from genbench.numerics.overlap import regular_overlap
from genbench.numerics.polar import polar_factor

Array = ArrayLike | Tensor
Method = Literal["auto", "eigen", "polar"]
EPSILON = torch.finfo(torch.float64).eps
TINY = torch.finfo(torch.float64).tiny
BLOCK = 256  # rows and columns of a matrix that are compared with their transpose at once
PROBES = 16  # vectors, whose images are a tenth of what is expected with a chance of 1e-14
TOLERANCE = 1e-6  # what of asymmetry or negative eigenvalues, relative to the largest entry, still counts as rounding


def as_float64(name: str, x: Array, ndim: int = 2) -> Tensor:
    """`x` as a finite float64 tensor of `ndim` axes, on its device. Raises InputError where it is not that."""
    tensor = _as_float64(name, x)
    if tensor.ndim != ndim:
        raise InputError(f"{name} must have {ndim} axes, it has shape {tuple(tensor.shape)}")
    if not torch.isfinite(tensor).all():
        raise InputError(f"{name} holds values that are not finite")
    return tensor


def as_matrix(name: str, x: Array) -> Tensor:
    """`x` (n, D) as a tensor: float32 and float64 without a copy, half precision as float32, others as float64.

    Raises InputError for what holds no real numbers, and for another number of axes or an axis of length 0. That all
    values are finite is for the caller to see.
    """
    if isinstance(x, Tensor):
        tensor = x.detach()
    else:
        array = np.asarray(x)
        if array.dtype.kind not in "fiub":
            raise InputError(f"{name} must hold numbers, it has dtype {array.dtype}")
        if array.dtype not in (np.float32, np.float64):
            array = array.astype(np.float32 if array.dtype == np.float16 else np.float64)
        # Tensors have neither the byte order nor the negative strides that arrays may have; asarray copies those alone.
        tensor = torch.from_numpy(np.require(array, array.dtype.newbyteorder("="), ["C", "W"]))
    if tensor.is_complex():
        raise InputError(f"{name} must hold real numbers, it has dtype {tensor.dtype}")
    if tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.to(torch.float32 if tensor.is_floating_point() else torch.float64)
    if tensor.ndim != 2 or 0 in tensor.shape:
        raise InputError(
            f"{name} must be of shape (samples, features) with at least one sample, it has shape {tuple(tensor.shape)}"
        )
    return tensor


def _as_float64(name: str, x: Array) -> Tensor:
    if isinstance(x, Tensor):
        tensor = x
    else:
        array = np.asarray(x)
        if array.dtype.kind not in "fiub":
            raise InputError(f"{name} must hold numbers, it has dtype {array.dtype}")
        tensor = torch.from_numpy(array.astype(np.float64))
    return tensor.detach().to(torch.float64)


def _psd(name: str, a: Array) -> Tensor:
    """A finite symmetric float64 matrix, or a batch of them (..., D, D). That it is not indefinite shows later."""
    matrix = _as_float64(name, a)
    if matrix.ndim < 2:
        raise InputError(f"{name} must have at least 2 axes, it has shape {tuple(matrix.shape)}")
    if matrix.shape[-2] != matrix.shape[-1] or matrix.numel() == 0:
        raise InputError(f"{name} must be square and not empty, it has shape {tuple(matrix.shape)}")
    scale = torch.maximum(matrix.amax((-2, -1)), -matrix.amin((-2, -1)))
    if not torch.isfinite(scale).all():
        raise InputError(f"{name} holds values that are not finite")
    asymmetry = _asymmetry(matrix)
    if (asymmetry > TOLERANCE * scale).any():
        raise InputError(f"{name} must be symmetric; average it with its transpose if it is so but for rounding")
    return _symmetrised(matrix) if asymmetry.any() else matrix


def _mirrored_blocks(matrix: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The blocks above and on the diagonal of matrices (..., D, D), and those below, transposed; both are views.

    A transposed matrix is slow to read whole.
    """
    blocks = [slice(start, start + BLOCK) for start in range(0, matrix.shape[-1], BLOCK)]
    for i, j in combinations_with_replacement(blocks, 2):
        yield matrix[..., i, j], matrix[..., j, i].mT


def _asymmetry(matrix: Tensor) -> Tensor:
    """The largest |a_ij - a_ji| of each matrix."""
    return torch.stack([(upper - lower).abs().amax((-2, -1)) for upper, lower in _mirrored_blocks(matrix)]).amax(0)


def _symmetrised(matrix: Tensor) -> Tensor:
    """The mean of each matrix and its transpose."""
    means = matrix.clone()
    for upper, lower in _mirrored_blocks(means):
        mean = (upper + lower) / 2
        upper.copy_(mean)
        lower.copy_(mean)
    return means


def _indefinite(name: str) -> InputError:
    return InputError(f"{name} must be positive semi-definite, it has a clearly negative eigenvalue")


def _eigh(name: str, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (..., D), rising, those that are rounding set to 0, and eigenvectors."""
    scale = matrix.abs().amax((-2, -1), keepdim=True).clamp(min=TINY)
    values, vectors = eigh(matrix / scale)
    largest = values.abs().amax(-1, keepdim=True)
    if (values[..., :1] < -TOLERANCE * largest).any():
        raise _indefinite(name)
    # Eigenvalues below the rounding of the largest are noise, whose root would be 1e8 times larger than itself.
    floor = largest * values.shape[-1] * EPSILON
    return torch.where(values > floor, values, 0.0) * scale[..., 0], vectors


def eigh(a: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (..., D), rising, and eigenvectors of the upper half of symmetric matrices (..., D, D), float64."""
    if a.device.type != "cpu" or a.ndim != 2 or not len(a):
        values, vectors = torch.linalg.eigh(a.mT)
        return values, vectors
    # OpenBLAS needs little more than half the time of MKL here. Rows are LAPACK's columns and the upper half its lower
    # one, from which the reduction to a tridiagonal matrix begins where the entries of a graded matrix are large.
    roots, columns, info = lapack.dsyevd(a.numpy().T, lower=1)
    if info:
        raise InputError("the eigenvalues of a matrix do not converge")
    return torch.from_numpy(roots), torch.from_numpy(columns)


def sqrtm(a: Array) -> Tensor:
    """The PSD root of a PSD matrix (D, D), or of each of a batch (..., D, D): float64 on the device of `a`.

    Raises InputError for input that is not finite, not square, clearly asymmetric or clearly indefinite.
    """
    values, vectors = _eigh("a", _psd("a", a))
    return (vectors * values.sqrt()[..., None, :]) @ vectors.mT


def root_factor(a: Array, name: str = "a") -> Tensor:
    """A factor F (D, r) of a PSD matrix F F' of rank r, float64. A batch (..., D, D) has zero columns up to r = D.

    On the CPU the columns of F fall in size, because Cholesky's pivots do. Raises InputError as `sqrtm` does.
    """
    return _root(name, _psd(name, a))


def _root(name: str, matrix: Tensor) -> Tensor:
    if matrix.device.type == "cpu" and matrix.ndim == 2:
        return _pivoted_cholesky(name, matrix)
    return _cholesky(name, matrix)


def _pivoted_cholesky(name: str, matrix: Tensor) -> Tensor:
    # Symmetric: the transposed view is the column-major order that LAPACK wants.
    packed, order, rank, _ = lapack.dpstrf(matrix.numpy().T, lower=1)
    columns = torch.from_numpy(packed.T).triu_()[:rank]
    factor = columns[:, torch.from_numpy(order.argsort())].T
    if rank < len(packed) and not _holds_all(matrix, factor):
        raise _indefinite(name)
    return factor


def _holds_all(matrix: Tensor, factor: Tensor) -> bool:
    """Whether matrix - FF' is rounding: products with some vectors mostly tell, and else all of it is made."""
    limit = TOLERANCE * torch.linalg.vector_norm(matrix, torch.inf)
    vectors = torch.randn(len(matrix), PROBES, generator=seeding.generator("probes", len(matrix)), dtype=matrix.dtype)
    images = torch.addmm(matrix @ vectors, factor, factor.T @ vectors, alpha=-1)
    # A row's mean square is that of its norm, which is at least its largest entry; a tenth leaves room for chance.
    if images.square().mean(1).amax().sqrt() <= limit / 10:
        return True
    return bool(torch.addmm(matrix, factor, factor.T, alpha=-1).abs().max() <= limit)


def _cholesky(name: str, matrix: Tensor) -> Tensor:
    """The Cholesky factor, or where a matrix is numerically singular, one from eigenvectors."""
    lower, info = torch.linalg.cholesky_ex(matrix)
    pivots = lower.diagonal(dim1=-2, dim2=-1).square()
    singular = pivots.amin(-1) <= 10 * pivots.shape[-1] * EPSILON * pivots.amax(-1)
    if not ((info > 0) | singular).any():
        return lower
    values, vectors = _eigh(name, matrix)
    factor = vectors.flip(-1) * values.flip(-1).sqrt()[..., None, :]
    return factor if matrix.ndim > 2 else factor[:, : int((values > 0).sum())]


def _unit(m: Tensor) -> tuple[Tensor, Tensor]:
    """`m` with entries within -1..1, and the factor that this took away: squares neither overflow nor vanish."""
    if m.numel() == 0:
        return m, m.new_zeros(m.shape[:-2])
    scale = m.abs().amax((-2, -1))
    return m / scale.clamp(min=TINY)[..., None, None], scale


def _smaller_gram(m: Tensor) -> tuple[Tensor, bool]:
    """The upper half of M M' or M'M, and whether it is the former: the smaller one, or else the more strongly graded.

    A square loses half of the digits of small eigenvalues, unless it is graded from large entries to small ones, as
    it is where M is a product of pivoted Cholesky factors: then they keep nearly all.
    """
    rows, columns = m.square().sum(1), m.square().sum(0)
    by_rows = rows.min() * columns.max() <= columns.min() * rows.max()
    if m.shape[0] < m.shape[1] or (m.shape[0] == m.shape[1] and by_rows):
        return _square(m), True
    return _square(m.T), False


def _square(m: Tensor) -> Tensor:
    """M M', at least on and above the diagonal."""
    if m.device.type != "cpu" or not (m.is_contiguous() or m.T.is_contiguous()):
        return m @ m.T
    # BLAS has columns where tensors have rows: its lower half is the upper one here.
    if m.is_contiguous():
        return torch.from_numpy(blas.dsyrk(1.0, m.numpy().T, trans=1, lower=1).T)
    return torch.from_numpy(blas.dsyrk(1.0, m.numpy(), lower=1).T)


def nuclear_norm(m: Tensor, method: Literal["eigen", "polar", "svd"] = "svd") -> Tensor:
    """The sum of the singular values of float64 M (r, s), as a 0-dim tensor; `polar` takes batches too.

    `svd` is exact and slow for large matrices. `eigen` takes the eigenvalues of the smaller square of M and is as
    exact for products of two of `root_factor`; for other matrices it may be wrong by 1e-8 of the largest value for
    each small one. `polar` needs matrix products only.
    """
    unit, scale = _unit(m)
    if 0 in m.shape[-2:]:
        return scale
    if method == "polar":
        return scale * (polar_factor(unit) * unit).sum((-2, -1))
    if method == "svd":
        return scale * torch.linalg.svdvals(unit).sum(-1)
    return scale * torch.linalg.eigvalsh(_smaller_gram(unit)[0].mT).clamp(min=0).sqrt().sum()


def absolute(m: Tensor, method: Literal["eigen", "polar", "svd"] = "svd") -> Tensor:
    """(M M')^1/2, float64 (r, r), of M (r, s): its trace is the nuclear norm of M, found by the same methods."""
    unit, scale = _unit(m)
    if 0 in m.shape:
        return m.new_zeros(len(m), len(m))
    if method == "polar":
        product = unit @ polar_factor(unit).mT
        return scale * (product + product.mT) / 2
    if method == "svd":
        left, values, _ = torch.linalg.svd(unit, full_matrices=False)
        return scale * (left * values) @ left.T
    gram, rows = _smaller_gram(unit)
    squares, vectors = eigh(gram)
    values = squares.clamp(min=0).sqrt()
    if rows:
        return scale * (vectors * values) @ vectors.T
    # M v has the length of its singular value: the vectors of M M' are M v over it.
    left = (unit @ vectors) * torch.where(values > 0, values.clamp(min=TINY).rsqrt(), 0.0)
    return scale * left @ left.T


def trace_sqrt_product(a: Array, b: Array, method: Method = "auto") -> float | Tensor:
    """tr (a^1/2 b a^1/2)^1/2 for PSD matrices (D, D): always real and at least 0; tr a when b is a.

    Batches (..., D, D) give a float64 tensor (...). This is the trace that the Fréchet distance needs (D. Dowson and
    B. Landau, 1982). With a = F F' and b = G G' it is the nuclear norm of F'G. The method `eigen` finds it from
    eigenvalues, `polar` by matrix products (relative error below 1e-8); `auto` is `polar` on a GPU, else `eigen`.
    Raises InputError as `sqrtm` does, for matrices of different sizes and for another method.
    """
    first, second = _psd("a", a), _psd("b", b)
    if first.shape != second.shape:
        raise InputError(f"a and b must have one size, they have {tuple(first.shape)} and {tuple(second.shape)}")
    if method not in ("auto", "eigen", "polar"):
        raise InputError(f"method must be auto, eigen or polar, got {method!r}")
    if first.device != second.device:
        second = second.to(first.device)
    if method == "polar" or (method == "auto" and first.device.type != "cpu"):
        traces = nuclear_norm(_cholesky("a", first).mT @ _cholesky("b", second), "polar")
    else:
        pairs = zip(first.flatten(0, -3), second.flatten(0, -3), strict=True) if first.ndim > 2 else [(first, second)]
        norms = [_overlap(x, y) for x, y in pairs]
        traces = torch.stack(norms).reshape(first.shape[:-2])
    return traces if first.ndim > 2 else float(traces)


def _overlap(first: Tensor, second: Tensor) -> Tensor:
    if first.device.type == "cpu":
        trace = regular_overlap(first, second)
        if trace is not None:
            return trace
    return nuclear_norm(_root("a", first).T @ _root("b", second), "eigen")


def pull_back(factor: Tensor, root: Tensor) -> Tensor:
    """F^+' W F^+, symmetric (D, D), of a factor F (D, r) of full column rank and a symmetric W (r, r)."""
    if factor.shape[0] == factor.shape[1]:
        pivots = torch.linalg.lu_factor(factor.T.contiguous())
        pulled = torch.linalg.lu_solve(*pivots, torch.linalg.lu_solve(*pivots, root).T.contiguous())
        return (pulled + pulled.T) / 2
    if factor.shape[1] == 0:
        return factor.new_zeros(len(factor), len(factor))
    basis, upper = torch.linalg.qr(factor)
    half = torch.linalg.solve_triangular(upper.T, root, upper=False)
    inner = torch.linalg.solve_triangular(upper.T, half.T, upper=False)
    return basis @ ((inner + inner.T) / 2) @ basis.T


def pull_back_half(factor: Tensor, basis: Tensor) -> Tensor:
    """F^+' U (D, k) of a factor F (D, r) of full column rank and U (r, k): rows x of F's span times it are U'F^-1 x."""
    if factor.shape[0] == factor.shape[1]:
        return torch.linalg.solve(factor.T, basis)
    if factor.shape[1] == 0:
        return factor.new_zeros(len(factor), basis.shape[1])
    span, upper = torch.linalg.qr(factor)
    return span @ torch.linalg.solve_triangular(upper.T, basis, upper=False)


def transport_map(source: Tensor, target: Tensor) -> Tensor:
    """The linear optimal transport map T (D, D) from N(0, source) to N(0, target), with T source T = target.

    On the null space of `source` it is zero (M. Gelbrich, 1990).
    """
    factor = root_factor(source, "source")
    return pull_back(factor, absolute(factor.T @ root_factor(target, "target"), product_method(factor)))


def product_method(x: Tensor) -> Literal["eigen", "polar"]:
    """The method for products of two factors that suits the device of `x`."""
    return "eigen" if x.device.type == "cpu" else "polar"
