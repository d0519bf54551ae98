"""tr (a^1/2 b a^1/2)^1/2 on the CPU from one Cholesky factor and the eigenvalues of one congruence.

With a = F F' the trace is the sum of the roots of the eigenvalues of F'bF. A square loses half of the digits of small
eigenvalues unless it is graded from large entries to small ones, as it is where the columns of F fall in size: the
pivots of a Cholesky factor say so. Where a or b is numerically singular, what rounding leaves of zero eigenvalues would
count with its root, and the caller has to look for the ranks (`linalg.root_factor`) instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import blas, lapack
from torch import Tensor

EPSILON = float(np.finfo(np.float64).eps)
RISE = 100.0  # how far a pivot may be above an earlier one: the digits of a small eigenvalue that this may cost
DOUBT = 100.0  # eigenvalues within so many times the rounding of D terms may be rounding alone


@dataclass(frozen=True, eq=False, slots=True)
class GradedFactor:
    """A lower triangular L, in columns as LAPACK has them, with a[order][:, order] = L L' and falling pivots."""

    lower: np.ndarray  # float64 (D, D), its upper half left as it was
    order: Tensor  # (D,)

    @classmethod
    def of(cls, a: Tensor) -> GradedFactor | None:
        """The factor of a PSD matrix a (D, D), float64 on the CPU; None where a is numerically singular.

        Plain Cholesky is taken where its pivots fall by themselves, which they mostly do, and else the pivoted one.
        """
        order = a.diagonal().argsort(descending=True, stable=True)
        lower, info = lapack.dpotrf(_permuted(a, order).T, lower=1, overwrite_a=1, clean=0)
        pivots = np.diagonal(lower) ** 2
        if info == 0 and pivots.min() > DOUBT * len(a) * EPSILON * pivots.max():
            if (pivots <= RISE * np.minimum.accumulate(pivots)).all():
                return cls(lower, order)
            lower, places, rank, _ = lapack.dpstrf(a.numpy().T, lower=1)
            if rank == len(a):
                return cls(lower, torch.from_numpy(places.astype(np.int64) - 1))
        return None

    def congruence(self, b: Tensor) -> Tensor:
        """L'b[order][:, order]L of a symmetric b (D, D), in its upper half; the rest is left as it was."""
        product, _ = lapack.dsygst(_permuted(b, self.order).T, self.lower, itype=2, lower=1, overwrite_a=1)
        return torch.from_numpy(product.T)

    def times(self, x: Tensor) -> Tensor:
        """F x of x (D, k), with F F' the factored matrix in its own order."""
        product = torch.empty_like(x)
        product[self.order] = torch.from_numpy(blas.dtrmm(1.0, self.lower, x.numpy(), lower=1))
        return product

    def solve_transposed(self, x: Tensor) -> Tensor:
        """F'^-1 x of x (D, k), with F F' the factored matrix in its own order."""
        solution = torch.empty_like(x)
        solution[self.order] = torch.from_numpy(blas.dtrsm(1.0, self.lower, x.numpy(), lower=1, trans_a=1))
        return solution

    def trustworthy(self, smallest: float, b: Tensor) -> bool:
        """Whether the smallest eigenvalue of the congruence of b is more than rounding: that b is not singular."""
        floor = float(np.diagonal(self.lower).min()) ** 2 * float(b.diagonal().max())
        return smallest > DOUBT * len(b) * EPSILON * floor


def _permuted(a: Tensor, order: Tensor) -> np.ndarray:
    places = order.numpy()
    return a.numpy().take(places, 0).take(places, 1)


def regular_overlap(a: Tensor, b: Tensor, factor: GradedFactor | None = None) -> Tensor | None:
    """tr (a^1/2 b a^1/2)^1/2 of PSD matrices (D, D), float64 on the CPU; None where either is numerically singular.

    `factor` is that of a, where it is known.
    """
    factor = (factor or GradedFactor.of(a)) if products_hold(a, b) else None
    if factor is None:
        return None
    # From the lower half: the reduction to a tridiagonal matrix begins where the entries are large.
    squares = torch.linalg.eigvalsh(factor.congruence(b).mT, UPLO="L")
    return squares.sqrt().sum() if factor.trustworthy(float(squares[0]), b) else None


def products_hold(a: Tensor, b: Tensor) -> bool:
    """Whether products of three of two matrices' entries neither vanish nor overflow."""
    largest = _reach(a), _reach(b)
    return min(largest) >= 1e-150 and max(largest) <= 1e150


def _reach(matrix: Tensor) -> float:
    least, most = matrix.aminmax()
    return float(torch.maximum(-least, most))
