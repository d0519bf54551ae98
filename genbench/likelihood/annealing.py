"""Annealed importance sampling of a log partition function.

References: R. Neal, "Annealed Importance Sampling" (2001); R. Salakhutdinov and I. Murray, "On the Quantitative
Analysis of Deep Belief Networks" (2008).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from genbench.estimate import Estimate


def annealed_importance_sampling(
    state: Tensor,
    log_unnormalised: Callable[[Tensor, float], Tensor],
    transition: Callable[[Tensor, float], Tensor],
    base_log_z: float,
    temperatures: int,
) -> Estimate:
    """log Z of the distribution at inverse temperature 1, in nats, with its standard error.

    `state` (chains, ...) holds exact draws from the base distribution at 0, whose log Z is `base_log_z`;
    ``log_unnormalised(state, beta)`` gives (chains,) and ``transition(state, beta)`` moves each chain so that the
    distribution at beta stays as it is. exp of the value is unbiased for Z; the standard error is the delta method's.
    """
    log_weights = torch.zeros(len(state), dtype=torch.float64, device=state.device)
    betas = torch.linspace(0, 1, temperatures + 1, dtype=torch.float64).tolist()
    for before, after in zip(betas[:-1], betas[1:], strict=True):
        log_weights += (log_unnormalised(state, after) - log_unnormalised(state, before)).double()
        if after < 1:
            state = transition(state, after)
    chains = len(log_weights)
    log_mean = float(log_weights.logsumexp(0)) - math.log(chains)
    relative = (log_weights - log_mean).exp()
    return Estimate(base_log_z + log_mean, float(relative.std(correction=1)) / math.sqrt(chains))
