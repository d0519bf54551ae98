"""The mean and covariance of features: gathered batch by batch, merged, and exchanged as arrays.

References: T. Chan, G. Golub and R. LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
Variances" (1979). The names `mu` and `sigma` are those of pytorch-fid, guided-diffusion and StyleGAN's users.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch
from scipy.linalg import blas
from torch import Tensor

from genbench.errors import InputError
from genbench.numerics.blocks import as_features, parts_of
from genbench.numerics.linalg import Array, root_factor
from genbench.numerics.overlap import GradedFactor

BLOCK_ELEMENTS = 2**22  # values of a block in float64: 32 MB
PANEL = 256  # columns; of a symmetric product only the upper half is multiplied, one panel at a time
SYMMETRY = 1e-4  # covariances may come from float32
MOST_SAMPLES = 10**12  # more images than anybody has


@dataclass(frozen=True, eq=False)
class Moments:
    """The mean (D,) and covariance (D, D) of n feature vectors, float64, the covariance divided by n - 1.

    n is None where it is not known, as for files that other tools wrote.
    """

    n: int | None
    mean: Tensor
    covariance: Tensor

    @cached_property
    def root(self) -> Tensor:
        """A factor F (D, r) of the covariance F F', found once. Raises InputError where it is clearly indefinite."""
        return root_factor(self.covariance, "the covariance")

    @cached_property
    def graded(self) -> GradedFactor | None:
        """The Cholesky factor of the covariance, found once; None where it is singular or not on the CPU."""
        singular = self.n is not None and self.n <= len(self.mean)
        return None if singular or self.covariance.device.type != "cpu" else GradedFactor.of(self.covariance)

    @classmethod
    def of(cls, features: Array) -> Moments:
        """The moments of features (n, D), in memory for one block besides. Raises InputError for n < 2."""
        return MomentsBuilder().add(features).moments()

    @classmethod
    def from_arrays(cls, mu: np.ndarray, sigma: np.ndarray, n: np.ndarray | None = None) -> Moments:
        """Moments from what `arrays` gives: a mean (D,), a covariance (D, D) and, where it is known, the number n.

        Files are read by `genbench.storage.statistics.load`. Raises InputError for other shapes, values that are not
        finite, a `sigma` that is not symmetric or has negative variances, an n that is no number of samples.
        """
        if any(array.dtype.kind not in "fiu" for array in (mu, sigma)):
            raise InputError(f"mu and sigma must be real numbers, they are {mu.dtype} and {sigma.dtype}")
        if mu.ndim != 1 or sigma.shape != (len(mu), len(mu)) or len(mu) == 0:
            raise InputError(f"mu has shape {mu.shape} and sigma {sigma.shape}; expected (D,) and (D, D)")
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused in the next lines
            mean, covariance = mu.astype(np.float64), sigma.astype(np.float64)
            asymmetry = np.abs(covariance - covariance.T).max()
        if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
            raise InputError("mu or sigma holds values that are not finite")
        if asymmetry > SYMMETRY * np.abs(covariance).max():
            raise InputError("sigma is not symmetric, so it is no covariance")
        if (np.diagonal(covariance) < 0).any():
            raise InputError("sigma has negative variances, so it is no covariance")
        count = None if n is None else _count(n)
        return cls(count, torch.from_numpy(mean), torch.from_numpy(covariance / 2 + covariance.T / 2))

    def arrays(self) -> dict[str, np.ndarray]:
        """The moments as files name them: `mu`, `sigma` and, where it is known, `n`."""
        known = {} if self.n is None else {"n": np.asarray(self.n)}
        return {"mu": self.mean.cpu().numpy(), "sigma": self.covariance.cpu().numpy(), **known}


def _count(n: np.ndarray) -> int:
    """The number of samples that covariances were computed from. Raises InputError for what cannot be one."""
    if n.size != 1 or n.dtype.kind not in "fiu":
        raise InputError(f"n must be one whole number, it is {n.dtype} of shape {n.shape}")
    value = n.item()
    if not (2 <= value <= MOST_SAMPLES and value == int(value)):  # NaN fails the comparison
        raise InputError(f"n is {value:g}, which is no number of samples that a covariance was computed from")
    return int(value)


class MomentsBuilder:
    """Moments of features that arrive in batches, or in parts on several machines, in memory for one covariance.

    >>> builder = MomentsBuilder()
    >>> for batch in torch.ones(2, 5, 3):
    ...     _ = builder.add(batch)
    >>> builder.moments().n
    10
    """

    def __init__(self) -> None:
        self.n = 0
        self._mean = self._scatter = torch.empty(0, dtype=torch.float64)

    def add(self, batch: Array) -> Self:
        """Take features (n, D) of any n in; costs one product of the centred batch with itself, in float64.

        Raises InputError for values that are not finite and for another D than before.
        """
        x = as_features("features", batch)
        memory: Tensor | None = None
        for part in parts_of(x, BLOCK_ELEMENTS):
            # The first block is the largest; fresh memory for each would cost more than the arithmetic on it.
            memory = x.new_empty(x[part].shape, dtype=torch.float64) if memory is None else memory
            block = memory[: len(x[part])].copy_(x[part])
            mean = block.mean(0)
            self._combine(len(block), mean, block.sub_(mean))
        return self

    def merge(self, other: MomentsBuilder) -> Self:
        """Take in all that `other` has taken in; `other` stays as it is."""
        if other.n:
            self._combine(other.n, other._mean.clone(), None, other._scatter.clone())
        return self

    def moments(self) -> Moments:
        """The moments of everything so far, independent of what comes later. Raises InputError for n < 2."""
        if self.n < 2:
            raise InputError(f"a covariance needs at least 2 samples, got {self.n}")
        return Moments(self.n, self._mean.clone(), mirrored(self._scatter / (self.n - 1)))

    def _combine(self, n: int, mean: Tensor, centred: Tensor | None, scatter: Tensor | None = None) -> None:
        """Add n samples of this mean, and either themselves centred or the upper half of their scatter matrix."""
        if self.n == 0:
            self._mean = mean
            self._scatter = mean.new_zeros(len(mean), len(mean)) if scatter is None else scatter
        elif len(mean) != len(self._mean):
            raise InputError(f"features must have {len(self._mean)} columns as before, got {len(mean)}")
        else:
            offset = mean.to(self._mean.device) - self._mean
            share = n / (self.n + n)
            self._scatter.addr_(offset, offset, alpha=self.n * share)
            self._mean = self._mean + share * offset
            if scatter is not None:
                self._scatter += scatter.to(self._scatter.device)
        self.n += n
        if centred is not None:
            add_upper_square(self._scatter, centred.to(self._scatter.device))


def mirrored(square: Tensor) -> Tensor:
    """`square` (D, D) itself, with its upper half copied below the diagonal."""
    for start in range(0, len(square), PANEL):
        stop = start + PANEL
        corner = square[start:stop, start:stop]
        corner.copy_(corner.triu() + corner.triu(1).T)
        square[stop:, start:stop] = square[start:stop, stop:].T
    return square


def add_upper_square(scatter: Tensor, x: Tensor) -> None:
    """Add x'x to `scatter`, both float64 or both float32, at least on and above the diagonal."""
    if x.device.type == "cpu" and scatter.is_contiguous() and x.is_contiguous():
        # Rows are LAPACK's columns, and the upper half is its lower one.
        update = blas.dsyrk if x.dtype == torch.float64 else blas.ssyrk
        update(1.0, x.numpy().T, beta=1.0, c=scatter.numpy().T, lower=1, overwrite_c=1)
        return
    for start in range(0, x.shape[1], PANEL):
        panel = x[:, start : start + PANEL]
        scatter[start : start + PANEL, start:].addmm_(panel.T, x[:, start:])
