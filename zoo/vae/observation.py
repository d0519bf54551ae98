"""Observation models p(x|z): what the outputs of a decoder say about the levels of every dimension.

Lecture topic: variational autoencoders, the decoder's likelihood. Both models give exact probability masses: over all
levels of a dimension they sum to 1, so that bounds built on them compare with those of any other model of levels.

References: D. Kingma and M. Welling, "Auto-Encoding Variational Bayes" (2014), appendix C, for Bernoulli pixels, of
which the softmax over two levels is the equal; D. Kingma et al., "Improved Variational Inference with Inverse
Autoregressive Flow" (2016), and T. Salimans et al., "PixelCNN++" (2017), for the discretized logistic.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

MANY_LEVELS = 32


class Observation(Protocol):
    """Independent dimensions; the parameters of n items are floats (n, numbers, *shape), levels are (n, *shape)."""

    numbers: int  # how many numbers describe the distribution of one dimension

    def log_prob(self, parameters: Tensor, x: Tensor, /) -> Tensor: ...

    def sample(self, parameters: Tensor, /) -> Tensor: ...

    def median(self, parameters: Tensor, /) -> Tensor: ...

    def without_latents(self, x: Tensor, /) -> Tensor: ...


def observation_model(levels: int) -> Observation:
    """A softmax over few levels, where any shape of distribution can be learned; a discretized logistic over many."""
    return Softmax(levels) if levels <= MANY_LEVELS else DiscretizedLogistic(levels)


class Softmax:
    """Any distribution over the levels: the parameters are the logits of each."""

    def __init__(self, levels: int) -> None:
        self.numbers = levels

    def log_prob(self, parameters: Tensor, x: Tensor, /) -> Tensor:
        """log p(x|z) in nats, (n,)."""
        return -F.cross_entropy(parameters, x.long(), reduction="none").flatten(1).sum(1)

    def sample(self, parameters: Tensor, /) -> Tensor:
        """One draw for every item, uint8 (n, *shape)."""
        # The smallest of exponential waiting times with rates p is level v with probability p_v.
        waiting = torch.empty_like(parameters).exponential_().log() - parameters
        return waiting.argmin(1).to(torch.uint8)

    def median(self, parameters: Tensor, /) -> Tensor:
        """The smallest level with at least half of the mass up to it, uint8 (n, *shape)."""
        below = parameters.softmax(1).cumsum(1)[:, :-1] < 0.5
        return below.sum(1).to(torch.uint8)

    def without_latents(self, x: Tensor, /) -> Tensor:
        """What to say of a dimension if nothing is known but the items x (n, *shape): (numbers, *shape).

        The log frequencies of its levels, with half an item of each beside those that were seen.
        """
        counts = torch.stack([(x == level).sum(0) for level in range(self.numbers)])
        return ((counts + 0.5) / (len(x) + 0.5 * self.numbers)).log()


class DiscretizedLogistic:
    """The mass that a logistic density puts on each level's cell; the parameters are its location and log scale.

    The levels' cells divide [-1, 1] evenly and the outer two reach to infinity, so that no mass is lost. The location
    is the first parameter itself; the scale is a twentieth for a second parameter of 0, which fits untrained decoders.
    """

    numbers = 2

    def __init__(self, levels: int) -> None:
        self.levels = levels

    def location_and_scale(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        location, log_scale = parameters.unbind(1)
        # A scale far below a cell's width gains no likelihood and only lets float32 overflow.
        return location, (log_scale - 3).clamp(-8, 4).exp()

    def log_prob(self, parameters: Tensor, x: Tensor, /) -> Tensor:
        """log p(x|z) in nats, (n,)."""
        location, scale = self.location_and_scale(parameters)
        lower = (x.float() * (2 / self.levels) - 1 - location) / scale
        width = 2 / self.levels / scale
        # sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)): no difference of nearly equal numbers.
        below_upper, above_lower = F.logsigmoid(lower + width), F.logsigmoid(-lower)
        inner = below_upper + above_lower + (-torch.expm1(-width)).log()
        mass = torch.where(x == 0, below_upper, torch.where(x == self.levels - 1, above_lower, inner))
        return mass.flatten(1).sum(1)

    def sample(self, parameters: Tensor, /) -> Tensor:
        """One draw for every item, uint8 (n, *shape)."""
        location, scale = self.location_and_scale(parameters)
        return self._level(location + scale * torch.rand_like(location).logit(eps=1e-7))

    def median(self, parameters: Tensor, /) -> Tensor:
        """The level whose cell holds the location, uint8 (n, *shape)."""
        return self._level(self.location_and_scale(parameters)[0])

    def without_latents(self, x: Tensor, /) -> Tensor:
        """What to say of a dimension if nothing is known but the items x (n, *shape): (numbers, *shape).

        The mean, and the scale of a logistic with their standard deviation, or with that of a cell's width if less.
        """
        values = (x.double() + 0.5) * (2 / self.levels) - 1
        deviation = values.std(0, correction=0).clamp(min=2 / self.levels)
        return torch.stack([values.mean(0), (deviation * math.sqrt(3) / math.pi).log() + 3]).float()

    def _level(self, y: Tensor) -> Tensor:
        return ((y + 1) / 2 * self.levels).floor().clamp(0, self.levels - 1).to(torch.uint8)
