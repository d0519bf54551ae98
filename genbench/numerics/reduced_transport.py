"""The spread of a quadratic form of an optimal transport map, from the few directions in which samples vary most.

A standard error needs two digits, and most of what the form differs by from sample to sample lies in the leading
directions of the covariances: a sample's share of a direction counts with the square of its variance. So the map is
found within these directions alone, once for all and once for the leading half of them. The two variances say what the
other half added; where as much again from each direction that was left out could matter, twice as many are looked at,
and where it still could, there is no answer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genbench import seeding
from genbench.numerics.linalg import transport_map
from genbench.numerics.polar import full_float32

DIRECTIONS = 512  # at most; half of them mostly do
ROUNDS = 2  # of subspace iteration; directions that it mixes up are those of nearly equal variance
SAMPLES = 10_000  # whose standard deviation is known to some 1 %
SHARE = 0.03  # of the variance that the directions left out may add, at most: 1.5 % of the standard deviation
LEAST = 1e-60  # of a variance: below, squares in float32 lose their digits


def sample_rows(n: int) -> Tensor:
    """The places of at most SAMPLES of n rows, evenly spread."""
    return torch.arange(0, n, row_step(n))


def row_step(n: int) -> int:
    """Every how many-th of n rows is looked at: an odd number, so that even and odd rows alternate."""
    return -(-n // SAMPLES) | 1


def leading_directions(matrix: Tensor, count: int) -> Tensor:
    """About the leading eigenvectors of a PSD matrix (D, D), in falling order: float64 (D, count), orthonormal."""
    single = (matrix / matrix.diagonal().amax().clamp(min=torch.finfo(matrix.dtype).tiny)).float()
    rng = seeding.generator("leading directions", len(matrix), count)
    basis = torch.randn(len(matrix), count, generator=rng).to(matrix.device)
    with full_float32():
        for _ in range(ROUNDS):
            basis = torch.linalg.qr(single @ basis).Q
        image = single @ basis
    inner = basis.double().T @ image.double()
    vectors = torch.linalg.eigh((inner + inner.T) / 2).eigenvectors.flip(1)
    return basis.double() @ vectors


def reduced_deviation(centred: Tensor, shift: Tensor, source: Tensor, target: Tensor) -> float | None:
    """The standard deviation of 2 x.shift + x'(I - T)x over samples x (n, D), T the transport map of two covariances.

    The samples are float32; `source`, their covariance, and `target` float64 (D, D). None where leading directions do
    not settle it.
    """
    linear = (2 * centred @ shift.float()).double()
    for count in (DIRECTIONS // 2, DIRECTIONS):
        basis = leading_directions(source + target, count)
        first, second = (basis.T @ (matrix @ basis) for matrix in (source, target))
        with full_float32():
            coordinates = centred @ basis.float()
        half, whole = (_variance(linear, coordinates, first, second, some) for some in (count // 2, count))
        left_out = abs(whole - half) * (len(shift) - count) / (count - count // 2)
        if whole > LEAST and left_out <= SHARE * whole:
            return whole**0.5
    return None


def _variance(linear: Tensor, coordinates: Tensor, source: Tensor, target: Tensor, count: int) -> float:
    """That of the linear part and of the quadratic form within the first directions."""
    x = coordinates[:, :count]
    bend = -transport_map(*(_symmetric(matrix[:count, :count]) for matrix in (source, target)))
    bend.diagonal().add_(1)
    with full_float32():
        squares = (x * (x @ bend.float())).sum(1)
    return float((linear + squares.double()).var())


def _symmetric(matrix: Tensor) -> Tensor:
    return (matrix + matrix.T) / 2
