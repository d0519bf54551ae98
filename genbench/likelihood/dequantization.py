"""From densities to masses: uniform noise within each level's cell makes a density model's bound on the mass.

References: L. Theis et al., "A note on the evaluation of generative models" (2016); J. Ho et al., "Flow++" (2019), for
the importance-weighted form.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from genbench.contracts import SampleSpec
from genbench.likelihood.importance import importance_weighted_bound


def dequantize(x: Tensor, levels: int) -> Tensor:
    """Levels (n, *shape) spread uniformly over their cells: floats in [0, 1)."""
    # Away from the borders, which rounding at 256 levels would cross about once in 10^5 times.
    return (x + torch.rand(x.shape, device=x.device).clamp(1e-4, 1 - 1e-4)) / levels


def quantize(y: Tensor, levels: int) -> Tensor:
    """The level, uint8, whose cell holds each value of y; values outside [0, 1) fall into the outer cells."""
    return (y * levels).floor().clamp(0, levels - 1).to(torch.uint8)


def to_logits(y: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """Values y (n, *shape) in [0, 1) to logits of margin + (1 - 2 margin) y, with log |det| of the map, (n,).

    The margin keeps the logits finite (L. Dinh et al., "Density Estimation Using Real NVP", 2017, section 4.1).
    """
    p = margin + (1 - 2 * margin) * y
    return p.logit(), (math.log(1 - 2 * margin) - p.log() - (1 - p).log()).flatten(1).sum(1)


def from_logits(v: Tensor, margin: float) -> Tensor:
    """The inverse of `to_logits`; the margin lets values leave [0, 1) a little."""
    return (v.sigmoid() - margin) / (1 - 2 * margin)


def dequantized_log_prob(log_density: Callable[[Tensor], Tensor], x: Tensor, spec: SampleSpec, samples: int) -> Tensor:
    """A lower bound on log P(x) of a mass, float64 (n,), for a model of the density of `dequantize(x)`.

    P(x) is the integral of the density over x's cell, estimated by the mean of `samples` uniform noises; the log of
    that mean is in expectation at most log P(x). `log_density` maps (n, *shape) in [0, 1) to (n,), in nats.
    """
    levels = spec.levels
    assert levels is not None, "real-valued data needs no dequantization"
    cell = -spec.size * math.log(levels)

    def log_weights(k: int) -> Tensor:
        noisy = dequantize(x.repeat(k, *[1] * len(spec.shape)), levels)
        return log_density(noisy).reshape(k, len(x)).double() + cell

    return importance_weighted_bound(log_weights, samples, at_once=1)
