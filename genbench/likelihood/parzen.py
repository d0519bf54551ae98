"""Parzen windows: the density of a Gaussian kernel on every sample, for models whose own density is out of reach.

References: E. Parzen, "On Estimation of a Probability Density Function and Mode" (1962); O. Breuleux et al., "Quickly
Generating Representative Samples from an RBM-Derived Process" (2011), for log-likelihoods by way of samples; I.
Goodfellow et al., "Generative Adversarial Nets" (2014), for the bandwidth by a validation set; L. Theis et al., "A note
on the evaluation of generative models" (2016), for why the numbers mislead.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from genbench.errors import InputError

TILE = 1024  # items and samples whose distances are held at once
POINTS, ROUNDS = 13, 4  # bandwidths tried at a time; each round lies between the neighbours of the best so far
NARROWEST = 1e-3  # of the root mean square distance: a validation item among the samples would have no bandwidth


def parzen_log_prob(samples: Tensor, x: Tensor, sigma: float) -> Tensor:
    """log of the mean over samples (n, D) of N(x; sample, sigma^2 I), for x (m, D): float64 (m,), in nats.

    Everything is computed in float64, tile by tile; `sigma` is in the units of the samples. Raises InputError for
    shapes that do not fit, values that are not finite, and a sigma that is not above 0.
    """
    _check(samples, x)
    if not 0 < sigma < math.inf:
        raise InputError(f"sigma must be above 0 and finite, got {sigma}")
    return _log_probs(samples, x, torch.tensor([sigma], dtype=torch.float64))[0]


def parzen_bandwidth(samples: Tensor, validation: Tensor) -> float:
    """The sigma that gives validation items (m, D) the highest mean log-probability beside samples (n, D).

    At that sigma, sigma^2 D is a mean of squared distances in which near samples weigh more; so it lies between the
    mean squared distance of the items to their nearest samples and that to all samples. A logarithmic grid between the
    two is refined around its best point, to within 0.2 percent. sigma is never below a thousandth of the upper bound:
    for validation items that are among the samples the likelihood has no maximum. Raises InputError as
    `parzen_log_prob` does, and where all distances are zero.
    """
    _check(samples, validation)
    nearest, total = [], 0.0
    for tiles in _tiles(samples, validation):
        smallest = torch.full((1,), math.inf, dtype=torch.float64, device=samples.device)
        for tile in tiles:
            smallest = torch.minimum(smallest, tile.amin(1))
            total += float(tile.sum())
        nearest.append(smallest)
    dim = samples.shape[1]
    highest = math.sqrt(total / (len(samples) * len(validation) * dim))
    if highest == 0:
        raise InputError("all samples and validation items are the same point, which has no bandwidth")
    lowest = max(math.sqrt(float(torch.cat(nearest).mean()) / dim), NARROWEST * highest)
    for _ in range(ROUNDS):
        sigmas = torch.linspace(math.log(lowest), math.log(highest), POINTS, dtype=torch.float64).exp()
        best = int(_log_probs(samples, validation, sigmas).mean(1).argmax())
        lowest, highest = float(sigmas[max(best - 1, 0)]), float(sigmas[min(best + 1, POINTS - 1)])
    return float(sigmas[best])


def _check(samples: Tensor, x: Tensor) -> None:
    for name, items in (("samples", samples), ("x", x)):
        if items.ndim != 2 or 0 in items.shape or items.shape[1] != samples.shape[1]:
            shapes = f"{tuple(samples.shape)} and {tuple(x.shape)}"
            raise InputError(f"samples and x must be of shapes (n, D) and (m, D), they are {shapes}; flatten items")
        if not all(bool(torch.isfinite(block).all()) for block in items.split(TILE)):
            raise InputError(f"{name} holds values that are not finite")


def _tiles(samples: Tensor, x: Tensor) -> Iterator[Iterator[Tensor]]:
    """For every block of x in turn its squared distances (b, c) to every block of the samples, float64."""
    centre = torch.stack([block.double().sum(0) for block in samples.split(TILE)]).sum(0) / len(samples)

    def squares(items: Tensor) -> Iterator[Tensor]:
        for block in samples.split(TILE):
            others = block.double() - centre
            tile = torch.addmm(others.square().sum(1), items, others.T, alpha=-2)
            yield tile.add_(items.square().sum(1, keepdim=True)).clamp_(min=0)

    for items in x.split(TILE):
        yield squares(items.double() - centre)


def _log_probs(samples: Tensor, x: Tensor, sigmas: Tensor) -> Tensor:
    """(s, m) for sigmas (s,)."""
    rates = (0.5 / sigmas.square()).tolist()
    blocks = []
    for tiles in _tiles(samples, x):
        sums = torch.full((1, 1), -math.inf, dtype=torch.float64, device=samples.device)
        for tile in tiles:
            sums = torch.logaddexp(sums, torch.stack([torch.logsumexp(tile * -rate, 1) for rate in rates]))
        blocks.append(sums)
    # The kernel's own height, and the mean over the samples.
    constants = samples.shape[1] * (sigmas.log() + 0.5 * math.log(2 * math.pi)) + math.log(len(samples))
    return torch.cat(blocks, 1) - constants[:, None].to(samples.device)
