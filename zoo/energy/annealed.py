"""What the energy-based models share: chains that are annealed from a base distribution to the model.

They draw its samples, and they give its log partition function from both ends (see `genbench.likelihood.Sandwich`).

References: R. Salakhutdinov and I. Murray, "On the Quantitative Analysis of Deep Belief Networks" (2008); R. Grosse,
Z. Ghahramani and R. Adams, "Sandwiching the Marginal Likelihood Using Bidirectional Monte Carlo" (2015).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from genbench.contracts import Effort, Kind, SampleSpec, Setting
from genbench.errors import ModelError
from genbench.likelihood import Sandwich, annealed_importance_sampling, reverse_annealed_importance_sampling
from genbench.numerics.estimate import Estimate
from genbench.seeding import scoped
from zoo.nn import Model, require_levels


class AnnealedModel(Model):
    """A model of binary items known up to log Z, with a path of distributions to it from a base at beta = 0.

    The states of chains are whatever the subclass's own `step` and `log_unnormalised` understand, such as its units
    together with the products of weights that both need. At beta = 0 pixels are independent with the log odds `base`.
    """

    base: Tensor
    log_prob_kind: Kind = "estimate"

    def __init__(self, name: str, spec: SampleSpec, config: Any = None) -> None:
        super().__init__(spec, config)
        if require_levels(name, spec) != 2:
            raise ModelError(f"{name} models data of two levels, not of {spec.levels}")
        self.register_buffer("base", torch.zeros(spec.size))
        self.effort = Effort()
        self.forget()

    def prepare(self, setting: Setting) -> None:
        self.effort = setting.effort
        self.forget()

    def forget(self) -> None:
        """Drop what was computed from former weights."""
        self._forward: Estimate | None = None
        self._reverse: Estimate | None = None

    @property
    @abstractmethod
    def enumerable(self) -> bool:
        """Whether log Z is summed exactly."""

    @abstractmethod
    def enumerated_log_z(self) -> float:
        """log Z in nats as a sum over all states."""

    @abstractmethod
    def base_log_z(self) -> float:
        """log Z of the base distribution in nats."""

    @abstractmethod
    def start(self, n: int) -> Any:
        """The states of n chains, drawn exactly from the base distribution."""

    @abstractmethod
    def log_unnormalised(self, state: Any, beta: float) -> Tensor:
        """log of the unnormalised mass at inverse temperature beta: (chains,), in nats."""

    @abstractmethod
    def step(self, state: Any, beta: float) -> Any:
        """Each chain moved by a transition that leaves the distribution at beta as it is."""

    def step_back(self, state: Any, beta: float) -> Any:
        """The reversal of `step`, which is the same where it satisfies detailed balance."""
        return self.step(state, beta)

    @torch.no_grad()
    def draws(self, n: int) -> Any:
        """The states of n independent chains: annealed from the base distribution, then run at beta = 1.

        A chain that starts cold stays in the mode nearest to its start; the slow rise of beta lets it choose among the
        modes while the barriers between them are still low.
        """
        state = self.start(n)
        rising = self.config.gibbs_steps // 2
        for step in range(self.config.gibbs_steps):
            state = self.step(state, min(1.0, (step + 1) / (rising + 1)))
        return state

    @torch.no_grad()
    def log_z(self) -> Estimate:
        """log Z in nats, summed exactly where that is feasible, else estimated by AIS; computed once."""
        if self._forward is None:
            if self.enumerable:
                self._forward = Estimate(self.enumerated_log_z(), None)
            else:
                with scoped(0, "log-z"):
                    self._forward = self.annealed_log_z(self.effort.ais_chains, self.effort.ais_temperatures)
        return self._forward

    @torch.no_grad()
    def sandwich(self) -> Sandwich:
        """log Z in nats from both ends; the reverse end, which only the interval needs, is computed on first use."""
        forward = self.log_z()
        if self._reverse is None:
            if self.enumerable:
                self._reverse = forward
            else:
                with scoped(0, "reverse log-z"):
                    self._reverse = self.reverse_log_z(self.effort.ais_chains, self.effort.ais_temperatures)
        return Sandwich(forward, self._reverse)

    @property
    def log_prob_error(self) -> float | None:
        """The standard error of log Z in nats, which all log-probabilities share; None where it is exact."""
        return self.log_z().stderr

    @property
    def log_prob_interval(self) -> tuple[float, float] | None:
        """How far below and above their values all log-probabilities may lie for the sake of log Z; None where exact.

        In nats, the first at most 0 and the second at least 0. The values stand on the forward estimate of log Z, which
        flatters the model; the interval reaches down to the reverse one, and three standard errors beyond both.
        """
        if self.enumerable:
            return None
        sandwich = self.sandwich()
        return sandwich.forward - sandwich.high, sandwich.forward - sandwich.low

    @torch.no_grad()
    def annealed_log_z(self, chains: int, temperatures: int) -> Estimate:
        """log Z in nats by annealed importance sampling from the base distribution, with its standard error."""
        return annealed_importance_sampling(
            self.start(chains), self.log_unnormalised, self.step, self.base_log_z(), temperatures
        )

    @torch.no_grad()
    def reverse_log_z(self, chains: int, temperatures: int) -> Estimate:
        """log Z in nats by the reverse anneal from ends of long chains, with its standard error.

        The ends stand in for exact draws of the model, which nobody has: on average the value lies above log Z but for
        what these chains have missed.
        """
        return reverse_annealed_importance_sampling(
            self.draws(chains), self.log_unnormalised, self.step_back, self.base_log_z(), temperatures
        )
