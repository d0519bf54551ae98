"""The spread of a quadratic form of an optimal transport map, from the few directions in which samples vary most.

A standard error needs two digits, and most of what the form differs by from sample to sample lies in the leading
directions of the covariances: a sample's share of a direction counts with the square of its variance. So the map is
found within these directions alone, once for all and once for the leading half of them. The two variances say what the
other half added; where as much again from each direction that was left out could matter, there is no answer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genbench import seeding
from genbench.numerics.linalg import transport_map
from genbench.numerics.polar import full_float32

DIRECTIONS = 512
ROUNDS = 2  # of subspace iteration; directions that it mixes up are those of nearly equal variance
SAMPLES = 2000  # whose standard deviation is known to some 2 %
SHARE = 0.03  # of the variance that the directions left out may add, at most: 1.5 % of the standard deviation


def sample_rows(n: int) -> Tensor:
    """The places of at most SAMPLES of n rows, evenly spread."""
    return torch.arange(0, n, -(-n // SAMPLES))


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

    `source`, that of the samples, and `target` are float64 (D, D). None where leading directions do not settle it.
    """
    dim = len(shift)
    basis = leading_directions(source + target, DIRECTIONS)
    first, second = (basis.T @ (matrix @ basis) for matrix in (source, target))
    coordinates = centred @ basis
    linear = 2 * centred @ shift
    variances = []
    for count in (DIRECTIONS // 2, DIRECTIONS):
        transport = transport_map(*(_symmetric(matrix[:count, :count]) for matrix in (first, second)))
        x = coordinates[:, :count]
        variances.append(float((linear + (x * (x - x @ transport)).sum(1)).var()))
    half, whole = variances
    left_out = abs(whole - half) * (dim - DIRECTIONS) / (DIRECTIONS - DIRECTIONS // 2)
    return whole**0.5 if left_out <= SHARE * whole else None


def _symmetric(matrix: Tensor) -> Tensor:
    return (matrix + matrix.T) / 2
