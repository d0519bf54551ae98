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
from genbench.numerics.linalg import pull_back_half
from genbench.numerics.moments import Moments

BLOCK_ELEMENTS = 2**22  # values of samples in float64 at once: 32 MB


@dataclass(frozen=True, slots=True)
class DrawEffect:
    """By how much a side's finite draw makes the distance too large on average, and the distance's variance over it."""

    bias: float
    variance: float


def draw_effect(own: Moments, other: Moments, samples: Tensor) -> DrawEffect:
    """The effect of the draw of the samples that have the moments `own`, the other side held fixed.

    `samples` (r, D) are all of them or some, evenly chosen, whose fourth moments stand for those of all.
    """
    device, n = own.mean.device, own.n or len(samples)
    shift = own.mean - other.mean.to(device)
    product = own.root.T @ other.root.to(device)
    scale = product.abs().max().clamp(min=torch.finfo(torch.float64).tiny) if product.numel() else product.new_ones(())
    squares, basis = torch.linalg.eigh((product / scale) @ (product / scale).T)
    values = scale * squares.clamp(min=0).sqrt()
    whitening = pull_back_half(own.root, basis)
    products = values.new_zeros(len(values), len(values))
    influences = []
    for part in parts_of(samples, BLOCK_ELEMENTS):
        centred = samples[part].to(device).double() - own.mean
        white = (centred @ whitening).square_()
        # Whitened squares are near 1: single precision is more than their mean's error asks for.
        single = white.float()
        products += single.T @ single
        influences.append(2 * centred @ shift + centred.square().sum(1) - white @ values)
    sums = values[:, None] + values
    weights = torch.where(sums > 0, values[:, None] * values / sums.clamp(min=torch.finfo(torch.float64).tiny), 0.0)
    second = (weights * products).sum() / len(samples) - weights.trace()
    bias = own.covariance.trace() / n + second / (2 * n)
    return DrawEffect(float(bias), float(torch.cat(influences).var()) / n)
