"""The importance-weighted bound on a log-likelihood.

References: D. Kingma and M. Welling, "Auto-Encoding Variational Bayes" (2014), for K = 1; Y. Burda et al., "Importance
Weighted Autoencoders" (2016).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def importance_weighted_bound(log_weights: Callable[[int], Tensor], samples: int, at_once: int = 16) -> Tensor:
    """log of the mean weight of `samples` proposals: float64 (n,), in expectation at most log p(x); K = 1 is the ELBO.

    ``log_weights(k)`` draws k proposals for each of n items and returns log p(x, z) - log q(z|x) as (k, n), in nats. It
    is asked for at most `at_once` of them at a time, which bounds the memory.
    """
    total = None
    for start in range(0, samples, at_once):
        part = log_weights(min(at_once, samples - start)).double().logsumexp(0)
        total = part if total is None else torch.logaddexp(total, part)
    assert total is not None
    return total - math.log(samples)
