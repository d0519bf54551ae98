"""The orthogonal factor of the polar decomposition by matrix products alone, as accelerators like it.

References: J. Chen and E. Chow, "A Stable Scaling of Newton-Schulz for Improving the Sign Function Computation of a
Hermitian Matrix" (2014), for the scaling; N. Higham, "Functions of Matrices" (2008), chapter 8.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

# Singular values below this share of the norm stay short of 1; what they add to a nuclear norm is as small as they are.
SMALLEST = 1e-9
# The best cubic for values within [l, 1] maps 1 to nearly l where l is tiny: the largest singular values are cancelled
# away and come back with the rounding of float32 multiplied. Steps as for l = 0.1 never do that, and grow only 5% less.
SAFE = 0.1
CONVERGED = 1e-7


def _cubic(x: float, scale: float) -> float:
    return scale * x * (3 - scale**2 * x**2) / 2


def scales(smallest: float = SMALLEST) -> list[float]:
    """The factors s of the steps x -> s x (3 - s^2 x^2) / 2 that take all of [smallest, 1] to 1."""
    scales = []
    while 1 - smallest > CONVERGED:
        low = max(smallest, SAFE)
        scale = math.sqrt(3 / (1 + low + low**2))
        smallest = min(_cubic(smallest, scale), _cubic(1.0, scale))
        scales.append(scale)
    return scales


def polar_factor(m: Tensor) -> Tensor:
    """An orthogonal factor U (..., r, s) of M = U H, float64; the trace of U'M is the nuclear norm of M.

    The steps run in float32 on the device of `m`, without a word to the host, and one float64 step then makes U
    orthogonal. The nuclear norm is the maximum of tr U'M over all U of norm at most 1, so what float32 leaves of an
    error in U costs its square only, and never makes the trace too large.
    """
    if m.shape[-2] < m.shape[-1]:
        return polar_factor(m.mT).mT
    largest = m.abs().amax((-2, -1), keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    unit = m / largest
    unit = unit / torch.linalg.matrix_norm(unit, keepdim=True).clamp(min=1.0)
    x = unit.float()
    with full_float32():
        for scale in scales():
            x = _step(x, scale)
    return _step(x.double(), 1.0)


def _step(x: Tensor, scale: float) -> Tensor:
    gram = (x.mT @ x) * (-(scale**3) / 2)
    gram.diagonal(dim1=-2, dim2=-1).add_(1.5 * scale)
    return x @ gram


@contextmanager
def full_float32() -> Iterator[None]:
    """No TensorFloat-32 or bfloat16 inside matrix products: the float64 step is enough for float32's error only."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
