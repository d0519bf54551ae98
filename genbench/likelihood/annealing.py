"""Annealed importance sampling of a log partition function, from both ends.

Forward, from draws of a base distribution to the target, it gives a stochastic lower bound on log Z; backward, from
draws of the target to the base, a stochastic upper bound. The two close upon log Z as the temperatures grow in number,
so that a gap between them shows an anneal that was too short.

References: R. Neal, "Annealed Importance Sampling" (2001); R. Salakhutdinov and I. Murray, "On the Quantitative
Analysis of Deep Belief Networks" (2008); R. Grosse, Z. Ghahramani and R. Adams, "Sandwiching the Marginal Likelihood
Using Bidirectional Monte Carlo" (2015); Y. Burda, R. Grosse and R. Salakhutdinov, "Accurate and Conservative Estimates
of MRF Log-Likelihood Using Reverse Annealing" (2015).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from genbench.numerics.estimate import Estimate

S = TypeVar("S")

DEVIATIONS = 3.0  # standard errors by which bounds are widened, as Salakhutdinov and Murray (2008) do


@dataclass(frozen=True, slots=True)
class Sandwich:
    """log Z in nats from both ends: `forward` lies below it on average, `reverse` above it.

    The latter holds where the reverse chains started at exact draws of the target, and approximately where they started
    at the ends of long Markov chains.
    """

    forward: Estimate
    reverse: Estimate

    @property
    def low(self) -> float:
        """Below log Z: the lower of both values, the forward one less three standard errors."""
        return min(self.forward - DEVIATIONS * (self.forward.stderr or 0.0), float(self.reverse))

    @property
    def high(self) -> float:
        """Above log Z: the higher of both values, each with three standard errors more.

        The forward one counts too, because reverse chains that missed a mode end below it.
        """
        return max(end + DEVIATIONS * (end.stderr or 0.0) for end in (self.forward, self.reverse))


def annealed_importance_sampling(
    state: S,
    log_unnormalised: Callable[[S, float], Tensor],
    transition: Callable[[S, float], S],
    base_log_z: float,
    temperatures: int,
) -> Estimate:
    """log Z of the distribution at inverse temperature 1, in nats, with its standard error: on average below the truth.

    `state` holds exact draws from the base distribution at 0, one for each chain, whose log Z is `base_log_z`: a tensor
    (chains, ...), or whatever else the two functions understand. ``log_unnormalised(state, beta)`` gives (chains,) and
    ``transition(state, beta)`` moves each chain so that the distribution at beta stays as it is. exp of the value is
    unbiased for Z, so the value is in expectation at most log Z; the standard error is the delta method's.
    """
    ratio = _log_mean_exp(_log_weights(state, log_unnormalised, transition, _inverse_temperatures(temperatures)))
    return Estimate(base_log_z + ratio.value, ratio.stderr)


def reverse_annealed_importance_sampling(
    state: S,
    log_unnormalised: Callable[[S, float], Tensor],
    reversed_transition: Callable[[S, float], S],
    base_log_z: float,
    temperatures: int,
) -> Estimate:
    """The same log Z by chains that go from the target at 1 down to the base at 0: on average above the truth.

    `state` holds draws from the target. ``reversed_transition(state, beta)`` leaves the distribution at beta as it is,
    which is all that the bound needs. For the chains to be the forward ones in reversed time, so that both ends suffer
    from the same barriers, it must be the reversal of the forward transition: the same where that satisfies detailed
    balance, the opposite order where it is a sequence of updates that do. With exact draws exp of the negated value is
    unbiased for 1 / Z, so the value is in expectation at least log Z. Draws that are the ends of long Markov chains
    make that approximate: chains that never saw a mode cannot count it.
    """
    falling = _inverse_temperatures(temperatures)[::-1]
    ratio = _log_mean_exp(_log_weights(state, log_unnormalised, reversed_transition, falling))
    return Estimate(base_log_z - ratio.value, ratio.stderr)


def _inverse_temperatures(temperatures: int) -> list[float]:
    return torch.linspace(0, 1, temperatures + 1, dtype=torch.float64).tolist()


def _log_weights(
    state: S,
    log_unnormalised: Callable[[S, float], Tensor],
    transition: Callable[[S, float], S],
    betas: list[float],
) -> Tensor:
    """log of the ratio of the distribution's mass at each step to that before it, summed along each chain: float64."""
    total = (log_unnormalised(state, betas[1]) - log_unnormalised(state, betas[0])).double()
    for before, after in zip(betas[1:-1], betas[2:], strict=True):
        state = transition(state, before)
        total += (log_unnormalised(state, after) - log_unnormalised(state, before)).double()
    return total


def _log_mean_exp(log_weights: Tensor) -> Estimate:
    """log of the mean weight, with the standard error of its first-order expansion."""
    chains = len(log_weights)
    log_mean = float(log_weights.logsumexp(0)) - math.log(chains)
    relative = (log_weights - log_mean).exp()
    return Estimate(log_mean, float(relative.std(correction=1)) / math.sqrt(chains))
