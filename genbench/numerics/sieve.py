"""Pairs that are too far apart to matter, told by few of their coordinates, so that the full product is made of few.

With an orthonormal Q (D, d) and u = Q'x, |x - y|^2 is at least |u - v|^2, which a product of d dimensions gives. Where
the leading directions hold most of the variance, few pairs are within a limit by this bound; their full products are
made one by one, or of the whole tile where they are many. All decisions are then made on full products: the answers
are those without a sieve.

The bound. u is computed with an error e, |e| <= k |x|, and |Q|^2 <= 1 + o, hence
    |x - y|^2 >= (|u - v| - k |x| - k |y|)^2 / (1 + o) >= |u - v|^2 - 2 o (|u|^2 + |v|^2) - 4 k' (|x|^2 + |y|^2),
k' being k with what |u| may exceed |x| by; k is sqrt(d) times the bound on a sum of D products, which is made in parts
of PART to keep it small (N. Higham, "Accuracy and Stability of Numerical Algorithms" (2002), section 3.5).
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from genbench import seeding
from genbench.numerics.polar import full_float32

ROUNDS = 2  # of subspace iteration
PART = 256
UNIT = 2.0**-24  # the rounding of float32
SLACK, TINY = 2.0**-19, 2.0**-100


def principal_directions(rows: Tensor, count: int, rounds: int = ROUNDS) -> Tensor:
    """Directions (D, count) in which float32 rows (m, D) vary most, in falling order, orthonormal to within float32.

    By rounds of subspace iteration: directions of nearly equal variance may be mixed, which costs a sieve nothing.
    """
    centred = rows - rows.mean(0)
    rng = seeding.generator("principal directions", rows.shape[1], count)
    basis = torch.randn(rows.shape[1], count, generator=rng).to(rows.device)
    with full_float32():
        for _ in range(rounds):
            basis = torch.linalg.qr(centred.T @ (centred @ basis)).Q
        image = (centred @ basis).double()
    turn = torch.linalg.eigh(image.T @ image).eigenvectors.flip(1)
    return torch.linalg.qr(basis.double() @ turn).Q.float()


class Projected:
    """Coordinates u (padded, d) of rows and the numbers `low` (padded,) with low(x) + low(y) - 2 u.v <= |x - y|^2."""

    def __init__(self, basis: Tensor, padded: int) -> None:
        self.basis = basis
        dim, count = basis.shape
        gram = basis.double().T @ basis.double()
        self.excess = 1.01 * float((gram - torch.eye(count, dtype=gram.dtype, device=gram.device)).norm())
        self.error = 1.01 * count**0.5 * (PART + 4 + dim / PART) * UNIT
        self.coordinates = torch.zeros(padded, count, device=basis.device)
        self.low = torch.full((padded,), torch.inf, device=basis.device)

    def measure(self, part: slice, rows: Tensor, norms: Tensor) -> None:
        """Take in float32 rows (b, D) with their norms, float64 (b,)."""
        u = self.coordinates[part]
        with full_float32():
            for columns in torch.arange(rows.shape[1]).split(PART):
                some = slice(int(columns[0]), int(columns[-1]) + 1)
                u.addmm_(rows[:, some], self.basis[some])
        squares = u.double().square().sum(1)
        product = 1.01 * (u.shape[1] + 2) * UNIT
        unsure = (product + 2 * self.excess + 2 * SLACK) * squares + 4.2 * self.error * norms.square() + TINY
        self.low[part] = (squares - unsure).float()


def sparse_products(x: Tensor, y: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """x[i].y[j], float32 (p,), of rows x (a, D) and y (b, D), the pairs being in the order of i."""
    starts = torch.zeros(len(x) + 1, dtype=torch.long, device=x.device)
    starts[1:] = torch.bincount(i, minlength=len(x)).cumsum(0)
    with warnings.catch_warnings(), full_float32():
        warnings.simplefilter("ignore")  # torch calls its sparse matrices a beta
        pattern = torch.sparse_csr_tensor(starts, j, x.new_zeros(len(j)), size=(len(x), len(y)))
        return torch.sparse.sampled_addmm(pattern, x, y.T, beta=0.0).values()
