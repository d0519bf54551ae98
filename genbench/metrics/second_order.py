"""What the finite draw of one side does to a Fréchet distance: its variance to first order, its bias to second.

The trace of the root of an estimated covariance falls short of the truth on average, so that the distance is too large
even between samples of one distribution. With S = F F' the covariance of the side that is drawn n times, s_i the
singular values of F'G for a factor G of the other side's, and u_i = (U'F^-1 (x - m))_i its samples in the basis in
which F'G has them, whitened, the perturbation theory of the matrix root to second order gives the bias

    tr S / n + 1 / 2n sum_ij [E u_i^2 u_j^2 - d_ij] s_i s_j / (s_i + s_j),

whose first term is that of the mean. The fourth moments are those of the samples: nothing is taken to be Gaussian.

References: R. Bhatia, "Matrix Analysis" (1997), section V.3, for the derivatives; M. Chong and D. Forsyth, "Effectively
Unbiased FID and Inception Score and Where to Find Them" (2020), who extrapolate this bias from random subsets.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genbench.numerics.blocks import parts_of
from genbench.numerics.linalg import EPSILON, TINY, eigh, pull_back_half
from genbench.numerics.moments import Moments, add_upper_square, mirrored
from genbench.numerics.overlap import GradedFactor, products_hold

BLOCK_ELEMENTS = 2**22  # values of samples in float64 at once: 32 MB


@dataclass(frozen=True, slots=True)
class DrawEffect:
    """By how much a side's finite draw makes the distance too large on average, and the distance's variance over it."""

    bias: float
    variance: float


class Alignment:
    """The singular values s of F'G of two sides' factors, and the samples of either side whitened in their bases.

    One decomposition F'G = U s V' serves both: V's whitening G^+'V of the second side is F U / s.
    """

    def __init__(self, first: Moments, second: Moments) -> None:
        self.first, self.second = first, second
        self.device = first.mean.device
        self.shift = second.mean.to(self.device) - first.mean
        self._graded: GradedFactor | None = None
        squares = self._by_congruence()
        self.values = self._by_factors() if squares is None else squares.sqrt()

    def _by_congruence(self) -> Tensor | None:
        """The squares of s from the Cholesky factor of the first side; None where either side is singular."""
        other = self.second.covariance.to(self.device)
        singular = self.second.n is not None and self.second.n <= len(self.shift)
        if singular or self.first.graded is None or not products_hold(self.first.covariance, other):
            return None
        squares, self.basis = eigh(self.first.graded.congruence(other))
        if not self.first.graded.trustworthy(float(squares[0]), other):
            return None
        self._graded = self.first.graded
        return squares

    def _by_factors(self) -> Tensor:
        product = self.first.root.T @ self.second.root.to(self.device)
        scale = product.abs().max().clamp(min=TINY) if product.numel() else product.new_ones(())
        squares, self.basis = eigh((product / scale) @ (product / scale).T)
        squares[: max(0, product.shape[0] - product.shape[1])] = 0  # more rows than columns: zero, but for rounding
        return scale * squares.clamp(min=0).sqrt()

    def distance(self) -> float:
        """The Fréchet distance of the two sides."""
        traces = self.first.covariance.trace() + self.second.covariance.to(self.device).trace()
        return max(0.0, float(self.shift @ self.shift + traces - 2 * self.values.sum()))

    def effect_of_first(self, samples: Tensor) -> DrawEffect:
        """The effect of the draw of the first side's samples, the second side held fixed.

        `samples` (r, D) are all of them or some, evenly chosen, whose fourth moments stand for those of all.
        """
        graded = self._graded
        whitening = graded.solve_transposed(self.basis) if graded else pull_back_half(self.first.root, self.basis)
        return self._effect(self.first, -self.shift, whitening, samples)

    def effect_of_second(self, samples: Tensor) -> DrawEffect:
        """As `effect_of_first`, with the sides exchanged."""
        image = self._graded.times(self.basis) if self._graded else self.first.root @ self.basis
        # Where a singular value is rounding there is no direction to whiten, and nothing that it would add.
        floor = self.values.amax() * len(self.values) * EPSILON if len(self.values) else 0.0
        whitening = image * torch.where(self.values > floor, 1 / self.values.clamp(min=TINY), 0.0)
        return self._effect(self.second, self.shift, whitening, samples)

    def _effect(self, own: Moments, shift: Tensor, whitening: Tensor, samples: Tensor) -> DrawEffect:
        values, mean, n = self.values, own.mean.to(self.device), own.n or len(samples)
        products = torch.zeros(len(values), len(values), device=self.device)
        influences = []
        for part in parts_of(samples, BLOCK_ELEMENTS):
            centred = samples[part].to(self.device).double() - mean
            white = (centred @ whitening).square_()
            # Whitened squares are near 1: single precision is more than their mean's error asks for.
            add_upper_square(products, white.float())
            influences.append(2 * centred @ shift + centred.square().sum(1) - white @ values)
        sums = values[:, None] + values
        weights = torch.where(sums > 0, values[:, None] * values / sums.clamp(min=TINY), 0.0)
        second = (weights * mirrored(products)).sum() / len(samples) - weights.trace()
        bias = own.covariance.trace() / n + second / (2 * n)
        return DrawEffect(float(bias), float(torch.cat(influences).var()) / n)
