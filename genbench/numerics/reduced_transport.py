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
from genbench.numerics.blocks import parts_of
from genbench.numerics.linalg import transport_map
from genbench.numerics.moments import Moments
from genbench.numerics.polar import full_float32

DIRECTIONS = 512  # at most; half of them mostly do
ROUNDS = 2  # of subspace iteration; directions that it mixes up are those of nearly equal variance
BLOCK_ELEMENTS = 2**20  # values in double precision at once: 8 MB
SAMPLES = 10_000  # whose standard deviation is known to some 1 %
SHARE = 0.03  # of the variance that the directions left out may add, at most: 1.5 % of the standard deviation
LEAST = 1e-60  # of a variance: below, squares in float32 lose their digits


def row_step(n: int) -> int:
    """Every how many-th of n rows is looked at, SAMPLES at most: an odd number, so that even and odd rows alternate."""
    return -(-n // SAMPLES) | 1


def leading_directions(matrix: Tensor, count: int) -> Tensor:
    """About the leading eigenvectors of a PSD matrix (D, D), in falling order: float64 (D, count), orthonormal."""
    largest = matrix.diagonal().amax().clamp(min=torch.finfo(matrix.dtype).tiny)
    single = torch.empty_like(matrix, dtype=torch.float32)
    for part in parts_of(matrix, BLOCK_ELEMENTS):
        single[part] = matrix[part] / largest
    rng = seeding.generator("leading directions", len(matrix), count)
    basis = torch.randn(len(matrix), count, generator=rng).to(matrix.device)
    with full_float32():
        for _ in range(ROUNDS):
            basis = torch.linalg.qr(single @ basis).Q
        image = single @ basis
    inner = basis.double().T @ image.double()
    vectors = torch.linalg.eigh((inner + inner.T) / 2).eigenvectors.flip(1)
    return basis.double() @ vectors


def reduced_deviation(samples: Tensor, own: Moments, other: Moments) -> float | None:
    """The standard deviation of 2 x.shift + x'(I - T)x over centred samples x, T the transport map of two covariances.

    Of the samples (n, D) the moments are `own`; the shift is that of their mean from the mean of `other`. None where
    leading directions do not settle it.
    """
    source, target = own.covariance, other.covariance.to(own.covariance.device)
    shift = own.mean - other.mean.to(own.mean.device)
    for count in (DIRECTIONS // 2, DIRECTIONS):
        basis = leading_directions(source + target, count)
        first, second = (basis.T @ (matrix @ basis) for matrix in (source, target))
        coordinates = _products(samples, own.mean, torch.cat([basis, shift[:, None]], 1))
        linear = 2 * coordinates[:, count].double()
        half, whole = (_variance(linear, coordinates, first, second, some) for some in (count // 2, count))
        left_out = abs(whole - half) * (len(shift) - count) / (count - count // 2)
        if whole > LEAST and left_out <= SHARE * whole:
            return whole**0.5
    return None


def _products(samples: Tensor, mean: Tensor, columns: Tensor) -> Tensor:
    """(x - mean)'columns of each row: centred in double precision and multiplied in single, in the same memory."""
    single, products = columns.float(), []
    parts = list(parts_of(samples, BLOCK_ELEMENTS))
    wide = mean.new_empty(len(samples[parts[0]]), len(mean))
    narrow = torch.empty_like(wide, dtype=torch.float32)
    with full_float32():
        for part in parts:
            rows = slice(len(samples[part]))
            products.append(narrow[rows].copy_(wide[rows].copy_(samples[part]).sub_(mean)) @ single)
    return torch.cat(products)


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
