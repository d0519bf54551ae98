"""The Boltzmann machine, fully visible: every pair of pixels has an energy.

Lecture topic: energy-based models. The conditional of one unit given all others is a logistic function, so Gibbs
sampling goes unit by unit; the likelihood's gradient is a correlation in the data less the same correlation in the
model, and the latter is what makes learning hard.

References: D. Ackley, G. Hinton and T. Sejnowski, "A Learning Algorithm for Boltzmann Machines" (1985); L. Younes,
"Parametric Inference for Imperfectly Observed Gibbsian Fields" (1989), for the persistent chains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.likelihood import every_state
from zoo.energy.annealed import AnnealedModel
from zoo.energy.restricted_boltzmann import base_rates, coin, softplus
from zoo.training import Memory, Options, minimise

ENUMERABLE = 16  # units whose 2 ** 16 states are summed at every step of training
UNITS_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Config:
    """The machine's training.

    `sweeps`: Gibbs sweeps of the persistent chains per step; machines of up to 16 units need none. `decay`: weight
    decay. `steps`, `batch`, `rate`: optimiser steps, items (and chains) per step and initial learning rate.
    `gibbs_steps`: Gibbs sweeps behind every sample.
    """

    sweeps: int = 1
    decay: float = 0.01
    steps: int = 6000
    batch: int = 100
    rate: float = 5e-3
    gibbs_steps: int = 300

    def __post_init__(self) -> None:
        if min(self.sweeps, self.steps, self.batch, self.gibbs_steps) < 1:
            raise ValueError(f"sweeps, steps, batch and gibbs_steps must be positive, got {self}")
        if self.decay < 0 or self.rate <= 0:
            raise ValueError(f"decay must be >= 0 and rate > 0, got {self}")


class BoltzmannMachine(AnnealedModel):
    """p(x) = exp(-E(x)) / Z with E(x) = -x'Wx - b'x, x binary, W symmetric with a zero diagonal.

    There is no factor 1/2: x'Wx counts each pair of units twice, so the log odds of unit i given the others are
    b_i + 2 sum_j W_ij x_j. At inverse temperature beta both the couplings and the biases' distance from the base
    distribution are scaled: p_beta(x) is proportional to p_0(x) ** (1 - beta) exp(-beta E(x)).
    """

    Config = Config
    name = "boltzmann-machine"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__("boltzmann-machine", spec, config)
        self.weight = nn.Parameter(torch.zeros(spec.size, spec.size))
        self.bias = nn.Parameter(torch.zeros(spec.size))
        self.log_prob_kind = "exact" if self.enumerable else "estimate"

    @property
    def couplings(self) -> Tensor:
        """W, (size, size): the symmetric part of the free parameter, without its diagonal."""
        symmetric = (self.weight + self.weight.T) / 2
        return symmetric - symmetric.diagonal().diag()

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Maximum likelihood, with the exact gradient where all states can be summed, else by persistent chains.

        Returns the negative log-likelihood in nats, or the difference of energies of data and chains, whose gradient is
        the likelihood's on average.
        """
        c = self.config
        with torch.no_grad():
            self.base.copy_(base_rates(dataset.train))
            self.bias.copy_(self.base)
        memory = Memory(chains=self.start(c.batch))

        def exact(x: Tensor) -> Tensor:
            return self.energy(x.flatten(1).double()).mean() + self.summed_log_z()

        def stochastic(x: Tensor) -> Tensor:
            for _ in range(c.sweeps):
                memory.chains = self.step(memory.chains, beta=1.0)
            return self.energy(x.flatten(1).float()).mean() - self.energy(memory.chains).mean()

        loss, figure = (exact, "nll") if self.enumerable else (stochastic, "divergence")
        figures = minimise(loss, self, dataset.train, budget, c, Options(average=0.999, memory=memory))
        self.forget()
        return {figure: figures["loss"]}

    def energy(self, x: Tensor) -> Tensor:
        """E(x) of states of any float type (n, size): (n,) of that type, in nats."""
        return -((x @ self.couplings.to(x.dtype)) * x).sum(1) - x @ self.bias.to(x.dtype)

    def log_unnormalised(self, state: Tensor, beta: float) -> Tensor:
        return (1 - beta) * (state @ self.base) - beta * self.energy(state)

    def step(self, state: Tensor, beta: float) -> Tensor:
        """A Gibbs sweep over the units in their order."""
        return self.sweep(state, beta, range(self.spec.size))

    def step_back(self, state: Tensor, beta: float) -> Tensor:
        """A Gibbs sweep in the opposite order: each update is reversible, their sequence is not."""
        return self.sweep(state, beta, range(self.spec.size)[::-1])

    @torch.no_grad()
    def sweep(self, state: Tensor, beta: float, order: range) -> Tensor:
        """States float (n, size) after one Gibbs update of each unit in `order`, at inverse temperature beta.

        The units go in groups: the log odds of a group are one matrix product, which each flip within the group
        corrects by a product of rank one.
        """
        pull = 2 * beta * self.couplings
        bias = beta * self.bias + (1 - beta) * self.base
        x = state.T.contiguous()
        # A unit turns on where its log odds exceed the logit of a uniform number.
        thresholds = torch.rand(x.shape, device=x.device).logit() - bias[:, None]
        for group in torch.tensor(order, device=x.device).split(UNITS_AT_ONCE):
            odds = pull[group] @ x - thresholds[group]
            within = pull[group][:, group]
            before = x[group]
            after = torch.empty_like(before)
            for odd, pulls, old, new in zip(odds, within, before, after, strict=True):
                new.copy_(odd > 0)
                odds.addr_(pulls, new - old)
            x[group] = after
        return x.T.contiguous()

    def start(self, n: int) -> Tensor:
        """n exact draws of the base distribution: float (n, size)."""
        return coin(self.base.sigmoid().expand(n, -1))

    def base_log_z(self) -> float:
        return softplus(self.base.double()).sum().item()

    @property
    def enumerable(self) -> bool:
        return self.spec.size <= ENUMERABLE

    def summed_log_z(self) -> Tensor:
        """log Z as a sum over all states, differentiable: a scalar, in nats."""
        states = every_state(self.spec.size).to(self.device).double()
        return (-self.energy(states)).logsumexp(0)

    def enumerated_log_z(self) -> float:
        return self.summed_log_z().item()

    @torch.no_grad()
    def log_prob(self, x: Tensor, /) -> Tensor:
        """-E(x) - log Z in nats: float64 (n,)."""
        return -self.energy(self.accept(x).flatten(1).double()) - self.log_z().value

    @torch.no_grad()
    def sample(self, n: int, /) -> Tensor:
        """n items (n, *shape), the ends of independent chains that are annealed from the base distribution."""
        return self.draws(n).reshape(n, *self.spec.shape).to(torch.uint8)
